/** Model files damaged in every way that came to mind: each ends in its code, and the process lives on. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { loadModel } from '../../lib/model/load';
import { exportModel } from '../../lib/weights/export';
import { cuts, directoryOf, flips, outcome, seeded, unzip } from '../support/damage';
import { smallestFiles } from '../support/tiny-model';
import { StoredZip } from '../support/torch-zip';
import { zip } from '../support/zip';

const FORMAT = 'ERR_CLIPN_MODEL_FORMAT';
const CONTRACT = 'ERR_CLIPN_MODEL_CONTRACT';
const TOKENIZER = 'ERR_CLIPN_TOKENIZER';
const TIMEOUT = { timeout: 60_000 };

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-damaged-model-'));
const at = (name: string): string => path.join(folder, name);
let whole: Buffer;
let entries: Record<string, Buffer>;
/** Entries by their names without the common folder. */
let names: string[];
let features: string;

before(async () => {
  const { checkpoint, options } = await smallestFiles(folder);
  await exportModel(checkpoint, at('whole.model'), options);
  whole = readFileSync(at('whole.model'));
  entries = unzip(whole);
  names = Object.keys(entries).map((name) => name.slice('archive/'.length));
  features = await used('whole', whole);
});
after(() => rmSync(folder, { recursive: true }));

const templates = { name: 'own', templates: ['{}'], sha256: '' };
const image = { data: Uint8Array.from({ length: 75 }, (_, i) => 3 * i), width: 5, height: 5, channels: 3 as const };

/** What loading the file and encoding an image and a label ends in: a code, or the numbers. */
async function used(name: string, bytes: Buffer): Promise<string> {
  writeFileSync(at('damaged.model'), bytes);
  return await outcome(
    name,
    (async () => {
      await using model = await loadModel(at('damaged.model'));
      const feature = await model.encodeImages([image]);
      const { yes, no } = await model.createLabelBank(['abc'], { cache: false, templates });
      return [feature, yes, no].join(' ');
    })(),
  );
}

const withEntry = (name: string, content: Buffer | string): Buffer => zip({ ...entries, [`archive/${name}`]: content });
function withoutEntry(name: string): Buffer {
  const { [`archive/${name}`]: _, ...rest } = entries;
  return zip(rest);
}

async function allEndIn(code: string, inputs: Iterable<[name: string, Buffer]>): Promise<void> {
  const others: string[] = [];
  let count = 0;
  for (const [name, bytes] of inputs) {
    const found = await used(name, bytes);
    if (found !== code) others.push(`${name}: ${found.slice(0, 60)}`);
    count++;
  }
  assert.deepEqual(others, []);
  assert.ok(count > 0);
}

test('a model file rewritten without damage computes the same', async () => {
  assert.equal(features.split(/[ ,]/).length, 24);
  assert.equal(await used('rewritten', zip(entries)), features);
});

test('a model file cut short is refused, wherever', () => allEndIn(FORMAT, cuts(whole)));

/** The bytes that are no entry's content: headers, padding, checksums, the directory, its end. */
function frame(bytes: Buffer): number[] {
  const inContent = new Uint8Array(bytes.length);
  for (let at = directoryOf(bytes); bytes.readUInt32LE(at) === 0x02014b50; ) {
    const local = bytes.readUInt32LE(at + 42);
    const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    inContent.fill(1, start, start + bytes.readUInt32LE(at + 20));
    at += 46 + bytes.readUInt16LE(at + 28) + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32);
  }
  return [...inContent.keys()].filter((at) => inContent[at] === 0);
}

/** The file with one bit flipped in each of `count` of these bytes. */
function* flipsIn(bytes: Buffer, places: readonly number[], count: number): Generator<[name: string, Buffer]> {
  const random = seeded(places.length);
  for (let i = 0; i < count; i++) {
    const at = places[random(places.length)]!;
    yield* flips(bytes, at, at + 1, 1);
  }
}

test(
  'a flipped bit anywhere in a model file is refused: 300 in the whole, 500 in what has no checksum of its own',
  TIMEOUT,
  async () => {
    await allEndIn(FORMAT, flips(whole, 0, whole.length, 300));
    const places = frame(whole);
    assert.ok(places.length > 5000);
    await allEndIn(FORMAT, flipsIn(whole, places, 500));
  },
);

