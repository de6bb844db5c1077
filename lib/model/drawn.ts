/** Images that a guarded model draws, to see how far its first tower is from fp32. docs/precision.md */
import { type Drawing, drawings } from '../images/drawings';
import type { Encoded } from './image-queue';

/** Drawn images as both towers encode them. */
export interface DrawnFeatures {
  images: number;
  /** [images, D] each. */
  first: Float32Array;
  own: Float32Array;
  cosine: { least: number; median: number };
}

const SEED = 19;

/** What margins are measured on where no calibration has them. */
export const drawnImages = (): Drawing[] => drawings(SEED);

/** @param encode one batch by both towers */
export async function encodeDrawn(
  encode: (images: Drawing[]) => Promise<Encoded>,
  batch: number,
): Promise<DrawnFeatures> {
  const images = drawnImages();
  const parts: Encoded[] = [];
  for (let from = 0; from < images.length; from += batch) parts.push(await encode(images.slice(from, from + batch)));
  const joined = (rows: readonly Float32Array[]) => {
    const all = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of rows) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  };
  const first = joined(parts.map((part) => part.first!));
  const own = joined(parts.map(({ features }) => features));
  const cosines = cosinesOf(first, own, images.length).sort();
  const cosine = { least: cosines[0]!, median: cosines[Math.floor(images.length / 2)]! };
  return { images: images.length, first, own, cosine };
}

/** Cosines of the rows of two matrices of n. */
export function cosinesOf(a: Float32Array, b: Float32Array, n: number): Float64Array {
  const d = a.length / n;
  return Float64Array.from({ length: n }, (_, i) => {
    let [ab, aa, bb] = [0, 0, 0];
    for (let j = i * d; j < (i + 1) * d; j++) {
      ab += a[j]! * b[j]!;
      aa += a[j]! ** 2;
      bb += b[j]! ** 2;
    }
    return ab / Math.sqrt(aa * bb);
  });
}
