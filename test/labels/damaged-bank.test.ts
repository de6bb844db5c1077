/** Label banks and calibration files damaged in every way that came to mind: each ends in its code. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { readCalibration } from '../../lib/decide/calibration';
import type { LabelBank } from '../../lib/labels/bank';
import { loadLabelBank, saveLabelBank } from '../../lib/labels/bank-file';
import { buildLabelBank } from '../../lib/labels/build-bank';
import { cuts, flips, outcome, withHeader as resealed, unsealed } from '../support/damage';
import { animals, DIM, fakeTowers, templates } from '../support/fake-towers';

const FORMAT = 'ERR_CLIPN_BANK_FORMAT';

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-damaged-bank-'));
const at = (name: string): string => path.join(folder, name);
let bank: LabelBank;
let whole: Buffer;

type Json = Record<string, unknown>;
type Header = Record<string, Json>;

before(async () => {
  bank = await buildLabelBank(fakeTowers(), animals, { templates });
  await saveLabelBank(bank, at('whole.safetensors'));
  whole = readFileSync(at('whole.safetensors'));
});
after(() => rmSync(folder, { recursive: true }));

async function loaded(name: string, bytes: Buffer): Promise<string | LabelBank> {
  writeFileSync(at('damaged'), bytes);
  return await outcome(name, loadLabelBank(at('damaged')));
}

async function allEndIn(code: string, inputs: Iterable<[name: string, Buffer]>): Promise<void> {
  const others: string[] = [];
  let count = 0;
  for (const [name, bytes] of inputs) {
    const found = await loaded(name, bytes);
    if (found !== code) others.push(`${name}: ${typeof found === 'string' ? found : 'loaded'}`);
    count++;
  }
  assert.deepEqual(others, []);
  assert.ok(count > 0);
}

function framed(header: string | Buffer, data: Buffer = Buffer.alloc(0), length = BigInt(header.length)): Buffer {
  const head = Buffer.alloc(8);
  head.writeBigUInt64LE(length);
  return Buffer.concat([head, Buffer.from(header), data]);
}

/** The bank with its header changed and its checksum made anew. */
const withHeader = (change: (header: Header, data: Buffer) => void): Buffer => resealed(whole, change);

/** The bank as it was written before banks had a checksum. */
const old = (): Buffer => unsealed(whole, { formatVersion: '1' });

test('a bank rewritten without damage loads as it was', async () => {
  assert.deepEqual(
    await loaded(
      'rewritten',
      withHeader(() => {}),
    ),
    bank,
  );
});

test('a bank cut short is refused, wherever', () => allEndIn(FORMAT, cuts(whole)));

test('a bank with any field missing, of another type or absurd is refused', async () => {
  const values = [
    undefined,
    null,
    0,
    -1,
    1e308,
    '',
    [],
    {},
    true,
    '[',
    '[""]',
    '[" "]',
    '{}',
    '[1]',
    '[-1]',
    '[0.5]',
    '[3]',
    'null',
  ];
  const inputs: [string, Buffer][] = [];
  const fields = ['format', 'formatVersion', 'labels', 'truncated', 'templateSha256', 'templates'];
  for (const field of [...fields, 'templateSet', 'contentId', 'precision']) {
    for (const value of values) {
      if (field === 'truncated' && value === '[1]') continue;
      // Names and hashes may be any text; whether they are this model's is asked later.
      if (['templateSet', 'contentId', 'precision'].includes(field) && typeof value === 'string' && value !== '')
        continue;
      const change = (header: Header) => void Object.assign(header['__metadata__']!, { [field]: value });
      inputs.push([`${field} ${JSON.stringify(value)}`, withHeader(change)]);
    }
  }
  const size = animals.length * DIM * 4;
  const tensorValues: Record<string, unknown[]> = {
    dtype: [undefined, null, 'F16', 'F64', 'f32', 7, [], 'constructor'],
    shape: [
      undefined,
      null,
      3,
      [],
      [3],
      [3, DIM, 1],
      [2, DIM],
      [DIM, 3],
      [3, DIM + 1],
      [3, -DIM],
      [3, 0],
      [3, 0.5],
      [3, 2 ** 52],
      [3, 1e300],
      ['3', '6'],
      {},
    ],
    data_offsets: [
      undefined,
      null,
      0,
      [],
      [0],
      [size, 0],
      [-4, size - 4],
      [0, size - 4],
      [0.5, size + 0.5],
      [2 ** 52, 2 ** 52 + size],
      [2 * size, 3 * size],
      ['0', '72'],
      {},
    ],
  };
  for (const tensor of ['yes', 'no']) {
    for (const [field, list] of Object.entries(tensorValues)) {
      for (const value of list) {
        const change = (header: Header) => void Object.assign(header[tensor]!, { [field]: value });
        inputs.push([`${tensor}.${field} ${JSON.stringify(value)}`, withHeader(change)]);
      }
    }
    for (const value of [null, 5, 'x', [], {}]) {
      inputs.push([
        `${tensor} ${JSON.stringify(value)}`,
        withHeader((header) => Object.assign(header, { [tensor]: value })),
      ]);
    }
  }
  for (const value of [undefined, null, 5, 'x', [], {}]) {
    inputs.push([`metadata ${value}`, withHeader((header) => Object.assign(header, { __metadata__: value }))]);
  }
  assert.ok(inputs.length > 200);
  await allEndIn(FORMAT, inputs);
});

