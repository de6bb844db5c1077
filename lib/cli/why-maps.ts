/** `check --why-maps`: a PNG for each image that shows where in it yes is ahead of no. */
import { mkdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { writeThenRename } from '../base/write-file';
import type { DecodeOptions } from '../images/decode';
import type { ImageInput } from '../images/image-input';
import { overlay, type PatchMap } from '../images/overlay';

/** Characters of an image's own name in that of its map. */
const NAME_CHARACTERS = 60;

/** The number of the image in the call makes names differ, and nothing of a path but letters, digits, dots and dashes. */
export function mapName(index: number, image: string): string {
  const own = basename(image).replaceAll(/[^\p{L}\p{N}._-]+/gu, '_');
  return `${String(index + 1).padStart(4, '0')}-${[...own].slice(0, NAME_CHARACTERS).join('')}.png`;
}

/** @throws ERR_CLIPN_IO */
export async function writeMap(
  folder: string,
  name: string,
  image: ImageInput,
  map: PatchMap,
  options: DecodeOptions,
): Promise<void> {
  const png = await overlay(image, map, options);
  await writeThenRename(join(folder, name), async (temporary) => {
    await mkdir(folder, { recursive: true });
    await writeFile(temporary, png);
  });
}
