/** Parquet files: a column of captions, and one of images, which are paths or encoded bytes. */
import { dirname, resolve } from 'node:path';
import type { SchemaTree } from 'hyparquet' with { 'resolution-mode': 'import' };
import { openParquetTable, type ParquetTable, parquetRows } from '../../base/parquet-rows';
import { type ColumnOptions, captionsIn, chooseColumns } from './columns';
import { type BrokenSample, cannotRead, type DataImage, type DataPart, fingerprintOf, noData } from './dataset';
import type { Pair } from './delimited';

interface ParquetFile {
  table: ParquetTable;
  /** Names of the columns. */
  image: string;
  caption: string;
}

/**
 * Where images are bytes, a part of its own, which is read a row group at a time; else rows, as other tables have them.
 *
 * @throws ClipnError ERR_CLIPN_TEACH_DATA
 */
export async function openParquet(
  path: string,
  options: ColumnOptions & { groupMs?: number },
): Promise<{ part: DataPart } | { pairs: AsyncIterable<Pair> }> {
  let table: ParquetTable;
  try {
    table = await openParquetTable(path, options.groupMs);
  } catch (cause) {
    throw cannotRead(path, cause);
  }
  const { columns, metadata } = table;
  const names = columns.map(({ element }) => element.name);
  const at = chooseColumns(names, options, path);
  const file = { table, image: names[at.image]!, caption: names[at.caption]! };
  if (metadata.num_rows === 0n) throw noData(`${path} has no rows`);
  if (!holdsBytes(columns[at.image]!)) return { pairs: pairsOf(file) };
  const fingerprint = `${await fingerprintOf(path, '')}${file.image} ${file.caption}`;
  return { part: { name: path, fingerprint, read: () => imagesOf(file) } };
}

/** Bytes that are no text; or, as Hugging Face's data sets have them, a struct with `bytes` and `path`. */
function holdsBytes({ element, children }: SchemaTree): boolean {
  if (children.length > 0) return children.some((child) => child.element.name === 'bytes');
  const text = element.converted_type === 'UTF8' || element.logical_type?.type === 'STRING';
  return element.type === 'BYTE_ARRAY' && !text;
}

const rowsOf = ({ table, image, caption }: ParquetFile) => parquetRows(table, [image, caption]);

async function* pairsOf(file: ParquetFile): AsyncGenerator<Pair> {
  try {
    for await (const row of rowsOf(file)) {
      const image = row[file.image];
      yield { image: typeof image === 'string' ? image.trim() : '', captions: captionsIn(row[file.caption]) };
    }
  } catch (cause) {
    throw cannotRead(file.table.path, cause);
  }
}

/** What follows damage is lost and counted as one broken sample. */
async function* imagesOf(file: ParquetFile): AsyncGenerator<DataImage | BrokenSample> {
  const { path } = file.table;
  let number = 0;
  try {
    for await (const row of rowsOf(file)) {
      number++;
      const name = `${path}, row ${number}`;
      const image = imageIn(row[file.image], path);
      const captions = captionsIn(row[file.caption]);
      if (image === undefined) yield { name, broken: 'no image' };
      else if (captions.length === 0) yield { name, broken: 'no caption' };
      else yield { name, image, captions };
    }
  } catch (error) {
    yield { name: `${path}: ${(error as Error).message}`, broken: 'Parquet file damaged' };
  }
}

function imageIn(value: unknown, file: string): string | Uint8Array | undefined {
  if (value instanceof Uint8Array) return value.length > 0 ? value : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  const { bytes, path } = value as { bytes?: unknown; path?: unknown };
  if (bytes instanceof Uint8Array && bytes.length > 0) return bytes;
  return typeof path === 'string' && path !== '' ? resolve(dirname(file), path) : undefined;
}
