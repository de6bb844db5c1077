import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import type { ClipnError } from '../../lib/base/errors';
import { FeatureStore, type StoreIdentity } from '../../lib/features/store';
import { flips, outcome } from '../support/damage';

const root = mkdtempSync(path.join(tmpdir(), 'clipn-feature-store-'));
after(() => rmSync(root, { recursive: true }));

const identity: StoreIdentity = { contentId: 'm', precision: 'fp32', preprocessing: 'p', dim: 4, patches: '' };
const hash = (name: string) => createHash('sha256').update(name).digest();
/** A unit row that `i` decides. */
const row = (i: number) => {
  const values = Float32Array.of(i, 1, 2, -3);
  const norm = Math.hypot(...values);
  return values.map((value) => value / norm);
};
const fileOf = (i: number) => ({ path: `/images/${i}.png`, size: i, mtime: BigInt(1000 + i), sha256: hash(`${i}`) });

/** A store with rows 0 to n - 1, written in shards of `each`. */
async function filled(name: string, n: number, each: number): Promise<{ folder: string; shards: string[] }> {
  const folder = path.join(root, name);
  const store = await FeatureStore.open(folder, identity, [], each);
  for (let i = 0; i < n; i++) {
    store.add(hash(`${i}`), row(i));
    store.addFile(fileOf(i));
    await store.flushIfDue();
  }
  await store.flush();
  return {
    folder,
    shards: readdirSync(folder)
      .sort()
      .map((file) => path.join(folder, file)),
  };
}

async function read(store: FeatureStore, rows: number[]): Promise<number[]> {
  const features = new Float32Array(rows.length * 4);
  await store.read(rows, features, null);
  return [...features];
}

test('gives back every row, in any order, from the process that wrote it and from the next', async () => {
  const { folder, shards } = await filled('rows', 25, 10);
  assert.equal(shards.length, 3);
  const store = await FeatureStore.open(folder, identity, []);
  const order = [24, 0, 1, 2, 9, 10, 11, 3, 3, 19, 20];
  const rows = order.map((i) => store.rowOf(hash(`${i}`)));
  assert.deepEqual(
    await read(store, rows),
    order.flatMap((i) => [...row(i)]),
  );
  assert.equal(store.rowOf(hash('unknown')), -1);

  store.add(hash('new'), row(99));
  await store.flush();
  assert.deepEqual(await read(store, [store.rowOf(hash('new')), rows[0]!]), [...row(99), ...row(24)]);
});

test('knows a file by path, size and time alone, and not when one of them differs', async () => {
  const { folder } = await filled('files', 5, 2);
  const store = await FeatureStore.open(folder, identity, ['/images/3.png', '/images/none.png']);
  assert.equal(store.rowOfFile(0, { size: 3, mtime: 1003n }), store.rowOf(hash('3')));
  assert.equal(store.rowOfFile(0, { size: 4, mtime: 1003n }), -1);
  assert.equal(store.rowOfFile(0, { size: 3, mtime: 1004n }), -1);
  assert.equal(store.rowOfFile(1, { size: 3, mtime: 1003n }), -1);
});

test('of a file that changed the latest state counts', async () => {
  const { folder } = await filled('changed', 2, 2);
  const first = await FeatureStore.open(folder, identity, []);
  first.addFile({ ...fileOf(0), size: 77, sha256: hash('1') });
  await first.flush();
  const store = await FeatureStore.open(folder, identity, ['/images/0.png']);
  assert.equal(store.rowOfFile(0, { size: 0, mtime: 1000n }), -1);
  assert.equal(store.rowOfFile(0, { size: 77, mtime: 1000n }), store.rowOf(hash('1')));
});

test('what is added while a shard is written is in the next one, and so is all of a shard that could not be', async () => {
  const folder = path.join(root, 'meanwhile');
  const store = await FeatureStore.open(folder, identity, []);
  const add = (i: number) => {
    store.add(hash(`${i}`), row(i));
    store.addFile(fileOf(i));
  };
  add(0);
  const flushed = store.flush();
  add(1);
  await flushed;
  rmSync(folder, { recursive: true });
  writeFileSync(folder, 'no folder');
  const refused = store.flush();
  add(2);
  await assert.rejects(refused, { code: 'ERR_CLIPN_IO' });
  rmSync(folder);
  mkdirSync(folder);
  await store.flush();
  assert.deepEqual(await read(store, [1, 2]), [...row(1), ...row(2)]);
  const next = await FeatureStore.open(folder, identity, ['/images/1.png', '/images/2.png']);
  assert.deepEqual(
    [1, 2].map((i) => next.rowOfFile(i - 1, { size: i, mtime: BigInt(1000 + i) })),
    [0, 1],
  );
});

