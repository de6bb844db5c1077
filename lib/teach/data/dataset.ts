/** What training data is: images with captions, in parts that are read one after the other. */
import { stat } from 'node:fs/promises';
import { ClipnError } from '../../base/errors';

/** An image, as a path or encoded bytes, and the captions that are true of it; each makes a sample. */
export interface DataImage {
  /** For messages. */
  name: string;
  image: string | Uint8Array;
  captions: readonly string[];
  /** Of data with classes: the captions are the class's. */
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
  /** How many samples, likewise. */
  samples?: number;
  read(): AsyncIterable<DataImage | BrokenSample>;
}

/** A class's captions, one of which is drawn each time. */
export interface DataClass {
  name: string;
  captions: readonly string[];
}

export interface Dataset {
  kind: 'class folders' | 'captioned files' | 'WebDataset' | 'table';
  parts: readonly DataPart[];
  /** Of class folders, and of shards with class numbers. */
  classes?: readonly DataClass[];
  /** What was left out on the way. */
  warnings: readonly string[];
}

export interface DatasetOptions {
  templates: string;
  names?: string | undefined;
  imageColumn?: string | undefined;
  captionColumn?: string | undefined;
  delimiter?: string | undefined;
  imageField?: string | undefined;
  captionField?: string | undefined;
}

/** Images a part, what an interruption loses at most. */
export const IMAGES_PER_PART = 2048;

export function noData(message: string, options: { cause?: unknown; hint?: string } = {}): ClipnError {
  return new ClipnError('ERR_CLIPN_TEACH_DATA', message, options);
}

/** For what `read` throws, of which the code stays. */
export function cannotRead(path: string, cause: unknown): ClipnError {
  if (cause instanceof ClipnError) return cause;
  const undecodable = cause instanceof TypeError && (cause as NodeJS.ErrnoException).code?.startsWith('ERR_ENCODING');
  const what = undecodable ? 'not UTF-8 or UTF-16 text' : (cause as Error).message;
  return noData(`cannot read ${path}: ${what}`, { cause });
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
