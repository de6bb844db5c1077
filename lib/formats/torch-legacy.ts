/**
 * What `torch.save` wrote before PyTorch 1.6, and still does on demand: five pickles one after another (a magic number, the
 * version of the format, sizes of the machine's types, the object, the keys of its storages), then the storages in that
 * order, each an int64 of how many elements it has and their bytes. There are no checksums.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { ClipnError } from '../base/errors';
import { type PickleOptions, type PickleValue, readPickleAt } from './pickle';
import { ITEM_SIZE } from './tensor-table';
import { type StorageReference, type Storages, storageReference } from './torch-storage';
import type { StoredBytes } from './torch-zip';

const MAGIC = 0x1950a86a20f9469cfc6cn;
const VERSION = 1001;
const CODE = 'ERR_CLIPN_CHECKPOINT_FORMAT';

export interface LegacyOptions {
  allowed: PickleOptions['allowed'];
  /** Of the pickles together. */
  mostBytes: number;
  /** Where storages are found: `FOLDER/KEY`. */
  folder: string;
  signal?: AbortSignal | undefined;
}

/**
 * The object that the file holds, and where its storages lie.
 * @throws ClipnError ERR_CLIPN_CHECKPOINT_FORMAT, or ERR_CLIPN_CHECKPOINT_UNSAFE
 */
export async function readLegacyFile(
  path: string,
  options: LegacyOptions,
): Promise<{ root: PickleValue; storages: Storages }> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const head = Buffer.alloc(Math.min(size, options.mostBytes));
    await file.read(head, 0, head.length, 0);
    const { root, keys, references, end } = readPickles(head, path, options);
    const located = await locateAll(file, { size, path, keys, references, first: end }, options);
    const damaged = (what: string) => new ClipnError(CODE, `${path}: ${what}`);
    const locate = async (name: string) => {
      const bytes = located.get(name);
      if (bytes === undefined) throw damaged(`the file lacks ${name}`);
      return bytes;
    };
    return { root, storages: { path, damaged, locate } };
  } finally {
    await file.close();
  }
}

function readPickles(bytes: Buffer, path: string, { allowed }: LegacyOptions) {
  const references = new Map<string, StorageReference>();
  let end = 0;
  const next = (of: Partial<PickleOptions> = {}) => {
    const read = readPickleAt(bytes, end, { allowed: new Set(), source: path, ...of });
    end = read.end;
    return read.value;
  };
  if (next() !== MAGIC) throw new ClipnError(CODE, `${path} is a pickle, but none that torch.save wrote`);
  const version = next();
  if (version !== VERSION) {
    const found = typeof version === 'number' ? version : 'no number';
    throw new ClipnError(CODE, `${path}: the version of its format is ${found}, not ${VERSION}`);
  }
  const system = next();
  if (!(system instanceof Map) || system.get('little_endian') !== true) {
    throw new ClipnError(CODE, `${path}: its tensors are not little-endian; save it again on such a machine`);
  }
  const root = next({
    allowed,
    onReference: (reference) => {
      const storage = storageReference(reference);
      if (storage !== undefined && !references.has(storage.key)) references.set(storage.key, storage);
    },
  });
  const keys = next();
  if (!Array.isArray(keys)) throw new ClipnError(CODE, `${path}: it has no list of its storages`);
  return { root, keys, references, end };
}

interface Placed {
  size: number;
  path: string;
  keys: readonly PickleValue[];
  references: ReadonlyMap<string, StorageReference>;
  /** Byte of the first storage. */
  first: number;
}

async function locateAll(
  file: FileHandle,
  { size, path, keys, references, first }: Placed,
  { folder, signal }: LegacyOptions,
): Promise<Map<string, StoredBytes>> {
  const located = new Map<string, StoredBytes>();
  const count = Buffer.alloc(8);
  let at = first;
  for (const key of keys) {
    signal?.throwIfAborted();
    const reference = typeof key === 'string' ? references.get(key) : undefined;
    const name = `${folder}/${reference?.key}`;
    if (reference === undefined || located.has(name)) {
      throw new ClipnError(CODE, `${path}: its list of storages names one that no tensor has, or one twice`);
    }
    const { bytesRead } = await file.read(count, 0, 8, at);
    const byteLength = reference.count * ITEM_SIZE[reference.dtype];
    if (bytesRead < 8 || at + 8 + byteLength > size) {
      throw new ClipnError(CODE, `${path} is cut short or damaged: it ends before ${name} does`);
    }
    if (count.readBigUInt64LE() !== BigInt(reference.count)) {
      throw new ClipnError(CODE, `${path} is damaged: ${name} has another number of elements than its tensors say`);
    }
    located.set(name, { offset: at + 8, byteLength, crc32: null });
    at += 8 + byteLength;
  }
  return located;
}