test(
  'so is one in a file by our own writer, which has no zip64 records and no checksums behind its entries',
  TIMEOUT,
  async () => {
    const target = await StoredZip.create(at('own.model'));
    for (const [name, content] of Object.entries(entries)) await target.add(name, content.length, [content]);
    await target.close();
    const own = readFileSync(at('own.model'));
    assert.equal(await used('own', own), features);
    await allEndIn(FORMAT, flips(own, 0, own.length, 100));
    await allEndIn(FORMAT, flipsIn(own, frame(own), 300));
  },
);

test('a flipped bit in a packed entry is refused, the unused ones of its last byte included', async () => {
  const inputs: [string, Buffer][] = [];
  const places = new Set(frame(whole));
  for (let at = directoryOf(whole); whole.readUInt32LE(at) === 0x02014b50; ) {
    const nameLength = whole.readUInt16LE(at + 28);
    if (whole.readUInt16LE(at + 10) === 8) {
      const local = whole.readUInt32LE(at + 42);
      const start = local + 30 + whole.readUInt16LE(local + 26) + whole.readUInt16LE(local + 28);
      const end = start + whole.readUInt32LE(at + 20);
      assert.ok(places.has(end) && !places.has(end - 1));
      inputs.push(...flips(whole, start, end, 20));
      for (let bit = 0; bit < 8; bit++) {
        const damaged = Buffer.from(whole);
        damaged[end - 1]! ^= 1 << bit;
        inputs.push([`bit ${bit} of the last byte`, damaged]);
      }
    }
    at += 46 + nameLength + whole.readUInt16LE(at + 30);
  }
  assert.ok(inputs.length >= 56, `only ${inputs.length}`);
  await allEndIn(FORMAT, inputs);
});

test('bytes that belong to no entry are refused, wherever they stand', async () => {
  const directory = directoryOf(whole);
  const before = Buffer.concat([Buffer.from('PK'), whole]);
  const commented = Buffer.concat([whole, Buffer.from('a comment')]);
  commented.writeUInt16LE(9, whole.length - 2);
  const gap = Buffer.concat([whole.subarray(0, directory), Buffer.alloc(4), whole.subarray(directory)]);
  gap.writeUInt32LE(directory + 4, gap.length - 22 + 16);
  gap.writeBigUInt64LE(BigInt(directory + 4), gap.length - 42 - 56 + 48);
  gap.writeBigUInt64LE(BigInt(gap.length - 98), gap.length - 42 + 8);
  await allEndIn(FORMAT, [
    ['before the file', before],
    ['behind it', Buffer.concat([whole, Buffer.from([0])])],
    ['a comment', commented],
    ['before the directory', gap],
  ]);
});

test('a checksum of 0, which torch.save may be told to write, vouches for no model file', async () => {
  const weights = names.find((name) => /^data\/\d+$/.test(name))!;
  const bytes = zip({ ...entries, [`archive/${weights}`]: { data: entries[`archive/${weights}`]!, crc: 0 } });
  await allEndIn(FORMAT, [['0', bytes]]);
});

test('60 flipped bits in a pickle whose checksum is right end in a code or in numbers', TIMEOUT, async () => {
  const codes = new Map<string, number>();
  for (const [name, data] of flips(entries['archive/data.pkl']!, 0, entries['archive/data.pkl']!.length, 60)) {
    const result = (await used(name, withEntry('data.pkl', data))).replace(/^[^E].*/, 'numbers');
    codes.set(result, (codes.get(result) ?? 0) + 1);
  }
  const expected = ['numbers', FORMAT, CONTRACT];
  assert.deepEqual(
    [...codes.keys()].filter((code) => !expected.includes(code)),
    [],
  );
  assert.ok(codes.get(FORMAT)! > 5, JSON.stringify([...codes]));
});

test('a model file without one of its entries is refused, unless that tells nothing', TIMEOUT, async () => {
  const found = new Map<string, string>();
  for (const name of names) found.set(name, await used(name, withoutEntry(name)));
  for (const needless of ['code/__torch__/clipn.py.debug_pkl', 'byteorder', '.data/serialization_id']) {
    assert.equal(found.get(needless), features, needless);
    found.delete(needless);
  }
  assert.equal(found.get('extra/tokenizer.json'), TOKENIZER);
  found.delete('extra/tokenizer.json');
  assert.deepEqual(
    [...found].filter(([, code]) => code !== FORMAT),
    [],
  );
});

