/** .safetensors files: u64 header length, a JSON header, then the tensors' bytes, dense and row-major. */
import { type FileHandle, open } from 'node:fs/promises';
import { ClipnError } from '../base/errors';
import { parseJson } from '../base/parse-json';
import { sync } from '../base/write-file';
import {
  denseStride,
  elementCount,
  ITEM_SIZE,
  type TensorDtype,
  type TensorEntry,
  type TensorTable,
} from './tensor-table';

const DTYPES: Readonly<Record<string, TensorDtype>> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  I64: 'int64',
  I32: 'int32',
  I16: 'int16',
  I8: 'int8',
  U8: 'uint8',
  BOOL: 'bool',
};

const CODES = Object.fromEntries(Object.entries(DTYPES).map(([code, dtype]) => [dtype, code]));

/** The format allows 100 MB, which could hold more objects than there is memory; a network of 1000 tensors needs 0.1 MB. */
const MAX_HEADER_BYTES = 16 << 20;

/** @throws ClipnError ERR_CLIPN_CHECKPOINT_FORMAT when the header is damaged or a tensor leaves the file. */
export async function readSafetensors(file: FileHandle, size: number, path: string): Promise<TensorTable> {
  const damaged = (what: string, cause?: unknown) =>
    new ClipnError('ERR_CLIPN_CHECKPOINT_FORMAT', `${path} is damaged: ${what}`, { cause });
  return (await readHeader(file, size, damaged)).tensors;
}

/** Reads the header. @throws what `damaged` makes of the finding */
export async function readHeader(
  file: FileHandle,
  size: number,
  damaged: (what: string, cause?: unknown) => Error,
): Promise<{ tensors: TensorTable; metadata: Record<string, unknown> }> {
  if (size < 8) throw damaged('it is cut short');
  const length = Buffer.alloc(8);
  await file.read(length, 0, 8, 0);
  const headerBytes = Number(length.readBigUInt64LE());
  if (8 + headerBytes > size) throw damaged('its header is longer than the file');
  if (headerBytes > MAX_HEADER_BYTES) throw damaged(`its header has ${headerBytes} bytes`);
  const header = Buffer.alloc(headerBytes);
  await file.read(header, 0, headerBytes, 8);
  let json: unknown;
  try {
    json = parseJson(header.toString('utf8'));
  } catch (cause) {
    throw damaged('its header is no JSON', cause);
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw damaged('its header is no object');
  const start = 8 + headerBytes;
  const tensors: TensorTable = new Map();
  let metadata: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') {
      metadata = (value ?? {}) as Record<string, unknown>;
      continue;
    }
    const entry = entryOf(value, start);
    if (!entry || entry.offset < start || entry.offset + entry.byteLength > size) {
      throw damaged(`tensor ${name} has no dtype, shape and data_offsets that fit the file`);
    }
    tensors.set(name, entry);
  }
  return { tensors, metadata };
}

export interface TensorToWrite {
  dtype: 'F32' | 'I32' | 'U8';
  shape: readonly number[];
  data: Float32Array | Int32Array | Uint8Array;
}

/** Writes a file and waits until the disk has it. Not atomic: write to a temporary name and rename. */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, TensorToWrite>>,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  await streamSafetensors(path, streamed(tensors), { metadata });
}

/** Tensors at hand as tensors that are made in their turn. */
export function streamed(tensors: Readonly<Record<string, TensorToWrite>>): Map<string, StreamedTensor> {
  const list = Object.entries(tensors).map(([name, { dtype, shape, data }]): [string, StreamedTensor] => {
    const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
    return [name, { dtype: DTYPES[dtype]!, shape, read: () => Promise.resolve(bytes) }];
  });
  return new Map(list);
}

/** A tensor whose bytes, dense and row-major, are made when it is its turn. */
export interface StreamedTensor {
  dtype: TensorDtype;
  shape: readonly number[];
  read(): Promise<Buffer>;
}

/** As `writeSafetensors`, with one tensor in memory at a time. */
export async function streamSafetensors(
  path: string,
  tensors: ReadonlyMap<string, StreamedTensor>,
  { metadata, signal }: { metadata?: Readonly<Record<string, string>>; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const file = await open(path, 'w');
  try {
    await file.writeFile(headerOf(tensors, metadata));
    for (const { read } of tensors.values()) {
      signal?.throwIfAborted();
      await file.writeFile(await read());
    }
    await sync(file);
  } finally {
    await file.close();
  }
}

/** What stands before the data: the header's length and the header, which tells `tensors` in this order, without gaps. */
export function headerOf(
  tensors: ReadonlyMap<string, Pick<StreamedTensor, 'dtype' | 'shape'>>,
  metadata?: Readonly<Record<string, string>>,
): Buffer {
  const header: Record<string, unknown> = metadata === undefined ? {} : { __metadata__: metadata };
  let offset = 0;
  for (const [name, { dtype, shape }] of tensors) {
    const end = offset + elementCount(shape) * ITEM_SIZE[dtype];
    header[name] = { dtype: CODES[dtype], shape, data_offsets: [offset, end] };
    offset = end;
  }
  const text = Buffer.from(JSON.stringify(header));
  // Spaces up to a multiple of 8: the data then lies aligned.
  const headerLength = Math.ceil(text.length / 8) * 8;
  const head = Buffer.alloc(8 + headerLength, ' ');
  head.writeBigUInt64LE(BigInt(headerLength));
  text.copy(head, 8);
  return head;
}

function entryOf(value: unknown, start: number): TensorEntry | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { dtype: code, shape, data_offsets: range } = value as Record<string, unknown>;
  const dtype = typeof code === 'string' ? DTYPES[code] : undefined;
  if (!dtype || !isSizes(shape) || !isSizes(range) || range.length !== 2) return undefined;
  const byteLength = elementCount(shape) * ITEM_SIZE[dtype];
  if (range[1]! - range[0]! !== byteLength) return undefined;
  return { dtype, shape, stride: denseStride(shape), offset: start + range[0]!, byteLength };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}
