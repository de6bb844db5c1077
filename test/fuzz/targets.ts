/** The readers that take files of others, each with valid files and the damage that its format is open to. */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { crc32, inflateSync } from 'node:zlib';
import sharp from 'sharp';
import { create } from 'tar';
import { ClipnError } from '../../lib/base/errors';
import { parseJson } from '../../lib/base/parse-json';
import { judgedIn } from '../../lib/cli/judged-table';
import { parseCalibration, readCalibration, saveCalibration } from '../../lib/decide/calibration';
import { createDriftMonitor, resumeDriftMonitor } from '../../lib/decide/drift';
import type { DriftState } from '../../lib/decide/drift-state';
import { addBatchFeatures } from '../../lib/features/batch-features';
import { readShard, writeShard } from '../../lib/features/shard';
import { FeatureStore } from '../../lib/features/store';
import { type PickleValue, readPickle } from '../../lib/formats/pickle';
import { writeSafetensors } from '../../lib/formats/safetensors';
import { readRootText, readTrainingArchive } from '../../lib/formats/torch-archive';
import { checkZip } from '../../lib/formats/zip-check';
import { decodeImage } from '../../lib/images/decode';
import { freezeBank, type LabelBank } from '../../lib/labels/bank';
import { loadLabelBank, saveLabelBank } from '../../lib/labels/bank-file';
import { loadLabelsFile } from '../../lib/labels/labels-file';
import { readLabelledScores, readScoreFile } from '../../lib/metrics/score-file';
import { type MinedNegatives, readNegatives } from '../../lib/scores/mined-negatives';
import { openDataset } from '../../lib/teach/data/open';
import { createTokenizer } from '../../lib/text/tokenizer';
import { tokenizerOf } from '../../lib/weights/bpe-files';
import { readCheckpoint } from '../../lib/weights/checkpoint';
import { exportModel } from '../../lib/weights/export';
import { openHuggingFace } from '../../lib/weights/hugging-face';
import { parseModelConfig } from '../../lib/weights/model-config';
import { checkModelFile } from '../../lib/weights/model-file';
import { readOpenClipConfig } from '../../lib/weights/openclip-config';
import { BATCH_STORE, batchHash, batchResult } from '../support/batch-result';
import { unzip, withHeader } from '../support/damage';
import { hfConfig, hfPreprocessor } from '../support/hugging-face';
import { clipTokenizer, goldenFile, photos } from '../support/paths';
import { smallestFiles, tinyTokenizer } from '../support/tiny-model';
import { pickle } from '../support/torch-zip';
import { type OddEntry, zip } from '../support/zip';
import { type Draw, damageBytes, damageJson, damageText, jsonText } from './mutate';
import type { Target } from './run';

const golden = <T>(name: string): T => JSON.parse(readFileSync(goldenFile(name), 'utf8')) as T;
const base64 = (text: string) => Buffer.from(text, 'base64');
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

/** What `torch.save` wrote, by PyTorch itself (test/reference/make_torch_save_golden.py). */
const saved = () => Object.values(golden<{ files: Record<string, string> }>('torch-save.json').files).map(base64);
const isZip = (bytes: Buffer) => bytes.toString('latin1', 0, 2) === 'PK';

/** Input by damage to the bytes of these files, or by one of `others`. */
const damaged = (files: readonly Buffer[], ...others: ((draw: Draw) => Buffer)[]) => {
  return (draw: Draw): Buffer =>
    others.length > 0 && !draw.rarely(3) ? draw.any(others)(draw) : damageBytes(draw, draw.any(files), files);
};

/** Entries of a zip, one of them changed or odd, in a zip whose checksums and sizes are right. */
function rezipped(
  draw: Draw,
  entries: Record<string, Buffer>,
  change: (name: string, content: Buffer) => Buffer,
): Buffer {
  const list = Object.entries(entries).map(([name, content]): [string, Buffer | OddEntry] => [name, content]);
  for (let i = draw.few(); i > 0; i--) {
    const at = draw.below(list.length);
    const [name, content] = list[at]!;
    if (!Buffer.isBuffer(content)) continue;
    draw.any([
      () => list.splice(at, 1, [name, change(name, content)]),
      () => list.splice(at, 1, [name, change(name, content)]),
      () => list.splice(at, 1, [name, change(name, content)]),
      () => list.splice(at, draw.below(2), [damageText(draw, name).toString(), content]),
      () =>
        list.splice(at, 1, [
          name,
          {
            data: content,
            ...(draw.rarely(2) && { size: draw.any([0, content.length + 1, 0xfffffffe, 0xffffffff]) }),
            ...(draw.rarely(3) && { method: draw.any([8, 12, 99]) }),
            ...(draw.rarely(3) && { flags: draw.any([1, 8, 0x800, 0xffff]) }),
            ...(draw.rarely(3) && { overlaps: at > 0 }),
          },
        ]),
    ])();
  }
  return zip(list.length === 0 ? entries : list, draw.rarely(10) ? draw.any([0, 1, 0xffff, 2 ** 31]) : undefined);
}

