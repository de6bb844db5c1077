import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, describe, test } from 'node:test';
import { packageVersion } from '../../lib/base/version';
import { addBatchFeatures } from '../../lib/features/batch-features';
import { FeatureStore, type StoreIdentity } from '../../lib/features/store';
import { preprocessingText } from '../../lib/weights/preprocessing';
import { rowsToParquet } from '../../serve/src/batch/rows';

const root = mkdtempSync(path.join(tmpdir(), 'clipn-batch-features-'));
after(() => rmSync(root, { recursive: true }));

type Triple = [number, number, number];
const preprocessing = {
  resize: 'bicubic shorter side, centre crop' as const,
  imageSize: 48,
  mean: [0.5, 0.5, 0.5] as Triple,
  std: [0.25, 0.25, 0.25] as Triple,
};
const facts = {
  model: 'm',
  precision: 'fp32',
  features: 'fp32',
  exif: true,
  preprocessing,
  versions: { 'clipn-native': packageVersion() },
};
const identity: StoreIdentity = {
  contentId: 'm',
  precision: 'fp32',
  preprocessing: preprocessingText(preprocessing, { exif: true }),
  dim: 4,
  patches: '',
};
const hash = (name: string) => createHash('sha256').update(name).digest();
const UNIT = [0.5, -0.5, 0.5, 0.5];
const OTHER = [0.6, 0, 0, -0.8];

/** A result as workers write it: a row for each name, and one for an image that could not be read. */
async function result(rows: Record<string, number[]>, made: Record<string, unknown> = facts): Promise<string> {
  const nothing = {
    ...{ also: null, set: null, verdict: null, label: null, nearestWord: null, p: null, pYes: null, pValue: null },
    ...{ rule: null, quality: null, precision: null, scores: {}, error: null, message: null },
  };
  const judged = Object.entries(rows).map(([image, feature]) => ({
    ...{ ...nothing, image, feature, sha256: hash(image).toString('hex') },
  }));
  const file = path.join(root, 'results.parquet');
  const dead = { ...nothing, image: 'dead', feature: null, sha256: null, error: 'ERR' };
  writeFileSync(file, await rowsToParquet([...judged, dead], 'fp32', made));
  return file;
}

let stores = 0;
const open = (of: StoreIdentity = identity) => FeatureStore.open(path.join(root, `store-${stores++}`), of, []);

describe('features of a batch', () => {
  test('are in the store by the SHA-256 of their image, and what was there stays', async () => {
    const store = await open();
    store.add(hash('b'), Float32Array.from(OTHER));
    await addBatchFeatures(store, await result({ a: UNIT, b: UNIT, c: OTHER }));
    const rows = ['a', 'b', 'c'].map((name) => store.rowOf(hash(name)));
    const features = new Float32Array(3 * 4);
    await store.read(rows, features, null);
    assert.deepEqual([...features], [...UNIT, ...OTHER, ...OTHER].map(Math.fround));
    assert.equal(store.rowOf(hash('dead')), -1);
  });

  for (const [what, made, of, message] of [
    ['another model', { ...facts, model: 'x' }, identity, /with another model/],
    ['another precision', { ...facts, precision: 'guarded' }, identity, /with precision guarded, not fp32/],
    ['halves', { ...facts, features: 'fp16' }, identity, /features kept in fp16, not fp32/],
    ['another version', { ...facts, versions: { 'clipn-native': '0.0.1' } }, identity, /clipn-native 0\.0\.1, not/],
    ['EXIF not applied', { ...facts, exif: false }, identity, /preprocessing/],
    ['another size', { ...facts, preprocessing: { ...preprocessing, imageSize: 64 } }, identity, /preprocessing/],
    ['a store with patches', facts, { ...identity, patches: 'x' }, /no patches/],
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
