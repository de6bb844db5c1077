/** What a pickle of PyTorch says of a storage, which lies outside it: its type, its key and how many elements it has. */
import type { ClipnError } from '../base/errors';
import { PickleGlobal, PickleReference, type PickleValue } from './pickle';
import type { TensorDtype } from './tensor-table';
import type { StoredBytes } from './torch-zip';

export const STORAGE_DTYPES: ReadonlyMap<string, TensorDtype> = new Map<string, TensorDtype>([
  ['torch.DoubleStorage', 'float64'],
  ['torch.FloatStorage', 'float32'],
  ['torch.HalfStorage', 'float16'],
  ['torch.BFloat16Storage', 'bfloat16'],
  ['torch.LongStorage', 'int64'],
  ['torch.IntStorage', 'int32'],
  ['torch.ShortStorage', 'int16'],
  ['torch.CharStorage', 'int8'],
  ['torch.ByteStorage', 'uint8'],
  ['torch.BoolStorage', 'bool'],
]);

/** Where a file keeps its storages. */
export interface Storages {
  readonly path: string;
  /** @param name `FOLDER/KEY` */
  locate(name: string): Promise<StoredBytes>;
  damaged(what: string): ClipnError;
}

export interface StorageReference {
  dtype: TensorDtype;
  key: string;
  /** In elements. */
  count: number;
}

/**
 * ('storage', type, key, device, element count), and in the format from before PyTorch 1.6 None behind them, where its first
 * releases could name a part of another storage. Undefined for anything else.
 */
export function storageReference(value: PickleValue | undefined): StorageReference | undefined {
  const id = value instanceof PickleReference ? value.id : undefined;
  const [tag, type, key, , count, view = null] = Array.isArray(id) ? id : [];
  const dtype = type instanceof PickleGlobal ? STORAGE_DTYPES.get(type.name) : undefined;
  if (tag !== 'storage' || !dtype || typeof key !== 'string' || !isSize(count) || view !== null) return undefined;
  return { dtype, key, count };
}

export function isSize(value: PickleValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
