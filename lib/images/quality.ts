/** Images that carry nothing to judge: flat, tiny, transparent. A look at some pixels, microseconds an image. */
import type { NativeImage } from '../native/addon';

/**
 * Why a verdict on this image means little.
 *
 * - `tiny`: its shorter side is smaller than one patch of the image tower
 * - `transparent`: nine pixels of ten can hardly be seen; their colours, which the tower sees, are what the file happens to hold
 * - `flat`: all pixels looked at are equal
 * - `nearlyFlat`: they differ by no more than a JPEG's noise on one colour
 */
export type Quality = 'tiny' | 'transparent' | 'flat' | 'nearlyFlat';

/** Pixels looked at are a lattice of this many a side: what lies between is smaller than a patch sees. */
const LATTICE = 64;
/** Standard deviation of the noisiest channel, of 255. Measured: docs/pixels.md. */
const NEARLY_FLAT = 2;
const SEEN_ALPHA = 16;
const TRANSPARENT_SHARE = 0.9;

/** @param patchSize side of the image tower's patches, in pixels */
export function qualityOf(image: NativeImage, patchSize: number): Quality | undefined {
  const { width, height, channels } = image;
  if (Math.min(width, height) < patchSize) return 'tiny';
  const lattice = latticeOf(width, height);
  if (channels === 4 && unseenShare(image, lattice) >= TRANSPARENT_SHARE) return 'transparent';
  const variance = Math.max(...Array.from({ length: channels === 1 ? 1 : 3 }, (_, c) => varianceOf(image, c, lattice)));
  if (variance === 0) return 'flat';
  return variance < NEARLY_FLAT ** 2 ? 'nearlyFlat' : undefined;
}

/** Numbers of pixels on a lattice, the corners among them. */
function latticeOf(width: number, height: number): Uint32Array {
  const [columns, rows] = [Math.min(width, LATTICE), Math.min(height, LATTICE)];
  const pixels = new Uint32Array(columns * rows);
  for (let j = 0; j < rows; j++) {
    const y = Math.round((j * (height - 1)) / Math.max(1, rows - 1));
    for (let i = 0; i < columns; i++) {
      pixels[j * columns + i] = y * width + Math.round((i * (width - 1)) / Math.max(1, columns - 1));
    }
  }
  return pixels;
}

function unseenShare({ data, channels }: NativeImage, lattice: Uint32Array): number {
  let unseen = 0;
  for (const pixel of lattice) if (data[pixel * channels + 3]! < SEEN_ALPHA) unseen++;
  return unseen / lattice.length;
}

/** Exact for whole numbers: 0 means that all are equal. */
function varianceOf({ data, channels }: NativeImage, channel: number, lattice: Uint32Array): number {
  let [sum, square] = [0, 0];
  for (let i = 0; i < lattice.length; i++) {
    const value = data[lattice[i]! * channels + channel]!;
    sum += value;
    square += value * value;
  }
  const n = lattice.length;
  return (n * square - sum * sum) / (n * n);
}
