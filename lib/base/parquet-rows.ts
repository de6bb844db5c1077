/** Rows of a Parquet file, read by a thread that is ended when a damaged file would keep it for ever. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { FileMetaData, SchemaTree } from 'hyparquet' with { 'resolution-mode': 'import' };
import { ClipnError, type ClipnErrorCode, isOfSystem } from './errors';

/** Time for a row group: this, and a second for each megabyte of the file, but no more than ten minutes. */
const GROUP_MS = 30_000;
const LONGEST_MS = 600_000;

export interface ParquetTable {
  path: string;
  metadata: FileMetaData;
  /** The columns, in order. */
  columns: SchemaTree[];
  /** Most that a row group may take. */
  groupMs: number;
}

export const isParquet = (path: string): boolean => /\.parquet$/i.test(path);

/** Reads what a file says of itself. @throws Error what is wrong with it, or what the system says */
export async function openParquetTable(path: string, groupMs = GROUP_MS): Promise<ParquetTable> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetSchema } = await import('hyparquet');
  const buffer = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(buffer);
  const schema = parquetSchema(metadata);
  assertColumns(metadata, schema);
  const longest = Math.min(LONGEST_MS, groupMs + Math.ceil(buffer.byteLength / 1000));
  return { path, metadata, columns: schema.children, groupMs: longest };
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

/**
 * Rows in order, with these columns alone, a row group at a time: hyparquet trusts counts in its pages.
 *
 * @throws Error what is wrong with the file
 */
export async function* parquetRows(table: ParquetTable, columns: string[]): AsyncGenerator<Record<string, unknown>> {
  const { path, metadata, groupMs } = table;
  const worker = new Worker(require.resolve('./parquet-worker'), { workerData: { path, columns } });
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

/** Why a table cannot be read: the system's reason, else damage, which has a code of its own. An error of ours stays. */
export function tableError(path: string, cause: unknown, damaged: ClipnErrorCode): ClipnError {
  if (cause instanceof ClipnError) return cause;
  const code = isOfSystem(cause) ? 'ERR_CLIPN_IO' : damaged;
  return new ClipnError(code, `cannot read ${path}: ${(cause as Error).message}`, { cause, details: { path } });
}
