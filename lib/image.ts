/** Decoding: a path, encoded bytes or raw samples to 8-bit pixels. The only user of sharp, which it loads on first need. */
import { stat } from 'node:fs/promises';
import type { Sharp } from 'sharp';
import { ClipnError } from './errors';
import type { NativeImage } from './native';

/** Samples of an image that is decoded already: 8-bit, interleaved, rows without gaps. */
export interface RawImage {
  data: Uint8Array | Uint8ClampedArray;
  width: number;
  height: number;
  /** 1 grey, 3 RGB, 4 RGBA (alpha is ignored). */
  channels: 1 | 3 | 4;
}

/** A path, an encoded image (JPEG, PNG, WebP, GIF, TIFF, AVIF; the first frame), or raw samples. */
export type ImageInput = string | Uint8Array | RawImage;

export interface DecodeOptions {
  /** Turn the image as its EXIF orientation says. Default true; the paper's evaluation does not. */
  exif?: boolean;
  /** Largest width × height that is decoded. Default 268,402,689 (0x3FFF squared). */
  limitPixels?: number;
}

export const DEFAULT_LIMIT_PIXELS = 0x3fff * 0x3fff;

/**
 * Decodes one image to 8-bit grey or RGB. Colour profiles are ignored and alpha is dropped, as the paper's loader does.
 *
 * @throws ERR_CLIPN_IMAGE_NOT_FOUND, ERR_CLIPN_IMAGE_DECODE, ERR_CLIPN_IMAGE_TOO_LARGE, ERR_CLIPN_INVALID_ARG
 */
export async function decodeImage(input: ImageInput, options: DecodeOptions = {}): Promise<NativeImage> {
  const { exif = true, limitPixels = DEFAULT_LIMIT_PIXELS } = options;
  if (typeof input === 'string') return await decodeEncoded(await readable(input), input, exif, limitPixels);
  if (input instanceof Uint8Array) return await decodeEncoded(input, 'the image buffer', exif, limitPixels);
  return checkRaw(input, limitPixels);
}

function checkRaw(image: RawImage, limitPixels: number): NativeImage {
  const invalid = (what: string) => new ClipnError('ERR_CLIPN_INVALID_ARG', `raw image: ${what}`);
  if (typeof image !== 'object' || image === null) {
    throw invalid(`expected a path, a Buffer or {data, width, height, channels}, not ${image}`);
  }
  const { data, width, height, channels } = image;
  if (!(data instanceof Uint8Array || data instanceof Uint8ClampedArray)) throw invalid('data must be a Uint8Array');
  for (const [name, value] of Object.entries({ width, height })) {
    if (!Number.isInteger(value) || value < 1 || value > 0xffffffff)
      throw invalid(`${name} must be a positive integer`);
  }
  if (channels !== 1 && channels !== 3 && channels !== 4) throw invalid(`channels must be 1, 3 or 4, not ${channels}`);
  if (data.length !== width * height * channels) {
    throw invalid(`data has ${data.length} bytes, not ${width} × ${height} × ${channels}`);
  }
  if (width * height > limitPixels) throw tooLarge('the raw image', limitPixels);
  // A copy of our own: the caller may change or transfer his buffer while the core reads.
  return { data: Uint8Array.from(data), width, height, channels };
}

async function readable(path: string): Promise<string> {
  const info = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    const missing = cause.code === 'ENOENT' || cause.code === 'ENOTDIR';
    throw new ClipnError(
      missing ? 'ERR_CLIPN_IMAGE_NOT_FOUND' : 'ERR_CLIPN_IO',
      missing ? `no file at ${path}` : `cannot read ${path}: ${cause.message}`,
      { cause, details: { path } },
    );
  });
  if (info.isDirectory()) throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${path} is a folder, not an image`);
  return path;
}

function tooLarge(name: string, limitPixels: number, cause?: unknown): ClipnError {
  return new ClipnError('ERR_CLIPN_IMAGE_TOO_LARGE', `${name} has more than ${limitPixels} pixels`, { cause });
}

async function decodeEncoded(
  source: string | Uint8Array,
  name: string,
  exif: boolean,
  limitPixels: number,
): Promise<NativeImage> {
  const { default: sharp } = await import('sharp');
  try {
    // 'error' refuses truncated and damaged files but not those with odd metadata; Pillow draws the same line.
    const image = sharp(source, { failOn: 'error', ignoreIcc: true, limitInputPixels: limitPixels });
    const { space } = await image.metadata();
    if (exif) image.autoOrient();
    return space === 'cmyk' ? await decodeCmyk(image) : await decodeRgb(image);
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    if (text.includes('exceeds pixel limit')) throw tooLarge(name, limitPixels, cause);
    throw new ClipnError('ERR_CLIPN_IMAGE_DECODE', `${name} cannot be decoded: ${text}`, { cause });
  }
}

async function decodeRgb(image: Sharp): Promise<NativeImage> {
  const { data, info } = await image.removeAlpha().toColourspace('srgb').raw().toBuffer({ resolveWithObject: true });
  return { data, width: info.width, height: info.height, channels: info.channels as 1 | 3 };
}

/** CMYK by Pillow's integer formula; libvips would go through a colour profile. */
async function decodeCmyk(image: Sharp): Promise<NativeImage> {
  const { data, info } = await image
    .pipelineColourspace('cmyk')
    .toColourspace('cmyk')
    .raw()
    .toBuffer({ resolveWithObject: true });
  const pixels = info.width * info.height;
  const rgb = new Uint8Array(pixels * 3);
  for (let i = 0; i < pixels; i++) {
    const light = 255 - data[i * 4 + 3]!;
    for (let c = 0; c < 3; c++) {
      const product = data[i * 4 + c]! * light + 128;
      rgb[i * 3 + c] = Math.max(0, light - (((product >> 8) + product) >> 8));
    }
  }
  return { data: rgb, width: info.width, height: info.height, channels: 3 };
}