test('templates without {} are refused although their hash is right', async () => {
  const { createHash } = await import('node:crypto');
  const change = (header: Header) => {
    const sha256 = createHash('sha256').update('a photo').digest('hex');
    Object.assign(header['__metadata__']!, { templates: '["a photo"]', templateSha256: sha256 });
  };
  await allEndIn(FORMAT, [['a photo', withHeader(change)]]);
});

test('rows that are zero, not finite or not of unit length are refused', async () => {
  const inputs = [0, 2, Number.NaN, Number.POSITIVE_INFINITY, 3e38].flatMap((value) =>
    Array.from({ length: 2 * animals.length }, (_, row): [string, Buffer] => {
      const bytes = withHeader((_header, data) => {
        data.writeFloatLE(value, row * DIM * 4);
        data.fill(0, row * DIM * 4 + 4, (row + 1) * DIM * 4);
      });
      return [`row ${row}: ${value}`, bytes];
    }),
  );
  await allEndIn(FORMAT, inputs);
});

test('a header of any length and content ends in the code', async () => {
  const long = at('long');
  writeFileSync(long, framed('{}', Buffer.alloc(0), 150_000_000n));
  truncateSync(long, 150_000_100); // a file with a hole: no data
  assert.equal(await outcome('150 MB', loadLabelBank(long)), FORMAT);
  await allEndIn(FORMAT, [
    ['2^64 - 1', framed('{}', Buffer.alloc(8), 2n ** 64n - 1n)],
    ['2^63', framed('{}', Buffer.alloc(8), 2n ** 63n)],
    ['0', framed('{}', Buffer.alloc(8), 0n)],
    ['an array', framed('[]')],
    ['null', framed('null')],
    ['not UTF-8', framed(Buffer.from('{"\xff": 1}', 'latin1'))],
    ['deep', framed(`{"a":${'['.repeat(500_000)}${']'.repeat(500_000)}}`)],
  ]);
});

test('a flipped bit anywhere in a bank is refused', async () => {
  await allEndIn(FORMAT, flips(whole, 0, whole.length, 500));
  // All of what frames the rows: a change there need not touch a number.
  await allEndIn(FORMAT, flips(whole, 0, 8 + Number(whole.readBigUInt64LE()), 500));
});

const swapOffsets = (header: Header) => {
  const { yes, no } = header as { yes: Json; no: Json };
  [yes['data_offsets'], no['data_offsets']] = [no['data_offsets'], yes['data_offsets']];
};
const renameNo = (header: Header) => {
  header['na'] = header['no']!;
  Reflect.deleteProperty(header, 'no');
};

