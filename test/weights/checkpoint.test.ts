import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdtemp, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ClipnError, type ClipnErrorCode } from '../../lib/base/errors';
import type { TensorEntry } from '../../lib/formats/tensor-table';
import { type CheckpointOptions, readCheckpoint } from '../../lib/weights/checkpoint';
import { hashTensors } from '../../lib/weights/content-id';
import { readNetwork } from '../../lib/weights/network';
import { readOpenClipConfig } from '../../lib/weights/openclip-config';
import { writeCheckpoint } from '../support/checkpoint-writer';
import { goldenFile } from '../support/paths';
import { NETWORKS, stateDictShapes } from '../support/seeded-weights';
import { pickle, StoredZip } from '../support/torch-zip';

const { tiny } = NETWORKS;
/** Divisible into heads of 64 in both towers. */
const small = { ...tiny, textWidth: 64, textLayers: 1, visionLayers: 1 };

let folder: string;
let golden: { config: object; shapes: Record<string, number[]>; weight_check: Record<string, number[]> };

before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'clipn-checkpoint-'));
  golden = JSON.parse(await readFile(goldenFile('tiny-forward.json'), 'utf8'));
});
after(() => rm(folder, { recursive: true }));

const at = (name: string): string => path.join(folder, name);

async function firstFloats(file: string, entry: TensorEntry, count: number): Promise<number[]> {
  const handle = await open(file, 'r');
  const bytes = Buffer.alloc(4 * count);
  await handle.read(bytes, 0, bytes.length, entry.offset);
  await handle.close();
  return Array.from({ length: count }, (_, i) => bytes.readFloatLE(4 * i));
}

async function refuses(
  work: Promise<unknown>,
  code: ClipnErrorCode,
  ...words: (string | RegExp)[]
): Promise<ClipnError> {
  const error = await work.then(
    () => assert.fail(`expected ${code}`),
    (reason) => reason,
  );
  assert.ok(error instanceof ClipnError, String(error));
  assert.equal(error.code, code, error.message);
  for (const word of words)
    assert.match(`${error.message} ${error.hint}`, word instanceof RegExp ? word : new RegExp(word));
  return error;
}

/** A torch archive with any pickle. */
async function writeArchive(file: string, value: Buffer, entries: Record<string, Buffer> = {}): Promise<string> {
  const zip = await StoredZip.create(file);
  const data = pickle.file(value);
  await zip.add('top/data.pkl', data.length, [data]);
  for (const [name, bytes] of Object.entries(entries)) await zip.add(`top/${name}`, bytes.length, [bytes]);
  await zip.close();
  return file;
}

const keyed = (entries: Record<string, Buffer>): [Buffer, Buffer][] =>
  Object.entries(entries).map(([key, value]) => [pickle.string(key), value]);

const floats = (...values: number[]): Buffer => Buffer.from(new Float32Array(values).buffer);

test('a published checkpoint is read as the state dict it holds, without prefix, optimizer and scaler', async () => {
  const file = at('published.pt');
  await writeCheckpoint(file, tiny, { scheme: 'flat', optimizer: true });
  const { tensors, format } = await readCheckpoint(file);
  assert.equal(format, 'torch');
  const shapes = Object.fromEntries([...tensors].map(([key, entry]) => [key, entry.shape]));
  assert.deepEqual(shapes, golden.shapes);
  for (const [key, expected] of Object.entries(golden.weight_check)) {
    const found = await firstFloats(file, tensors.get(key)!, expected.length);
    for (const [i, value] of found.entries()) assert.equal(value, Math.fround(expected[i]!), key);
  }
});

type Shapes = Map<string, number[]>;