const OPCODES = Buffer.from(
  '.(0123NIJKMGXUTBC])}ljtesubcRQqrhdp\x80\x81\x85\x86\x87\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x93\x94\x95\x62',
  'latin1',
);
const VALUES: readonly ((draw: Draw) => Buffer)[] = [
  (draw) => pickle.integer(draw.any([0, 1, 2 ** 31 - 1, 2 ** 32 - 1])) /* the last is -1 */,
  (draw) => pickle.string(draw.any(['', 'state_dict', '\0', 'x'.repeat(300), '../..'])),
  () => pickle.tuple([]),
  () => pickle.dict([]),
  (draw) =>
    pickle.tensor(
      '0',
      [draw.any([0, 3, 2 ** 32 - 1])],
      [draw.any([0, 1, 2 ** 32 - 1])],
      draw.any(['FloatStorage', 'HalfStorage', 'Odd']),
    ),
  (draw) =>
    pickle.global(
      draw.any(['torch', 'os', 'builtins', '\x1b[31m', 'x'.repeat(2000)]),
      draw.any(['Size', 'system', 'list', '']),
    ),
  (draw) => pickle.call(pickle.global('collections', draw.any(['OrderedDict', 'deque', 'Counter'])), [pickle.list([])]),
];

/** A pickle with its instructions changed. */
function damagePickle(draw: Draw, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const at = draw.below(copy.length);
  return draw.any([
    () => damageBytes(draw, bytes, [bytes]),
    () => {
      copy[at] = draw.any([...OPCODES]);
      return copy;
    },
    () => Buffer.concat([bytes.subarray(0, at), draw.any(VALUES)(draw), bytes.subarray(at)]),
    () =>
      Buffer.concat([
        bytes.subarray(0, at),
        Buffer.alloc(1 + draw.below(3000), draw.any([...OPCODES])),
        bytes.subarray(at),
      ]),
  ])();
}

const isPickle = (name: string) => name.endsWith('.pkl');

/** A .safetensors file with its header changed, and sealed again where it was. */
function damageHeader(
  draw: Draw,
  bytes: Buffer,
  change: (metadata: Record<string, string>) => void,
  sealed?: number,
): Buffer {
  return withHeader(
    bytes,
    (header) => {
      if (draw.rarely(2) && header['__metadata__'] !== undefined)
        change(header['__metadata__'] as Record<string, string>);
      else {
        const after = damageJson(draw, header) as typeof header;
        for (const key of Object.keys(header)) delete header[key];
        if (typeof after === 'object' && after !== null) Object.assign(header, after);
      }
      const metadata = header['__metadata__'];
      if (metadata !== undefined && (typeof metadata !== 'object' || metadata === null)) delete header['__metadata__'];
    },
    sealed,
  );
}

/** One value of the metadata as other JSON or other text. */
const damageMetadata = (draw: Draw) => (metadata: Record<string, string>) => {
  const key = draw.any(Object.keys(metadata));
  const text = String(metadata[key]);
  try {
    metadata[key] = jsonText(draw, damageJson(draw, JSON.parse(text)));
  } catch {
    metadata[key] = damageText(draw, text).toString();
  }
};

function bankOf(no: boolean): LabelBank {
  const row = Float32Array.of(0.6, 0.8, 0, 0, 0, 1);
  const lines = ['a photo of a {}.', '{}'];
  return freezeBank({
    labels: ['cat', 'dog'],
    dim: 3,
    yes: row,
    no: no ? row : null,
    templates: { name: 'own', sha256: sha256(lines.join('\n')), count: lines.length, lines },
    model: { contentId: sha256('model') },
    truncated: [1],
  });
}

