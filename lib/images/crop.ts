/** Parts of a decoded image: as they are, and resized to a square. */
import { ClipnError } from '../base/errors';
import type { NativeImage } from '../native/addon';
import type { Region } from './image-input';
import { loadSharp } from './load-decoder';

/** A part of an image, in pixels. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** A box of a decoded image, resized to a square by libvips' bicubic filter: for training, where no byte has to match. */
export async function cropImage(image: NativeImage, box: Box, side: number): Promise<NativeImage> {
  const sharp = await loadSharp();
  const { data, width, height, channels } = image;
  const { data: out, info } = await sharp(data, { raw: { width, height, channels } })
    .extract(box)
    .resize(side, side, { fit: 'fill', kernel: 'cubic' })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data: out, width: side, height: side, channels: info.channels as 1 | 3 | 4 };
}

/** The pixels of a region. @throws ERR_CLIPN_INVALID_ARG when it does not lie inside the image */
export function regionOf(image: NativeImage, { x, y, width, height }: Region): NativeImage {
  if (x + width > image.width || y + height > image.height) {
    throw new ClipnError(
      'ERR_CLIPN_INVALID_ARG',
      `the region ${width} × ${height} at (${x}, ${y}) reaches outside the image of ${image.width} × ${image.height}`,
      { details: { region: { x, y, width, height }, image: { width: image.width, height: image.height } } },
    );
  }
  const { channels } = image;
  const row = width * channels;
  const data = new Uint8Array(row * height);
  for (let line = 0; line < height; line++) {
    const from = ((y + line) * image.width + x) * channels;
    data.set(image.data.subarray(from, from + row), line * row);
  }
  return { data, width, height, channels };
}
