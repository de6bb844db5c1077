/** A part of a decoded image, resized to a square. */
import type { NativeImage } from '../native/addon';

/** A part of an image, in pixels. */
export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** A box of a decoded image, resized to a square by libvips' bicubic filter: for training, where no byte has to match. */
export async function cropImage(image: NativeImage, box: Box, side: number): Promise<NativeImage> {
  const { default: sharp } = await import('sharp');
  const { data, width, height, channels } = image;
  const { data: out, info } = await sharp(data, { raw: { width, height, channels } })
    .extract(box)
    .resize(side, side, { fit: 'fill', kernel: 'cubic' })
    .raw()
    .toBuffer({ resolveWithObject: true });
  return { data: out, width: side, height: side, channels: info.channels as 1 | 3 | 4 };
}
