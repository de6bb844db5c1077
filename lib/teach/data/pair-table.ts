/** A CSV or TSV file with a row a sample: the path of an image, relative to the file, and a caption. */
import { createReadStream } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { suggestion } from '../../base/wording';
import {
  type BrokenSample,
  type DataImage,
  type Dataset,
  type DatasetOptions,
  fingerprintOf,
  IMAGES_PER_PART,
  noData,
  pieces,
} from './dataset';

const IMAGE_COLUMNS = ['filepath', 'file_path', 'path', 'image_path', 'image', 'filename', 'file'];
const CAPTION_COLUMNS = ['title', 'caption', 'text', 'sentence'];

export async function openPairTable(
  file: string,
  { imageColumn, captionColumn }: Pick<DatasetOptions, 'imageColumn' | 'captionColumn'>,
): Promise<Dataset> {
  const rows = await readRows(file);
  const header = rows.shift();
  if (!header || rows.length === 0) throw noData(`${file} has no rows below its header`);
  const imageAt = columnOf(header, imageColumn, IMAGE_COLUMNS, file, 'image paths', '--image-column');
  const captionAt = columnOf(header, captionColumn, CAPTION_COLUMNS, file, 'captions', '--caption-column');
  // Rows of one image are kept together: it is encoded once.
  const captionsOf = new Map<string, string[]>();
  let withoutCaption = 0;
  let withoutImage = 0;
  for (const row of rows) {
    const image = row[imageAt]?.trim();
    const caption = row[captionAt]?.trim();
    if (!image) withoutImage++;
    else if (!caption) withoutCaption++;
    else if (captionsOf.has(image)) captionsOf.get(image)!.push(caption);
    else captionsOf.set(image, [caption]);
  }
  if (captionsOf.size === 0) throw noData(`${file} has no row with both an image and a caption`);
  const folder = dirname(resolve(file));
  const stamp = await fingerprintOf(file, '');
  const parts = [];
  for (const piece of pieces([...captionsOf], IMAGES_PER_PART)) {
    const first = parts.length === 0;
    parts.push({
      name: `${file}, images ${parts.length * IMAGES_PER_PART + 1} to ${parts.length * IMAGES_PER_PART + piece.length}`,
      images: piece.length,
      samples: piece.reduce((sum, [, captions]) => sum + captions.length, 0),
      fingerprint: `${stamp}${JSON.stringify(piece)}`,
      async *read(): AsyncGenerator<DataImage | BrokenSample> {
        for (let i = 0; first && i < withoutCaption; i++) yield { name: file, broken: 'no caption' };
        for (let i = 0; first && i < withoutImage; i++) yield { name: file, broken: 'no image' };
        for (const [name, captions] of piece) yield { name, image: resolve(folder, name), captions };
      },
    });
  }
  return { kind: 'table', parts, warnings: [] };
}

async function readRows(file: string): Promise<string[][]> {
  const { parse } = await import('csv-parse');
  const rows: string[][] = [];
  const source = createReadStream(file);
  const parser = source.pipe(
    parse({
      bom: true,
      // open_clip's .csv files are tab-separated: the first line tells.
      delimiter: await delimiterOf(file),
      relax_column_count: true,
      skip_empty_lines: true,
    }),
  );
  source.on('error', (error) => parser.destroy(error));
  try {
    for await (const row of parser) rows.push(row as string[]);
  } catch (cause) {
    throw noData(`cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
  return rows;
}

async function delimiterOf(file: string): Promise<string> {
  try {
    for await (const chunk of createReadStream(file, { encoding: 'utf8', highWaterMark: 1 << 16 })) {
      return (chunk as string).split('\n', 1)[0]!.includes('\t') ? '\t' : ',';
    }
  } catch (cause) {
    throw noData(`cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
  return ',';
}

function columnOf(
  header: readonly string[],
  asked: string | undefined,
  usual: readonly string[],
  file: string,
  what: string,
  flag: string,
): number {
  const names = header.map((name) => name.trim().toLowerCase());
  const at = asked === undefined ? names.findIndex((name) => usual.includes(name)) : names.indexOf(asked.toLowerCase());
  if (at >= 0) return at;
  const wanted = asked === undefined ? `none of ${usual.join(', ')}` : `no ${asked}.${suggestion(asked, header)}`;
  throw noData(`${file} has no column of ${what}: ${wanted}; its columns are ${header.join(', ')} (${flag} names one)`);
}
