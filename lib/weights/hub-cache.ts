/** Snapshots of CLIPs in the cache folder: where they lie, and the one that a hub name stands for. */
import { existsSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cacheDir, cacheHint } from '../base/cache-dir';
import { ClipnError } from '../base/errors';
import { makeFolder } from '../base/make-folder';
import { writeThenRename } from '../base/write-file';
import { withLock } from '../download/lock';
import type { FetchProgress } from '../download/progress';
import { type Hub, hubOf } from '../hub/hub';
import { fileStem, type HubName, parseHubName, shownName } from '../hub/name';
import { listSnapshot, type Snapshot } from '../hub/snapshot';
import { bringClip } from './hub-clip';

export interface HubOptions {
  onProgress?: ((progress: FetchProgress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

function hubCacheDir(env: NodeJS.ProcessEnv): string {
  return join(cacheDir(env), 'hub');
}

export function snapshotFolder(env: NodeJS.ProcessEnv, { name, commit }: Snapshot): string {
  return join(hubCacheDir(env), fileStem(name, commit));
}

/** Beside the folder: that it is kept, and for which revision. */
function recordFile(env: NodeJS.ProcessEnv, { name, revision }: HubName): string {
  return join(hubCacheDir(env), `${fileStem(name, revision)}.json`);
}

/**
 * Path of the weights that `given` stands for: itself, or, where nothing has that path and it is a hub name, the folder of
 * its CLIP in the cache, downloaded unless it is there. It stays there until somebody deletes it.
 *
 * @throws what `listSnapshot` and `bringClip` throw
 */
export async function weightsPath(
  given: string,
  options: HubOptions = {},
  env: NodeJS.ProcessEnv = process.env,
): Promise<string> {
  const target = existsSync(given) ? null : parseHubName(given);
  if (target === null) return given;
  const hub = hubOf(env);
  const snapshot = await findSnapshot(hub, target, options.signal).catch((error: unknown) => {
    if (!(error instanceof ClipnError)) throw error;
    const { code, message, hint, details } = error;
    throw new ClipnError(code, `there is no path ${given} here, and ${message}`, { hint, details, cause: error });
  });
  return await alone(env, snapshot, options, async () => {
    const folder = await bringSnapshot(hub, snapshot, options);
    // The commit's record keeps the folder when the revision has moved on: somebody may still be using it.
    await writeRecord(env, { ...snapshot, revision: snapshot.commit });
    await writeRecord(env, snapshot);
    return folder;
  });
}

/** What the hub says that the name stands for; offline, what it was when it was last fetched. */
export async function findSnapshot(hub: Hub, target: HubName, signal: AbortSignal | undefined): Promise<Snapshot> {
  if (!hub.offline) return await listSnapshot(hub, target, signal);
  const snapshot = await readRecord(recordFile(hub.env, target));
  if (snapshot !== null) return snapshot;
  throw new ClipnError('ERR_CLIPN_FETCH', `HF_HUB_OFFLINE is set, and ${shownName(target)} is not in the cache`, {
    hint: 'Unset HF_HUB_OFFLINE and fetch it once, or copy the cache folder of a computer that has it.',
  });
}

async function writeRecord(env: NodeJS.ProcessEnv, snapshot: Snapshot): Promise<void> {
  const record = `${JSON.stringify(snapshot)}\n`;
  await writeThenRename(recordFile(env, snapshot), (temporary) => writeFile(temporary, record));
}

/** Null when there is none, or it is damaged: then the hub has to be asked. */
async function readRecord(file: string): Promise<Snapshot | null> {
  try {
    const snapshot = JSON.parse(await readFile(file, 'utf8')) as Snapshot;
    return /^[0-9a-f]{40}$/.test(snapshot.commit) && Array.isArray(snapshot.files) ? snapshot : null;
  } catch {
    return null;
  }
}

/** Runs `work` while no other process fetches of this repository; aborted, it rejects with the signal's reason. */
export async function alone<T>(
  env: NodeJS.ProcessEnv,
  { name }: Snapshot,
  { onProgress, signal }: HubOptions,
  work: () => Promise<T>,
): Promise<T> {
  const folder = hubCacheDir(env);
  const onWait = (pid: number | null) => {
    const who = pid === null ? 'another process' : `process ${pid}`;
    onProgress?.({ phase: 'wait', message: `Waiting for ${who}, which fetches ${name}` });
  };
  try {
    await makeFolder(folder);
    return await withLock(join(folder, `${name.replace('/', '--')}.lock`), { onWait, signal }, work);
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (error instanceof ClipnError || (error as NodeJS.ErrnoException).code === undefined) throw error;
    throw new ClipnError('ERR_CLIPN_IO', `${name} could not be put into ${folder}: ${(error as Error).message}`, {
      ...cacheHint(error),
      cause: error,
    });
  }
}

/** Folder of the snapshot with the files of its CLIP. What a fetch of another commit left unfinished is removed. */
export async function bringSnapshot(hub: Hub, snapshot: Snapshot, options: HubOptions): Promise<string> {
  const folder = snapshotFolder(hub.env, snapshot);
  await removeUnkept(hub.env, snapshot, (commit) => commit !== snapshot.commit);
  const { onProgress = () => {}, signal } = options;
  await bringClip(hub, snapshot, folder, { onProgress, signal });
  return folder;
}

/** Removes the folders of this repository that no record keeps. */
export async function removeUnkept(
  env: NodeJS.ProcessEnv,
  { name }: Snapshot,
  which: (commit: string) => boolean,
): Promise<void> {
  const folder = hubCacheDir(env);
  const stem = fileStem(name, '');
  const names = (await readdir(folder)).filter((each) => each.startsWith(stem));
  const records = names.filter((each) => each.endsWith('.json'));
  const kept = await Promise.all(records.map((each) => readRecord(join(folder, each))));
  const commits = names.map((each) => each.slice(stem.length)).filter((rest) => /^[0-9a-f]{40}$/.test(rest));
  for (const commit of commits) {
    if (!which(commit) || kept.some((snapshot) => snapshot?.commit === commit)) continue;
    await rm(join(folder, `${stem}${commit}`), { recursive: true, force: true });
  }
}
