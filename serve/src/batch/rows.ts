/** Results as Parquet: which columns there are, and rows to bytes and back. docs/batch.md#columns */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ParquetWriter, Writer } from 'hyparquet-writer' with { 'resolution-mode': 'import' };
import { SCORES } from '../scores';
import type { FeatureType } from './manifest';

/** A row of a result: an image that was judged, or (`error`) could not be. What it lacks is null. */
export interface Row {
  /** Of the bytes of the image's file; null when they could not be read. */
  sha256: string | null;
  /** Its address, and the other addresses that hold the same bytes, in the list's order. */
  image: string;
  also: string[] | null;
  set: string | null;
  verdict: string | null;
  label: string | null;
  nearestWord: string | null;
  /** Of the nearest label. */
  p: number | null;
  pYes: number | null;
  pValue: number | null;
  rule: string | null;
  quality: string | null;
  precision: string | null;
  scores: Partial<Record<(typeof SCORES)[number], number>>;
  feature: number[] | null;
  error: string | null;
  message: string | null;
}

type SchemaElement = ParquetWriter['schema'][number];
type Scalar = Pick<SchemaElement, 'type' | 'converted_type' | 'logical_type' | 'type_length'>;

const TEXT: Scalar = { type: 'BYTE_ARRAY', converted_type: 'UTF8' };
const FLOAT: Scalar = { type: 'FLOAT' };
const DOUBLE: Scalar = { type: 'DOUBLE' };
const HALF: Scalar = { type: 'FIXED_LEN_BYTE_ARRAY', type_length: 2, logical_type: { type: 'FLOAT16' } };

interface Column {
  name: string;
  type: Scalar;
  list?: boolean;
  of: (row: Row) => unknown;
}

const text = (name: keyof Row): Column => ({ name, type: TEXT, of: (row) => row[name] });

/** NaN, as a plain CLIP has for scores of the no tower, is null. */
const known = (value: number | null | undefined) => (value === undefined || Number.isNaN(value) ? null : value);

function columnsOf(features: FeatureType | undefined): Column[] {
  return [
    text('sha256'),
    text('image'),
    { name: 'also', type: TEXT, list: true, of: (row) => row.also },
    text('set'),
    text('verdict'),
    text('label'),
    text('nearestWord'),
    { name: 'p', type: FLOAT, of: (row) => known(row.p) },
    { name: 'pYes', type: FLOAT, of: (row) => known(row.pYes) },
    { name: 'pValue', type: DOUBLE, of: (row) => row.pValue },
    text('rule'),
    text('quality'),
    text('precision'),
    ...SCORES.map((name): Column => ({ name, type: FLOAT, of: (row) => known(row.scores[name]) })),
    ...(features === undefined
      ? []
      : [{ name: 'feature', type: features === 'fp16' ? HALF : FLOAT, list: true, of: (row: Row) => row.feature }]),
    text('error'),
    text('message'),
  ];
}

/** Names of the columns, the feature's left out: it is most of a file, and takes most of the time. */
export const VERDICT_COLUMNS: readonly string[] = columnsOf(undefined).map(({ name }) => name);

function schemaOf(columns: readonly Column[]): SchemaElement[] {
  const root: SchemaElement = { name: 'root', num_children: columns.length };
  return [
    root,
    ...columns.flatMap(({ name, type, list }): SchemaElement[] => {
      if (!list) return [{ name, repetition_type: 'OPTIONAL', ...type }];
      return [
        { name, repetition_type: 'OPTIONAL', converted_type: 'LIST', num_children: 1 },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        { name: 'element', repetition_type: 'REQUIRED', ...type },
      ];
    }),
  ];
}

/** A Parquet file that is written a row group at a time. */
export interface RowWriter {
  add(rows: readonly Row[]): Promise<void>;
  finish(): Promise<void>;
}

/**
 * @param facts provenance, the value of the file's key `clipn`
 * @param writer of hyparquet-writer: where the bytes go
 */
export async function rowWriter(
  writer: Writer,
  features: FeatureType | undefined,
  facts: Record<string, unknown>,
): Promise<RowWriter> {
  const { ParquetWriter } = await import('hyparquet-writer');
  const columns = columnsOf(features);
  const parquet = new ParquetWriter({
    writer,
    schema: schemaOf(columns),
    kvMetadata: [{ key: 'clipn', value: JSON.stringify(facts) }],
    createdBy: 'clipn-native-serve',
  });
  return {
    async add(rows) {
      if (rows.length === 0) return;
      const columnData = columns.map(({ name, list, of }) => ({
        name,
        data: rows.map(of),
        // Features are different in every row: a dictionary or a smallest value of them says nothing.
        ...(list && { statistics: false, encoding: 'PLAIN' as const }),
      }));
      await parquet.write({ columnData, rowGroupSize: rows.length });
    },
    async finish() {
      await parquet.finish();
    },
  };
}

/** Rows of a group. Between two of them other work gets its turn: the sign of life that keeps a worker's shard its own. */
const GROUP_ROWS = 1024;

/** The same rows and facts give the same bytes. */
export async function rowsToParquet(
  rows: readonly Row[],
  features: FeatureType | undefined,
  facts: Record<string, unknown>,
): Promise<Uint8Array> {
  const { ByteWriter } = await import('hyparquet-writer');
  const writer = new ByteWriter();
  const out = await rowWriter(writer, features, facts);
  for (let at = 0; at < rows.length; at += GROUP_ROWS) {
    await out.add(rows.slice(at, at + GROUP_ROWS));
    await nextTurn();
  }
  await out.finish();
  return writer.getBytes();
}

type Stored = Omit<Row, 'scores'> & Partial<Record<(typeof SCORES)[number], number | null>>;

/** @param columns names of those that are read */
export async function parquetToRows(bytes: Uint8Array, columns: readonly string[]): Promise<Row[]> {
  const { parquetReadObjects } = await import('hyparquet');
  const stored = (await parquetReadObjects({ file: bufferOf(bytes), columns: [...columns] })) as unknown as Stored[];
  return stored.map((row) => {
    const scores: Row['scores'] = {};
    for (const name of SCORES) if (typeof row[name] === 'number') scores[name] = row[name];
    return { ...row, scores };
  });
}

/** What stands under the key `clipn`. */
export async function factsOf(bytes: Uint8Array): Promise<Record<string, unknown>> {
  const { parquetMetadata } = await import('hyparquet');
  const entry = parquetMetadata(bufferOf(bytes)).key_value_metadata?.find(({ key }) => key === 'clipn');
  return JSON.parse(entry?.value ?? '{}') as Record<string, unknown>;
}

function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): ArrayBuffer {
  return buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer;
}
