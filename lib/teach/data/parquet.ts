/** Parquet files: a column of captions, and one of images, which are paths or encoded bytes. */
import { dirname, resolve } from 'node:path';
import type { AsyncBuffer, FileMetaData, SchemaTree } from 'hyparquet' with { 'resolution-mode': 'import' };
import { type ColumnOptions, captionsIn, chooseColumns } from './columns';
import { type BrokenSample, cannotRead, type DataImage, type DataPart, fingerprintOf, noData } from './dataset';
import type { Pair } from './delimited';

interface ParquetFile {
  path: string;
  buffer: AsyncBuffer;
  metadata: FileMetaData;
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
  options: ColumnOptions,
): Promise<{ part: DataPart } | { pairs: AsyncIterable<Pair> }> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetSchema } = await import('hyparquet');
  let opened: Pick<ParquetFile, 'path' | 'buffer' | 'metadata'>;
  try {
    const buffer = await asyncBufferFromFile(path);
    opened = { path, buffer, metadata: await parquetMetadataAsync(buffer) };
    assertColumns(opened.metadata, parquetSchema(opened.metadata));
  } catch (cause) {
    throw cannotRead(path, cause);
  }
  const columns = parquetSchema(opened.metadata).children;
  const names = columns.map(({ element }) => element.name);
  const at = chooseColumns(names, options, path);
  const file = { ...opened, image: names[at.image]!, caption: names[at.caption]! };
  if (file.metadata.num_rows === 0n) throw noData(`${path} has no rows`);
  if (!holdsBytes(columns[at.image]!)) return { pairs: pairsOf(file) };
  const fingerprint = `${await fingerprintOf(path, '')}${file.image} ${file.caption}`;
  return { part: { name: path, fingerprint, read: () => imagesOf(file) } };
}

/**
 * hyparquet begins with every column of a row group before it looks at the next, and whatever it then stumbles over leaves
 * those that were begun without anybody to hear of their errors: that ends the process.
 *
 * @throws Error unless each row group has every column of the schema once
 */
function assertColumns({ row_groups }: FileMetaData, schema: SchemaTree): void {
  const leaves = (tree: SchemaTree): string[] =>
    tree.children.length === 0 ? [tree.path.join('.')] : tree.children.flatMap(leaves);
  const expected = leaves(schema).sort().join('\n');
  for (const { columns } of row_groups) {
    const found = columns.map(({ meta_data }) => meta_data?.path_in_schema.join('.') ?? '');
    if (found.sort().join('\n') !== expected) throw new Error('a row group has other columns than the file');
  }
}

/** Bytes that are no text; or, as Hugging Face's data sets have them, a struct with `bytes` and `path`. */
function holdsBytes({ element, children }: SchemaTree): boolean {
  if (children.length > 0) return children.some((child) => child.element.name === 'bytes');
  const text = element.converted_type === 'UTF8' || element.logical_type?.type === 'STRING';
  return element.type === 'BYTE_ARRAY' && !text;
}

async function* rowsOf({ buffer, metadata, image, caption }: ParquetFile): AsyncGenerator<Record<string, unknown>> {
  const { parquetReadObjects } = await import('hyparquet');
  const { compressors } = await import('hyparquet-compressors');
  const columns = [image, caption];
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    const rowEnd = rowStart + Number(group.num_rows);
    const options = { file: buffer, metadata, columns, compressors, utf8: false, rowStart, rowEnd };
    yield* await parquetReadObjects(options);
    rowStart = rowEnd;
  }
}

async function* pairsOf(file: ParquetFile): AsyncGenerator<Pair> {
  try {
    for await (const row of rowsOf(file)) {
      const image = row[file.image];
      yield { image: typeof image === 'string' ? image.trim() : '', captions: captionsIn(row[file.caption]) };
    }
  } catch (cause) {
    throw cannotRead(file.path, cause);
  }
}

/** What follows damage is lost and counted as one broken sample. */
async function* imagesOf(file: ParquetFile): AsyncGenerator<DataImage | BrokenSample> {
  let number = 0;
  try {
    for await (const row of rowsOf(file)) {
      number++;
      const name = `${file.path}, row ${number}`;
      const image = imageIn(row[file.image], file.path);
      const captions = captionsIn(row[file.caption]);
      if (image === undefined) yield { name, broken: 'no image' };
      else if (captions.length === 0) yield { name, broken: 'no caption' };
      else yield { name, image, captions };
    }
  } catch (error) {
    yield { name: `${file.path}: ${(error as Error).message}`, broken: 'Parquet file damaged' };
  }
}

function imageIn(value: unknown, file: string): string | Uint8Array | undefined {
  if (value instanceof Uint8Array) return value.length > 0 ? value : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  const { bytes, path } = value as { bytes?: unknown; path?: unknown };
  if (bytes instanceof Uint8Array && bytes.length > 0) return bytes;
  return typeof path === 'string' && path !== '' ? resolve(dirname(file), path) : undefined;
}