const MINED: MinedNegatives = {
  formatVersion: 1,
  words: ['gear', 'brick wall', 'galaxy'],
  groups: 2,
  template: 'a photo of a {}.',
  minedFor: { contentId: sha256('model'), labels: sha256('labels') },
  photos: [sha256('photo')],
  created: '2026-01-01T00:00:00.000Z',
};

const IDENTITY = { contentId: 'm', precision: 'fp32', preprocessing: 'p', dim: 4, patches: 'of labels' };

const FITTED_FOR = {
  ...Object.fromEntries(['contentId', 'preprocessing', 'labels', 'templates'].map((name) => [name, sha256(name)])),
  scale: 100,
  exif: true,
  precision: 'fp32',
};

/** A drift monitor, and what it was made for. */
const DRIFT = (() => {
  const calibration = { score: 'mcm' as const, out: 0.25, scores: Array.from({ length: 20 }, (_, i) => i / 20) };
  const monitor = createDriftMonitor(calibration, { rateToDetect: 0.5 });
  return { calibration, state: monitor.state() };
})();

/** Images of every format that is read, as small as they can be, and what Pillow wrote of the odd kinds. */
async function images(): Promise<Record<'gif' | 'bmp' | 'other', Buffer[]>> {
  const samples = Buffer.from(Array.from({ length: 12 * 9 * 4 }, (_, i) => (i * 37) % 256));
  const picture = () => sharp(samples, { raw: { width: 12, height: 9, channels: 4 } });
  const other = await Promise.all([
    picture().jpeg().withMetadata({ orientation: 6 }).toBuffer(),
    picture().jpeg({ progressive: true }).toBuffer(),
    picture().png().toBuffer(),
    picture().png({ palette: true, progressive: true }).toBuffer(),
    picture().webp().toBuffer(),
    picture().webp({ lossless: true }).toBuffer(),
    picture().tiff({ compression: 'lzw' }).toBuffer(),
    picture().tiff({ compression: 'none' }).toBuffer(),
    picture().avif({ effort: 0 }).toBuffer(),
    readFileSync(path.join(photos, 'clock.jpg')),
  ]);
  const files = (name: string) => golden<{ cases: { file: string }[] }>(name).cases.map(({ file }) => base64(file));
  return {
    gif: await Promise.all([
      picture().gif().toBuffer(),
      picture()
        .gif({ colours: 4, interlace: true } as object)
        .toBuffer(),
    ]),
    bmp: files('bmp.json'),
    other: [...other, ...files('cmyk.json'), ...files('truncated.json')],
  };
}

/** The chunks of a PNG with their checksums put right, as far as chunks can be told. */
function withPngChecksums(bytes: Buffer): Buffer {
  if (bytes.toString('latin1', 1, 4) !== 'PNG') return bytes;
  const copy = Buffer.from(bytes);
  for (let at = 8; at + 12 <= copy.length; ) {
    const end = at + 8 + copy.readUInt32BE(at);
    if (end + 4 > copy.length) break;
    copy.writeUInt32BE(crc32(copy.subarray(at + 4, end)), end);
    at = end + 4;
  }
  return copy;
}

/** A tar with the checksum of every block that can be a header put right. */
function withTarChecksums(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let at = 0; at + 512 <= copy.length; at += 512) {
    const block = copy.subarray(at, at + 512);
    if (block.toString('latin1', 257, 262) !== 'ustar') continue;
    block.fill(' ', 148, 156);
    const sum = block.reduce((total, byte) => total + byte, 0);
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  }
  return copy;
}

const decode = (file: string, draw: Draw) =>
  decodeImage(draw.rarely(2) ? file : readFileSync(file), {
    limitPixels: 1 << 20,
    truncated: draw.any(['refuse', 'accept'] as const),
    exif: draw.rarely(2),
  });

const imageTarget = (name: 'gif' | 'bmp' | 'other', as: string): Target => ({
  name: as,
  prepare: async () => {
    const files = (await images())[name];
    return (draw) => withPngChecksums(damageBytes(draw, draw.any(files), files));
  },
  read: decode,
});

const textTarget = (name: string, texts: readonly string[], read: Target['read'], extension = '.txt'): Target => ({
  name,
  extension,
  prepare: async () => (draw) => damageText(draw, draw.any(texts)),
  read,
});

