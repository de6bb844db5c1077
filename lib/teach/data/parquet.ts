/** Parquet files: a column of captions, and one of images, which are paths or encoded bytes. */
import { once } from 'node:events';
import { dirname, resolve } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { FileMetaData, SchemaTree } from 'hyparquet' with { 'resolution-mode': 'import' };
import { type ColumnOptions, captionsIn, chooseColumns } from './columns';
import { type BrokenSample, cannotRead, type DataImage, type DataPart, fingerprintOf, noData } from './dataset';
import type { Pair } from './delimited';

/** Time for a row group: this, and a second for each megabyte of the file, but no more than ten minutes. */
const GROUP_MS = 30_000;
const LONGEST_MS = 600_000;

interface ParquetFile {
  path: string;
  metadata: FileMetaData;
  /** Most that a row group may take. */
  groupMs: number;
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
  const { asyncBufferFromFile, parquetMetadataAsync, parquetSchema } = await import('hyparquet');
  let opened: Pick<ParquetFile, 'path' | 'metadata' | 'groupMs'>;
  try {
    const buffer = await asyncBufferFromFile(path);
    const groupMs = Math.min(LONGEST_MS, (options.groupMs ?? GROUP_MS) + Math.ceil(buffer.byteLength / 1000));
    opened = { path, metadata: await parquetMetadataAsync(buffer), groupMs };
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

/** Rows, a row group at a time, from a thread that is ended when one takes too long: hyparquet trusts counts in its pages. */
async function* rowsOf(file: ParquetFile): AsyncGenerator<Record<string, unknown>> {
  const { path, metadata, image, caption, groupMs } = file;
  const worker = new Worker(require.resolve('./parquet-worker'), { workerData: { path, columns: [image, caption] } });
  // What it throws between two row groups is told with the next.
  let thrown: unknown;
  worker.on('error', (error) => {
    thrown = error;
  });
  try {
    for (const { num_rows } of metadata.row_groups) {
      if (thrown !== undefined) throw thrown;
      worker.postMessage('next');
      const signal = AbortSignal.timeout(groupMs);
      const [rows] = (await once(worker, 'message', { signal }).catch((cause: unknown) => {
        if (!signal.aborted) throw cause;
        throw new Error(`${num_rows} rows took more than ${Math.round(groupMs / 1000)} s to read`);
      })) as [Record<string, unknown>[]];
      yield* rows;
    }
  } finally {
    await worker.terminate();
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