describe('the same weights are found', () => {
  const shapesOf = async (file: string, options: CheckpointOptions = {}) => {
    const { tensors } = await readCheckpoint(file, options);
    return Object.fromEntries([...tensors].map(([key, entry]) => [key, entry.shape]));
  };
  const written = async (name: string, root: (stateDict: Buffer) => Buffer, edit?: (shapes: Shapes) => void) => {
    await writeCheckpoint(at(name), tiny, { scheme: 'flat', root, ...(edit && { edit }) });
    return at(name);
  };
  const renamed = (rename: (key: string) => string) => (shapes: Shapes) => {
    for (const [key, shape] of [...shapes]) {
      shapes.delete(key);
      shapes.set(rename(key), shape);
    }
  };

  for (const [what, rename] of [
    ['module.', (key: string) => `module.${key}`],
    ['_orig_mod.', (key: string) => `_orig_mod.${key}`],
    ['module._orig_mod. and back', (key: string) => `_orig_mod.module._orig_mod.${key}`],
    ['a compiled tower', (key: string) => key.replace(/^visual\./, 'visual._orig_mod.')],
  ] as const) {
    test(`under keys with wrappers: ${what}`, async () => {
      const file = await written(
        `wrapped ${what}.pt`,
        (dict) => pickle.dict(keyed({ state_dict: dict })),
        renamed(rename),
      );
      assert.deepEqual(await shapesOf(file), golden.shapes);
    });
  }

  for (const name of ['state_dict', 'state_dict_ema', 'model', 'model_state_dict', 'ema.model']) {
    test(`under ${name}, whatever else lies beside it`, async () => {
      const nested = (dict: Buffer) =>
        name
          .split('.')
          .reduceRight((value, key) => pickle.dict(keyed({ epoch: pickle.integer(1), [key]: value })), dict);
      assert.deepEqual(await shapesOf(await written(`under ${name}.pt`, nested)), golden.shapes);
    });
  }

  test('of two models in a file the one that is named; without a name the file is refused with both names', async () => {
    const file = await written('two.pt', (dict) => pickle.dict(keyed({ state_dict: dict, state_dict_ema: dict })));
    await refuses(readCheckpoint(file), 'ERR_CLIPN_INVALID_ARG', '2 models: state_dict, state_dict_ema');
    assert.deepEqual(await shapesOf(file, { key: 'state_dict_ema' }), golden.shapes);
  });

  test('by a name with dots in it, and by either name of one dictionary', async () => {
    // Put into the memo where it first stands, and taken from there the second time.
    const root = (dict: Buffer) => {
      const put = Buffer.concat([dict, Buffer.from('q\x07', 'latin1')]);
      const get = Buffer.from('h\x07', 'latin1');
      return pickle.dict(keyed({ 'ema.v1': put, nets: pickle.dict(keyed({ 'ema.0': get })), alias: get }));
    };
    const file = await written('dotted.pt', root);
    for (const key of ['ema.v1', 'nets.ema.0', 'alias', undefined]) {
      assert.deepEqual(await shapesOf(file, { key }), golden.shapes, key);
    }
  });

  test('a name that two dictionaries have is refused', async () => {
    const root = (dict: Buffer) => pickle.dict(keyed({ 'a.b': dict, a: pickle.dict(keyed({ b: dict })) }));
    const file = await written('twice.pt', root);
    await refuses(readCheckpoint(file, { key: 'a.b' }), 'ERR_CLIPN_INVALID_ARG', 'several dictionaries .* a\\.b');
  });

  test('in a dictionary that stands deeper under its first name than under its second', async () => {
    const root = (dict: Buffer) => {
      const put = Buffer.concat([pickle.dict(keyed({ weights: dict })), Buffer.from('q\x07', 'latin1')]);
      const outer = pickle.dict(keyed({ net: put }));
      return pickle.dict(keyed({ trainer: outer, model: Buffer.from('h\x07', 'latin1') }));
    };
    assert.deepEqual(await shapesOf(await written('shallow.pt', root)), golden.shapes);
  });

  test('a name that the file does not have is refused with those that it has', async () => {
    const file = await written('named.pt', (dict) => pickle.dict(keyed({ state_dict: dict })));
    await refuses(readCheckpoint(file, { key: 'ema' }), 'ERR_CLIPN_INVALID_ARG', 'under ema', 'there is state_dict');
  });
});

test('a safetensors file gives the same table as a torch file', async () => {
  const values = floats(1, 2, 3, 4, 5, 6);
  const header = JSON.stringify({
    __metadata__: { format: 'pt' },
    a: { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] },
    b: { dtype: 'BF16', shape: [], data_offsets: [24, 26] },
  });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  await writeFile(at('a.safetensors'), Buffer.concat([length, Buffer.from(header), values, Buffer.alloc(2)]));
  const { tensors, format } = await readCheckpoint(at('a.safetensors'));
  assert.equal(format, 'safetensors');
  const start = 8 + header.length;
  assert.deepEqual(Object.fromEntries(tensors), {
    a: { dtype: 'float32', shape: [2, 3], stride: [3, 1], offset: start, byteLength: 24 },
    b: { dtype: 'bfloat16', shape: [], stride: [], offset: start + 24, byteLength: 2 },
  });
});

