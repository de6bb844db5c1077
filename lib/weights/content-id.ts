/** Hashes of checkpoint files and of the tensors in them. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { ClipnError } from '../base/errors';
import { denseStride, ITEM_SIZE, type TensorEntry, type TensorTable } from '../formats/tensor-table';

const CHUNK = 4 << 20;
/** Node reads no more at once; the largest tensor of a CLIP has a quarter of a gigabyte. */
const LARGEST_READ = 2 ** 31 - 1;

export interface HashOptions {
  signal?: AbortSignal | undefined;
  /** Called with the number of bytes read since the last call. */
  onBytes?: ((count: number) => void) | undefined;
}

/** sha256 of files one after another, in hex. */
export async function hashFiles(paths: readonly string[], { signal, onBytes }: HashOptions = {}): Promise<string> {
  const hash = createHash('sha256');
  for (const path of paths) {
    for await (const chunk of createReadStream(path, { highWaterMark: CHUNK })) {
      signal?.throwIfAborted();
      hash.update(chunk as Buffer);
      onBytes?.((chunk as Buffer).length);
    }
  }
  return hash.digest('hex');
}

/**
 * sha256 over tensors (by sorted key: a line of key, dtype and shape, then the elements in row-major order) and one
 * closing line. The same weights give the same id whatever file, order or strides they were stored with.
 *
 * @throws ClipnError ERR_CLIPN_CHECKPOINT_FORMAT when a tensor's bytes do not have the checksum the file tells.
 */
export async function hashTensors(
  path: string,
  tensors: TensorTable,
  keys: readonly string[],
  closing: string,
  options: HashOptions = {},
): Promise<string> {
  const hash = createHash('sha256');
  const file = await open(path, 'r');
  try {
    const chunk = Buffer.allocUnsafe(CHUNK);
    for (const key of [...keys].sort()) {
      const entry = tensors.get(key)!;
      hash.update(`${key} ${entry.dtype} [${entry.shape.join(',')}]\n`);
      if (entry.stride.join() !== denseStride(entry.shape).join()) hash.update(await readDense(file, entry));
      else {
        let sum = 0;
        for await (const part of readRange(file, entry.offset, entry.byteLength, chunk, options)) {
          hash.update(part);
          if (entry.crc32 !== undefined) sum = crc32(part, sum);
        }
        if (entry.crc32 !== undefined && sum !== entry.crc32) {
          throw new ClipnError('ERR_CLIPN_CHECKPOINT_FORMAT', `${path}: the checksum of tensor ${key} is wrong`);
        }
      }
    }
  } finally {
    await file.close();
  }
  return hash.update(closing).digest('hex');
}

async function* readRange(
  file: FileHandle,
  offset: number,
  byteLength: number,
  chunk: Buffer,
  { signal, onBytes }: HashOptions,
): AsyncGenerator<Buffer> {
  for (let done = 0; done < byteLength; ) {
    signal?.throwIfAborted();
    const { bytesRead } = await file.read(chunk, 0, Math.min(chunk.length, byteLength - done), offset + done);
    if (bytesRead === 0) throw new ClipnError('ERR_CLIPN_IO', 'the checkpoint became shorter while it was read');
    yield chunk.subarray(0, bytesRead);
    done += bytesRead;
    onBytes?.(bytesRead);
  }
}

/** A tensor's elements in row-major order, whatever its strides. */
export async function readDense(file: FileHandle, entry: TensorEntry): Promise<Buffer> {
  if (entry.byteLength > LARGEST_READ) {
    throw new ClipnError(
      'ERR_CLIPN_CHECKPOINT_FORMAT',
      `a tensor of ${entry.byteLength} bytes is larger than any CLIP has`,
    );
  }
  const span = Buffer.alloc(entry.byteLength);
  const { bytesRead } = await file.read(span, 0, span.length, entry.offset);
  if (bytesRead < span.length) throw new ClipnError('ERR_CLIPN_IO', 'the checkpoint became shorter while it was read');
  if (entry.crc32 !== undefined && crc32(span) !== entry.crc32) {
    throw new ClipnError('ERR_CLIPN_CHECKPOINT_FORMAT', 'the checksum of a tensor is wrong');
  }
  if (entry.stride.join() === denseStride(entry.shape).join()) return span;
  const item = ITEM_SIZE[entry.dtype];
  const count = entry.shape.reduce((product, size) => product * size, 1);
  const dense = Buffer.alloc(count * item);
  const index = entry.shape.map(() => 0);
  for (let i = 0; i < count; i++) {
    const from = index.reduce((sum, at, axis) => sum + at * entry.stride[axis]!, 0) * item;
    span.copy(dense, i * item, from, from + item);
    for (let axis = index.length - 1; axis >= 0 && ++index[axis]! === entry.shape[axis]; axis--) index[axis] = 0;
  }
  return dense;
}
