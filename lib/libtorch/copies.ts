/** The copies in the managed cache, a folder `<version>+<flavour>` each: found again, put into place, tidied up after. */
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FetchProgress } from '../download/progress';
import { type Inspection, inspectLibtorch } from './inspect';
import type { Machine } from './machine';

/** A libtorch in the cache. */
export interface Fetched {
  /** Folder that holds libtorch_cpu. */
  dir: string;
  /** E.g. '2.13.0'. */
  version: string;
  /** 'cpu', or 'cu130'. */
  flavour: string;
}

/** Which copies are meant: those of one flavour, for one machine. */
export interface Copies {
  /** Folder that holds them, and those of other flavours. */
  cache: string;
  flavour: string;
  machine: Machine;
}

/** One more of them, being made. */
export interface Staging extends Copies {
  /** From `withTemporary`. */
  temporary: string;
  /** Folder in `temporary` that becomes the copy. */
  staged: string;
  onProgress: (progress: FetchProgress) => void;
  signal: AbortSignal | undefined;
}

/** Written beside each copy: which file it came from. */
const RECORD = 'fetched.json';
/** How temporary folders in the cache begin. */
const TEMPORARY = '.fetch-';

/** The copy of this version when it is whole and, if a hash is given, came from the file with that hash. */
export async function copyOfVersion(
  version: string,
  sha256: string | undefined,
  copies: Copies,
): Promise<Fetched | null> {
  return await wholeCopy(`${version}+${copies.flavour}`, { sha256, headers: true }, copies);
}

/** The whole copy that came from the file with this hash, if there is one; of this version, if one is given. */
export async function copyFromSameFile(
  sha256: string,
  version: string | undefined,
  copies: Copies,
): Promise<Fetched | null> {
  for (const name of await readdir(copies.cache)) {
    if (name.startsWith('.') || (version !== undefined && name !== `${version}+${copies.flavour}`)) continue;
    // Whatever that file holds, headers or none, it would hold again.
    const copy = await wholeCopy(name, { sha256, headers: false }, copies);
    if (copy !== null) return copy;
  }
  return null;
}

async function wholeCopy(
  name: string,
  { sha256, headers }: { sha256: string | undefined; headers: boolean },
  { cache, flavour, machine }: Copies,
): Promise<Fetched | null> {
  const folder = join(cache, name);
  const found = inspectLibtorch(folder, { supported: 'any', headers }, machine);
  if (found.refusal !== undefined || found.flavour !== flavour) return null;
  if (sha256 !== undefined && (await recordedHash(folder)) !== sha256.toLowerCase()) return null;
  return asFetched(found);
}

async function recordedHash(folder: string): Promise<string | null> {
  const file = join(folder, RECORD);
  if (!existsSync(file)) return null;
  return /"sha256":"([0-9a-f]{64})"/.exec(await readFile(file, 'utf8'))?.[1] ?? null;
}

/** Writes beside what is staged where it came from; a folder has no hash. */
export async function recordSource(file: string, sha256: string | null, { staged }: Staging): Promise<void> {
  await writeFile(join(staged, RECORD), `${JSON.stringify({ file, sha256 })}\n`);
}

/** Renames what is staged into the cache, in place of a copy that is there: until then an abort leaves all as it was. */
export async function publishCopy(version: string, staging: Staging): Promise<Fetched> {
  const { cache, flavour, temporary, staged, machine, onProgress, signal } = staging;
  signal?.throwIfAborted();
  const name = `${version}+${flavour}`;
  const target = join(cache, name);
  const replaced = existsSync(target) ? join(temporary, 'replaced') : null;
  if (replaced !== null) await rename(target, replaced);
  try {
    await rename(staged, target);
  } catch (error) {
    if (replaced !== null) await rename(replaced, target);
    throw error;
  }
  const published = asFetched(inspectLibtorch(target, { supported: 'any', headers: false }, machine));
  onProgress({ phase: 'done', message: `libtorch ${name} is in ${target}` });
  return published;
}

function asFetched(found: Inspection): Fetched {
  const { dir, version, flavour } = found as Required<Inspection>;
  return { dir, version, flavour };
}

/** Lends a folder in the cache, whence a rename into the cache is one step; it is gone whatever happens. */
export async function withTemporary<T>(cache: string, use: (temporary: string) => Promise<T>): Promise<T> {
  const temporary = await mkdtemp(join(cache, TEMPORARY));
  try {
    return await use(temporary);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Temporary folders that a killed process left behind: whoever holds the lock owns all of them. */
export async function removeAbandoned(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (name.startsWith(TEMPORARY)) await rm(join(cache, name), { recursive: true, force: true });
  }
}
