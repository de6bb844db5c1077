/** Puts a libtorch into the managed cache: from a file, folder or URL, through pip, or from PyTorch's own archive. */
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { ClipnError } from './errors';
import { type Inspection, inspectLibtorch, minorOf } from './libtorch-inspect';
import { libtorchCacheDir } from './libtorch-places';
import { type Machine, thisMachine } from './machine';
import { findPip, pipDownload } from './pip';
import { copyLibtorch, notCpu, unpackLibtorch } from './unpack';

/** The libtorch this release is tested with. */
export const LIBTORCH_VERSION = '2.13.0';

/** SHA-256 of published files, measured by us. For others pip checks what the index says, and `sha256` is there. */
const MEASURED_SHA256: Record<string, string> = {
  'torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl':
    '6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b',
};

export interface FetchProgress {
  phase: 'download' | 'verify' | 'unpack' | 'done';
  /** One line for people. */
  message: string;
  /** How much is done and of how much, where known: bytes of a file, parts of a folder. */
  done?: number;
  total?: number;
}

export interface FetchOptions {
  /** 'cpu'; a CUDA variant is refused, for this version ships no CUDA core. */
  variant?: string;
  /** A wheel, a libtorch zip, a folder that holds libtorch, or an http(s) or file URL of a wheel or zip. */
  from?: string;
  /** Expected SHA-256 of the file, 64 hex digits. */
  sha256?: string;
  /** E.g. '2.13.0', the default. With `from`, any patch release of the default's minor is taken unless this is given. */
  version?: string;
  onProgress?: (progress: FetchProgress) => void;
  signal?: AbortSignal;
}

export interface Fetched {
  /** Folder that holds libtorch_cpu. */
  dir: string;
  version: string;
  flavour: string;
}

/** Written beside each copy: which file it came from. */
const RECORD = 'fetched.json';

/**
 * Makes sure that the cache holds libtorch and returns where. A whole copy from the same file is reused at once.
 * Everything temporary lies in the cache folder and is removed on failure and on abort.
 *
 * @throws ERR_CLIPN_CUDA_UNAVAILABLE, ERR_CLIPN_INVALID_ARG, ERR_CLIPN_PLATFORM, ERR_CLIPN_FETCH, ERR_CLIPN_FETCH_HASH,
 *   ERR_CLIPN_LIBTORCH_VERSION, ERR_CLIPN_IO; the signal's reason when aborted.
 */
export async function fetchLibtorch(options: FetchOptions = {}, machine: Machine = thisMachine()): Promise<Fetched> {
  checkOptions(options);
  const { from, signal } = options;
  signal?.throwIfAborted();
  const progress = options.onProgress ?? (() => {});
  const cache = libtorchCacheDir(machine.env);
  const version = options.version ?? LIBTORCH_VERSION;

  if (from === undefined) {
    const copy = await reusable(join(cache, `${version}+cpu`), options.sha256, machine);
    if (copy !== null) return copy;
  }
  let temporary: string | undefined;
  try {
    await mkdir(cache, { recursive: true });
    await removeAbandoned(cache);
    temporary = await mkdtemp(join(cache, '.fetch-'));
    const source = await obtain(options, version, temporary, machine);
    let sha256: string | null = null;
    if (!(await stat(source)).isDirectory()) {
      progress({ phase: 'verify', message: `Checking ${basename(source)}` });
      sha256 = await verify(source, options.sha256, signal);
      const copy = await sameFile(cache, sha256, options.version, machine);
      if (copy !== null) return copy;
    }
    return await install({ source, sha256, temporary, cache, options, machine });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (error instanceof ClipnError || (error as NodeJS.ErrnoException).code === undefined) throw error;
    throw new ClipnError('ERR_CLIPN_IO', `libtorch could not be put into ${cache}: ${(error as Error).message}`, {
      cause: error,
    });
  } finally {
    if (temporary !== undefined) await rm(temporary, { recursive: true, force: true });
  }
}

