import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { addBatchFeatures } from '../../lib/features/batch-features';
import { FeatureStore, type StoreIdentity } from '../../lib/features/store';
import { BATCH_STORE, batchHash, batchResult, FACTS, PREPROCESSING, UNIT } from '../support/batch-result';

const root = mkdtempSync(path.join(tmpdir(), 'clipn-batch-features-'));
after(() => rmSync(root, { recursive: true }));

const OTHER = [0.6, 0, 0, -0.8];
const result = (rows: Record<string, number[]>, facts: Record<string, unknown> = FACTS) =>
  batchResult(root, rows, facts);

let stores = 0;
const open = (of: StoreIdentity = BATCH_STORE) => FeatureStore.open(path.join(root, `store-${stores++}`), of, []);

describe('features of a batch', () => {
  test('are in the store by the SHA-256 of their image, and what was there stays', async () => {
    const store = await open();
    store.add(batchHash('b'), Float32Array.from(OTHER));
    await addBatchFeatures(store, await result({ a: UNIT, b: UNIT, c: OTHER }));
    const rows = ['a', 'b', 'c'].map((name) => store.rowOf(batchHash(name)));
    const features = new Float32Array(3 * 4);
    await store.read(rows, features, null);
    assert.deepEqual([...features], [...UNIT, ...OTHER, ...OTHER].map(Math.fround));
    assert.equal(store.rowOf(batchHash('dead')), -1);
  });

  for (const [what, made, of, message] of [
    ['another model', { ...FACTS, model: 'x' }, BATCH_STORE, /with another model/],
    ['another precision', { ...FACTS, precision: 'guarded' }, BATCH_STORE, /with precision guarded, not fp32/],
    ['halves', { ...FACTS, features: 'fp16' }, BATCH_STORE, /features kept in fp16, not fp32/],
    ['another version', { ...FACTS, versions: { 'clipn-native': '0.0.1' } }, BATCH_STORE, /clipn-native 0\.0\.1, not/],
    ['EXIF not applied', { ...FACTS, exif: false }, BATCH_STORE, /preprocessing/],
    ['another size', { ...FACTS, preprocessing: { ...PREPROCESSING, imageSize: 64 } }, BATCH_STORE, /preprocessing/],
    ['a store with patches', FACTS, { ...BATCH_STORE, patches: 'x' }, /no patches/],
  ] as const) {
    test(`are refused: ${what}`, async () => {
      const file = await result({ a: UNIT }, made);
      await assert.rejects(addBatchFeatures(await open(of), file), { code: 'ERR_CLIPN_STORE_MISMATCH', message });
    });
  }

  test('are refused in a file that is cut, holds none, or rows that are no unit rows', async () => {
    const file = await result({ a: UNIT });
    const cut = path.join(root, 'cut.parquet');
    writeFileSync(cut, readFileSync(file).subarray(0, 300));
    const format = { code: 'ERR_CLIPN_STORE_FORMAT' };
    await assert.rejects(addBatchFeatures(await open(), cut), format);
    await assert.rejects(addBatchFeatures(await open(), path.join(root, 'none.parquet')), { code: 'ERR_CLIPN_IO' });
    for (const feature of [
      [1, 1, 1, 1],
      [1, 0, 0],
      [Number.NaN, 0, 0, 1],
    ]) {
      await assert.rejects(addBatchFeatures(await open(), await result({ a: feature })), format);
    }
  });
});
