/** Photos by their content: those that negatives were mined with must not calibrate. */
import { createHash } from 'node:crypto';
import { ClipnError, isOutOfHandles } from '../base/errors';
import { type CollectOptions, collectImage, type ImageInput, type Region, splitRegion } from '../images/image-input';
import { hashFiles } from '../weights/content-id';

/** SHA-256 of the file's bytes, in hex. @throws ERR_CLIPN_IMAGE_NOT_FOUND, ERR_CLIPN_IO */
export async function photoHash(path: string): Promise<string> {
  try {
    return await hashFiles([path]);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw code === 'ENOENT'
      ? new ClipnError('ERR_CLIPN_IMAGE_NOT_FOUND', `no file at ${path}`, { cause })
      : new ClipnError('ERR_CLIPN_IO', `cannot read ${path}: ${message}`, { cause });
  }
}

/**
 * The images as they come, as long as none is a file of these hashes. Samples and pipelines are no files, and pass.
 *
 * @throws ERR_CLIPN_CALIBRATION naming the image; what reading a stream or response throws
 */
export async function* noneOf(
  hashes: readonly string[],
  images: Iterable<ImageInput> | AsyncIterable<ImageInput>,
  options: CollectOptions,
  signal: AbortSignal | undefined,
): AsyncGenerator<ImageInput, void, undefined> {
  const used = new Set(hashes);
  let index = 0;
  for await (const input of images) {
    const { image, sha256 } = used.size === 0 ? { image: input, sha256: '' } : await hashed(input, options, signal);
    if (used.has(sha256)) {
      const name = typeof input === 'string' ? input : `image ${index} (counted from 0)`;
      throw new ClipnError('ERR_CLIPN_CALIBRATION', `the negatives were mined with ${name}`, {
        hint: 'Calibrate on other photos than those of `mineNegatives`: on its own ones a threshold promises too much.',
      });
    }
    index++;
    yield image;
  }
}

/** The hash is empty for what is no readable file: who decodes it says so. A stream is read here, and given on as bytes. */
async function hashed(
  input: ImageInput,
  options: CollectOptions,
  signal: AbortSignal | undefined,
): Promise<{ image: ImageInput; sha256: string }> {
  let collected: ReturnType<typeof collectImage>;
  let region: Region | undefined;
  try {
    const split = splitRegion(input);
    region = split.region;
    collected = collectImage(split.whole, options, signal);
  } catch {
    return { image: input, sha256: '' };
  }
  const whole = await collected;
  const image = collected instanceof Promise ? (region ? { image: whole, region } : whole) : input;
  const noHash = (error: unknown) => {
    if (isOutOfHandles(error)) throw error;
    return '';
  };
  if (typeof whole === 'string') return { image, sha256: await photoHash(whole).catch(noHash) };
  return { image, sha256: whole instanceof Uint8Array ? createHash('sha256').update(whole).digest('hex') : '' };
}
