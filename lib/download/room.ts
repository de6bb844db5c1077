/** Whether a disk has room for what is to come. */
import { statfs } from 'node:fs/promises';
import { ClipnError } from '../base/errors';

/** A size for people. */
export function inGigabytes(bytes: number): string {
  return bytes < 1e8 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}

/** @throws ERR_CLIPN_IO with `what` in its message when the disk of `folder`, which is there, has fewer bytes free */
export async function assertRoom(folder: string, bytes: number, what: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  throw new ClipnError(
    'ERR_CLIPN_IO',
    `${what}; together more than the ${inGigabytes(bavail * bsize)} free at ${folder}.`,
    { hint: 'Make room, or put the cache elsewhere with CLIPN_CACHE_DIR.' },
  );
}
