/** A result of a batch with features, as workers write it, and a store that takes them. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { packageVersion } from '../../lib/base/version';
import type { StoreIdentity } from '../../lib/features/store';
import { preprocessingText } from '../../lib/weights/preprocessing';
import { rowsToParquet } from '../../serve/src/batch/rows';

type Triple = [number, number, number];
export const PREPROCESSING = {
  resize: 'bicubic shorter side, centre crop' as const,
  imageSize: 48,
  mean: [0.5, 0.5, 0.5] as Triple,
  std: [0.25, 0.25, 0.25] as Triple,
};
export const FACTS = {
  model: 'm',
  precision: 'fp32',
  features: 'fp32',
  exif: true,
  preprocessing: PREPROCESSING,
  versions: { 'clipn-native': packageVersion() },
};
export const BATCH_STORE: StoreIdentity = {
  contentId: 'm',
  precision: 'fp32',
  preprocessing: preprocessingText(PREPROCESSING, { exif: true }),
  dim: 4,
  patches: '',
};
export const UNIT = [0.5, -0.5, 0.5, 0.5];

export const batchHash = (name: string): Buffer => createHash('sha256').update(name).digest();

/** Writes a row for each name, with its feature (UNIT where there are names alone), and one for an image that could not be read. */
export async function batchResult(
  folder: string,
  rows: readonly string[] | Record<string, number[]>,
  facts: Record<string, unknown> = FACTS,
): Promise<string> {
  const features = Array.isArray(rows) ? Object.fromEntries(rows.map((name) => [name, UNIT])) : rows;
  const nothing = { also: null, nearestWord: null, p: null, pYes: null, pValue: null, quality: null, precision: null };
  const judged = Object.entries(features as Record<string, number[]>).map(([image, feature]) => ({
    ...{ ...nothing, image, feature, sha256: batchHash(image).toString('hex'), set: 'mine', verdict: 'in' },
    ...{ label: 'cat', rule: 'calibrated', scores: { atd: 0.5 }, error: null, message: null },
  }));
  const dead = {
    ...{ ...nothing, image: 'dead', feature: null, sha256: null, set: null, verdict: null, label: null, rule: null },
    ...{ scores: {}, error: 'ERR_SERVE_OBJECT_NOT_FOUND', message: 'dead does not exist' },
  };
  const file = path.join(folder, 'results.parquet');
  writeFileSync(file, await rowsToParquet([...judged, dead], 'fp32', facts));
  return file;
}
