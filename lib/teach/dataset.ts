/** Training data: images with captions, in parts that are read one after the other. Which kind it is shows in the path. */
import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { glob, isDynamicPattern } from 'tinyglobby';
import { ClipnError } from '../errors';
import { openClassFolders } from './class-folders';
import { openPairTable } from './pair-table';
import { openWebDataset } from './webdataset';

/** An image, as a path or encoded bytes, and the captions that are true of it; each makes a sample. */
export interface DataImage {
  /** For messages. */
  name: string;
  image: string | Uint8Array;
  captions: readonly string[];
  /** Of class folders: the captions are the class's. */
  class?: number;
}

/** A sample that cannot be used. */
export interface BrokenSample {
  name: string;
  /** In a few words, the same for all of a kind: it is counted. */
  broken: string;
}

export interface DataPart {
  /** For messages. */
  name: string;
  /** What it holds, as far as it can be told without reading it: names, sizes, times. */
  fingerprint: string;
  /** How many images, where that is known before they are read. */
  images?: number;
  read(): AsyncIterable<DataImage | BrokenSample>;
}

/** Of class folders: a class's captions, one of which is drawn each time. */
export interface DataClass {
  name: string;
  captions: readonly string[];
}

export interface Dataset {
  kind: 'class folders' | 'WebDataset' | 'table';
  parts: readonly DataPart[];
  /** Of class folders alone. */
  classes?: readonly DataClass[];
  /** What was left out on the way. */
  warnings: readonly string[];
}

export interface DatasetOptions {
  templates: string;
  names?: string | undefined;
  imageColumn?: string | undefined;
  captionColumn?: string | undefined;
}

/**
 * - a folder of .tar files, one .tar file, or a glob of them: WebDataset
 * - a .csv or .tsv file: a table of image paths and captions
 * - any other folder: class folders
 *
 * @throws ClipnError ERR_CLIPN_TEACH_DATA, saying what was expected there; ERR_CLIPN_TEMPLATES
 */
export async function openDataset(data: string, options: DatasetOptions): Promise<Dataset> {
  const info = await stat(data).catch(() => undefined);
  if (info?.isDirectory()) {
    const shards = await shardsIn('*.tar', data);
    return shards.length > 0 ? await openWebDataset(shards) : await openClassFolders(data, options);
  }
  if (info?.isFile()) {
    const extension = extname(data).toLowerCase();
    if (extension === '.tar') return await openWebDataset([data]);
    if (extension === '.csv' || extension === '.tsv') return await openPairTable(data, options);
    throw noData(`${data} is neither a folder, a .tar, a .csv nor a .tsv file`);
  }
  if (!info && isDynamicPattern(data)) {
    const shards = await shardsIn(data);
    if (shards.length > 0) return await openWebDataset(shards);
    throw noData(`no file matches ${data}`);
  }
  throw noData(`there is nothing at ${data}`);
}

async function shardsIn(pattern: string, cwd?: string): Promise<string[]> {
  const found = await glob(pattern, { onlyFiles: true, absolute: true, expandDirectories: false, ...(cwd && { cwd }) });
  return found.sort();
}

export function noData(message: string, options: { cause?: unknown } = {}): ClipnError {
  return new ClipnError('ERR_CLIPN_TEACH_DATA', message, options);
}

/** Name, size and time of a file. @throws ClipnError ERR_CLIPN_TEACH_DATA */
export async function fingerprintOf(path: string, name: string): Promise<string> {
  const info = await stat(path).catch((cause: Error) => {
    throw noData(`cannot read ${path}: ${cause.message}`, { cause });
  });
  return `${name} ${info.size} ${Math.trunc(info.mtimeMs)}\n`;
}

/** `list` in pieces of `size`. */
export function* pieces<T>(list: readonly T[], size: number): Generator<T[]> {
  for (let first = 0; first < list.length; first += size) yield list.slice(first, first + size);
}
