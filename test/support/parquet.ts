/** Parquet files for tests, written by hyparquet-writer: a column each, null where a value is missing. */
import { writeFileSync } from 'node:fs';

export type Columns = Record<string, readonly (string | number | bigint | null)[]>;

export async function writeParquet(file: string, columns: Columns): Promise<void> {
  const { parquetWriteBuffer } = await import('hyparquet-writer');
  const columnData = Object.entries(columns).map(([name, values]) => {
    const sample = values.find((value) => value !== null);
    const type: 'DOUBLE' | 'INT64' | 'STRING' =
      typeof sample === 'number' ? 'DOUBLE' : typeof sample === 'bigint' ? 'INT64' : 'STRING';
    return { name, data: [...values], type };
  });
  writeFileSync(file, Buffer.from(parquetWriteBuffer({ columnData })));
}
