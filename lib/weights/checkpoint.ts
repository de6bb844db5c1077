/**
 * weights/: What a checkpoint or model file holds, read without libtorch; export; the small model.
 *
 * Checkpoint files as tables: where each tensor lies in the file. No tensor data is loaded.
 */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { ClipnError } from '../base/errors';
import { firstFew } from '../base/wording';
import { readSafetensors } from '../formats/safetensors';
import type { TensorTable } from '../formats/tensor-table';
import { type NamedDict, readTorchArchive, type TorchArchiveOptions } from '../formats/torch-archive';

export interface Checkpoint {
  path: string;
  /** What messages call it: its path, or what it was made from. */
  name: string;
  /** Bytes of the file. */
  size: number;
  format: 'torch' | 'safetensors';
  /** The state dict by key, without what wrappers of distributed or compiled modules put into keys. */
  tensors: TensorTable;
}

/** In the header of a tar's first file. */
const [TAR_MARK, TAR_MARK_AT] = ['ustar', 257];

export interface CheckpointOptions {
  /** Which dictionary of the file to read, where several hold a CLIP, e.g. `state_dict_ema`. */
  key?: string | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * Reads the table of a checkpoint: a file of `torch.save` (.pt, .bin) or a .safetensors file (spec 1.8).
 *
 * @throws ClipnError ERR_CLIPN_IO, ERR_CLIPN_CHECKPOINT_FORMAT, ERR_CLIPN_CHECKPOINT_UNSAFE; ERR_CLIPN_INVALID_ARG for a file
 *   with several CLIPs in it, or a key that it does not have
 */
export async function readCheckpoint(path: string, { key, signal }: CheckpointOptions = {}): Promise<Checkpoint> {
  signal?.throwIfAborted();
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
    const head = Buffer.alloc(TAR_MARK_AT + TAR_MARK.length);
    const { bytesRead } = await file.read(head, 0, head.length, 0);
    const format = formatOf(head.subarray(0, bytesRead), path);
    const choose: TorchArchiveOptions['choose'] = (dicts, named) =>
      key === undefined ? onlyClip(dicts, path) : dictOf(key, named(key), dicts, path);
    if (format === 'safetensors' && key !== undefined) throw noSuchKey(key, path, []);
    const table =
      format === 'torch' ? await readTorchArchive(path, { choose, signal }) : await readSafetensors(file, size, path);
    refuseSharing(table, size, path);
    return { path, name: path, size, format, tensors: withoutWrappers(table, path) };
  } finally {
    await file.close();
  }
}

function formatOf(head: Buffer, path: string): Checkpoint['format'] {
  if (head.subarray(0, 2).toString('latin1') === 'PK') return 'torch';
  if (head[8] === 0x7b) return 'safetensors'; // 8 bytes of length, then '{'
  // A pickle of protocol 2 to 5: the format from before PyTorch 1.6.
  if (head[0] === 0x80 && head[1]! >= 2 && head[1]! <= 5) return 'torch';
  if (head.subarray(TAR_MARK_AT).toString('latin1') === TAR_MARK) {
    throw new ClipnError('ERR_CLIPN_CHECKPOINT_FORMAT', `${path} is a tar archive`, {
      hint: "Unpack it, and name the file of weights in it. PyTorch's first releases wrote such: save those again with PyTorch.",
    });
  }
  const what = head.length === 0 ? 'is empty' : 'is neither a file of torch.save nor a safetensors file';
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

/** Keys that every layout of a CLIP has one of. */
const CLIP_KEYS = [
  'visual.conv1.weight',
  'token_embedding.weight',
  'vision_model.embeddings.class_embedding',
  'text_model.embeddings.token_embedding.weight',
];

/** The dictionary that holds a CLIP; undefined when none does, so that what is there can be told by its keys. */
function onlyClip(dicts: readonly NamedDict[], path: string): NamedDict | undefined {
  const clips = dicts.filter(({ keys }) => keys.some((each) => CLIP_KEYS.includes(withoutWrapper(each))));
  if (clips.length <= 1) return clips[0];
  const names = firstFew(clips.map(({ name }) => name || 'the file itself'));
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${path} holds ${clips.length} models: ${names}`, {
    hint: 'Choose one with `key`, on the command line --key NAME.',
  });
}

/** The one dictionary of a name. */
function dictOf(key: string, named: readonly NamedDict[], dicts: readonly NamedDict[], path: string): NamedDict {
  const [found, other] = named;
  if (found === undefined) throw noSuchKey(key, path, dicts);
  if (other === undefined) return found;
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${path} has several dictionaries that ${key} could mean`);
}

function noSuchKey(key: string, path: string, dicts: readonly NamedDict[]): ClipnError {
  const names = dicts.map(({ name }) => name).filter((name) => name !== '');
  const there = names.length === 0 ? 'no dictionary with a name' : firstFew(names);
  return new ClipnError('ERR_CLIPN_INVALID_ARG', `${path} has no tensors under ${key}; there is ${there}`);
}

/** DistributedDataParallel and torch.compile put their own names into keys, at any place and in any order. */
const WRAPPERS: readonly string[] = ['module', '_orig_mod'];

function withoutWrapper(key: string): string {
  return key
    .split('.')
    .filter((part) => !WRAPPERS.includes(part))
    .join('.');
}

function withoutWrappers(table: TensorTable, path: string): TensorTable {
  const stripped: TensorTable = new Map();
  for (const [key, entry] of table) {
    const name = withoutWrapper(key);
    if (stripped.has(name)) {
      throw new ClipnError('ERR_CLIPN_CHECKPOINT_KEYS', `${path} holds ${name} twice, wrapped and not`);
    }
    stripped.set(name, entry);
  }
  return stripped;
}
