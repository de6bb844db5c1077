/**
 * weights/: What a checkpoint or model file holds, read without libtorch; export; the small model.
 *
 * Checkpoint files as tables: where each tensor lies in the file. No tensor data is loaded.
 */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { ClipnError } from '../base/errors';
import { readSafetensors } from '../formats/safetensors';
import type { TensorTable } from '../formats/tensor-table';
import { readTorchArchive } from '../formats/torch-archive';

export interface Checkpoint {
  path: string;
  /** Bytes of the file. */
  size: number;
  format: 'torch' | 'safetensors';
  /** The state dict by key, without the `module.` that distributed training puts in front. */
  tensors: TensorTable;
}

/**
 * Reads the table of a checkpoint: a torch zip archive (.pt, .bin) or a .safetensors file (spec 1.8).
 * @throws ClipnError ERR_CLIPN_IO, ERR_CLIPN_CHECKPOINT_FORMAT, ERR_CLIPN_CHECKPOINT_UNSAFE.
 */
export async function readCheckpoint(path: string, options: { signal?: AbortSignal } = {}): Promise<Checkpoint> {
  options.signal?.throwIfAborted();
  let file: FileHandle;
  try {
    // Opening a pipe would wait for a writer.
    if (!(await stat(path)).isFile()) throw new Error('it is no regular file');
    file = await open(path, 'r');
  } catch (cause) {
    throw new ClipnError('ERR_CLIPN_IO', `cannot open the checkpoint ${path}: ${(cause as Error).message}`, { cause });
  }
  try {
    const { size } = await file.stat();
    const head = Buffer.alloc(9);
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    const format = formatOf(head.subarray(0, bytesRead), path);
    const table =
      format === 'torch' ? await readTorchArchive(path, options.signal) : await readSafetensors(file, size, path);
    refuseSharing(table, size, path);
    return { path, size, format, tensors: withoutModulePrefix(table, path) };
  } finally {
    await file.close();
  }
}

function formatOf(head: Buffer, path: string): Checkpoint['format'] {
  if (head.subarray(0, 2).toString('latin1') === 'PK') return 'torch';
  if (head.length === 9 && head[8] === 0x7b) return 'safetensors'; // 8 bytes of length, then '{'
  if (head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5) {
    throw new ClipnError(
      'ERR_CLIPN_CHECKPOINT_FORMAT',
      `${path} is in the format torch.save wrote before PyTorch 1.6`,
      {
        hint: 'Save it again with PyTorch: torch.save(torch.load("old.pt", map_location="cpu"), "new.pt")',
      },
    );
  }
  const what = head.length === 0 ? 'is empty' : 'is neither a torch zip archive nor a safetensors file';
  throw new ClipnError('ERR_CLIPN_CHECKPOINT_FORMAT', `${path} ${what}`);
}

/** Tied weights may serve both text towers; more sharing would let a small file stand for a network of any size. */
function refuseSharing(table: TensorTable, size: number, path: string): void {
  let total = 0;
  for (const { byteLength } of table.values()) total += byteLength;
  if (total <= 2 * size) return;
  throw new ClipnError(
    'ERR_CLIPN_CHECKPOINT_FORMAT',
    `${path} has ${size} bytes, but its tensors together ${total}: they share their data`,
  );
}

function withoutModulePrefix(table: TensorTable, path: string): TensorTable {
  const stripped: TensorTable = new Map();
  for (const [key, entry] of table) {
    const name = key.startsWith('module.') ? key.slice('module.'.length) : key;
    if (stripped.has(name)) {
      throw new ClipnError('ERR_CLIPN_CHECKPOINT_KEYS', `${path} holds ${name} twice, with and without "module."`);
    }
    stripped.set(name, entry);
  }
  return stripped;
}
