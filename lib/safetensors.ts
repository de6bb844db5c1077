/** The header of a .safetensors file: u64 length, JSON, then the tensors' bytes, dense and row-major. */
import { type FileHandle, writeFile } from 'node:fs/promises';
import { ClipnError } from './errors';
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

/** The format allows 100 MB, which could hold more objects than there is memory; a network of 1000 tensors needs 0.1 MB. */
const MAX_HEADER_BYTES = 16 << 20;

/** @throws ClipnError ERR_CLIPN_CHECKPOINT_FORMAT when the header is damaged or a tensor leaves the file. */
export async function readSafetensors(file: FileHandle, size: number, path: string): Promise<TensorTable> {
  const damaged = (what: string) => new ClipnError('ERR_CLIPN_CHECKPOINT_FORMAT', `${path} is damaged: ${what}`);
  const length = Buffer.alloc(8);
  await file.read(length, 0, 8, 0);
  const headerBytes = Number(length.readBigUInt64LE());
  if (8 + headerBytes > size) throw damaged('its header is longer than the file');
  if (headerBytes > MAX_HEADER_BYTES) throw damaged(`its header has ${headerBytes} bytes`);
  const header = Buffer.alloc(headerBytes);
  await file.read(header, 0, headerBytes, 8);
  let json: unknown;
  try {
    json = JSON.parse(header.toString('utf8'));
  } catch (cause) {
    throw new ClipnError('ERR_CLIPN_CHECKPOINT_FORMAT', `${path} is damaged: its header is no JSON`, { cause });
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) throw damaged('its header is no object');
  const start = 8 + headerBytes;
  const table: TensorTable = new Map();
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') continue;
    const entry = entryOf(value, start);
    if (!entry || entry.offset < start || entry.offset + entry.byteLength > size) {
      throw damaged(`tensor ${name} has no dtype, shape and data_offsets that fit the file`);
    }
    table.set(name, entry);
  }
  return table;
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

/** The `__metadata__` of a file that `readSafetensors` has found whole; empty when there is none. */
export async function readSafetensorsMetadata(file: FileHandle): Promise<Record<string, string>> {
  const length = Buffer.alloc(8);
  await file.read(length, 0, 8, 0);
  const header = Buffer.alloc(Number(length.readBigUInt64LE()));
  await file.read(header, 0, header.length, 8);
  return (JSON.parse(header.toString('utf8')) as { __metadata__?: Record<string, string> }).__metadata__ ?? {};
}

/** A dense tensor to write: its bytes, row-major, in pieces. */
export interface TensorToWrite {
  dtype: 'F32' | 'I32';
  shape: readonly number[];
  pieces: readonly (Float32Array | Int32Array)[];
}

/** Writes a file whose data begins at a multiple of 8. @throws what the system says */
export async function writeSafetensors(
  path: string,
  tensors: Readonly<Record<string, TensorToWrite>>,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const [name, { dtype, shape }] of Object.entries(tensors)) {
    const end = offset + elementCount(shape) * 4;
    header[name] = { dtype, shape, data_offsets: [offset, end] };
    offset = end;
  }
  const text = Buffer.from(JSON.stringify(header));
  const head = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ');
  head.writeBigUInt64LE(BigInt(head.length - 8));
  text.copy(head, 8);
  const pieces = Object.values(tensors).flatMap((tensor) => tensor.pieces);
  await writeFile(path, [
    head,
    ...pieces.map((piece) => Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength)),
  ]);
}