const jsonTarget = (name: string, values: readonly unknown[], read: Target['read']): Target => ({
  name,
  extension: '.json',
  prepare: async () => (draw) =>
    draw.rarely(6)
      ? damageText(draw, JSON.stringify(draw.any(values)))
      : Buffer.from(jsonText(draw, damageJson(draw, draw.any(values)))),
  read,
});

/** Everything that the data gives, part after part. */
async function allSamples(data: string): Promise<unknown[]> {
  const found: unknown[] = [];
  for (const part of (await openDataset(data, { templates: 'plain' })).parts) {
    for await (const sample of part.read()) found.push(sample);
  }
  return found;
}

const modelConfig = (): unknown => {
  const sizes = { embedDim: 8, imageSize: 32, patchSize: 16, visionWidth: 64, visionHeads: 4, visionLayers: 1 };
  const text = { contextLength: 12, vocabSize: 40, textWidth: 16, textHeads: 4, textLayers: 1 };
  return {
    formatVersion: 1,
    engine: 'torchscript',
    kind: 'clipn',
    imageOnly: false,
    architecture: { ...sizes, ...text, visionMlp: 256, textMlp: 64, activation: 'gelu' },
    embedDim: 8,
    imageSize: 32,
    mean: [0.5, 0.5, 0.5],
    std: [0.25, 0.25, 0.25],
    resize: 'bicubic shorter side, centre crop',
    contextLength: 12,
    sot: 38,
    eot: 39,
    scale: 100,
    trainedScale: 99.5,
    templates: 'clipn',
    vocabulary: ['cat', 'dog'],
    source: { fileName: 'a.pt', sha256: sha256('a'), kind: 'openclip', knownAs: 'none' },
    dtype: 'fp32',
    contentId: sha256('b'),
  };
};

const OPENCLIP = {
  model_cfg: {
    embed_dim: 8,
    quick_gelu: true,
    vision_cfg: { image_size: 32, layers: 2, width: 64, head_width: 16, patch_size: 16, mlp_ratio: 4 },
    text_cfg: { context_length: 12, vocab_size: 40, width: 16, heads: 4, layers: 2 },
  },
  preprocess_cfg: { mean: [0.5, 0.5, 0.5], std: [0.2, 0.2, 0.2], interpolation: 'bicubic', resize_mode: 'shortest' },
};

const HUGGING_FACE: Record<string, unknown> = {
  'config.json': hfConfig('gelu'),
  'preprocessor_config.json': hfPreprocessor,
  'processor_config.json': { image_processor: hfPreprocessor },
  'model.safetensors.index.json': { weight_map: { a: 'a.safetensors', b: 'b.safetensors' } },
};

/** As the command line reads it. */
function stateIn(text: string): DriftState {
  try {
    return parseJson(text) as DriftState;
  } catch {
    throw new ClipnError('ERR_CLIPN_DRIFT_STATE', 'not JSON');
  }
}

/** Tables by pandas, datasets and img2dataset themselves (test/reference/make_teach_data_golden.py). */
function tables(extension: string): Buffer[] {
  const { cases } = golden<{ cases: { files: Record<string, string> }[] }>('teach-data.json');
  return cases
    .flatMap(({ files }) => Object.entries(files))
    .filter(([name]) => name.endsWith(extension))
    .map(([, file]) => inflateSync(base64(file)));
}