test('two processes may add to one store: neither loses a row, nor reads one of the other for its own', async () => {
  const folder = path.join(root, 'shared');
  const [one, other] = [await FeatureStore.open(folder, identity, []), await FeatureStore.open(folder, identity, [])];
  for (const [store, from] of [
    [one, 0],
    [other, 100],
  ] as const) {
    for (let i = from; i < from + 5; i++) store.add(hash(`${i}`), row(i));
  }
  await Promise.all([one.flush(), other.flush()]);
  assert.deepEqual(await read(one, [one.rowOf(hash('2'))]), [...row(2)]);
  const next = await FeatureStore.open(folder, identity, []);
  assert.deepEqual(
    await read(
      next,
      [2, 102].map((i) => next.rowOf(hash(`${i}`))),
    ),
    [...row(2), ...row(102)],
  );
});

test('patchMcm comes back with its row', async () => {
  const folder = path.join(root, 'patches');
  const own = { ...identity, patches: 'bank' };
  const store = await FeatureStore.open(folder, own, []);
  for (let i = 0; i < 3; i++) store.add(hash(`${i}`), row(i), i / 4);
  await store.flush();
  const [features, patchMcm] = [new Float32Array(12), new Float32Array(3)];
  await (await FeatureStore.open(folder, own, [])).read([2, 0, 1], features, patchMcm);
  assert.deepEqual([...patchMcm], [0.5, 0, 0.25]);
});

describe('refuses, naming what differs, a store of', () => {
  for (const [field, value, message] of [
    ['contentId', 'n', /another model/],
    ['precision', 'bf16', /another precision/],
    ['preprocessing', 'q', /another preprocessing/],
    ['dim', 5, /another width/],
    ['patches', 'bank', /other labels or templates/],
  ] as const) {
    test(`another ${field}`, async () => {
      const { folder } = await filled(`mismatch-${field}`, 1, 1);
      await assert.rejects(FeatureStore.open(folder, { ...identity, [field]: value }, []), (error: ClipnError) => {
        assert.equal(error.code, 'ERR_CLIPN_STORE_MISMATCH');
        assert.match(error.message, message);
        const { path: _, ...details } = error.details;
        assert.deepEqual(details, { field, store: identity[field], asked: value });
        return true;
      });
    });
  }
});

describe('a damaged shard is an error that names the file:', () => {
  const damages: Record<string, (shard: string) => void> = {
    'cut in its header': (shard) => truncateSync(shard, 40),
    'cut in its rows': (shard) => truncateSync(shard, readFileSync(shard).length - 8),
    'no .safetensors file': (shard) => writeFileSync(shard, 'a text that is longer than eight bytes'),
    empty: (shard) => writeFileSync(shard, ''),
    'without its list of files': (shard) =>
      writeFileSync(shard, readFileSync(shard).toString('latin1').replace('"files"', '"filez"'), 'latin1'),
    'of another format': (shard) =>
      writeFileSync(shard, readFileSync(shard).toString('latin1').replace('features 2', 'features 9'), 'latin1'),
  };
  for (const [what, damage] of Object.entries(damages)) {
    test(what, async () => {
      const { folder, shards } = await filled(`damaged ${what}`, 4, 2);
      damage(shards[1]!);
      await assert.rejects(FeatureStore.open(folder, identity, []), (error: { code: string; message: string }) => {
        assert.equal(error.code, 'ERR_CLIPN_STORE_FORMAT', error.message);
        assert.ok(error.message.startsWith(shards[1]!));
        return true;
      });
    });
  }

  test('with rows overwritten, when they are read', async () => {
    const { folder, shards } = await filled('zeros', 4, 4);
    const bytes = readFileSync(shards[0]!);
    bytes.fill(0, bytes.length - 8 * 4);
    writeFileSync(shards[0]!, bytes);
    const store = await FeatureStore.open(folder, identity, []);
    assert.deepEqual(await read(store, [0, 1]), [...row(0), ...row(1)]);
    await assert.rejects(read(store, [0, 1, 2, 3]), {
      code: 'ERR_CLIPN_STORE_FORMAT',
      message: /checksum of row 2 is wrong/,
    });
  });

  test('with a flipped bit anywhere, when it is opened or the row is read', async () => {
    const folder = path.join(root, 'flips');
    const own = { ...identity, patches: 'bank' };
    const store = await FeatureStore.open(folder, own, []);
    for (let i = 0; i < 3; i++) {
      store.add(hash(`${i}`), row(i), i / 4);
      store.addFile(fileOf(i));
    }
    await store.flush();
    const shard = path.join(folder, readdirSync(folder)[0]!);
    const whole = readFileSync(shard);
    const everything = async () => {
      const opened = await FeatureStore.open(folder, own, []);
      await opened.read([0, 1, 2], new Float32Array(12), new Float32Array(3));
    };
    await everything();
    for (const [name, bytes] of [
      ...flips(whole, 0, whole.length, 400),
      ...flips(whole, whole.length - 3 * 16, whole.length, 100),
    ]) {
      writeFileSync(shard, bytes);
      const code = await outcome(name, everything());
      assert.equal(code, 'ERR_CLIPN_STORE_FORMAT', name);
    }
  });
});

