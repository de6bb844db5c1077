/** Paths of images: files as given, folders and globs expanded and sorted. */
import { statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { ClipnError } from '../base/errors';

const EXTENSIONS: ReadonlySet<string> = new Set(['.jpg', '.jpeg', '.png', '.webp', '.gif', '.tif', '.tiff', '.avif']);

/** For messages about a folder without images. */
export const EXTENSIONS_HINT = `Images are told by their extension: ${[...EXTENSIONS].join(' ')}.`;

/** Whether a file is an image by its extension. */
export function isImageName(name: string): boolean {
  return EXTENSIONS.has(extname(name).toLowerCase());
}

/** Images below a folder, relative to it and sorted by code unit, and how many other files there are; no dot files. */
export async function listImages(folder: string): Promise<{ images: string[]; otherFiles: number }> {
  // Found on first use: a program that names its images itself never loads it.
  const { glob } = await import('tinyglobby');
  const files = await glob('**/*', { cwd: folder, onlyFiles: true, expandDirectories: false });
  const images = files.filter(isImageName).sort();
  return { images, otherFiles: files.length - images.length };
}

/** Files named directly are kept whatever their name, so that a misspelt path is answered with its own error. */
export async function findImages(operands: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const operand of operands) {
    const info = statSync(operand, { throwIfNoEntry: false });
    if (info?.isDirectory()) found.push(...(await imagesBelow(operand)));
    else if (!info) found.push(...(await matching(operand)));
    else found.push(operand);
  }
  return found;
}

async function imagesBelow(folder: string): Promise<string[]> {
  const { images } = await listImages(folder);
  if (images.length === 0) {
    throw new ClipnError('ERR_CLIPN_IMAGE_NOT_FOUND', `the folder ${folder} holds no image`, {
      hint: EXTENSIONS_HINT,
    });
  }
  return images.map((name) => join(folder, name));
}

/** The files that match a pattern; what is no pattern stays as it is. */
async function matching(pattern: string): Promise<string[]> {
  const { glob, isDynamicPattern } = await import('tinyglobby');
  if (!isDynamicPattern(pattern)) return [pattern];
  const files = (await glob(pattern, { onlyFiles: true, expandDirectories: false })).sort();
  if (files.length === 0) throw new ClipnError('ERR_CLIPN_IMAGE_NOT_FOUND', `no file matches ${pattern}`);
  return files;
}
