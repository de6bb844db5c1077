/**
 * images/: Files and buffers to pixels; folders of images; drawn ones. Alone imports sharp.
 *
 * Decoding: a path, encoded bytes or raw samples to 8-bit pixels.
 */
import { readFile, stat } from 'node:fs/promises';
import type { Sharp } from 'sharp';
import { type OptionNames, shown } from '../base/arguments';
import { ClipnError, isOfSystem } from '../base/errors';
import { oneLine } from '../base/wording';
import type { NativeImage } from '../native/addon';
import { decodeBmp } from './bmp';
import { regionOf } from './crop';
import { headOf, isBmp, isImageHead, otherKind } from './file-kind';
import { opaqueGif } from './gif';
import {
  COLLECT_OPTIONS,
  type CollectOptions,
  type DecodableImage,
  invalidAddress,
  isSharp,
  type RawImage,
  type Region,
} from './image-input';
import { loadSharp } from './load-decoder';

export const TRUNCATED = ['refuse', 'accept'] as const;

/** How images are read and decoded. docs/pixels.md */
export interface DecodeOptions extends CollectOptions {
  /** Turn the image as its EXIF orientation says. Default true; the paper's evaluation does not. TIFFs always are. */
  exif?: boolean;
  /** Largest width × height that is decoded. Default 268,402,689 (0x3FFF squared). */
  limitPixels?: number;
  /**
   * Images cut short: refused (default), or decoded as far as they go. Of a JPEG the missing rows are then as Pillow's
   * LOAD_TRUNCATED_IMAGES leaves them, of other formats as the decoder does.
   */
  truncated?: (typeof TRUNCATED)[number] | undefined;
}

export const DECODE_OPTIONS: OptionNames<DecodeOptions> = {
  ...COLLECT_OPTIONS,
  exif: true,
  limitPixels: true,
  truncated: true,
};

/** For the values of options, before an image is asked for. @throws ERR_CLIPN_INVALID_ARG */
export function assertDecoding({ limitPixels, limitBytes, truncated }: DecodeOptions): void {
  const invalid = (what: string, value: unknown) =>
    new ClipnError('ERR_CLIPN_INVALID_ARG', `${what}, not ${shown(value)}`);
  if (limitPixels !== undefined && !(Number.isSafeInteger(limitPixels) && limitPixels >= 1)) {
    throw invalid('limitPixels must be a whole number of at least 1', limitPixels);
  }
  if (limitBytes !== undefined && !(typeof limitBytes === 'number' && limitBytes >= 1)) {
    throw invalid('limitBytes must be at least 1', limitBytes);
  }
  if (truncated !== undefined && !TRUNCATED.includes(truncated)) {
    throw invalid(`truncated must be one of ${TRUNCATED.join(', ')}`, truncated);
  }
}

export const DEFAULT_LIMIT_PIXELS = 0x3fff * 0x3fff;
/** The core's: beyond, positions in fp32 would no longer be exact. */
const LONGEST_SIDE = 2 ** 24;

/**
 * Decodes one image to 8-bit grey, RGB or RGBA. Colour profiles are ignored, and alpha is never blended: whoever looks at the
 * colours leaves it out, as the paper's loader does (docs/pixels.md).
 *
 * @param options `assertDecoding` has passed
 * @throws ERR_CLIPN_IMAGE_NOT_FOUND, ERR_CLIPN_IMAGE_DECODE, ERR_CLIPN_IMAGE_TOO_LARGE, ERR_CLIPN_INVALID_ARG
 */
export async function decodeImage(input: DecodableImage, options: DecodeOptions = {}): Promise<NativeImage> {
  const { exif = true, limitPixels = DEFAULT_LIMIT_PIXELS, truncated = 'refuse' } = options;
  const reading = { exif, limitPixels, truncated };
  if (typeof input === 'string') return await decodeEncoded(await readable(input), oneLine(input), reading);
  if (input instanceof Uint8Array && input.length === 0) throw empty('the image buffer');
  if (input instanceof Uint8Array) return await decodeEncoded(input, 'the image buffer', reading);
  if (isSharp(input)) return await decodePipeline(input, limitPixels);
  return checkRaw(input, limitPixels);
}

/** As `decodeImage`, then the region of it, if one is given. @throws ERR_CLIPN_INVALID_ARG for one outside the image */
export async function decodeRegion(
  input: DecodableImage,
  region: Region | undefined,
  options: DecodeOptions,
): Promise<NativeImage> {
  const image = await decodeImage(input, options);
  return region === undefined ? image : regionOf(image, region);
}

/** What a sharp pipeline of the caller's gives; its options are his, EXIF among them. */
async function decodePipeline(pipeline: Sharp, limitPixels: number): Promise<NativeImage> {
  const name = 'the sharp pipeline';
  try {
    // A clone: the caller may go on with his own.
    const image = await decodeRgb(pipeline.clone().removeAlpha());
    if (image.width * image.height > limitPixels) throw tooLarge(name, limitPixels);
    assertSides(name, image.width, image.height);
    return image;
  } catch (cause) {
    if (cause instanceof ClipnError) throw cause;
    throw new ClipnError('ERR_CLIPN_IMAGE_DECODE', `${name} failed: ${(cause as Error).message}`, { cause });
  }
}

