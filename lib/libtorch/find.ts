/**
 * libtorch/: The libtorch of this computer: where it lies, whether it fits, how it is fetched.
 *
 * Finds the libtorch to run on. The first usable one wins; why each other was refused is kept for errors and `doctor`.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { ClipnError, type ClipnErrorCode } from '../base/errors';
import { type Inspection, inspectLibtorch, minorOf, type RefusalKind, type Wanted } from './inspect';
import { type Machine, thisMachine } from './machine';
import { type Place, places, type Source } from './places';
import { unsupportedPlatform } from './platform';
import { LIBTORCH_VERSION, LIBTORCH_VERSIONS } from './release';

export interface FoundLibtorch {
  /** Absolute folder that holds libtorch_cpu. */
  dir: string;
  /** E.g. '2.13.0'. */
  version: string;
  /** 'cpu', 'cu130', … */
  flavour: string;
  source: Source;
  /** Absolute paths to open in this order before a core is opened. */
  preload: string[];
}

export interface Libtorch extends FoundLibtorch {
  /** Absolute path of the core library to open after `preload`. */
  core: string;
}

/** A place where libtorch was looked for. */
export interface Candidate {
  /** Why it was looked at. */
  source: Source;
  /** The folder. */
  path: string;
  /** E.g. '2.13.0'; absent where none could be read. */
  version?: string;
  /** 'cpu', 'cu130', …; absent as `version`. */
  flavour?: string;
  /** Whether it fits a core of this package. */
  usable: boolean;
  /** Why not; there exactly when `usable` is false. */
  reason?: string;
}

/** A core library that lies in this package. */
export interface Core {
  /** Minor version of the libtorch it was compiled against, e.g. '2.13': it fits every 2.13.x. */
  minor: string;
  /** Of the libtorch it fits. */
  flavour: 'cpu';
  /** The file. */
  path: string;
}

export interface FindOptions {
  /** A libtorch root, lib folder or wheel's torch folder: used, or refused with an error, but never passed over. */
  libtorch?: string;
  /** Minor versions to accept; those of `availableCores()` when absent. 'any' is for compiling a new core. */
  supported?: readonly string[] | 'any';
  /** Accept only a libtorch with headers; default false. */
  headers?: boolean;
}

const REFUSAL_CODES: Record<RefusalKind, ClipnErrorCode> = {
  absent: 'ERR_CLIPN_LIBTORCH_NOT_FOUND',
  version: 'ERR_CLIPN_LIBTORCH_VERSION',
  broken: 'ERR_CLIPN_LIBTORCH_LOAD',
};

/** The cores in build/ (a clone) and prebuilds/ (the package), in the order in which the glue is looked up there. */
export function availableCores(machine: Machine = thisMachine()): Core[] {
  const folders = ['build/Release', 'build/Debug', `prebuilds/${machine.platform}-${machine.arch}`];
  const cores: Core[] = [];
  for (const folder of folders.map((name) => join(machine.packageRoot, name))) {
    if (!existsSync(folder)) continue;
    for (const name of readdirSync(folder).sort()) {
      const minor = /^libclipn_core-(\d+\.\d+)-cpu\.(?:so|dylib)$/.exec(name)?.[1];
      if (minor !== undefined) cores.push({ minor, flavour: 'cpu', path: join(folder, name) });
    }
  }
  return cores;
}

/** The version to fetch: the preferred one of those that a core here is for. */
export function fetchedVersion(machine: Machine): string {
  const minors = new Set(availableCores(machine).map(({ minor }) => minor));
  return LIBTORCH_VERSIONS.find((version) => minors.has(minorOf(version))) ?? LIBTORCH_VERSION;
}

/** The CUDA plugin that lies beside a core, or null. */
export function cudaPlugin(core: string): string | null {
  const plugin = core.replace(/libclipn_core-(\d+\.\d+)-cpu/, 'libclipn_cuda-$1');
  return plugin !== core && existsSync(plugin) ? plugin : null;
}

/**
 * The libtorch to run on and its core: the option, else `CLIPN_LIBTORCH`, else the first usable of the managed cache, a
 * Python torch found on disk, and the system.
 *
 * @throws ERR_CLIPN_CORE_NOT_FOUND when this package holds no core at all; what `findLibtorch` throws.
 */
