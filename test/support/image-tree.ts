/** Folders of small drawn images, each different from the others. */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';

/** PNG of a coloured gradient with a bar; `seed` decides it. */
async function drawing(seed: number): Promise<Buffer> {
  const [width, height] = [40 + (seed % 7) * 8, 40 + (seed % 5) * 8];
  const data = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const at = (y * width + x) * 3;
      const bar = (x + seed * 3) % 16 < 4 ? 90 : 0;
      data[at] = (x * (1 + (seed % 4)) + seed * 37) % 256;
      data[at + 1] = (y * (1 + (seed % 3)) + seed * 101 + bar) % 256;
      data[at + 2] = ((x + y) * (1 + (seed % 2)) + seed * 59) % 256;
    }
  }
  return await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toBuffer();
}

/**
 * Writes `count` images into each of these sub-folders of `root` ('' for `root` itself), named 000.png, 001.png, …
 *
 * @param seed of the first image; the next ones follow
 * @returns the seed after the last
 */
export async function drawImages(
  root: string,
  folders: readonly string[],
  count: number,
  seed: number,
): Promise<number> {
  for (const folder of folders) {
    mkdirSync(path.join(root, folder), { recursive: true });
    for (let i = 0; i < count; i++) {
      writeFileSync(path.join(root, folder, `${String(i).padStart(3, '0')}.png`), await drawing(seed++));
    }
  }
  return seed;
}