test('a tensor with fewer bytes than the model takes from it is refused, whichever it is', TIMEOUT, async () => {
  const inputs: [string, Buffer][] = [];
  for (const name of names.filter((each) => /^data\/\d+$/.test(each))) {
    const content = entries[`archive/${name}`]!;
    for (const length of [0, content.length / 2, content.length - 1]) {
      inputs.push([`${name}: ${length} bytes`, withEntry(name, content.subarray(0, length))]);
    }
  }
  await allEndIn(FORMAT, inputs);
});

type Json = Record<string, unknown>;

function withConfig(change: (config: Json) => void): Buffer {
  const config = JSON.parse(entries['archive/extra/clipn.json']!.toString()) as Json;
  change(config);
  return withEntry('extra/clipn.json', JSON.stringify(config));
}

test('clipn.json with any field missing, of another type or absurd is refused', TIMEOUT, async () => {
  const config = JSON.parse(entries['archive/extra/clipn.json']!.toString()) as Json;
  const inner = ['architecture', 'source'].flatMap((name) =>
    Object.keys(config[name] as Json).map((field): [string, string] => [name, field]),
  );
  const fields = [...Object.keys(config).map((field): [string, string] => ['', field]), ...inner];
  const values = [undefined, null, -1, 2 ** 31, 1e308, '', [], {}, [1, 2], 'gelu2', false];
  const inputs: [string, Buffer][] = [];
  for (const [parent, field] of fields) {
    for (const value of values) {
      // Facts for information may be any number or text.
      if (field === 'trainedScale' && (value === 2 ** 31 || value === 1e308)) continue;
      if (['templates', 'fileName'].includes(field) && value === 'gelu2') continue;
      if (field === 'imageOnly' && value === false) continue;
      // Older files do not have them.
      if (['vocabulary', 'visionMlp', 'textMlp'].includes(field) && value === undefined) continue;
      const change = (json: Json) =>
        void Object.assign(parent === '' ? json : (json[parent] as Json), { [field]: value });
      inputs.push([`${parent}.${field} ${JSON.stringify(value)}`, withConfig(change)]);
    }
  }
  assert.ok(inputs.length > 300);
  await allEndIn(FORMAT, inputs);
});

test('clipn.json that contradicts the methods, the tokenizer or itself is refused', async () => {
  const both = (field: string, value: number) => (json: Json) => {
    json[field] = value;
    (json['architecture'] as Json)[field] = value;
  };
  await allEndIn(FORMAT, [
    ['imageOnly', withConfig((json) => Object.assign(json, { imageOnly: true }))],
    ['kind', withConfig((json) => Object.assign(json, { kind: 'clip' }))],
    ['embedDim', withConfig((json) => Object.assign(json, { embedDim: 9 }))],
    ['both sizes 2^31', withConfig(both('imageSize', 2 ** 31))],
    ['both sizes 100,000', withConfig(both('imageSize', 100_000))],
    ['both widths 2^31', withConfig(both('embedDim', 2 ** 31))],
    ['not JSON', withEntry('extra/clipn.json', '{')],
    ['empty', withEntry('extra/clipn.json', '')],
    ['not UTF-8', withEntry('extra/clipn.json', Buffer.from([0xff, 0xfe]))],
    ['an array', withEntry('extra/clipn.json', '[]')],
    ['1 MB deep', withEntry('extra/clipn.json', `${'['.repeat(500_000)}${']'.repeat(500_000)}`)],
  ]);
  await allEndIn(TOKENIZER, [
    ['eot', withConfig((json) => Object.assign(json, { eot: 5 }))],
    ['sot', withConfig((json) => Object.assign(json, { sot: 5 }))],
  ]);
  await allEndIn(CONTRACT, [
    ['both widths 9', withConfig(both('embedDim', 9))],
    ['both sizes 48', withConfig(both('imageSize', 48))],
    ['a std that is 0 in fp32', withConfig((json) => Object.assign(json, { std: [1e-300, 1, 1] }))],
    ['a mean beyond fp32', withConfig((json) => Object.assign(json, { mean: [1e300, 0, 0] }))],
  ]);
});

