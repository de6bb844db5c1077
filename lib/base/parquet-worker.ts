/** Runs as a thread: reads a Parquet file, a row group each time it is asked. */
import { once } from 'node:events';
import { parentPort, workerData } from 'node:worker_threads';

async function answer(port: NonNullable<typeof parentPort>): Promise<void> {
  const { path, columns } = workerData as { path: string; columns: string[] };
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import('hyparquet');
  const { compressors } = await import('hyparquet-compressors');
  const file = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(file);
  let rowStart = 0;
  for (const group of metadata.row_groups) {
    await once(port, 'message');
    const rowEnd = rowStart + Number(group.num_rows);
    port.postMessage(await parquetReadObjects({ file, metadata, columns, compressors, utf8: false, rowStart, rowEnd }));
    rowStart = rowEnd;
  }
}

answer(parentPort!);
