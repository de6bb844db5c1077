/** Files that torch.save wrote in either of its formats, with all that a training keeps beside its weights. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { create } from 'tar';
import type { ClipnError } from '../../lib/base/errors';
import type { TensorDtype } from '../../lib/formats/tensor-table';
import { readCheckpoint } from '../../lib/weights/checkpoint';
import { readDense } from '../../lib/weights/content-id';
import { cuts, flips, outcome } from '../support/damage';
import { goldenFile } from '../support/paths';
import { pickle } from '../support/torch-zip';

interface Golden {
  tensors: Record<string, { dtype: TensorDtype; shape: number[]; values: number[] }>;
  files: Record<'zip' | 'zip, protocol 4' | 'legacy' | 'legacy, the state dict alone', string>;
}
const golden = JSON.parse(readFileSync(goldenFile('torch-save.json'), 'utf8')) as Golden;
const bytesOf = (name: keyof Golden['files']) => Buffer.from(golden.files[name], 'base64');

const folder = mkdtempSync(path.join(tmpdir(), 'clipn-torch-save-'));
after(() => rmSync(folder, { recursive: true }));
const at = (name: string) => path.join(folder, name);

/** Halves of the sizes that are compared are exact in every dtype. */
function valuesOf(bytes: Buffer, dtype: TensorDtype): number[] {
  const read: Partial<Record<TensorDtype, [size: number, at: (offset: number) => number]>> = {
    float64: [8, (offset) => bytes.readDoubleLE(offset)],
    float32: [4, (offset) => bytes.readFloatLE(offset)],
    float16: [2, (offset) => half(bytes.readUInt16LE(offset))],
    bfloat16: [2, (offset) => Buffer.from([0, 0, bytes[offset]!, bytes[offset + 1]!]).readFloatLE(0)],
    int64: [8, (offset) => Number(bytes.readBigInt64LE(offset))],
    bool: [1, (offset) => bytes[offset]!],
  };
  const [size, value] = read[dtype]!;
  return Array.from({ length: bytes.length / size }, (_, i) => value(i * size));
}

/** A normal number. */
function half(bits: number): number {
  return (bits & 0x8000 ? -1 : 1) * 2 ** (((bits >> 10) & 31) - 15) * (1 + (bits & 1023) / 1024);
}

for (const name of Object.keys(golden.files) as (keyof Golden['files'])[]) {
  test(`tensors are those that PyTorch saved, whatever data lies beside them: ${name}`, async () => {
    const file = at('saved.pt');
    writeFileSync(file, bytesOf(name));
    const { tensors } = await readCheckpoint(file);
    assert.deepEqual([...tensors.keys()], Object.keys(golden.tensors));
    const handle = await open(file, 'r');
    for (const [key, { dtype, shape, values }] of Object.entries(golden.tensors)) {
      const entry = tensors.get(key)!;
      assert.deepEqual([entry.dtype, entry.shape], [dtype, shape], key);
      assert.deepEqual(valuesOf(await readDense(handle, entry), dtype), values.map(Number), key);
    }
    await handle.close();
  });
}

const FORMAT = 'ERR_CLIPN_CHECKPOINT_FORMAT';
const UNSAFE = 'ERR_CLIPN_CHECKPOINT_UNSAFE';

