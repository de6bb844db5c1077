/** Checkpoints whose zip directory or .safetensors header lies: each ends in its code. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { cuts, directoryOf } from '../support/damage';
import {
  allEndIn,
  entries,
  exported,
  FORMAT,
  framed,
  type Header,
  safetensors,
  whole,
} from '../support/damaged-checkpoint';
import { zip } from '../support/zip';

/** The zip with fields of one entry's records in the central directory changed. */
function withDirectory(name: string, change: (record: Buffer) => void): Buffer {
  const bytes = Buffer.from(zip(entries));
  const record = bytes.lastIndexOf(Buffer.from(`seeded/${name}`)) - 46;
  assert.equal(bytes.readUInt32LE(record), 0x02014b50);
  change(bytes.subarray(record) as Buffer);
  return bytes;
}

/** The zip with one entry packed; `size` is what the directory claims it unpacks to. */
function withPacked(name: string, content: Buffer, size = content.length): Buffer {
  const packed = deflateRawSync(content);
  const bytes = zip({ ...entries, [`seeded/${name}`]: packed });
  for (const [signature, at] of [
    [Buffer.from('PK\x03\x04', 'latin1'), 8],
    [Buffer.from('PK\x01\x02', 'latin1'), 10],
  ] as const) {
    const from =
      bytes.indexOf(signature) < 0
        ? -1
        : bytes.lastIndexOf(Buffer.from(`seeded/${name}`), at === 8 ? directoryOf(bytes) : undefined);
    const record = from - (at === 8 ? 30 : 46);
    assert.ok(bytes.subarray(record, record + 4).equals(signature), name);
    bytes.writeUInt16LE(8, record + at);
    bytes.writeUInt32LE(size, record + at + 14);
  }
  return bytes;
}

test('a zip whose directory lies is refused', async () => {
  const tensor = 'data/10';
  const u16 = (offset: number, value: number) => (record: Buffer) => void record.writeUInt16LE(value, offset);
  const u32 = (offset: number, value: number) => (record: Buffer) => void record.writeUInt32LE(value, offset);
  const both = (value: number) => (record: Buffer) => {
    record.writeUInt32LE(value, 20);
    record.writeUInt32LE(value, 24);
  };
  const end = (offset: number, value: number) => {
    const bytes = Buffer.from(whole);
    bytes.writeUInt16LE(value, bytes.length - 22 + offset);
    return bytes;
  };
  /** A field of the zip64 records at the end, counted from the end of the file. */
  const end64 = (fromEnd: number, value: bigint) => {
    const bytes = zip(entries, Object.keys(entries).length);
    bytes.writeBigUInt64LE(value, bytes.length - fromEnd);
    return bytes;
  };
  const inputs: Record<string, Buffer> = {
    'a zip64 end record where no number reaches': end64(22 + 12, 2n ** 58n),
    'a zip64 directory where no number reaches': end64(22 + 20 + 8, 2n ** 58n),
    'more entries than any checkpoint has': zip(
      Array.from({ length: 100_001 }, (_, i) => [`seeded/${i}`, '']),
      100_001,
    ),
    'a tensor beyond the end': withDirectory(tensor, u32(42, 0x7fffffff)),
    'a tensor on top of the first entry': withDirectory(tensor, u32(42, 0)),
    'a tensor of zip64 size without its field': withDirectory(tensor, both(0xffffffff)),
    'a tensor of 2 GB': withDirectory(tensor, both(0x7fffffff)),
    'a tensor of no bytes': withDirectory(tensor, both(0)),
    'a tensor with two sizes': withDirectory(tensor, u32(24, 1 << 30)),
    'a packed tensor': withPacked(tensor, entries[`seeded/${tensor}`]!),
    'an encrypted tensor': withDirectory(tensor, u16(8, 1)),
    'an encrypted pickle': withDirectory('data.pkl', u16(8, 1)),
    'a pickle packed by an unknown method': withDirectory('data.pkl', u16(10, 99)),
    'a pickle of 20 MB': zip({ ...entries, 'seeded/data.pkl': Buffer.alloc(20 << 20) }),
    'a packed pickle of 200 MB': withPacked('data.pkl', Buffer.alloc(200 << 20)),
    'a packed pickle of 200 MB that claims 100 bytes': withPacked('data.pkl', Buffer.alloc(200 << 20), 100),
    'a name that leaves the folder': zip({ ...entries, '../../outside': 'x' }),
    'an absolute name': zip({ ...entries, '/tmp/outside': 'x' }),
    'an entry twice': Buffer.from(zip({ ...entries, 'seeded/data/2x': 'x' })),
    'more entries than there are': end(10, 0xffff),
    'a directory beyond the end': end(18, 0x7fff),
    'a comment that is not there': end(20, 9),
    'a big-endian order': zip({ ...entries, 'seeded/byteorder': 'big' }),
    'no pickle': zip({ 'seeded/data/0': entries['seeded/data/0']! }),
    'no tensors': zip({ 'seeded/data.pkl': entries['seeded/data.pkl']! }),
    nothing: zip({}),
  };
  const twice = inputs['an entry twice']!;
  for (let i = twice.indexOf('data/2x'); i >= 0; i = twice.indexOf('data/2x', i)) twice.write('data/10', i);
  await allEndIn(FORMAT, Object.entries(inputs));
});

