/** The image sets of an evaluation: their folders, and the rows that the feature store has for them. */
import { join, resolve } from 'node:path';
import { cacheDir } from '../base/cache-dir';
import { jsonHash } from '../base/json-hash';
import { addBatchFeatures } from '../features/batch-features';
import { encodeMissing, type UnreadablePath } from '../features/encode-missing';
import { FeatureStore, type StoreIdentity } from '../features/store';
import type { DecodeOptions } from '../images/decode';
import { type ImageFolder, refusal } from '../images/folder';
import type { LabelBank } from '../labels/bank';
import type { Model } from '../model/model';
import type { NativeImage } from '../native/addon';
import { featurePrecision } from '../native/placement';
import { scoreOn } from '../scores/score';
import { preprocessingText } from '../weights/preprocessing';
import type { ImageSet } from './result';

/** The ID set first, then each OOD set. */
export type IdAndOod<T> = readonly [T, ...T[]];

/** A folder of images under the name that it has in the evaluation. */
export interface ScannedSet extends ImageFolder {
  /** 'id' or the name of the OOD set. */
  name: string;
}

/** The readable images of a set. */
export interface ReadableSet {
  set: ScannedSet;
  /** Indices into `set.images`. */
  kept: Int32Array;
  /** Rows of the store. */
  rows: Int32Array;
  unreadable: ImageSet['unreadable'];
}

export interface FeatureOptions {
  /** Folder of the store; by default one for what decides the features, in the cache folder. */
  store?: string | undefined;
  /** Parquet files of batches, whose features the store takes first. */
  features?: readonly string[] | undefined;
  patches?: boolean | undefined;
  exif: boolean;
  truncated?: DecodeOptions['truncated'];
  batch: number;
  shardRows?: number | undefined;
  limitPixels?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Encodes what the store lacks.
 *
 * @throws ERR_CLIPN_DATA_FOLDER for a set without a readable image; what `FeatureStore.open`, `addBatchFeatures` and
 *   `encodeMissing` throw
 */
export async function storedFeatures(
  model: Model,
  bank: LabelBank,
  sets: IdAndOod<ScannedSet>,
  options: FeatureOptions,
): Promise<{ store: FeatureStore; readable: IdAndOod<ReadableSet> }> {
  const { signal } = options;
  const precision = featurePrecision(model.info.precision);
  // What is kept of patches depends on the labels, which earlier versions encoded in the images' precision.
  const labels = precision === 'fp32' ? [] : ['labels fp32'];
  const identity: StoreIdentity = {
    contentId: model.info.contentId,
    precision,
    preprocessing: preprocessingText(model.info.config, options),
    dim: model.info.embedDim,
    patches: options.patches ? jsonHash([bank.labels, bank.templates.sha256, ...labels]) : '',
  };
  const folder = options.store ?? join(cacheDir(), 'features', jsonHash(identity).slice(0, 16));
  const paths = sets.flatMap((set) => set.images.map((image) => resolve(set.folder, image)));
  const store = await FeatureStore.open(folder, identity, paths, options.shardRows);
  for (const path of options.features ?? []) await addBatchFeatures(store, path, signal);
  const encode = async (images: NativeImage[]) => {
    if (!options.patches) return await model.encodePixels(images, false, signal);
    const encoded = await model.encodePatches(images, signal);
    const { mcm } = await scoreOn(model.lane, encoded.patches, { ...bank, no: null }, { topK: 0, signal });
    return { features: encoded.features, patchMcm: largestOfEach(mcm, images.length) };
  };
  const { rows, unreadable } = await encodeMissing(store, paths, { ...options, encode });
  let first = 0;
  const nextReadable = (set: ScannedSet) => {
    const from = first;
    first += set.images.length;
    return readableOf(set, rows.subarray(from, first), from, unreadable);
  };
  const [id, ...ood] = sets;
  return { store, readable: [nextReadable(id), ...ood.map(nextReadable)] };
}

/** The largest of each of n equal parts. */
function largestOfEach(values: Float32Array, n: number): Float32Array {
  const length = values.length / n;
  const part = (i: number) => values.subarray(i * length, (i + 1) * length);
  return Float32Array.from({ length: n }, (_, i) => part(i).reduce((a, b) => Math.max(a, b)));
}

function readableOf(
  set: ScannedSet,
  rows: Int32Array,
  first: number,
  unreadable: readonly UnreadablePath[],
): ReadableSet {
  const own = unreadable.filter(({ index }) => index >= first && index < first + rows.length);
  const kept = Int32Array.from(rows.keys()).filter((i) => rows[i] !== -1);
  if (kept.length === 0) {
    throw refusal(set.folder, `has ${rows.length} images, none of them readable: ${own[0]?.error.message}`);
  }
  return {
    set,
    kept,
    rows: rows.filter((row) => row !== -1),
    unreadable: own.map(({ index, error }) => ({
      image: set.images[index - first]!,
      code: error.code,
      message: error.message,
    })),
  };
}

export function setSummary({ set, kept, unreadable }: ReadableSet): ImageSet {
  return { folder: set.folder, images: kept.length, otherFiles: set.otherFiles, unreadable };
}