function checkRaw(image: RawImage, limitPixels: number): NativeImage {
  const invalid = (what: string) => new ClipnError('ERR_CLIPN_INVALID_ARG', `raw image: ${what}`);
  if (typeof image !== 'object' || image === null) {
    throw invalid(`an image is a path, bytes, a stream, samples or { image, region }, not ${shown(image)}`);
  }
  const { data: given, width, height, channels } = fieldsOf(image);
  if (!(given instanceof Uint8Array || given instanceof Uint8ClampedArray)) throw invalid('data must be a Uint8Array');
  for (const [name, value] of Object.entries({ width, height })) {
    if (!Number.isInteger(value) || value < 1 || value > 0xffffffff)
      throw invalid(`${name} must be a positive integer`);
  }
  if (channels !== 1 && channels !== 3 && channels !== 4)
    throw invalid(`channels must be 1, 3 or 4, not ${shown(channels)}`);
  if (width * height > limitPixels) throw tooLarge('the raw image', limitPixels);
  assertSides('the raw image', width, height);
  // A copy of our own: the caller may change or transfer his buffer while the core reads. Made by the constructor, which
  // does not ask the array how long it says it is.
  const data = new Uint8Array(given);
  if (data.length !== width * height * channels) {
    throw invalid(`data has ${data.length} bytes, not ${width} × ${height} × ${channels}`);
  }
  return { data, width, height, channels };
}

/** Read once, for a getter may throw or answer otherwise the second time. */
function fieldsOf(image: RawImage): RawImage {
  try {
    const { data, width, height, channels } = image;
    return { data, width, height, channels };
  } catch (cause) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', 'raw image: its fields cannot be read', { cause });
  }
}

function assertSides(name: string, width: number, height: number): void {
  if (Math.max(width, height) <= LONGEST_SIDE) return;
  throw new ClipnError(
    'ERR_CLIPN_IMAGE_TOO_LARGE',
    `${name} is ${width} × ${height}: a side may have ${LONGEST_SIDE} pixels at most`,
    { hint: 'Cut it into parts, or make it smaller.', details: { width, height } },
  );
}

async function readable(path: string): Promise<string> {
  const info = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    const address = /^(https?|data|blob|ftp|s3|gs):/i.exec(path)?.[0];
    if (address !== undefined) throw invalidAddress(address.toLowerCase());
    throw cannotRead(path, cause);
  });
  if (info.isDirectory()) throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${oneLine(path)} is a folder, not an image`);
  // Reading one would block a thread of the pool, which no signal reaches, and it has no second reading.
  if (info.isFIFO() || info.isSocket()) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${oneLine(path)} is a pipe or socket, not a file`, {
      hint: 'Pass its bytes or a stream of them; on the command line send them to standard input, which is `-`.',
    });
  }
  if (info.isFile() && info.size === 0) throw empty(oneLine(path));
  return path;
}