export function resolveLibtorch(
  options: Pick<FindOptions, 'libtorch'> = {},
  machine: Machine = thisMachine(),
): Libtorch {
  const cores = availableCores(machine);
  const found = findLibtorch({ ...options, supported: cores.map((core) => core.minor) }, machine);
  return { ...found, core: cores.find((core) => core.minor === minorOf(found.version))!.path };
}

/**
 * As `resolveLibtorch`, for any set of minor versions, with or without a core.
 *
 * @throws ERR_CLIPN_PLATFORM on Linux without glibc; ERR_CLIPN_LIBTORCH_NOT_FOUND, _VERSION or _LOAD, with every
 *   candidate and its reason in the message and in `details`.
 */
export function findLibtorch(options: FindOptions = {}, machine: Machine = thisMachine()): FoundLibtorch {
  if (machine.platform === 'linux' && machine.glibc === null) throw unsupportedPlatform(machine);
  const wanted = wantedBy(options, machine);
  if (wanted.supported.length === 0) {
    const message = `No core library lies in ${machine.packageRoot} (build/Release or prebuilds).`;
    throw new ClipnError('ERR_CLIPN_CORE_NOT_FOUND', message);
  }
  const refused: { place: Place; found: Inspection }[] = [];
  for (const place of places(options.libtorch, machine)) {
    const found = inspectLibtorch(place.path, wanted, machine);
    if (found.refusal === undefined) {
      const { dir, version, flavour, preload } = found as Required<Inspection>;
      return { dir, version, flavour, source: place.source, preload };
    }
    if (place.source === 'option' || place.source === 'env') throw refusedByName(place, found);
    refused.push({ place, found });
  }
  throw noneUsable(refused, wanted);
}

/** Every place `findLibtorch` would look at, with its verdict, in its order. Never throws. */
export function listCandidates(options: FindOptions = {}, machine: Machine = thisMachine()): Candidate[] {
  const wanted = wantedBy(options, machine);
  return [...places(options.libtorch, machine)].map((place) =>
    toCandidate(place, inspectLibtorch(place.path, wanted, machine)),
  );
}

function wantedBy(options: FindOptions, machine: Machine): Wanted {
  const given = options.supported ?? availableCores(machine).map((core) => core.minor);
  const supported = given === 'any' ? given : [...new Set(given)];
  return { supported, headers: options.headers ?? false };
}

function toCandidate(place: Place, { dir, version, flavour, refusal }: Inspection): Candidate {
  return {
    source: place.source,
    path: dir ?? place.path,
    ...(version !== undefined && { version }),
    ...(flavour !== undefined && { flavour }),
    usable: refusal === undefined,
    ...(refusal !== undefined && { reason: refusal.reason }),
  };
}

function refusedByName(place: Place, found: Inspection): ClipnError {
  const candidate = toCandidate(place, found);
  const name = place.source === 'env' ? `CLIPN_LIBTORCH=${place.path}` : `The libtorch option, ${place.path},`;
  const { kind, reason } = found.refusal!;
  const hints: Partial<Record<RefusalKind, string>> = {
    absent: 'Name a libtorch root, its lib folder or a wheel’s torch folder; or name none, and one is looked for.',
    version: `Build a core for it in a clone: \`CLIPN_LIBTORCH=${place.path} npm run build\`; or run \`npx clipn-native fetch --variant cpu\`.`,
  };
  const hint = hints[kind];
  return new ClipnError(REFUSAL_CODES[kind], `${name} cannot be used: ${reason}.`, {
    ...(hint !== undefined && { hint }),
    details: { candidates: [candidate] },
  });
}

/** A wrong version is named as the cause when one was found whole: then the remedy is another version, not a search. */
function noneUsable(refused: { place: Place; found: Inspection }[], wanted: Wanted): ClipnError {
  const candidates = refused.map(({ place, found }) => toCandidate(place, found));
  const wrongVersion = refused.some(({ found }) => found.refusal?.kind === 'version');
  const needed =
    wanted.supported === 'any' ? 'libtorch' : `libtorch ${wanted.supported.map((minor) => `${minor}.x`).join(' or ')}`;
  const looked = candidates.map(({ source, path, reason }) => `${source} ${path}: ${reason}`).join('; ');
  return new ClipnError(
    wrongVersion ? 'ERR_CLIPN_LIBTORCH_VERSION' : 'ERR_CLIPN_LIBTORCH_NOT_FOUND',
    `No usable ${needed} was found. Looked at ${looked}`,
    { details: { candidates } },
  );
}
