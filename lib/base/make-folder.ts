/** Folders, made where they are missing. */
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

/**
 * Makes a folder and what is missing above it; returns the first that was made.
 *
 * @throws the system's error. Node calls it ENOENT where a place is read-only (libuv asks from below, and is told of the
 *   missing folder above): here it is the one that the system gives for the first folder that is missing.
 */
export async function makeFolder(path: string): Promise<string | undefined> {
  try {
    return await mkdir(path, { recursive: true });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    let first = resolve(path);
    while (!existsSync(dirname(first))) first = dirname(first);
    await mkdir(first);
    await mkdir(path, { recursive: true }); // it was made in the meantime
    return first;
  }
}
