/** Operands of `check` to image paths: files as given, folders and globs expanded and sorted. */
import { statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { glob, isDynamicPattern } from 'tinyglobby';
import { ClipnError } from './errors';

export const IMAGE_EXTENSIONS: ReadonlySet<string> = new Set([
  '.jpg',
  '.jpeg',
  '.png',
  '.webp',
  '.gif',
  '.tif',
  '.tiff',
  '.avif',
]);

/** Whether a file is an image by its extension. */
export function isImageName(name: string): boolean {
  return IMAGE_EXTENSIONS.has(extname(name).toLowerCase());
}

/** Files named directly are kept whatever their name, so that a misspelt path is answered with its own error. */
export async function findImages(operands: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const operand of operands) {
    const info = statSync(operand, { throwIfNoEntry: false });
    if (info?.isDirectory()) found.push(...(await imagesBelow(operand)));
    else if (!info && isDynamicPattern(operand)) found.push(...(await matching(operand)));
    else found.push(operand);
  }
  return found;
}

async function imagesBelow(folder: string): Promise<string[]> {
  const names = await glob('**/*', { cwd: folder, onlyFiles: true, expandDirectories: false });
  const images = names.filter(isImageName).sort();
  if (images.length === 0) {
    throw new ClipnError('ERR_CLIPN_IMAGE_NOT_FOUND', `the folder ${folder} holds no image`, {
      hint: `Images are told by their extension: ${[...IMAGE_EXTENSIONS].join(' ')}.`,
    });
  }
  return images.map((name) => join(folder, name));
}

async function matching(pattern: string): Promise<string[]> {
  const files = (await glob(pattern, { onlyFiles: true, expandDirectories: false })).sort();
  if (files.length === 0) throw new ClipnError('ERR_CLIPN_IMAGE_NOT_FOUND', `no file matches ${pattern}`);
  return files;
}
