/** Lists of images: lines of a text, a column of a CSV file, a folder, a prefix of a store. Read as a stream. */
import { createReadStream } from 'node:fs';
import { opendir, stat } from 'node:fs/promises';
import { dirname, extname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream';
import { ServeError } from '../errors';
import { isS3, parseS3, s3 } from './s3';

/** An image of a batch, as it stands in a shard's list. */
export interface Entry {
  /** An absolute path, or s3://BUCKET/KEY. */
  image: string;
  /** What the list says it belongs to, such as the name of a data set. */
  set?: string;
}

export interface ListOptions {
  /** Columns of CSV files. */
  column?: string;
  setColumn?: string;
  /** Called for a folder or prefix with how much below it was left out, for its name is not an image's. */
  onOther?: (list: string, count: number) => void;
}

/** As `clipn-native check FOLDER` knows images by their names. */
const IMAGES = '.jpg .jpeg .jpe .jif .jfif .png .webp .gif .tif .tiff .avif .bmp .dib'.split(' ');
const isImage = (name: string) => IMAGES.includes(extname(name).toLowerCase());

const refuse = (what: string, cause?: unknown) => new ServeError('ERR_SERVE_BATCH_LIST', what, { cause });

/**
 * The images that lists name, in their order: a `.csv` file, another file with an address a line (blank lines and lines that
 * begin with `#` are none), a folder with all that is below it, or `s3://BUCKET/PREFIX/`. Relative paths are relative to the
 * list's folder.
 *
 * @throws ERR_SERVE_BATCH_LIST; ERR_SERVE_S3_ACCESS
 */
export async function* readLists(lists: readonly string[], options: ListOptions): AsyncGenerator<Entry> {
  for (const list of lists) {
    let others = 0;
    const other = () => others++;
    if (isS3(list)) yield* ofPrefix(list, other);
    else if (await isFolder(list)) yield* ofFolder(resolve(list), other);
    else if (extname(list).toLowerCase() === '.csv') yield* ofCsv(list, options);
    else yield* ofLines(list);
    if (others > 0) options.onOther?.(list, others);
  }
}

const unreadable = (list: string, cause: unknown) =>
  refuse(`cannot read the list ${list}: ${(cause as Error).message}`, cause);

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

async function* ofPrefix(address: string, other: () => void): AsyncGenerator<Entry> {
  const { bucket, key } = parseS3(address);
  if (key !== '' && !key.endsWith('/')) {
    throw refuse(`${address}: a list is a file of this computer, or all below s3://BUCKET/PREFIX/ with its last slash`);
  }
  try {
    for await (const name of s3().list({ bucket, key })) {
      if (isImage(name)) yield { image: `s3://${bucket}/${name}` };
      else other();
    }
  } catch (cause) {
    throw cause instanceof ServeError ? cause : refuse(`cannot list ${address}: ${(cause as Error).message}`, cause);
  }
}

/** Sorted within each folder, so that the same folder gives the same shards. Links to folders are not followed. */
async function* ofFolder(folder: string, other: () => void): AsyncGenerator<Entry> {
  const names: { name: string; folder: boolean }[] = [];
  try {
    for await (const entry of await opendir(folder)) {
      if (!entry.name.startsWith('.')) names.push({ name: entry.name, folder: entry.isDirectory() });
    }
  } catch (cause) {
    throw unreadable(folder, cause);
  }
  names.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const each of names) {
    const path = join(folder, each.name);
    if (each.folder) yield* ofFolder(path, other);
    else if (isImage(each.name)) yield { image: path };
    else other();
  }
}

async function* ofLines(list: string): AsyncGenerator<Entry> {
  const folder = dirname(resolve(list));
  for await (const line of linesOf(list)) {
    const address = line.trim();
    if (address !== '' && !address.startsWith('#')) yield { image: absolute(address, folder, list) };
  }
}

async function* linesOf(list: string): AsyncGenerator<string> {
  try {
    yield* createInterface({ input: createReadStream(list), crlfDelay: Number.POSITIVE_INFINITY });
  } catch (cause) {
    throw unreadable(list, cause);
  }
}

async function* ofCsv(list: string, { column = 'image', setColumn }: ListOptions): AsyncGenerator<Entry> {
  const { CsvError, parse } = await import('csv-parse');
  const folder = dirname(resolve(list));
  const rows = parse({ bom: true, trim: true, skip_empty_lines: true });
  pipeline(createReadStream(list), rows, () => undefined); // its error comes out of the rows
  let at: { image: number; set: number } | undefined;
  try {
    for await (const row of rows as AsyncIterable<string[]>) {
      if (at === undefined) {
        at = {
          image: positionOf(column, row, list),
          set: setColumn === undefined ? -1 : positionOf(setColumn, row, list),
        };
        continue;
      }
      const image = row[at.image]!;
      if (image === '') throw refuse(`${list}: a row has nothing in the column ${column}`);
      yield { image: absolute(image, folder, list), ...(at.set >= 0 && { set: row[at.set]! }) };
    }
  } catch (cause) {
    if (cause instanceof CsvError) throw refuse(`${list}, line ${cause['lines']}: ${cause.message}`, cause);
    throw cause instanceof ServeError ? cause : unreadable(list, cause);
  }
}

function positionOf(column: string, header: readonly string[], list: string): number {
  const position = header.indexOf(column);
  if (position === -1) throw refuse(`${list} has no column ${column}, only ${header.slice(0, 8).join(', ')}`);
  return position;
}

function absolute(address: string, folder: string, list: string): string {
  if (isS3(address)) {
    parseS3(address);
    return address;
  }
  const [scheme] = /^[a-z][a-z0-9+.-]+:\/\//i.exec(address) ?? [];
  if (scheme !== undefined) throw refuse(`${list}: ${address}: an address begins with s3://, or is a path`);
  return resolve(folder, address);
}

/** As a shard's list has them: JSON, one a line. */
export const entriesToText = (entries: readonly Entry[]): string =>
  `${entries.map((entry) => JSON.stringify(entry)).join('\n')}\n`;

export function entriesOf(bytes: Uint8Array): Entry[] {
  const text = Buffer.from(bytes).toString('utf8').trimEnd();
  return text.split('\n').map((line) => JSON.parse(line) as Entry);
}
