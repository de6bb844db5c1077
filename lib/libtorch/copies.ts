/** The copies in the managed cache, a folder `<version>+<flavour>` each: found again, put into place, tidied up after. */
import { existsSync } from 'node:fs';
import { readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { FetchProgress } from '../download/progress';
import { type Inspection, inspectLibtorch } from './inspect';
import type { Machine } from './machine';

export interface Fetched {
  /** Folder that holds libtorch_cpu. */
  dir: string;
  version: string;
  flavour: string;
}

/** Written beside each copy: which file it came from. */
export const RECORD = 'fetched.json';
/** How temporary folders in the cache folder begin. */
export const TEMPORARY = '.fetch-';

/** The copy at `target` when it is whole and, if a hash is given, came from the file with that hash. */
export async function reusable(
  target: string,
  sha256: string | undefined,
  machine: Machine,
  flavour = 'cpu',
): Promise<Fetched | null> {
  const found = inspectLibtorch(target, { supported: 'any', headers: true }, machine);
  if (found.refusal !== undefined || found.flavour !== flavour) return null;
  if (sha256 !== undefined && (await recordedHash(target)) !== sha256.toLowerCase()) return null;
  return asFetched(found);
}

/** The copy that was unpacked from the file with this hash, if there is one. */
export async function sameFile(
  cache: string,
  sha256: string,
  version: string | undefined,
  machine: Machine,
): Promise<Fetched | null> {
  for (const name of await readdir(cache)) {
    if (name.startsWith('.') || (version !== undefined && name !== `${version}+cpu`)) continue;
    const copy = await reusable(join(cache, name), sha256, machine);
    if (copy !== null) return copy;
  }
  return null;
}

async function recordedHash(target: string): Promise<string | null> {
  const file = join(target, RECORD);
  if (!existsSync(file)) return null;
  return /"sha256":"([0-9a-f]{64})"/.exec(await readFile(file, 'utf8'))?.[1] ?? null;
}

/** Temporary folders that a killed process left behind: whoever holds the lock owns all of them. */
export async function removeAbandoned(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (name.startsWith(TEMPORARY)) await rm(join(cache, name), { recursive: true, force: true });
  }
}

/** Renames a staged copy into the cache; one that is there is replaced. */
export async function putInPlace(
  staged: string,
  name: string,
  temporary: string,
  cache: string,
  machine: Machine,
  onProgress: ((progress: FetchProgress) => void) | undefined,
): Promise<Fetched> {
  const target = join(cache, name);
  if (existsSync(target)) await rename(target, join(temporary, 'replaced'));
  await rename(staged, target);
  const placed = asFetched(inspectLibtorch(target, { supported: 'any', headers: false }, machine));
  onProgress?.({ phase: 'done', message: `libtorch ${name} is in ${target}` });
  return placed;
}

function asFetched(found: Inspection): Fetched {
  const { dir, version, flavour } = found as Required<Inspection>;
  return { dir, version, flavour };
}
