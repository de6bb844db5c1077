/** Files of a snapshot onto this disk: each has its name only when it is whole and has the hub's hash. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ClipnError } from '../base/errors';
import { makeFolder } from '../base/make-folder';
import { download } from '../download/download';
import type { FetchProgress } from '../download/progress';
import { Refusal } from '../download/request';
import type { Hub } from './hub';
import { shownName } from './name';
import { AGAIN, refusedBy } from './refusal';
import type { HubFile, Snapshot } from './snapshot';

export interface FetchFilesOptions {
  onProgress: (progress: FetchProgress) => void;
  signal: AbortSignal | undefined;
}

/** In the folder: what has come of the file that is on its way. */
const PART = '.part';

/** Those that the folder has not; what bears a name there was verified when it came. */
export async function missingFiles(files: readonly HubFile[], folder: string): Promise<HubFile[]> {
  const sizes = await Promise.all(
    files.map(({ path }) =>
      stat(join(folder, path)).then(
        (found) => (found.isFile() ? found.size : -1),
        () => -1,
      ),
    ),
  );
  return files.filter(({ bytes }, i) => sizes[i] !== bytes);
}

/**
 * Downloads those of `files` that the folder has not, and goes on with the one that broke off before.
 *
 * @param files of the snapshot's top folder
 * @throws ERR_CLIPN_FETCH, ERR_CLIPN_FETCH_HASH, ERR_CLIPN_HUB_ACCESS, ERR_CLIPN_HUB_NOT_FOUND, system errors of writing;
 *   the signal's reason or an AbortError when aborted
 */
export async function fetchFiles(
  hub: Hub,
  snapshot: Snapshot,
  files: readonly HubFile[],
  folder: string,
  { onProgress, signal }: FetchFilesOptions,
): Promise<void> {
  const missing = await missingFiles(files, folder);
  if (missing.length === 0) return;
  if (hub.offline) {
    const names = missing.map(({ path }) => path).join(', ');
    throw new ClipnError(
      'ERR_CLIPN_FETCH',
      `HF_HUB_OFFLINE is set, and ${names} of ${snapshot.name} did not come yet`,
      {
        hint: 'Unset HF_HUB_OFFLINE and run the same command again: it goes on.',
      },
    );
  }
  await makeFolder(folder);
  const total = missing.reduce((sum, { bytes }) => sum + bytes, 0);
  let before = 0;
  for (const file of missing) {
    if (basename(file.path) !== file.path) throw new ClipnError('ERR_CLIPN_INTERNAL', `${file.path} is in a folder`);
    const report = (done: number) =>
      onProgress({ phase: 'download', message: `Downloading ${file.path}`, done: before + done, total });
    const part = await downloaded(hub, snapshot, file, { folder: join(folder, PART), report, signal });
    onProgress({ phase: 'verify', message: `Checking ${file.path}` });
    try {
      await verify(part, file, snapshot.name, signal);
    } catch (error) {
      // What was refused must come afresh; a check that was interrupted is made again.
      if (error instanceof ClipnError) await rm(join(folder, PART), { recursive: true, force: true });
      throw error;
    }
    await rename(part, join(folder, file.path));
    before += file.bytes;
  }
  await rm(join(folder, PART), { recursive: true, force: true });
}

async function downloaded(
  hub: Hub,
  snapshot: Snapshot,
  { path, bytes }: HubFile,
  to: { folder: string; report: (done: number) => void; signal: AbortSignal | undefined },
): Promise<string> {
  const { endpoint, authorization, env } = hub;
  const url = `${endpoint}/${snapshot.name}/resolve/${snapshot.commit}/${encodeURIComponent(path)}`;
  const report = (_: string, done: number) => to.report(done);
  try {
    return await download({ ...to, url, env, authorization, most: bytes, report, hint: AGAIN });
  } catch (error) {
    const { cause } = error as Error;
    throw cause instanceof Refusal ? refusedBy(hub, snapshot, cause, `${path} of ${shownName(snapshot)}`) : error;
  }
}

async function verify(part: string, file: HubFile, name: string, signal: AbortSignal | undefined): Promise<void> {
  const { path, bytes, sha256, blob } = file;
  const wrong = (actual: string, expected: string) =>
    new ClipnError('ERR_CLIPN_FETCH_HASH', `${path} of ${name} came with ${actual}; the hub says ${expected}.`, {
      hint: 'It was damaged on its way, or by a mirror, and is deleted: run the same command again.',
      details: { file: path, actual, expected },
    });
  const { size } = await stat(part);
  if (size !== bytes) throw wrong(`${size} bytes`, `${bytes} bytes`);
  const hash = sha256 === null ? createHash('sha1').update(`blob ${bytes}\0`) : createHash('sha256');
  await pipeline(createReadStream(part, { highWaterMark: 1 << 20 }), hash, { signal });
  const [actual, kind] = [hash.digest('hex'), sha256 === null ? 'git id' : 'SHA-256'];
  if (actual !== (sha256 ?? blob)) throw wrong(`${kind} ${actual}`, `${kind} ${sha256 ?? blob}`);
}