export const TARGETS: readonly Target[] = [
  {
    name: 'zip',
    prepare: async () => {
      const files = [...saved().filter(isZip), zip({ 'a/data.pkl': 'x', 'a/b': 'yy' }), zip({ a: '' }, 1)];
      return damaged(files, (draw) =>
        rezipped(draw, unzip(files[0]!), (_, content) => damageBytes(draw, content, files)),
      );
    },
    read: async (file) => {
      await checkZip(file, { damaged: (what) => new ClipnError('ERR_CLIPN_MODEL_FORMAT', `${file}: ${what}`) });
      return true;
    },
  },
  {
    name: 'pickle',
    prepare: async () => {
      const files = saved()
        .filter(isZip)
        .map((file) => Object.entries(unzip(file)).find(([name]) => isPickle(name))![1]);
      return (draw) => damagePickle(draw, draw.any(files));
    },
    read: async (file) =>
      sizeOf(
        readPickle(readFileSync(file), {
          allowed: { has: (name) => !name.startsWith('os.') },
          source: file,
        }),
      ),
  },
  {
    name: 'checkpoint',
    extension: '.pt',
    prepare: async () => {
      const files = saved();
      const zips = files.filter(isZip).map(unzip);
      const legacy = files.filter((file) => !isZip(file));
      return damaged(
        files,
        (draw) =>
          rezipped(draw, draw.any(zips), (name, content) =>
            isPickle(name) ? damagePickle(draw, content) : damageBytes(draw, content, files),
          ),
        (draw) => damagePickle(draw, draw.any(legacy)),
      );
    },
    read: async (file, draw) => {
      const { tensors } = await draw.any([
        () => readCheckpoint(file),
        () => readCheckpoint(file, { key: draw.any(['state_dict', 'model', 'a.b']) }),
        () => readTrainingArchive(file),
        async () => ({ tensors: await readRootText(file, 'name') }),
      ])();
      return tensors;
    },
  },
  {
    name: 'safetensors',
    extension: '.safetensors',
    prepare: async (folder) => {
      const file = path.join(folder, 'whole.safetensors');
      const data = Float32Array.of(1, 2, 3, 4, 5, 6);
      const bytes = { dtype: 'U8' as const, shape: [6], data: Uint8Array.of(1, 2, 3, 4, 5, 6) };
      await writeSafetensors(file, { 'visual.proj': { dtype: 'F32', shape: [2, 3], data }, bytes }, { format: 'pt' });
      const whole = readFileSync(file);
      return damaged([whole], (draw) => damageHeader(draw, whole, damageMetadata(draw)));
    },
    read: async (file) => (await readCheckpoint(file)).tensors,
  },
  {
    name: 'label-bank',
    prepare: async (folder) => {
      const files: Buffer[] = [];
      for (const no of [true, false]) {
        const file = path.join(folder, `${no}.bank`);
        await saveLabelBank(bankOf(no), file);
        files.push(readFileSync(file));
      }
      return damaged(files, (draw) => damageHeader(draw, draw.any(files), damageMetadata(draw)));
    },
    read: (file) => loadLabelBank(file),
  },
  {
    name: 'shard',
    prepare: async (folder) => {
      const file = path.join(folder, 'whole.shard');
      const hashes = ['a', 'b'].map((text) => createHash('sha256').update(text).digest());
      await writeShard(file, IDENTITY, {
        hashes,
        features: [Float32Array.of(1, 0, 0, 0), Float32Array.of(0, 1, 0, 0)],
        patchMcm: [0.25, 0.5],
        files: hashes.map((hash, i) => ({ path: `/images/${i}.png`, size: i, mtime: BigInt(1000 + i), sha256: hash })),
      });
      const whole = readFileSync(file);
      const sealed = whole.length - 2 * 4 * 4;
      return damaged([whole], (draw) => damageHeader(draw, whole, damageMetadata(draw), sealed));
    },
    read: (file) => readShard(file, IDENTITY),
  },
  jsonTarget(
    'calibration',
    [
      { formatVersion: 1, score: 'ctw', in: 0.5, out: 0.25, contentId: 'a', templates: 'b' },
      {
        formatVersion: 2,
        score: 'mcm',
        in: 0.5,
        out: 0.5,
        target: 0.95,
        images: 100,
        created: '2026-01-01T00:00:00.000Z',
        fittedFor: FITTED_FOR,
      },
      {
        formatVersion: 3,
        score: 'mcm',
        in: 0.5,
        out: 0.25,
        target: 0.95,
        confidence: 0.9,
        review: 0.1,
        images: 8,
        scores: [0.125, 0.25, 0.5, 0.75],
        offsets: [0, 0.1],
        guard: { first: 'bf16', images: 8, score: 0.5, label: 0.25 },
        created: '2026-01-01T00:00:00.000Z',
        fittedFor: FITTED_FOR,
      },
    ],
    async (file) => {
      let value: unknown;
      try {
        value = parseJson(readFileSync(file, 'utf8'));
      } catch {
        return await readCalibration(file);
      }
      // Without its sha256, which would hide all else from damage; what is accepted can be written and read.
      await saveCalibration(parseCalibration(value, 'the file'), `${file}.again`);
      return await readCalibration(`${file}.again`);
    },
  ),
  jsonTarget('drift-state', [DRIFT.state], async (file) => {
    return resumeDriftMonitor(DRIFT.calibration, stateIn(readFileSync(file, 'utf8'))).state();
  }),
  textTarget(
    'score-file',
    ['0.5\n1e-3\n# two\n-inf\n3\n', 'name,score,set\n"a, b",0.5,in\nc,1,out\n"d ""e""",-2,in\n', '0.1,0.2\n0.3,0.4\n'],
    async (file, draw) =>
      draw.any([
        () => readScoreFile(file),
        () => readScoreFile(file, { column: draw.any(['score', '2', '9']) }),
        () => readScoreFile(file, { column: '1', header: false }),
        async () => {
          const { id, ood } = await readLabelledScores(file, { column: 'score', labelColumn: 'set', idLabel: 'in' });
          return [id, ood];
        },
      ])(),
    '.csv',
  ),
  ...['.csv', '.tsv'].map((extension) =>
    textTarget(
      `table${extension}`,
      [
        'filepath,caption\na.png,a dog\n"b, c.png","two\ncats"\n,x\nd.png,\n',
        'filepath\ttitle\na.png\ta dog\nb.png\t"a ""cat"""\n',
      ],
      allSamples,
      extension,
    ),
  ),
  {
    name: 'table.jsonl',
    extension: '.jsonl',
    prepare: async () => {
      const texts = tables('.jsonl').map((file) => file.toString());
      const utf8 = texts.at(-1)!;
      return damaged(
        texts.map((text) => Buffer.from(text)),
        (draw) => damageText(draw, draw.any(texts)),
        (draw) => {
          const lines = utf8.trimEnd().split('\n');
          const at = draw.below(lines.length);
          lines[at] = jsonText(draw, damageJson(draw, JSON.parse(lines[at]!)));
          return Buffer.from(lines.join('\n'));
        },
      );
    },
    read: allSamples,
  },
  {
    name: 'table.parquet',
    extension: '.parquet',
    prepare: async () => damaged(tables('.parquet')),
    read: allSamples,
  },
  {
    name: 'batch.parquet',
    extension: '.parquet',
    prepare: async (folder) => damaged([readFileSync(await batchResult(folder, ['a', 'b', 'c']))]),
    read: async (file, draw) =>
      draw.any([
        () => readScoreFile(file, { column: 'atd' }),
        () => readLabelledScores(file, { column: 'atd', labelColumn: 'set', idLabel: 'mine' }),
        async () => {
          const answers: unknown[] = [];
          const calibration = { formatVersion: 1, score: 'atd', in: 0.5, out: 0.5 } as const;
          for await (const answer of judgedIn([file], calibration)) answers.push(JSON.stringify(answer));
          return answers;
        },
        async () => {
          const store = await FeatureStore.open(mkdtempSync(path.join(tmpdir(), 'clipn-fuzz-store-')), BATCH_STORE, []);
          await addBatchFeatures(store, file).finally(() => rmSync(store.folder, { recursive: true }));
          return ['a', 'b', 'c'].map((name) => store.rowOf(batchHash(name)));
        },
      ])(),
  },
  {
    ...jsonTarget('negatives', [MINED], (file) => readNegatives(file)),
    prepare: async () => (draw) =>
      draw.rarely(4) ? damageText(draw, 'gear\nbrick wall\n') : Buffer.from(jsonText(draw, damageJson(draw, MINED))),
  },
  textTarget('labels', ['cat\ndog\ngreat white shark\n', '["cat", "salt; pepper"]', 'cat, dog\n'], (file) =>
    loadLabelsFile(file),
  ),
  imageTarget('gif', 'gif'),
  imageTarget('bmp', 'bmp'),
  imageTarget('other', 'image'),
  {
    name: 'model-file',
    extension: '.pt',
    prepare: async (folder) => {
      const { checkpoint, options } = await smallestFiles(folder);
      const file = path.join(folder, 'whole.pt');
      await exportModel(checkpoint, file, { ...options, imageOnly: true });
      const whole = readFileSync(file);
      const entries = unzip(whole);
      return damaged([whole], (draw) =>
        rezipped(draw, entries, (name, content) => {
          if (isPickle(name)) return damagePickle(draw, content);
          if (!name.endsWith('.json')) return damageBytes(draw, content, [whole]);
          return Buffer.from(jsonText(draw, damageJson(draw, JSON.parse(content.toString()))));
        }),
      );
    },
    read: (file) => checkModelFile(file),
  },
  {
    name: 'webdataset',
    extension: '.tar',
    prepare: async (folder) => {
      const source = path.join(folder, 'samples');
      mkdirSync(source);
      for (const [name, text] of Object.entries({
        '0.jpg': 'A',
        '0.txt': 'a dog',
        '0.json': '{}',
        '1.png': 'B',
        '1.txt': 'two\ncats',
        '2.jpg': 'C',
      })) {
        writeFileSync(path.join(source, name), text);
      }
      const tars = [true, false].map((portable) => {
        const file = path.join(folder, `${portable}.tar`);
        create({ sync: true, file, cwd: source, portable }, readdirSync(source));
        return readFileSync(file);
      });
      return (draw) => {
        const bytes = damageBytes(draw, draw.any(tars), tars);
        return draw.rarely(4) ? bytes : withTarChecksums(bytes);
      };
    },
    read: allSamples,
  },
  jsonTarget('clipn.json', [modelConfig()], async (file) => parseModelConfig(readFileSync(file, 'utf8'), file)),
  jsonTarget('openclip-config', [OPENCLIP, OPENCLIP.model_cfg], (file) => readOpenClipConfig(file)),
  {
    name: 'hugging-face',
    extension: '.json',
    prepare: async (folder) => {
      mkdirSync(path.join(folder, 'hub'));
      return (draw) => {
        // One of the files is damaged; `read` lays them out.
        const name = draw.any(Object.keys(HUGGING_FACE));
        const text = jsonText(draw, damageJson(draw, HUGGING_FACE[name]));
        return Buffer.from(JSON.stringify({ name, text }));
      };
    },
    read: async (file) => {
      const folder = path.join(path.dirname(file), 'hub');
      const { name, text } = JSON.parse(readFileSync(file, 'utf8')) as { name: string; text: string };
      for (const [each, value] of Object.entries(HUGGING_FACE)) {
        writeFileSync(path.join(folder, each), each === name ? text : JSON.stringify(value));
      }
      for (const shard of ['a.safetensors', 'b.safetensors']) writeFileSync(path.join(folder, shard), '');
      return openHuggingFace(folder);
    },
  },
  jsonTarget('tokenizer.json', [JSON.parse(tinyTokenizer())], async (file) => {
    const { sot, eot, encodeBatch } = createTokenizer(readFileSync(file, 'utf8'), 12);
    return [sot, eot, encodeBatch(['a', 'bed'])];
  }),
  {
    name: 'bpe-files',
    prepare: async () => {
      const { tokens, merges } = golden<{ tokens: string[]; merges: string[] }>('bpe-files.json');
      const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
      const lines = `#version: 0.2\n${merges.join('\n')}\n`;
      return (draw) => {
        const merged = draw.rarely(2) ? damageText(draw, lines).toString() : lines;
        const other = draw.rarely(2) ? jsonText(draw, damageJson(draw, vocab)) : JSON.stringify(vocab);
        return Buffer.from(JSON.stringify({ vocab: other, merges: merged }));
      };
    },
    read: async (file) => {
      const { vocab, merges } = JSON.parse(readFileSync(file, 'utf8')) as { vocab: string; merges: string };
      const [vocabFile, mergesFile] = [`${file}.vocab`, `${file}.merges`];
      writeFileSync(vocabFile, vocab);
      writeFileSync(mergesFile, merges);
      return createTokenizer(await tokenizerOf({ vocab: vocabFile, merges: mergesFile }, CLIP_LIKE), 12).encode(
        'a dog',
      );
    },
  },
];

/** CLIP's own tokenizer.json, which has 3 MB, with nothing in its vocabulary. */
const CLIP_LIKE = JSON.stringify(
  JSON.parse(readFileSync(clipTokenizer, 'utf8'), (key, value: unknown) => {
    if (key === 'vocab') return {};
    return key === 'merges' ? [] : value;
  }),
);

/** A pickle may hold itself, and the same dictionary a million times: what is compared is what kinds of values it has on top. */
function sizeOf(value: PickleValue): unknown {
  if (value instanceof Map) return [...value].map(([key, inner]) => [typeof key, typeof inner]);
  return Array.isArray(value) ? value.length : typeof value;
}
