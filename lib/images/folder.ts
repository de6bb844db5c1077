/** A folder as a data set: its images in a fixed order, the class folder of each, and the files that were left alone. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ClipnError } from '../base/errors';
import { firstFew } from '../base/wording';
import { listImages, listing, NO_IMAGE_HINT, statUnlessAbsent } from './find';

export interface ImageFolder {
  /** As given. */
  folder: string;
  /** Paths relative to the folder, sorted by code unit: the order of everything that follows. */
  images: string[];
  /** Names of the folders directly below, sorted; empty where there is none. */
  classes: string[];
  /** Index into `classes` of each image; -1 for an image that lies in none. */
  classOf: Int32Array;
  /** Files that are no images. Names that begin with a dot are not looked at. */
  otherFiles: number;
}

/** @throws ERR_CLIPN_DATA_FOLDER when there is no such folder or no image in it; ERR_CLIPN_IO when it cannot be listed */
export async function readImageFolder(folder: string): Promise<ImageFolder> {
  const info = await statUnlessAbsent(folder);
  if (!info?.isDirectory()) throw refusal(folder, info ? 'is not a folder' : 'does not exist');
  const { images, otherFiles } = await listImages(folder);
  if (images.length === 0) {
    const found = otherFiles === 0 ? 'is empty' : `holds no image, only ${otherFiles} other files`;
    throw refusal(folder, found, NO_IMAGE_HINT);
  }
  const classes = await listing(folder, () => foldersBelow(folder));
  const indexOf = new Map(classes.map((name, index) => [name, index]));
  const classOf = Int32Array.from(images, (image) => indexOf.get(image.slice(0, image.indexOf('/'))) ?? -1);
  return { folder, images, classes, classOf, otherFiles };
}

/** Names of the folders in it, and of links to folders, sorted; names that begin with a dot are left out. */
export async function foldersBelow(folder: string): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue;
    const isFolder = entry.isSymbolicLink()
      ? (await stat(join(folder, entry.name)).catch(() => undefined))?.isDirectory()
      : entry.isDirectory();
    if (isFolder) names.push(entry.name);
  }
  return names.sort();
}

/**
 * The layout of an ID folder: class folders, each with images and none beside them, or no class folder at all.
 *
 * @returns whether there are class folders
 * @throws ERR_CLIPN_DATA_FOLDER for anything between
 */
export function hasClassFolders({ folder, classes, classOf, images }: ImageFolder): boolean {
  if (classes.length === 0) return false;
  const outside = classOf.indexOf(-1);
  if (outside !== -1) {
    const count = classOf.filter((index) => index === -1).length;
    throw refusal(
      folder,
      `has class folders, but ${count} images lie beside them, e.g. ${images[outside]}`,
      'Put every image into the folder of its class, or all of them into one folder without sub-folders.',
    );
  }
  const filled = new Set(classOf);
  const empty = classes.filter((_, index) => !filled.has(index));
  if (empty.length > 0) {
    throw refusal(folder, `has class folders without an image: ${firstFew(empty)}`, 'Fill or remove them.');
  }
  return true;
}

export function refusal(folder: string, what: string, hint?: string): ClipnError {
  return new ClipnError('ERR_CLIPN_DATA_FOLDER', `the folder ${folder} ${what}`, {
    details: { folder },
    ...(hint !== undefined && { hint }),
  });
}