test('a shard of the format before checksums is read, and refused for what can be told of it', async () => {
  const folder = path.join(root, 'format 1');
  const shard = path.join(folder, '1.safetensors');
  mkdirSync(folder);
  const features = [...row(5), ...row(6)];
  const write = (change: (header: Record<string, unknown>) => void, values = features, more = 0) => {
    const header = {
      __metadata__: { format: 'clipn-native features 1', identity: JSON.stringify(identity), files: '[]' },
      sha256: { dtype: 'U8', shape: [2, 32], data_offsets: [0, 64] },
      feature: { dtype: 'F32', shape: [2, 4], data_offsets: [64, 96] },
    };
    change(header);
    const text = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(text.length));
    const data = [hash('5'), hash('6'), Buffer.from(Float32Array.from(values).buffer), Buffer.alloc(more)];
    writeFileSync(shard, Buffer.concat([length, text, ...data]));
  };
  write(() => {});
  const store = await FeatureStore.open(folder, identity, []);
  assert.deepEqual(await read(store, [store.rowOf(hash('6')), store.rowOf(hash('5'))]), [...row(6), ...row(5)]);

  const refused = { code: 'ERR_CLIPN_STORE_FORMAT' };
  write(
    () => {},
    features.map((value, i) => (i === 4 ? 2 : value)),
  );
  const longer = await FeatureStore.open(folder, identity, []);
  await assert.rejects(read(longer, [1]), { ...refused, message: /row 1 is not of unit length/ });
  for (const [name, change, more] of [
    ['another column', (header) => Object.assign(header, { featura: header['feature'] }), 0],
    ['a column in the place of another', (header) => Object.assign(header['feature']!, { data_offsets: [0, 32] }), 0],
    ['bytes behind it', () => {}, 1],
    ['another type', (header) => Object.assign(header['feature']!, { dtype: 'I32' }), 0],
  ] as [string, (header: Record<string, object>) => void, number][]) {
    write(change as (header: Record<string, unknown>) => void, features, more);
    await assert.rejects(FeatureStore.open(folder, identity, []), refused, name);
  }
});

test('leftovers of a killed process do no harm, and old ones are removed', async () => {
  const { folder } = await filled('leftovers', 3, 3);
  const [young, old] = [
    '.young.safetensors.0b0f9d1e-6a55-4f0e-8d1c-93b0a1c2d301.tmp',
    '.old.safetensors.f25cb02a-2c8c-4a8b-9c38-0d3f5a7e1b02.tmp',
  ].map((name) => path.join(folder, name));
  for (const file of [young!, old!]) writeFileSync(file, 'half a sh');
  utimesSync(old!, 0, 0);
  const store = await FeatureStore.open(folder, identity, []);
  assert.deepEqual(await read(store, [store.rowOf(hash('1'))]), [...row(1)]);
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.endsWith('.tmp')),
    [path.basename(young!)],
  );
});

test('a folder that cannot be made is an error with its reason', async () => {
  const file = path.join(root, 'a-file');
  writeFileSync(file, '');
  await assert.rejects(FeatureStore.open(path.join(file, 'store'), identity, []), {
    code: 'ERR_CLIPN_IO',
    message: /a-file/,
  });
});