function checkOptions({ variant = 'cpu', sha256, version, from }: FetchOptions): void {
  const invalid = (message: string, hint: string) => new ClipnError('ERR_CLIPN_INVALID_ARG', message, { hint });
  if (/^(cu\d+|cuda)$/.test(variant)) {
    throw new ClipnError(
      'ERR_CLIPN_CUDA_UNAVAILABLE',
      `Variant '${variant}' was asked for, but this version ships no CUDA core yet.`,
      {
        hint: 'Use `--variant cpu`.',
      },
    );
  }
  if (variant !== 'cpu') throw invalid(`There is no variant '${variant}'.`, 'Use `--variant cpu`.');
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256)) {
    throw invalid(`sha256 is '${sha256}'.`, 'Pass 64 hexadecimal digits, as sha256sum prints them.');
  }
  if (version !== undefined && !/^\d+\.\d+\.\d+$/.test(version)) {
    throw invalid(`version is '${version}'.`, `Pass it as in '${LIBTORCH_VERSION}'.`);
  }
  if (from === '') throw invalid('from is empty.', 'Pass a file, a folder or a URL.');
}

/** The file or folder to take libtorch from, downloaded into `temporary` unless it is here already. */
async function obtain(options: FetchOptions, version: string, temporary: string, machine: Machine): Promise<string> {
  const { from, signal, onProgress: progress = () => {} } = options;
  if (from !== undefined) {
    if (/^https?:/i.test(from)) return await download(from, temporary, options);
    const path = /^file:/i.test(from) ? fileURLToPath(from) : resolve(from);
    if (!existsSync(path))
      throw new ClipnError('ERR_CLIPN_FETCH', `${path} does not exist.`, { hint: 'Check the path.' });
    return path;
  }
  const pip = await findPip(machine.env, signal);
  if (pip !== null) {
    const report = (message: string) => progress({ phase: 'download', message });
    return await pipDownload({ pip, version, target: temporary, machine, report, signal });
  }
  if (machine.platform !== 'linux' || machine.arch !== 'x64') {
    throw new ClipnError(
      'ERR_CLIPN_PLATFORM',
      `There is no pip, and no libtorch archive for ${machine.platform}-${machine.arch}.`,
      {
        hint: 'Install Python with pip, or pass a wheel with `fetch --from PATH`.',
      },
    );
  }
  const name = `libtorch-shared-with-deps-${version}%2Bcpu.zip`;
  return await download(`https://download.pytorch.org/libtorch/cpu/${name}`, temporary, options);
}

async function download(url: string, temporary: string, { onProgress, signal }: FetchOptions): Promise<string> {
  const name = basename(decodeURIComponent(new URL(url).pathname)) || 'download';
  const target = join(temporary, name);
  // Node's fetch takes no proxy from the environment unless it was started with NODE_USE_ENV_PROXY=1 (Node 24).
  const proxied =
    Boolean(process.env['HTTPS_PROXY'] ?? process.env['https_proxy']) && !process.env['NODE_USE_ENV_PROXY'];
  const hint = proxied
    ? 'HTTPS_PROXY is set but not used here: download the file with another tool and pass it with `fetch --from PATH`.'
    : undefined;
  const failed = (what: string, cause?: unknown) =>
    new ClipnError('ERR_CLIPN_FETCH', `${url} could not be downloaded: ${what}.`, {
      cause,
      ...(hint !== undefined && { hint }),
    });
  try {
    const response = await fetch(url, { signal: signal ?? null });
    if (!response.ok || response.body === null)
      throw failed(`the server answered ${response.status} ${response.statusText}`);
    const length = Number(response.headers.get('content-length'));
    const total = length > 0 ? { total: length } : {};
    let done = 0;
    const counted = async function* (chunks: AsyncIterable<Uint8Array>) {
      for await (const chunk of chunks) {
        done += chunk.length;
        onProgress?.({ phase: 'download', message: `Downloading ${name}`, done, ...total });
        yield chunk;
      }
    };
    await pipeline(Readable.fromWeb(response.body), counted, createWriteStream(target), { signal });
    if (length > 0 && done !== length && response.headers.get('content-encoding') === null) {
      throw failed(`it ended after ${done} of ${length} bytes`);
    }
    return target;
  } catch (error) {
    if (signal?.aborted || error instanceof ClipnError) throw error;
    const { message, cause } = error as Error;
    throw failed(cause instanceof Error ? `${message} (${cause.message})` : message, error);
  }
}

