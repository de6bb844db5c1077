/** Paths of images: files as given, folders and globs expanded and sorted. */
import { type Stats, statSync } from 'node:fs';
import { readdir, realpath, stat } from 'node:fs/promises';
import { extname, join, relative, sep } from 'node:path';
import { ClipnError, isOfSystem, isOutOfHandles } from '../base/errors';
import { headOf, isImageHead } from './file-kind';

const EXTENSIONS: ReadonlySet<string> = new Set(
  '.jpg .jpeg .jpe .jif .jfif .png .webp .gif .tif .tiff .avif .bmp .dib'.split(' '),
);
/** Other files that are looked into at the same time. */
const LOOKED_INTO = 16;

/** For messages about a folder without images. */
export const NO_IMAGE_HINT = 'JPEG, PNG, WebP, GIF, TIFF, AVIF and BMP files are looked for, whatever their names.';

/** Whether a file is an image by its extension. */
export function isImageName(name: string): boolean {
  return EXTENSIONS.has(extname(name).toLowerCase());
}

export interface ImageListing {
  /** Relative to the folder, sorted by code unit. */
  images: string[];
  /** Files that are no images. */
  otherFiles: number;
}

/**
 * Images below a folder: by their extension, and what has another name by its first bytes. Names that begin with a dot
 * are left out, and so are links to what lies in the folder itself, which is listed already.
 *
 * @throws ERR_CLIPN_IO when a folder cannot be listed, or the process may open no more files
 */
export function listImages(folder: string): Promise<ImageListing> {
  return listing(folder, () => imagesIn(folder));
}

/** Runs `list`, which looks into a folder. @throws ERR_CLIPN_IO when the system refuses */
export async function listing<T>(folder: string, list: () => Promise<T>): Promise<T> {
  try {
    return await list();
  } catch (cause) {
    if (!isOfSystem(cause)) throw cause;
    throw new ClipnError('ERR_CLIPN_IO', `cannot list the folder ${folder}: ${cause.message}`, { cause });
  }
}

/** What lies there; undefined where nothing does. @throws ERR_CLIPN_IO when the system refuses to look */
export function statUnlessAbsent(path: string): Promise<Stats | undefined> {
  return listing(path, async () => statSync(path, { throwIfNoEntry: false }));
}

async function imagesIn(folder: string): Promise<ImageListing> {
  const files: string[] = [];
  const root = await realpath(folder);
  await walk({ folder, root, seen: new Set([root]), files }, '');
  const images = files.filter(isImageName);
  const others = files.filter((name) => !isImageName(name));
  for (let at = 0; at < others.length; at += LOOKED_INTO) {
    const some = others.slice(at, at + LOOKED_INTO);
    // What cannot be opened, and what is no regular file, is no image that can be had.
    const unlessNoneOpens = (error: unknown) => {
      if (isOutOfHandles(error)) throw error;
      return false;
    };
    const found = await Promise.all(some.map((name) => looksLikeImage(join(folder, name)).catch(unlessNoneOpens)));
    images.push(...some.filter((_, index) => found[index]));
  }
  return { images: images.sort(), otherFiles: files.length - images.length };
}

interface Walk {
  folder: string;
  root: string;
  /** Folders that were entered, by their real paths. */
  seen: Set<string>;
  files: string[];
}

async function walk(state: Walk, below: string): Promise<void> {
  const { folder, root, seen, files } = state;
  for (const entry of await readdir(join(folder, below), { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue;
    const name = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isFile()) files.push(name);
    else if (entry.isDirectory()) await walk(state, name);
    else if (entry.isSymbolicLink()) {
      const target = await realpath(join(folder, name)).catch(() => undefined);
      if (target === undefined) {
        if (isImageName(name)) files.push(name); // a link into nothing: told when it is read
        continue;
      }
      if (seen.has(target) || isListed(root, target)) continue;
      const info = await stat(target);
      if (info.isFile()) files.push(name);
      else if (info.isDirectory()) {
        seen.add(target);
        await walk(state, name);
      }
    }
  }
}

/** Whether what lies there is listed under its own name: it is below the folder, and no part of its path is hidden. */
function isListed(root: string, target: string): boolean {
  if (target !== root && !target.startsWith(root + sep)) return false;
  return !relative(root, target)
    .split(sep)
    .some((part) => part.startsWith('.'));
}

async function looksLikeImage(path: string): Promise<boolean> {
  return (await stat(path)).isFile() && isImageHead(await headOf(path));
}

/**
 * Files named directly are kept whatever their name, so that a misspelt path is answered with its own error.
 *
 * @param onOther gets each folder that has other files too, and how many
 */
export async function findImages(
  operands: readonly string[],
  onOther?: (folder: string, count: number) => void,
): Promise<string[]> {
  const found: string[] = [];
  for (const operand of operands) {
    // Whatever the system says here, it says again to who reads the image.
    const info = await stat(operand).catch(() => undefined);
    // Not spread into `push`: a folder may hold more files than a call takes arguments.
    if (info?.isDirectory()) for (const image of await imagesBelow(operand, onOther)) found.push(image);
    else if (!info) for (const image of await matching(operand)) found.push(image);
    else found.push(operand);
  }
  return found;
}

async function imagesBelow(folder: string, onOther?: (folder: string, count: number) => void): Promise<string[]> {
  const { images, otherFiles } = await listImages(folder);
  if (images.length === 0) {
    throw new ClipnError('ERR_CLIPN_IMAGE_NOT_FOUND', `the folder ${folder} holds no image`, { hint: NO_IMAGE_HINT });
  }
  if (otherFiles > 0) onOther?.(folder, otherFiles);
  return images.map((name) => join(folder, name));
}

/** The files that match a pattern; what is no pattern stays as it is. */
async function matching(pattern: string): Promise<string[]> {
  const { glob, isDynamicPattern } = require('tinyglobby') as typeof import('tinyglobby');
  if (!isDynamicPattern(pattern)) return [pattern];
  const files = (await glob(pattern, { onlyFiles: true, expandDirectories: false })).sort();
  if (files.length === 0) throw new ClipnError('ERR_CLIPN_IMAGE_NOT_FOUND', `no file matches ${pattern}`);
  return files;
}
