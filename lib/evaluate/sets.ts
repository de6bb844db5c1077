/** The image sets of an evaluation: their folders, and the rows that the feature store has for them. */
import { join, resolve } from 'node:path';
import { cacheDir } from '../base/cache-dir';
import { jsonHash } from '../base/json-hash';
import { encodeMissing, type Unreadable } from '../features/encode-missing';
import { FeatureStore, type StoreIdentity } from '../features/store';
import { type ImageFolder, refusal } from '../images/folder';
import type { LabelBank } from '../labels/bank';
import type { Model } from '../model/model';
import type { NativeImage } from '../native/addon';
import { scoreOn } from '../scores/score';
import { RESIZE_RULE } from '../weights/model-config';
import type { ImageSet as SetSummary } from './result';

export interface ImageSet extends ImageFolder {
  /** 'id' or the name of the OOD set. */
  name: string;
}

/** The readable images of a set. */
export interface Readable {
  set: ImageSet;
  /** Indices into `set.images`. */
  kept: Int32Array;
  /** Rows of the store. */
  rows: Int32Array;
  unreadable: SetSummary['unreadable'];
}

export interface FeatureOptions {
  /** Folder of the store; by default one for what decides the features, in the cache folder. */
  store?: string | undefined;
  patches?: boolean | undefined;
  exif: boolean;
  batch: number;
  shardRows?: number | undefined;
  limitPixels?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/** Whatever decides the bytes that the tower sees; a change in decoding must change the number. */
export function preprocessingOf({ config }: Model['info'], exif: boolean): string {
  const { imageSize, mean, std } = config;
  const values = `mean ${mean.join(' ')}, std ${std.join(' ')}`;
  return `${RESIZE_RULE}, ${imageSize} px, ${values}, EXIF ${exif ? 'applied' : 'not applied'}, pixels 1`;
}

/**
 * Encodes what the store lacks.
 *
 * @throws ERR_CLIPN_DATA_FOLDER for a set without a readable image; what `FeatureStore.open` and `encodeMissing` throw
 */
export async function storedFeatures(
  model: Model,
  bank: LabelBank,
  sets: readonly ImageSet[],
  options: FeatureOptions,
): Promise<{ store: FeatureStore; readable: Readable[] }> {
  const { signal } = options;
  const identity: StoreIdentity = {
    contentId: model.info.contentId,
    precision: model.info.precision,
    preprocessing: preprocessingOf(model.info, options.exif),
    dim: model.info.embedDim,
    patches: options.patches ? jsonHash([bank.labels, bank.templates.sha256]) : '',
  };
  const folder = options.store ?? join(cacheDir(), 'features', jsonHash(identity).slice(0, 16));
  const paths = sets.flatMap((set) => set.images.map((image) => resolve(set.folder, image)));
  const store = await FeatureStore.open(folder, identity, paths, options.shardRows);
  const encode = async (images: NativeImage[]) => {
    if (!options.patches) return await model.encodePixels(images, false, signal);
    const encoded = await model.encodePatches(images, signal);
    const { mcm } = await scoreOn(model.lane, encoded.patches, { ...bank, no: null }, { topK: 0, signal });
    return { features: encoded.features, patchMcm: largestOfEach(mcm, images.length) };
  };
  const { rows, unreadable } = await encodeMissing(store, paths, { ...options, encode });
  const readable: Readable[] = [];
  let first = 0;
  for (const set of sets) {
    readable.push(readableOf(set, rows.subarray(first, first + set.images.length), first, unreadable));
    first += set.images.length;
  }
  return { store, readable };
}

/** The largest of each of n equal parts. */
function largestOfEach(values: Float32Array, n: number): Float32Array {
  const length = values.length / n;
  const part = (i: number) => values.subarray(i * length, (i + 1) * length);
  return Float32Array.from({ length: n }, (_, i) => part(i).reduce((a, b) => Math.max(a, b)));
}

function readableOf(set: ImageSet, rows: Int32Array, first: number, unreadable: readonly Unreadable[]): Readable {
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

export function setSummary({ set, kept, unreadable }: Readable): SetSummary {
  return { folder: set.folder, images: kept.length, otherFiles: set.otherFiles, unreadable };
}