test('a safetensors tensor that leaves the file is refused by name', async () => {
  const header = JSON.stringify({ escaping: { dtype: 'F32', shape: [100], data_offsets: [0, 400] } });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  await writeFile(at('b.safetensors'), Buffer.concat([length, Buffer.from(header), Buffer.alloc(8)]));
  await refuses(readCheckpoint(at('b.safetensors')), 'ERR_CLIPN_CHECKPOINT_FORMAT', 'escaping');
});

test('the content id does not depend on how the same tensor is laid out', async () => {
  const dense = await writeArchive(at('dense.pt'), pickle.dict(keyed({ w: pickle.tensor('0', [2, 3], [3, 1]) })), {
    'data/0': floats(1, 2, 3, 4, 5, 6),
  });
  const view = pickle.tensor('0', [2, 3], [1, 2], 'FloatStorage', 2); // a transposed view, two elements in
  const transposed = await writeArchive(at('transposed.pt'), pickle.dict(keyed({ 'module.w': view })), {
    'data/0': floats(9, 9, 1, 4, 2, 5, 3, 6),
  });
  const other = await writeArchive(at('other.pt'), pickle.dict(keyed({ w: pickle.tensor('0', [2, 3], [3, 1]) })), {
    'data/0': floats(1, 2, 3, 4, 5, 7),
  });
  const ids = await Promise.all(
    [dense, transposed, other].map(async (file) => hashTensors(file, (await readCheckpoint(file)).tensors, ['w'], '')),
  );
  assert.equal(ids[0], ids[1]);
  assert.notEqual(ids[0], ids[2]);
});

test('a pickle that names a function is refused by that name, and the function does not run', async () => {
  const canary = at('canary');
  const attack = pickle.call(pickle.global('posix', 'system'), [pickle.string(`touch ${canary}`)]);
  const root = (stateDict: Buffer) => pickle.dict(keyed({ state_dict: stateDict, extra: attack }));
  await writeCheckpoint(at('unsafe.pt'), tiny, { root });
  await refuses(readCheckpoint(at('unsafe.pt')), 'ERR_CLIPN_CHECKPOINT_UNSAFE', 'posix\\.system');
  assert.equal(existsSync(canary), false);
});

test('a learning rate that numpy computed does not make a checkpoint unsafe', async () => {
  const rate = pickle.call(pickle.global('numpy.core.multiarray', 'scalar'), [
    pickle.call(pickle.global('numpy', 'dtype'), [pickle.string('f8'), pickle.boolean(false), pickle.boolean(true)]),
    pickle.call(pickle.global('_codecs', 'encode'), [pickle.string('abcdefgh'), pickle.string('latin1')]),
  ]);
  const root = (stateDict: Buffer) =>
    pickle.dict(keyed({ state_dict: stateDict, optimizer: pickle.dict(keyed({ lr: rate })) }));
  await writeCheckpoint(at('numpy.pt'), tiny, { root });
  assert.equal((await readCheckpoint(at('numpy.pt'))).tensors.size, 92);
});

test('a checkpoint cut short anywhere is refused', async () => {
  const file = at('cut.pt');
  await writeCheckpoint(file, tiny);
  const { length } = await readFile(file);
  for (const part of [0.99, 0.5, 0.01]) {
    await truncate(file, Math.floor(length * part));
    await refuses(readCheckpoint(file), 'ERR_CLIPN_CHECKPOINT_FORMAT', 'cut short or damaged');
  }
});

test('a tensor larger than its storage is refused by name', async () => {
  const file = await writeArchive(at('overlong.pt'), pickle.dict(keyed({ greedy: pickle.tensor('0', [100], [1]) })), {
    'data/0': floats(1, 2),
  });
  await refuses(readCheckpoint(file), 'ERR_CLIPN_CHECKPOINT_FORMAT', 'greedy');
});

