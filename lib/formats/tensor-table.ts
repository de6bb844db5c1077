/**
 * formats/: Bytes of tensor files: safetensors, pickle, torch's zip. Knows tensors, no networks.
 *
 * Where tensors lie in a file.
 */

/** Bytes per element. `object` marks an entry of a state dict that is no tensor. */
export const ITEM_SIZE = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
  object: 0,
} as const;

export type TensorDtype = keyof typeof ITEM_SIZE;

export interface TensorEntry {
  dtype: TensorDtype;
  shape: number[];
  /** In elements. */
  stride: number[];
  /** Byte of the first element in the file. */
  offset: number;
  /** Bytes from the first element to the last one the strides reach. */
  byteLength: number;
  /** Of those bytes, where the file tells it. */
  crc32?: number;
}

export type TensorTable = Map<string, TensorEntry>;

/** Strides of a dense row-major tensor, in elements. */
export function denseStride(shape: readonly number[]): number[] {
  const stride = new Array<number>(shape.length).fill(1);
  for (let i = shape.length - 2; i >= 0; i--) stride[i] = stride[i + 1]! * shape[i + 1]!;
  return stride;
}

export function elementCount(shape: readonly number[]): number {
  return shape.reduce((count, size) => count * size, 1);
}
