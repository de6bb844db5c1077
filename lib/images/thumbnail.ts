/** A small picture of an image file, for reports. */
import { loadSharp } from './load-decoder';

const THUMBNAIL_SIDE = 96;

/** A data: URI of a small JPEG, not turned; null when the file cannot be read any more. */
export async function thumbnail(path: string): Promise<string | null> {
  const sharp = await loadSharp();
  try {
    const image = sharp(path, { failOn: 'error' }).resize(THUMBNAIL_SIDE, THUMBNAIL_SIDE, { fit: 'inside' });
    const jpeg = await image.flatten({ background: '#fff' }).jpeg({ quality: 70 }).toBuffer();
    return `data:image/jpeg;base64,${jpeg.toString('base64')}`;
  } catch {
    return null;
  }
}