/** SHA-256 of the file; refused when it is not the expected one. */
async function verify(file: string, expected: string | undefined, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash, { signal });
  const actual = hash.digest('hex');
  const wanted = (expected ?? MEASURED_SHA256[basename(file)])?.toLowerCase();
  if (wanted !== undefined && wanted !== actual) {
    throw new ClipnError(
      'ERR_CLIPN_FETCH_HASH',
      `${basename(file)} has SHA-256 ${actual}, but ${wanted} was expected.`,
      {
        details: { file, actual, expected: wanted },
      },
    );
  }
  return actual;
}

interface Install {
  source: string;
  sha256: string | null;
  temporary: string;
  cache: string;
  options: FetchOptions;
  machine: Machine;
}

/** Unpacks into the temporary folder, judges what came out, and renames it into place. */
async function install({ source, sha256, temporary, cache, options, machine }: Install): Promise<Fetched> {
  const { onProgress, signal } = options;
  const staged = join(temporary, 'libtorch');
  const report = (done: number, total: number) =>
    onProgress?.({ phase: 'unpack', message: `Unpacking ${basename(source)}`, done, total });
  await (sha256 === null
    ? copyLibtorch(source, staged, report, signal)
    : unpackLibtorch(source, staged, report, signal));

  const found = inspectLibtorch(staged, { supported: 'any', headers: false }, machine);
  if (found.flavour !== undefined && found.flavour !== 'cpu') throw notCpu(source, `its version says ${found.flavour}`);
  if (found.refusal !== undefined) {
    throw new ClipnError('ERR_CLIPN_FETCH', `${source} holds no libtorch that can be used: ${found.refusal.reason}.`, {
      hint: `Pass a wheel of torch ${LIBTORCH_VERSION}+cpu or a libtorch zip for this system.`,
    });
  }
  const version = found.version!;
  const fits =
    options.version === undefined ? minorOf(version) === minorOf(LIBTORCH_VERSION) : version === options.version;
  if (!fits) {
    const wanted = options.version ?? `${minorOf(LIBTORCH_VERSION)}.x`;
    throw new ClipnError('ERR_CLIPN_LIBTORCH_VERSION', `${source} holds libtorch ${version}; ${wanted} was expected.`, {
      hint: 'Pass another file; to build a core for this one yourself, unpack it and set CLIPN_LIBTORCH.',
    });
  }
  await writeFile(join(staged, RECORD), `${JSON.stringify({ file: basename(source), sha256 })}\n`);
  signal?.throwIfAborted();

  const target = join(cache, `${version}+cpu`);
  if (existsSync(target)) await rename(target, join(temporary, 'replaced'));
  await rename(staged, target);
  const placed = asFetched(inspectLibtorch(target, { supported: 'any', headers: false }, machine));
  onProgress?.({ phase: 'done', message: `libtorch ${version}+cpu is in ${target}` });
  return placed;
}

function asFetched(found: Inspection): Fetched {
  const { dir, version, flavour } = found as Required<Inspection>;
  return { dir, version, flavour };
}

/** The copy at `target` when it is whole and, if a hash is given, came from the file with that hash. */
async function reusable(target: string, sha256: string | undefined, machine: Machine): Promise<Fetched | null> {
  const found = inspectLibtorch(target, { supported: 'any', headers: true }, machine);
  if (found.refusal !== undefined || found.flavour !== 'cpu') return null;
  if (sha256 !== undefined && (await recordedHash(target)) !== sha256.toLowerCase()) return null;
  return asFetched(found);
}

/** The copy that was unpacked from the file with this hash, if there is one. */
async function sameFile(
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

/** Temporary folders that a killed process left behind: older than a day. */
async function removeAbandoned(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!name.startsWith('.fetch-')) continue;
    const { mtimeMs } = await stat(join(cache, name));
    if (Date.now() - mtimeMs > 24 * 3600 * 1000) await rm(join(cache, name), { recursive: true, force: true });
  }
}