test('a bank with another name, swapped or renamed rows, or rows turned a little, is refused by its checksum', async () => {
  const start = 8 + Number(whole.readBigUInt64LE());
  const keeping = (change: (header: Header) => void): Buffer => {
    const header = JSON.parse(whole.toString('utf8', 8, start)) as Header;
    change(header);
    return framed(JSON.stringify(header).padEnd(start - 8), whole.subarray(start));
  };
  const turned = Buffer.from(whole);
  turned.writeFloatLE(turned.readFloatLE(start) * (1 + 1e-5), start);
  const named = Buffer.from(whole);
  named.write('bat', named.indexOf('cat'));
  assert.notDeepEqual(named, whole);
  await allEndIn(FORMAT, [
    ['cat is bat', named],
    ['yes is no', keeping(swapOffsets)],
    ['no is na', keeping(renameNo)],
    ['a value', turned],
    ['a byte more', Buffer.concat([whole, Buffer.from([0])])],
    ['no checksum', withHeader((header) => void Reflect.deleteProperty(header['__metadata__']!, 'sha256'))],
    ['the older version', withHeader((header) => Object.assign(header['__metadata__']!, { formatVersion: '1' }))],
  ]);
});

test('a bank of the format before checksums loads as it was, and is refused for what can be told of it', async () => {
  assert.deepEqual(await loaded('old', old()), bank);
  const gap = resealed(old(), (header) => {
    const size = animals.length * DIM * 4;
    Object.assign(header['no']!, { data_offsets: [size + 4, 2 * size + 4] });
  });
  await allEndIn(FORMAT, [
    ['yes is no', resealed(old(), swapOffsets)],
    ['no is na', resealed(old(), renameNo)],
    ['no is yes', resealed(old(), (header) => Object.assign(header, { no: header['yes'] }))],
    ['a field more', resealed(old(), (header) => Object.assign(header['__metadata__']!, { more: 'x' }))],
    ['a gap', Buffer.concat([gap, Buffer.alloc(4)])],
    ['a byte more', Buffer.concat([old(), Buffer.from([0])])],
  ]);
});

test('a bank that cannot be written leaves nothing behind, and saving over one replaces it whole', async () => {
  const before = readdirSync(folder).sort();
  for (const target of [folder, path.join(at('whole.safetensors'), 'x'), at('a'.repeat(300)), '/proc/clipn.bank']) {
    assert.equal(await outcome(target, saveLabelBank(bank, target)), 'ERR_CLIPN_IO', target);
  }
  assert.deepEqual(readdirSync(folder).sort(), before);
  await Promise.all([0, 1, 2].map(() => saveLabelBank(bank, at('whole.safetensors'))));
  assert.deepEqual(readFileSync(at('whole.safetensors')), whole);
  assert.deepEqual(readdirSync(folder).sort(), before);
});

test('a calibration file with any field missing, of another type or absurd is refused', async () => {
  const valid = { formatVersion: 1, score: 'atd', in: 0.6, out: 0.4, contentId: 'a', templates: 'b' };
  const read = async (text: string) => {
    writeFileSync(at('calibration.json'), text);
    return await outcome(text.slice(0, 80), readCalibration(at('calibration.json')));
  };
  assert.deepEqual(await read(JSON.stringify(valid)), valid);
  const optional = ['contentId', 'templates'];
  const texts = [
    '',
    '{',
    'null',
    '5',
    '"x"',
    '[]',
    '\0',
    '{"formatVersion":1,"score":"atd","in":1e999,"out":0}',
    '['.repeat(500_000),
  ];
  for (const field of Object.keys(valid)) {
    for (const value of [undefined, null, -1, 0.5, 2, '', '1', 'atd2', [], {}, true]) {
      const fits = optional.includes(field)
        ? value === undefined || typeof value === 'string'
        : typeof value === 'number' &&
          ((field === 'in' && value >= valid.out) || (field === 'out' && value <= valid.in));
      if (!fits) texts.push(JSON.stringify({ ...valid, [field]: value }));
    }
  }
  assert.ok(texts.length > 50);
  for (const text of texts) assert.equal(await read(text), 'ERR_CLIPN_CALIBRATION', text.slice(0, 80));
  assert.equal(await outcome('a folder', readCalibration(folder)), 'ERR_CLIPN_IO');
});
