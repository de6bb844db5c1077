/** A small picture of an image file, for reports. */
import type { Sharp } from 'sharp';
import { decodeImage } from './decode';
import { headOf, isBmp } from './file-kind';
import { loadSharp } from './load-decoder';

const THUMBNAIL_SIDE = 96;

/** A data: URI of a small JPEG, not turned; null when the file cannot be read any more. */
export async function thumbnail(path: string): Promise<string | null> {
  try {
    const image = (await opened(path)).resize(THUMBNAIL_SIDE, THUMBNAIL_SIDE, { fit: 'inside' });
    const jpeg = await image.flatten({ background: '#fff' }).jpeg({ quality: 70 }).toBuffer();
    return `data:image/jpeg;base64,${jpeg.toString('base64')}`;
  } catch {
    return null;
  }
}

/** Files of most kinds by sharp, which can shrink them as it reads; it has no BMP. */
async function opened(path: string): Promise<Sharp> {
  const sharp = await loadSharp();
  if (!isBmp(await headOf(path))) return sharp(path, { failOn: 'error' });
  const { data, width, height, channels } = await decodeImage(path, { exif: false });
  return sharp(data, { raw: { width, height, channels } });
}
