/** Tables with a row a sample: an image and a caption. A path in one is relative to the table. */
import { dirname, extname, resolve } from 'node:path';
import { ADDRESSES_HINT } from './columns';
import {
  type BrokenSample,
  type DataImage,
  type DataPart,
  type Dataset,
  fingerprintOf,
  IMAGES_PER_PART,
  noData,
  pieces,
} from './dataset';
import { type Pair, readDelimited, type TableOptions } from './delimited';
import { readJsonLines } from './json-lines';
import { openParquet } from './parquet';

const DELIMITED = ['.csv', '.tsv'];
const JSON_LINES = ['.jsonl', '.ndjson'];
const PARQUET = '.parquet';

const extensionOf = (file: string) => extname(file).toLowerCase();

/** By its extension. */
export const isTable = (file: string): boolean => [...DELIMITED, ...JSON_LINES, PARQUET].includes(extensionOf(file));

/** @param files for which `isTable` */
export async function openTables(files: readonly string[], options: TableOptions): Promise<Dataset> {
  const parts: DataPart[] = [];
  for (const file of files) {
    const extension = extensionOf(file);
    if (DELIMITED.includes(extension)) parts.push(...(await partsOf(file, readDelimited(file, options))));
    else if (options.delimiter !== undefined)
      throw noData(`${file} has no delimiter: --delimiter is for .csv and .tsv`);
    else if (JSON_LINES.includes(extension)) parts.push(...(await partsOf(file, readJsonLines(file, options))));
    else {
      const opened = await openParquet(file, options);
      parts.push(...('part' in opened ? [opened.part] : await partsOf(file, opened.pairs)));
    }
  }
  return { kind: 'table', parts, warnings: [] };
}

/** Rows of one image are kept together: it is encoded once. */
async function partsOf(file: string, pairs: AsyncIterable<Pair>): Promise<DataPart[]> {
  const captionsOf = new Map<string, string[]>();
  const without = { 'no caption': 0, 'no image': 0, 'image is an address': 0 };
  let address: string | undefined;
  for await (const { image, captions } of pairs) {
    if (image === '') without['no image']++;
    else if (/^[a-z]+:\/\//i.test(image)) {
      without['image is an address']++;
      address ??= image;
    } else if (captions.length === 0) without['no caption']++;
    else if (captionsOf.has(image)) captionsOf.get(image)!.push(...captions);
    else captionsOf.set(image, captions);
  }
  if (captionsOf.size === 0 && address !== undefined) {
    throw noData(`${file} holds addresses of images, such as ${address}, not images`, { hint: ADDRESSES_HINT });
  }
  if (captionsOf.size === 0) throw noData(`${file} has no row with both an image and a caption`);
  const folder = dirname(resolve(file));
  const stamp = await fingerprintOf(file, '');
  const parts: DataPart[] = [];
  for (const piece of pieces([...captionsOf], IMAGES_PER_PART)) {
    const first = parts.length === 0;
    parts.push({
      name: `${file}, images ${parts.length * IMAGES_PER_PART + 1} to ${parts.length * IMAGES_PER_PART + piece.length}`,
      images: piece.length,
      samples: piece.reduce((sum, [, captions]) => sum + captions.length, 0),
      fingerprint: `${stamp}${JSON.stringify(piece)}`,
      async *read(): AsyncGenerator<DataImage | BrokenSample> {
        for (const [broken, count] of first ? Object.entries(without) : []) {
          for (let i = 0; i < count; i++) yield { name: file, broken };
        }
        for (const [name, captions] of piece) yield { name, image: resolve(folder, name), captions };
      },
    });
  }
  return parts;
}