describe('a file in the format from before PyTorch 1.6', () => {
  const whole = bytesOf('legacy');
  const read = async (bytes: Buffer) => {
    writeFileSync(at('damaged.pt'), bytes);
    return (await readCheckpoint(at('damaged.pt'))).tensors.size;
  };

  test('is refused when it is cut short, wherever', async () => {
    for (const [name, bytes] of cuts(whole)) assert.equal(await outcome(name, read(bytes)), FORMAT, name);
  });

  test('ends in a code or is read when a bit of its pickles or of the sizes of storages is flipped', async () => {
    const seen = new Set<unknown>();
    for (const [name, bytes] of flips(whole, 0, whole.length, 200)) seen.add(await outcome(name, read(bytes)));
    const codes = [...seen].filter((result) => typeof result === 'string').sort();
    // A key that becomes `module` or another's name is a matter of the keys.
    assert.deepEqual(
      codes.filter((code) => code !== 'ERR_CLIPN_CHECKPOINT_KEYS'),
      [FORMAT, UNSAFE],
    );
  });

  /** The bytes with a number in little-endian order at `offset`. */
  const withCount = (offset: number, count: bigint) => {
    const bytes = Buffer.from(whole);
    bytes.writeBigUInt64LE(count, offset);
    return bytes;
  };
  const rejects = async (bytes: Buffer, code: string, message: RegExp) => {
    await assert.rejects(read(bytes), (error: ClipnError) => {
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      return true;
    });
  };

  test('is refused when a storage has another number of elements than its tensors say', async () => {
    writeFileSync(at('legacy.pt'), whole);
    const { tensors } = await readCheckpoint(at('legacy.pt'));
    const { offset } = tensors.get('scalar')!;
    assert.equal(whole.readBigUInt64LE(offset - 8), 1n);
    for (const count of [0n, 2n, 2n ** 62n, 2n ** 64n - 1n]) {
      await rejects(withCount(offset - 8, count), FORMAT, /another number of elements/);
    }
  });

  /** A file of these pickles, and bytes behind them. */
  const file = (
    root: Buffer,
    keys: Buffer,
    bytes: Buffer = Buffer.alloc(0),
    { version = 1001, little = true } = {},
  ) => {
    const magic = whole.subarray(0, 15);
    const parts = [
      pickle.integer(version),
      pickle.dict([[pickle.string('little_endian'), pickle.boolean(little)]]),
      root,
      keys,
    ].map((value) => Buffer.concat([Buffer.from([0x80, 2]), value, Buffer.from('.')]));
    return Buffer.concat([magic, ...parts, bytes]);
  };
  const tensor = (key: string) => pickle.tensor(key, [2], [1]);
  const root = pickle.dict([[pickle.string('a'), tensor('7')]]);
  const keys = (...names: string[]) => pickle.list(names.map(pickle.string));
  const storage = Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]), Buffer.alloc(8)]);

  test('is read when it is put together by hand, and refused with what is wrong with it otherwise', async () => {
    assert.equal(await read(file(root, keys('7'), storage)), 1);
    await rejects(file(root, keys('7'), storage, { version: 1002 }), FORMAT, /version of its format is 1002/);
    await rejects(file(root, keys('7'), storage, { little: false }), FORMAT, /little-endian/);
    await rejects(file(root, pickle.integer(7), storage), FORMAT, /no list of its storages/);
    await rejects(file(root, keys('8'), storage), FORMAT, /names one that no tensor has/);
    await rejects(file(root, keys('7', '7'), Buffer.concat([storage, storage])), FORMAT, /or one twice/);
    await rejects(file(root, keys(), storage), FORMAT, /lacks data\/7/);
    await rejects(file(root, keys('7'), storage.subarray(0, 12)), FORMAT, /cut short/);
  });

  test('whose version or keys would be endless when written out is refused at once', { timeout: 20_000 }, async () => {
    // Each level names the one below twice.
    const level = Buffer.from('0](h\x00h\x00eq\x00', 'latin1');
    const doubled = Buffer.concat([Buffer.from(']q\x00', 'latin1'), ...Array<Buffer>(60).fill(level)]);
    const version = Buffer.concat([whole.subarray(0, 15), Buffer.from([0x80, 2]), doubled, Buffer.from('.')]);
    await rejects(version, FORMAT, /version of its format is no number/);
    await rejects(file(root, pickle.list([doubled]), storage), FORMAT, /names one that no tensor has/);
  });

  test('that names a function is refused by that name, and nothing runs', async () => {
    const attack = pickle.call(pickle.global('posix', 'system'), [pickle.string(`touch ${at('canary')}`)]);
    for (const bytes of [
      file(pickle.dict([[pickle.string('a'), attack]]), keys()),
      file(root, pickle.list([attack]), storage),
      Buffer.concat([Buffer.from([0x80, 2]), attack, Buffer.from('.')]),
    ]) {
      await rejects(bytes, UNSAFE, /posix\.system/);
    }
    assert.equal(existsSync(at('canary')), false);
  });

  test('is told from a pickle of something else and from a tar', async () => {
    await rejects(Buffer.concat([Buffer.from([0x80, 2]), root, Buffer.from('.')]), UNSAFE, /torch\._utils/);
    await rejects(pickle.file(keys('a')), FORMAT, /is a pickle, but none that torch\.save wrote/);
    writeFileSync(at('pickle'), 'x');
    create({ sync: true, file: at('tar.pt'), cwd: folder }, ['pickle']);
    await rejects(readFileSync(at('tar.pt')), FORMAT, /is a tar archive/);
  });
});