test('a big-endian checkpoint is refused', async () => {
  const file = await writeArchive(at('big.pt'), pickle.dict([]), { byteorder: Buffer.from('big') });
  await refuses(readCheckpoint(file), 'ERR_CLIPN_CHECKPOINT_FORMAT', 'big-endian');
});

/** A module as TorchScript pickles it: an object of a class of the program, its attributes a dict. */
function scriptModule(attributes: Record<string, Buffer>): Buffer {
  const made = Buffer.concat([
    pickle.global('__torch__.multimodal.___torch_mangle_7', 'Multimodal'),
    Buffer.from(')\x81', 'latin1'),
  ]);
  return Buffer.concat([made, pickle.dict(keyed(attributes)), Buffer.from('b')]);
}

test('a TorchScript archive is read as data: tensors by the names of the modules around them', async () => {
  const inner = scriptModule({
    training: pickle.boolean(true),
    weight: pickle.tensor('0', [2, 1], [1, 1], 'HalfStorage'),
  });
  const root = scriptModule({ visual: scriptModule({ conv1: inner }), logit_scale: pickle.tensor('1', [], []) });
  const entries = {
    'constants.pkl': pickle.file(pickle.list([])),
    'code/__torch__/multimodal.py': Buffer.from('boom'),
  };
  const data = { 'data/0': Buffer.alloc(4), 'data/1': floats(4) };
  const { tensors } = await readCheckpoint(await writeArchive(at('program.pt'), root, { ...entries, ...data }));
  assert.deepEqual(
    [...tensors].map(([key, { dtype, shape }]) => [key, dtype, shape]),
    [
      ['visual.conv1.weight', 'float16', [2, 1]],
      ['logit_scale', 'float32', []],
    ],
  );
});

test('modules nested without end are refused', async () => {
  let root = scriptModule({ weight: pickle.tensor('0', [1], [1]) });
  for (let depth = 0; depth < 5000; depth++) root = scriptModule({ m: root });
  const file = await writeArchive(at('deep.pt'), root, { 'code/x.py': Buffer.from(''), 'data/0': floats(1) });
  await refuses(readCheckpoint(file), 'ERR_CLIPN_CHECKPOINT_FORMAT', 'nested more than 32 deep');
});

test('a class of a program has no place in a file that is none', async () => {
  const file = await writeArchive(at('no-program.pt'), pickle.dict(keyed({ model: scriptModule({}) })));
  await refuses(readCheckpoint(file), 'ERR_CLIPN_CHECKPOINT_UNSAFE', '__torch__\\.multimodal');
});

test('a model file that export made is told from a checkpoint', async () => {
  const file = await writeArchive(at('exported.pt'), scriptModule({}), { 'extra/clipn.json': Buffer.from('{}') });
  await refuses(readCheckpoint(file), 'ERR_CLIPN_CHECKPOINT_FORMAT', 'model file already');
});

for (const [what, content] of [
  ['an empty file', ''],
  ['a text file', 'These are not the weights you are looking for.'],
  ['a zip of something else', 'PK\x03\x04 and nothing more'],
] as const) {
  test(`${what} is refused as no checkpoint`, async () => {
    await writeFile(at('nothing.pt'), content);
    await refuses(readCheckpoint(at('nothing.pt')), 'ERR_CLIPN_CHECKPOINT_FORMAT', 'nothing\\.pt');
  });
}

test('a missing file is named', async () => {
  await refuses(readCheckpoint(at('absent.pt')), 'ERR_CLIPN_IO', 'absent\\.pt');
});

test('sizes are read off the shapes of the published networks', async () => {
  for (const [name, keys, heads] of [
    ['ViT-B-16', 452, [12, 8]],
    ['ViT-B-32', 452, [12, 8]],
    ['ViT-L-14', 596, [16, 12]],
  ] as const) {
    const table = new Map(
      [...stateDictShapes(NETWORKS[name])].map(([key, shape]) => [
        key,
        { dtype: 'float32' as const, shape, stride: [], offset: 0, byteLength: 0 },
      ]),
    );
    const network = readNetwork(table);
    const [visionHeads, textHeads] = heads;
    const { visionWidth, textWidth } = NETWORKS[name];
    const others = { visionHeads, textHeads, visionMlp: 4 * visionWidth, textMlp: 4 * textWidth };
    assert.deepEqual(network.architecture, { ...NETWORKS[name], ...others }, name);
    assert.equal(network.keys.length, keys);
    assert.equal(network.kind, 'clipn');
  }
});