test('tokenizer.json with any field broken is refused', async () => {
  const valid = JSON.parse(entries['archive/extra/tokenizer.json']!.toString()) as Json & { model: Json };
  const other = (change: Json) => withEntry('extra/tokenizer.json', JSON.stringify({ ...valid, ...change }));
  const model = (change: Json) => other({ model: { ...valid.model, ...change } });
  const added = (change: Json) => other({ added_tokens: [{ id: 38, content: '<|startoftext|>', ...change }] });
  const vocab = valid.model['vocab'] as Json;
  const inputs: Record<string, Buffer> = {
    'not JSON': withEntry('extra/tokenizer.json', '{'),
    'an array': withEntry('extra/tokenizer.json', '[]'),
    'no model': other({ model: undefined }),
    'a model of another type': model({ type: 'WordPiece' }),
    'no vocab': model({ vocab: undefined }),
    'a vocab that is a list': model({ vocab: [] }),
    'an empty vocab': other({ model: { ...valid.model, vocab: {} }, added_tokens: [] }),
    'an id that is text': model({ vocab: { ...vocab, a: '0' } }),
    'an id of -1': model({ vocab: { ...vocab, a: -1 } }),
    'an id of 0.5': model({ vocab: { ...vocab, a: 0.5 } }),
    'an id above the end token': model({ vocab: { ...vocab, a: 2 ** 40 } }),
    'no merges': model({ merges: undefined }),
    'a merge of one': model({ merges: ['a'] }),
    'a merge of numbers': model({ merges: [[1, 2]] }),
    'a merge to no token': model({ merges: [['a', 'b']] }),
    'no pre-tokenizer': other({ pre_tokenizer: null }),
    'an unknown pre-tokenizer': other({ pre_tokenizer: { type: 'Unheard' } }),
    'a pattern that is none': other({
      pre_tokenizer: { type: 'Split', pattern: { Regex: '(' }, behavior: 'Isolated' },
    }),
    'another normalizer': other({ normalizer: { type: 'NFKD' } }),
    'a normalizer that is text': other({ normalizer: 'NFC' }),
    'added tokens that are no list': other({ added_tokens: {} }),
    'an added token without id': added({ id: undefined }),
    'an added id of 0.5': added({ id: 0.5 }),
    'an added id of -1': added({ id: -1 }),
    'an added id of 1e300': added({ id: 1e300 }),
    'an added token that is a number': added({ content: 5 }),
  };
  await allEndIn(TOKENIZER, Object.entries(inputs));
});

test('a program that is none, or does not keep the contract, ends in its code', TIMEOUT, async () => {
  const name = 'code/__torch__/clipn.py';
  const source = entries[`archive/${name}`]!.toString();
  const end = /return \(self\)\.unit\(_3, \)/;
  const edited = (from: RegExp, to: string): Buffer => {
    const text = source.replace(from, to);
    assert.notEqual(text, source, String(from));
    return withEntry(name, text);
  };
  const zeros = (shape: string) =>
    `return torch.zeros(${shape}, dtype=None, layout=None, device=None, pin_memory=None)`;
  await allEndIn(FORMAT, [
    ['not a program', withEntry(name, 'class')],
    ['an empty program', withEntry(name, '')],
    ['no encode_text_yes', edited(/encode_text_yes\(self/, 'encode_other(self')],
    ['no encode_text_no', edited(/encode_text_no\(self/, 'encode_other(self')],
  ]);
  await allEndIn(CONTRACT, [
    ['no encode_image', edited(/encode_image\(self/, 'encode_other(self')],
    ['another shape', edited(end, zeros('[2, 3]'))],
    ['one dimension', edited(end, zeros('[8]'))],
    ['rows of zeros', edited(end, 'return torch.mul(_3, 0.)')],
    ['rows not of unit length', edited(end, 'return torch.mul((self).unit(_3, ), 2.)')],
    ['NaN', edited(end, 'return torch.div(torch.mul(_3, 0.), 0.)')],
    ['a product that does not fit', edited(end, 'return torch.matmul(_3, _3)')],
    ['an error of its own', edited(end, 'ops.prim.RaiseException("own words")\n    return _3')],
  ]);
  await allEndIn('ERR_CLIPN_OUT_OF_MEMORY', [['a petabyte', edited(end, zeros('[100000000000, 10000]'))]]);
});

test('what is no model file is refused and not waited for', async () => {
  execFileSync('mkfifo', [at('pipe')]);
  const code = (name: string) => outcome(name, loadModel(name));
  for (const name of [folder, at('pipe'), '/dev/zero', at('absent'), `${at('whole.model')}/below`]) {
    assert.equal(await code(name), 'ERR_CLIPN_MODEL_NOT_FOUND', name);
  }
  assert.equal(await code(at('small.pt')), FORMAT);
  const others = { empty: '', text: 'no model', 'the start of a zip': 'PK', 'a zip of nothing': zip({}) };
  await allEndIn(
    FORMAT,
    Object.entries(others).map(([name, content]) => [name, Buffer.from(content)]),
  );
});