function cannotRead(path: string, cause: NodeJS.ErrnoException): ClipnError {
  const missing = ['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(cause.code ?? '');
  return new ClipnError(
    missing ? 'ERR_CLIPN_IMAGE_NOT_FOUND' : 'ERR_CLIPN_IO',
    missing
      ? `no file at ${path === '' ? 'an empty path' : oneLine(path)}`
      : `cannot read ${oneLine(path)}: ${oneLine(cause.message)}`,
    {
      cause,
      details: { path },
      ...(cause.code === 'ENAMETOOLONG' && {
        hint: "If this is base64, pass its bytes: Buffer.from(text, 'base64').",
      }),
    },
  );
}

function empty(name: string): ClipnError {
  return new ClipnError('ERR_CLIPN_IMAGE_DECODE', `${name} has no bytes in it`);
}

function tooLarge(name: string, limitPixels: number, cause?: unknown): ClipnError {
  return new ClipnError('ERR_CLIPN_IMAGE_TOO_LARGE', `${name} has more than ${limitPixels} pixels`, { cause });
}

/** What sharp calls the formats that are read; it would also draw vector graphics, in a size of its own choosing. */
const FORMATS: readonly string[] = ['jpeg', 'png', 'webp', 'gif', 'tiff', 'heif'];

interface Reading {
  exif: boolean;
  limitPixels: number;
  truncated: 'refuse' | 'accept';
}

async function decodeEncoded(source: string | Uint8Array, name: string, reading: Reading): Promise<NativeImage> {
  try {
    return await decodeWithSharp(source, name, reading);
  } catch (cause) {
    if (cause instanceof ClipnError) throw cause;
    if (typeof source === 'string' && isOfSystem(cause)) throw cannotRead(source, cause);
    const text = cause instanceof Error ? cause.message : String(cause);
    if (text.includes('exceeds pixel limit')) throw tooLarge(name, reading.limitPixels, cause);
    return await decodeOther(source, name, reading, text, cause);
  }
}

/** What libvips says of a file that it could not open, of one that is no image too. */
const UNOPENED = /unsupported image format|unable to open|too many open files/i;

/** BMP, which libvips does not read; what else it is is told, else why it could not be decoded. */
async function decodeOther(
  source: string | Uint8Array,
  name: string,
  reading: Reading,
  reason: string,
  cause: unknown,
): Promise<NativeImage> {
  const { limitPixels } = reading;
  const refusal = (why: string, of: unknown) =>
    new ClipnError('ERR_CLIPN_IMAGE_DECODE', `${name} cannot be decoded: ${oneLine(why.replace(/\s*\n\s*/g, '; '))}`, {
      cause: of,
    });
  const unread = (error: NodeJS.ErrnoException): never => {
    throw cannotRead(source as string, error);
  };
  const head = typeof source === 'string' ? await headOf(source).catch(unread) : Buffer.from(source.subarray(0, 64));
  const other = otherKind(head);
  if (other !== undefined) {
    throw new ClipnError('ERR_CLIPN_IMAGE_DECODE', `${name} is ${other}, which is not read`, {
      cause,
      hint: 'Convert it to JPEG, PNG, WebP, GIF, TIFF, AVIF or BMP, or pass its samples as { data, width, height, channels }.',
    });
  }
  if (typeof source === 'string' && UNOPENED.test(reason) && isImageHead(head) && !isBmp(head)) {
    // The process had no file handle left a moment ago: from its bytes the file is decoded, or refused for what it is.
    return await decodeEncoded(await readFile(source).catch(unread), name, reading);
  }
  if (!isBmp(head)) throw refusal(/unknown error/i.test(reason) ? 'it is damaged, or no image' : reason, cause);
  try {
    const file = typeof source === 'string' ? await readFile(source).catch(unread) : Buffer.from(source);
    return decodeBmp(file, ({ width, height }) => {
      if (width * height > limitPixels) throw tooLarge(name, limitPixels);
      assertSides(name, width, height);
    });
  } catch (error) {
    if (error instanceof ClipnError) throw error;
    throw refusal(`as a BMP, ${(error as Error).message}`, error);
  }
}

async function decodeWithSharp(
  source: string | Uint8Array,
  name: string,
  { exif, limitPixels, truncated }: Reading,
): Promise<NativeImage> {
  const sharp = await loadSharp();
  // 'error' refuses truncated and damaged files but not those with odd metadata; Pillow draws the same line.
  const failOn = truncated === 'accept' ? 'none' : 'error';
  const open = (from: string | Uint8Array) => sharp(from, { failOn, ignoreIcc: true, limitInputPixels: limitPixels });
  let image = open(source);
  const { format, space, depth, width, height, channels } = await image.metadata();
  if (!FORMATS.includes(format)) throw new Error(`${format} is not among the formats`);
  assertSides(name, width, height);
  if (depth !== 'uchar' && depth !== 'ushort') throw new Error(`samples of type ${depth}, not of 8 or 16 bits`);
  if (format === 'gif') image = open(opaqueGif(typeof source === 'string' ? await readFile(source) : source));
  // A TIFF's orientation belongs to the format: Pillow applies it to every TIFF that it opens.
  if (exif || format === 'tiff') image.autoOrient();
  if (space === 'cmyk') return await decodeCmyk(image, depth);
  // Of four channels the last is alpha: nobody blends it, but how much of the image is seen at all can be told by it.
  return await decodeRgb(channels === 4 ? image : image.removeAlpha());
}

async function decodeRgb(image: Sharp): Promise<NativeImage> {
  const { data, info } = await image.toColourspace('srgb').raw().toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels as 1 | 3 | 4 };
}

/** CMYK by Pillow's integer formula; libvips would go through a colour profile. */
async function decodeCmyk(image: Sharp, depth: 'uchar' | 'ushort'): Promise<NativeImage> {
  const { data, info } = await image
    .pipelineColourspace('cmyk')
    .toColourspace('cmyk')
    .raw({ depth })
    .toBuffer({ resolveWithObject: true });
  const { width, height, channels } = info;
  // Of 16 bits the upper 8, the second byte.
  const bytes = depth === 'ushort' ? 2 : 1;
  const ink = (pixel: number, c: number) => data[(pixel * channels + c + 1) * bytes - 1]!;
  const rgb = new Uint8Array(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    const light = 255 - ink(i, 3);
    for (let c = 0; c < 3; c++) {
      const product = ink(i, c) * light + 128;
      rgb[i * 3 + c] = Math.max(0, light - (((product >> 8) + product) >> 8));
    }
  }
  return { data: rgb, width, height, channels: 3 };
}