async function networkOf(edit: (shapes: Map<string, number[]>) => void) {
  const file = at('edited.pt');
  await writeCheckpoint(file, small, { edit });
  return readNetwork((await readCheckpoint(file)).tensors);
}

test('missing, unexpected and misshapen keys are each named, the first five of them', async () => {
  const edit = (shapes: Map<string, number[]>) => {
    shapes.delete('ln_final.bias');
    shapes.set('visual.attnpool.weight', [3]);
    shapes.set('text_projection_no', [64, 9]);
    for (let i = 0; i < 7; i++) shapes.set(`extra_${i}`, []);
  };
  const error = await refuses(
    networkOf(edit),
    'ERR_CLIPN_CHECKPOINT_KEYS',
    'missing: ln_final\\.bias;',
    'unexpected: extra_0, extra_1, extra_2, extra_3, extra_4 and 3 more;',
    /wrong: text_projection_no \[64, 9\] \(expected \[64, 8\]\)/,
  );
  assert.deepEqual(error.details['missing'], ['ln_final.bias']);
});

test('a block missing from the middle of a tower is named', async () => {
  const edit = (shapes: Map<string, number[]>) => {
    for (const [key, shape] of [...shapes]) {
      if (!key.startsWith('visual.transformer.resblocks.0.')) continue;
      shapes.set(key.replace('resblocks.0', 'resblocks.2'), shape);
    }
  };
  await refuses(networkOf(edit), 'ERR_CLIPN_CHECKPOINT_KEYS', 'missing: visual\\.transformer\\.resblocks\\.1\\.');
});

test('a checkpoint that lacks the tensors which tell its sizes is refused by their names', async () => {
  const edit = (shapes: Map<string, number[]>) => void shapes.delete('visual.conv1.weight');
  await refuses(networkOf(edit), 'ERR_CLIPN_CHECKPOINT_KEYS', 'visual\\.conv1\\.weight');
});

test('a base OpenCLIP file is a plain CLIP', async () => {
  await writeCheckpoint(at('base.pt'), small, { kind: 'clip' });
  const { kind, keys, architecture } = readNetwork((await readCheckpoint(at('base.pt'))).tensors);
  assert.equal(kind, 'clip');
  assert.ok(!keys.some((key) => key.includes('_no')));
  assert.equal(architecture.textLayers, 1);
});

test('widths that do not divide into heads of 64 need a config that says how many', async () => {
  await writeCheckpoint(at('tiny.pt'), tiny);
  const { tensors } = await readCheckpoint(at('tiny.pt'));
  assert.throws(() => readNetwork(tensors), {
    code: 'ERR_CLIPN_CHECKPOINT_AMBIGUOUS',
    message: /text tower, 16 wide/,
    hint: /--config.*text_cfg\.heads/,
  });
  await writeFile(at('tiny.json'), JSON.stringify(golden.config));
  const { architecture } = readNetwork(tensors, await readOpenClipConfig(at('tiny.json')));
  assert.deepEqual([architecture.visionHeads, architecture.textHeads], [4, 4]);
});

test('a config that contradicts the shapes or asks for another network is refused by the field', async () => {
  await writeCheckpoint(at('tiny.pt'), tiny);
  const { tensors } = await readCheckpoint(at('tiny.pt'));
  await writeFile(at('wrong.json'), JSON.stringify({ ...golden.config, embed_dim: 9 }));
  const config = await readOpenClipConfig(at('wrong.json'));
  assert.throws(() => readNetwork(tensors, config), {
    code: 'ERR_CLIPN_INVALID_ARG',
    message: /embedDim 9.*say 8/,
  });
  await writeFile(at('pool.json'), JSON.stringify({ ...golden.config, vision_cfg: { pool_type: 'avg' } }));
  await refuses(readOpenClipConfig(at('pool.json')), 'ERR_CLIPN_INVALID_ARG', 'vision_cfg\\.pool_type');
});
