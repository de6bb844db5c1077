/** Images of a part of the data to features, in batches that do not depend on timing. */
import { ClipnError, isOutOfHandles } from '../base/errors';
import { cropImage } from '../images/crop';
import { decodeImage } from '../images/decode';
import type { Model } from '../model/model';
import type { NativeImage } from '../native/addon';
import { trainingCrop } from './crop';
import type { BrokenSample, DataImage, DataPart } from './data/dataset';

/** What decides the crops of an image. */
export interface CropKey {
  /** V; 0 stands for the evaluation crop alone. */
  augmentations: number;
  seed: number;
}

export interface EncodedImage {
  source: DataImage;
  /** [V, D] */
  features: Float32Array;
}

/** Failures that count as broken samples; others (memory, a closed model) end the run. */
const BROKEN_IMAGE: Readonly<Record<string, string>> = {
  ERR_CLIPN_IMAGE_NOT_FOUND: 'image file missing',
  ERR_CLIPN_IMAGE_DECODE: 'image cannot be decoded',
  ERR_CLIPN_IMAGE_TOO_LARGE: 'image too large',
  ERR_CLIPN_IO: 'image cannot be read',
  ERR_CLIPN_INVALID_ARG: 'image cannot be read',
};
/** Images a batch. */
const IMAGES = 32;

/** @param number of the part: with the seed it decides the crops */
export async function* encodeImages(
  part: DataPart,
  number: number,
  model: Model,
  key: CropKey,
  signal: AbortSignal | undefined,
): AsyncGenerator<EncodedImage | (BrokenSample & { samples: number })> {
  const { imageSize: side, embedDim: dim } = model.info;
  const views = Math.max(1, key.augmentations);
  let read = 0;
  const prepare = async (item: DataImage | BrokenSample): Promise<BrokenSample | NativeImage[]> => {
    const index = read++;
    if ('broken' in item) return item;
    try {
      // Not turned by EXIF: the paper's loader does not either.
      const whole = await decodeImage(item.image, { exif: false });
      if (key.augmentations === 0) return [whole];
      const crops = Array.from({ length: views }, (_, view) => {
        const box = trainingCrop(whole.width, whole.height, [key.seed, number, index, view]);
        return cropImage(whole, box, side);
      });
      return await Promise.all(crops);
    } catch (error) {
      const ofImage = error instanceof ClipnError && !isOutOfHandles(error);
      const broken = ofImage ? BROKEN_IMAGE[error.code] : undefined;
      if (broken === undefined) throw error;
      return { name: item.name, broken };
    }
  };
  // Batches of a fixed size, not as in `check`: rounding depends on it, and a seed should give the same weights again.
  for await (const batch of preparedBatches(part.read(), prepare, IMAGES)) {
    signal?.throwIfAborted();
    const images = batch.flatMap(({ ready }) => ('broken' in ready ? [] : ready));
    const { features } =
      images.length > 0 ? await model.encodePixels(images, false, signal) : { features: new Float32Array(0) };
    let row = 0;
    for (const { item, ready } of batch) {
      if ('broken' in ready) {
        yield { ...ready, samples: 'captions' in item ? Math.max(1, item.captions.length) : 1 };
      } else {
        row += views;
        yield { source: withoutBytes(item as DataImage), features: features.slice((row - views) * dim, row * dim) };
      }
    }
  }
}

/** Batches of `size` items, each prepared while the batch before it is worked on. */
async function* preparedBatches<In, Ready>(
  source: AsyncIterable<In>,
  prepare: (item: In) => Promise<Ready>,
  size: number,
): AsyncGenerator<{ item: In; ready: Ready }[]> {
  let ahead: Promise<{ item: In; ready: Ready }[]> | undefined;
  const next = (items: In[]) => {
    const prepared = Promise.all(items.map(async (item) => ({ item, ready: await prepare(item) })));
    prepared.catch(() => undefined); // awaited later
    const before = ahead;
    ahead = prepared;
    return before;
  };
  let items: In[] = [];
  for await (const item of source) {
    if (items.push(item) < size) continue;
    const before = next(items);
    items = [];
    if (before) yield await before;
  }
  const before = next(items);
  if (before) yield await before;
  if (ahead) yield await ahead;
}

/** Without the encoded bytes, which would add up over a part. */
function withoutBytes(image: DataImage): DataImage {
  return { ...image, image: '' };
}