test('a .safetensors file with any field of its header broken is refused', async () => {
  const proj = 'visual.proj';
  assert.equal(
    (
      await exported(
        'unchanged',
        safetensors(() => {}),
        'damaged.safetensors',
      )
    ).length,
    64,
  );
  const values: [field: string, unknown[]][] = [
    ['dtype', [undefined, null, '', 'f32', 'F8_E4M3', 'constructor', '__proto__', 7, [], {}, true]],
    [
      'shape',
      [
        undefined,
        null,
        64,
        '64',
        [],
        [64],
        [64, 9],
        [-64, 8],
        [64, 8.5],
        [64, null],
        ['64', '8'],
        [2 ** 53, 8],
        [1e300, 8],
        {},
        [64, 8, 1, 2],
      ],
    ],
    [
      'data_offsets',
      [
        undefined,
        null,
        5,
        [],
        [0],
        [0, 2047],
        [2048, 0],
        [-4, 2044],
        [0.5, 2048.5],
        ['0', '2048'],
        [2 ** 52, 2 ** 52 + 2048],
        [0, 2 ** 53],
        [0, 1024, 2048],
        {},
      ],
    ],
  ];
  const inputs: [string, Buffer][] = [];
  for (const [field, list] of values) {
    for (const value of list) {
      const change = (header: Header) => void Object.assign(header[proj]!, { [field]: value });
      inputs.push([`${field} ${JSON.stringify(value)}`, safetensors(change)]);
    }
  }
  for (const value of [null, 1, 'x', [], {}]) {
    inputs.push([
      `tensor ${JSON.stringify(value)}`,
      safetensors((header) => void Object.assign(header, { [proj]: value })),
    ]);
  }
  const whole = safetensors(() => {});
  inputs.push(
    ['header cut', framed('{"a":', whole)],
    ['header of 2^63', framed('{}', whole, 2n ** 63n)],
    ['header cut after its brace', framed('{', whole)],
    ['header longer than the file', framed('{}', Buffer.alloc(0), 3n)],
    ['header of 2^64 - 1', framed('{}', Buffer.alloc(0), 2n ** 64n - 1n)],
    ['header not UTF-8', framed(Buffer.from('{"\xff":1}', 'latin1'))],
    ['header of 17 MB', framed(`{"a":[${'{},'.repeat(6_000_000)}{}]}`)],
    ['header 1 MB deep', framed(`{"a":${'['.repeat(500_000)}${']'.repeat(500_000)}}`)],
  );
  const codes = new Map<string, string[]>();
  for (const [name, bytes] of inputs) {
    const code = await exported(name, bytes, 'damaged.safetensors');
    codes.set(code, [...(codes.get(code) ?? []), name]);
  }
  // A shape that fits the bytes but not the network is a matter of the keys.
  const unexpected = [...codes].filter(([code]) => code !== FORMAT);
  assert.deepEqual(unexpected, []);
  await allEndIn(FORMAT, cuts(whole), 'damaged.safetensors');
});
