/** Images to what a CLIP image tower reads, as a user without clipn-native does it: sharp's own resize, then JavaScript. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { cycled } from './serve';

/** Side of the square that ViT-B/16 sees. */
export const SIDE = 224;

const MEAN = [0.48145466, 0.4578275, 0.40821073];
const STD = [0.26862954, 0.26130258, 0.27577711];

/** n of the images that the suite prepared, uint8 [SIDE, SIDE, 3] each: the same for every contender. */
export function preparedPixels(files: string, n: number): Uint8Array[] {
  const all = readFileSync(join(files, 'pixels.u8'));
  const each = SIDE * SIDE * 3;
  const images = Array.from({ length: all.length / each }, (_, i) => all.subarray(i * each, (i + 1) * each));
  return cycled(images, n);
}

/** n images, uint8 [SIDE, SIDE, 3], to float [n, 3, SIDE, SIDE], normalised. */
export function normalise(images: readonly Uint8Array[]): Float32Array {
  const plane = SIDE * SIDE;
  const out = new Float32Array(images.length * 3 * plane);
  images.forEach((pixels, i) => {
    for (let c = 0; c < 3; c++) {
      const scale = 1 / (255 * STD[c]!);
      const shift = MEAN[c]! / STD[c]!;
      const target = (3 * i + c) * plane;
      for (let p = 0; p < plane; p++) out[target + p] = pixels[3 * p + c]! * scale - shift;
    }
  });
  return out;
}

/** sharp's bicubic to the shorter side and a centre crop: not Pillow's pixels (docs/pixels.md). */
export function cropped(image: sharp.Sharp): Promise<Buffer> {
  return image
    .resize(SIDE, SIDE, { fit: 'cover', kernel: 'cubic' })
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer();
}

/** A batch of files, decoded in parallel, to float [n, 3, SIDE, SIDE]. */
export async function readBatch(paths: readonly string[]): Promise<Float32Array> {
  return normalise(await Promise.all(paths.map((path) => cropped(sharp(path)))));
}
