/** Tensors to images: `image`, files as BYTES, or `pixels`, samples as UINT8. */
import type { ImageInput } from 'clipn-native';
import { fromBase64, tooMany } from '../asked';
import { invalidTensor, shown, type Tensor } from './request';

export const INPUTS = [
  { name: 'image', datatype: 'BYTES', shape: [-1] },
  { name: 'pixels', datatype: 'UINT8', shape: [-1, -1, -1, 3] },
] as const;

/** @throws ERR_SERVE_TENSOR, ERR_SERVE_TOO_LARGE */
export function imagesOf(inputs: readonly Tensor[], maxImages: number): ImageInput[] {
  const [tensor, ...more] = inputs;
  if (tensor === undefined || more.length > 0) throw invalidTensor('one input is needed: image or pixels');
  const expected = INPUTS.find(({ name }) => name === tensor.name);
  if (expected === undefined) throw invalidTensor(`there is no input ${shown(tensor.name)}, but image and pixels`);
  const { name, datatype } = expected;
  if (tensor.datatype !== datatype) throw invalidTensor(`${name} must be ${datatype}, not ${shown(tensor.datatype)}`);
  const images = name === 'image' ? filesOf(tensor) : samplesOf(tensor);
  if (images.length > maxImages) throw tooMany(maxImages);
  return images;
}

/** [N], or [N, 1] as clients with a batch dimension have it. */
function filesOf({ shape, data, bytes }: Tensor): Buffer[] {
  const [n = 0, ...rest] = shape;
  if (n < 1 || shape.length > 2 || rest.some((size) => size !== 1)) {
    throw invalidTensor(`image must have the shape [N] with an N of at least 1, not [${shape.join(', ')}]`);
  }
  const files = bytes === undefined ? data!.flat().map(textOf) : elementsOf(bytes);
  if (files.length !== n) throw invalidTensor(`image has the shape [${shape.join(', ')}] and ${files.length} elements`);
  return files;
}

function textOf(value: unknown, i: number): Buffer {
  if (typeof value !== 'string') throw invalidTensor(`image[${i}] must be a string: the file in base64`);
  return fromBase64(value, `image[${i}]`);
}

/** Each element as four bytes of length, little-endian, and its bytes. */
function elementsOf(bytes: Buffer): Buffer[] {
  const elements: Buffer[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 > bytes.length ? Number.POSITIVE_INFINITY : at + 4 + bytes.readUInt32LE(at);
    if (end > bytes.length) throw invalidTensor('an element of image reaches beyond the end of the tensor');
    elements.push(bytes.subarray(at + 4, end));
    at = end;
  }
  return elements;
}

/** [N, height, width, 3], RGB. */
function samplesOf({ shape, data, bytes }: Tensor): ImageInput[] {
  const [n, height, width, channels] = shape as [number, number, number, number];
  if (shape.length !== 4 || channels !== 3 || shape.some((size) => !Number.isSafeInteger(size) || size < 1)) {
    throw invalidTensor(`pixels must have the shape [N, height, width, 3], not [${shape.join(', ')}]`);
  }
  const samples = bytes ?? bytesOf(data!);
  const size = height * width * 3;
  if (samples.length !== n * size) {
    throw invalidTensor(`pixels has the shape [${shape.join(', ')}] and ${samples.length} samples`);
  }
  return Array.from({ length: n }, (_, i) => ({
    data: samples.subarray(i * size, (i + 1) * size),
    width,
    height,
    channels: 3,
  }));
}

function bytesOf(data: unknown[]): Uint8Array {
  const numbers = data.flat(3);
  const odd = numbers.findIndex(
    (value) => !Number.isInteger(value) || (value as number) < 0 || (value as number) > 255,
  );
  if (odd >= 0) throw invalidTensor(`sample ${odd} of pixels is no whole number from 0 to 255`);
  return Uint8Array.from(numbers as number[]);
}
