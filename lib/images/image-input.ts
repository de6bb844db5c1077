/** Images as JavaScript has them, brought to the few forms that are decoded: a path, encoded bytes, raw samples, a sharp pipeline. */
import { addAbortSignal, Readable } from 'node:stream';
import type { ReadableStream as WebStream } from 'node:stream/web';
import { fileURLToPath } from 'node:url';
import type { Sharp } from 'sharp';
import { assertSignal, type OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { oneLine } from '../base/wording';

/** Samples of an image that is decoded already: 8-bit, interleaved, rows without gaps. */
export interface RawImage {
  /** Row by row from the top left. */
  data: Uint8Array | Uint8ClampedArray;
  /** In pixels. */
  width: number;
  /** In pixels. */
  height: number;
  /** 1 grey, 3 RGB, 4 RGBA (alpha is ignored). */
  channels: 1 | 3 | 4;
}

/** What sharp's `toBuffer({ resolveWithObject: true })` gives after `raw()`: 2 and 4 channels have alpha, which is ignored. */
export interface SharpOutput {
  /** The samples. */
  data: Uint8Array;
  /** Their size and number. */
  info: { width: number; height: number; channels: 1 | 2 | 3 | 4 };
}

/** A browser's ImageData, also of a canvas package: RGBA. */
export interface ImageDataLike {
  /** RGBA, row by row from the top left. */
  data: Uint8ClampedArray;
  /** In pixels. */
  width: number;
  /** In pixels. */
  height: number;
}

/** A part of an image, in pixels of the decoded image: after it was turned as its EXIF orientation says. */
export interface Region {
  /** Left edge, from 0. */
  x: number;
  /** Upper edge, from 0. */
  y: number;
  /** At least 1; the region lies inside the image. */
  width: number;
  /** At least 1; the region lies inside the image. */
  height: number;
}

/** An image from anywhere but a region of another. */
export type WholeImage =
  | string
  | URL
  | Uint8Array
  | ArrayBuffer
  | ArrayBufferView
  | Blob
  | Response
  | WebStream<Uint8Array>
  | NodeJS.ReadableStream
  | Sharp
  | SharpOutput
  | ImageDataLike
  | RawImage;

/**
 * An image: a path or `file:` URL; an encoded file (JPEG, PNG, WebP, GIF, TIFF, AVIF, BMP; the first frame) as bytes, Blob,
 * Response or stream; samples; a sharp pipeline, of which the output is taken. Or a region of one.
 *
 * Streams and responses are read once, when they are asked about, up to `limitBytes`.
 */
export type ImageInput = WholeImage | { image: WholeImage; region: Region };

/** What `decodeImage` takes. */
export type DecodableImage = string | Uint8Array | RawImage | Sharp;

/** Largest file that is taken from a Blob, Response or stream. */
export const DEFAULT_LIMIT_BYTES = 2 ** 28;

export interface CollectOptions {
  /** Largest number of bytes that is read from a Blob, Response or stream. Default 268,435,456 (2^28). */
  limitBytes?: number;
}

export const COLLECT_OPTIONS: OptionNames<CollectOptions> = { limitBytes: true };

const invalid = (what: string, cause?: unknown) => new ClipnError('ERR_CLIPN_INVALID_ARG', what, { cause });

/** The whole of which a region was asked about, or the input itself. @throws ERR_CLIPN_INVALID_ARG */
export function splitRegion(input: ImageInput): { whole: WholeImage; region?: Region } {
  if (!isObject(input) || !('region' in input) || !('image' in input)) return { whole: input as WholeImage };
  const { image, region } = input as { image: WholeImage; region: Region };
  if (!isObject(region)) throw invalid('region must be { x, y, width, height }');
  for (const [name, least] of Object.entries({ x: 0, y: 0, width: 1, height: 1 })) {
    const value = (region as unknown as Record<string, unknown>)[name];
    if (!Number.isSafeInteger(value) || (value as number) < least) {
      throw invalid(`region.${name} must be a whole number of at least ${least}`);
    }
  }
  return { whole: image, region };
}

/** What results and messages call it: its path, file name or address; undefined for what has none. */
export function nameOf(image: WholeImage): string | undefined {
  if (typeof image === 'string') return image;
  if (image instanceof URL) return nameOfUrl(image);
  if (isResponse(image)) return image.url || undefined;
  return isBlob(image) && 'name' in image && typeof image.name === 'string' ? image.name : undefined;
}

/** Its path; the address of what has none on this computer. */
function nameOfUrl(url: URL): string {
  try {
    return fileURLToPath(url);
  } catch {
    return url.href;
  }
}

/**
 * Brings an image to a form that is decoded, reading what is a stream: only then is there a promise. Paths are not looked at
 * here.
 *
 * @throws ERR_CLIPN_INVALID_ARG for what is no image, or was read before; ERR_CLIPN_IO when a stream or response fails;
 *   ERR_CLIPN_IMAGE_TOO_LARGE; `signal.reason`
 */
export function collectImage(
  image: WholeImage,
  { limitBytes = DEFAULT_LIMIT_BYTES }: CollectOptions,
  signal?: AbortSignal,
): DecodableImage | Promise<DecodableImage> {
  if (typeof image === 'string') return /^file:/i.test(image) ? pathOf(image) : image;
  if (image instanceof URL) return pathOf(image);
  if (image instanceof Uint8Array) return image;
  if (ArrayBuffer.isView(image)) return new Uint8Array(image.buffer, image.byteOffset, image.byteLength);
  if (image instanceof ArrayBuffer || isSharedBuffer(image)) return new Uint8Array(image);
  if (isSharp(image)) return image;
  if (isResponse(image)) return readResponse(image, limitBytes, signal);
  if (isBlob(image)) return readBlob(image, limitBytes);
  if (isStream(image)) return readStream(image, 'the image stream', limitBytes, signal);
  if (isSharpOutput(image)) return samplesOf(image);
  if (isImageData(image)) return { data: image.data, width: image.width, height: image.height, channels: 4 };
  return image as RawImage; // checked where it is decoded
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;
const isSharedBuffer = (value: unknown): value is ArrayBuffer =>
  typeof SharedArrayBuffer !== 'undefined' && (value as unknown) instanceof SharedArrayBuffer;

/** Whether it has these methods: another copy of sharp, or another realm's Blob, is as good. */
function has(value: unknown, ...methods: string[]): boolean {
  return isObject(value) && methods.every((name) => typeof (value as Record<string, unknown>)[name] === 'function');
}

export const isSharp = (value: unknown): value is Sharp => has(value, 'metadata', 'toBuffer', 'removeAlpha', 'clone');
const isResponse = (value: unknown): value is Response =>
  has(value, 'arrayBuffer', 'clone') && 'status' in (value as object) && 'body' in (value as object);
const isBlob = (value: unknown): value is Blob =>
  has(value, 'arrayBuffer', 'stream') && 'size' in (value as object) && !isResponse(value);
const isStream = (value: unknown): value is WebStream<Uint8Array> | NodeJS.ReadableStream =>
  has(value, 'getReader') || (has(value, 'pipe') && Symbol.asyncIterator in (value as object));
const isSharpOutput = (value: unknown): value is SharpOutput =>
  isObject(value) && 'info' in value && isObject(value.info);
const isImageData = (value: unknown): value is ImageDataLike =>
  isObject(value) && 'data' in value && value.data instanceof Uint8ClampedArray && !('channels' in value);

function pathOf(url: string | URL): string {
  try {
    const parsed = new URL(url);
    if (parsed.protocol !== 'file:') throw invalidAddress(parsed.protocol);
    return fileURLToPath(parsed);
  } catch (cause) {
    if (cause instanceof ClipnError) throw cause;
    throw invalid(`${oneLine(String(url))} is no file URL of this computer: ${(cause as Error).message}`, cause);
  }
}

/** For a string or URL that names something that is not on this disk. */
export function invalidAddress(protocol: string): ClipnError {
  const hint =
    protocol === 'data:'
      ? "Pass its bytes: Buffer.from(address.split(',')[1], 'base64')."
      : 'Fetch it yourself and pass the response: check(await fetch(address)); in a shell: curl -s ADDRESS | clipn-native check -';
  return new ClipnError(
    'ERR_CLIPN_INVALID_ARG',
    `an address that begins with ${protocol} is no path: nothing is downloaded here`,
    {
      hint,
    },
  );
}

function samplesOf({ data, info: { width, height, channels } }: SharpOutput): RawImage {
  // What are no bytes is told as of raw samples.
  if (channels !== 2 || !(data instanceof Uint8Array)) return { data, width, height, channels } as RawImage;
  return { data: data.filter((_, i) => i % 2 === 0), width, height, channels: 1 };
}

async function readBlob(blob: Blob, limitBytes: number): Promise<Uint8Array> {
  if (blob.size > limitBytes) throw tooMany('the image blob', limitBytes);
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch (cause) {
    throw new ClipnError('ERR_CLIPN_IO', `the image blob cannot be read: ${(cause as Error).message}`, { cause });
  }
}

async function readResponse(response: Response, limitBytes: number, signal: AbortSignal | undefined) {
  const name = response.url === '' ? 'the response' : `the response of ${oneLine(response.url)}`;
  if (!response.ok) {
    await response.body?.cancel().catch(() => {});
    throw new ClipnError('ERR_CLIPN_IO', `${name} has status ${response.status}, and no image`, {
      hint: 'Check the address; look at `response.ok` before the image is asked about.',
    });
  }
  if (response.bodyUsed) throw invalid(`${name} was read before`);
  if (response.body === null) return new Uint8Array();
  return await readStream(response.body as WebStream<Uint8Array>, name, limitBytes, signal);
}

/** Streams that someone asked about: two readers would each get a part. */
const taken = new WeakSet<object>();

async function readStream(
  stream: WebStream<Uint8Array> | NodeJS.ReadableStream,
  name: string,
  limitBytes: number,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  assertSignal(signal);
  if (taken.has(stream)) throw invalid(`${name} was read before`);
  taken.add(stream);
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    const readable = 'getReader' in stream ? Readable.fromWeb(stream) : (stream as Readable);
    if (readable.destroyed || readable.readableEnded) throw invalid(`${name} was read before`);
    if (signal) addAbortSignal(signal, readable);
    for await (const chunk of readable) {
      if (!(chunk instanceof Uint8Array)) throw invalid(`${name} gives a ${typeof chunk}, not bytes`);
      size += chunk.byteLength;
      if (size > limitBytes) throw tooMany(name, limitBytes);
      parts.push(chunk);
    }
  } catch (cause) {
    signal?.throwIfAborted();
    if (cause instanceof ClipnError) throw cause;
    throw new ClipnError('ERR_CLIPN_IO', `${name} failed: ${(cause as Error).message}`, { cause });
  }
  return Buffer.concat(parts, size);
}

function tooMany(name: string, limitBytes: number): ClipnError {
  return new ClipnError('ERR_CLIPN_IMAGE_TOO_LARGE', `${name} has more than ${limitBytes} bytes`, {
    hint: 'Raise the `limitBytes` option, give the path of the file instead, or make it smaller.',
  });
}
