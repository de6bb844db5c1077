/**
 * Puts a libtorch into the managed cache: from a file, folder or URL, through pip, or from PyTorch's own archive.
 *
 *   CPU:  download → verify → (a copy of the same file is here?) → unpack → inspect → record → rename into the cache
 *   CUDA: pip downloads and verifies → unpack → inspect → rename into the cache
 */

import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { assertArguments, assertOptionNames, type OptionNames } from '../base/arguments';
import { cacheHint } from '../base/cache-dir';
import { ClipnError } from '../base/errors';
import { makeFolder } from '../base/make-folder';
import { download } from '../download/download';
import { withLock } from '../download/lock';
import type { FetchProgress } from '../download/progress';
import {
  copyFromSameFile,
  copyOfVersion,
  type Fetched,
  publishCopy,
  recordSource,
  removeAbandoned,
  type Staging,
  withTemporary,
} from './copies';
import { stageCudaLibtorch } from './fetch-cuda';
import { fetchedVersion } from './find';
import { inspectLibtorch, minorOf } from './inspect';
import { type Machine, thisMachine } from './machine';
import { findPip, PYTORCH_WHEELS, pipDownload, wheelName } from './pip';
import { libtorchCacheDir } from './places';
import { CUDA_LIBTORCH_VERSION, CUDA_VARIANT, LIBTORCH_VERSION, MEASURED_SHA256 } from './release';
import { copyLibtorch, notCpu, unpackLibtorch } from './unpack';

/** Options of `fetchLibtorch`. docs/libtorch.md */
export interface FetchOptions {
  /**
   * 'cpu' (default) or 'cu130'. The latter takes 2.6 GB from pip and 4.2 GB on disk; `from`, `mirror` and `sha256` are
   * for 'cpu'.
   */
  variant?: string;
  /**
   * A wheel, a libtorch zip, a folder that holds libtorch, or an http(s) or file URL of a wheel or zip. Default:
   * PyTorch's own wheel, through pip where there is one.
   */
  from?: string;
  /**
   * URL that replaces https://download.pytorch.org/whl: the wheel lies below it in cpu/. Default
   * `CLIPN_LIBTORCH_MIRROR` of the environment, else none.
   */
  mirror?: string;
  /**
   * Expected SHA-256 of the file, 64 hex digits. Default: that of the published file where we know it, else the file is
   * not compared.
   */
  sha256?: string;
  /** E.g. '2.13.0'. Default: the first of ours that there is a core for; '2.14.1' with CUDA. With `from`, any patch release of the default's minor is taken unless this is given. */
  version?: string;
  /** Called as it goes on. */
  onProgress?: (progress: FetchProgress) => void;
  /** Aborts: the call rejects with `signal.reason`. */
  signal?: AbortSignal;
}

const FETCH_OPTIONS: OptionNames<FetchOptions> = {
  variant: true,
  from: true,
  mirror: true,
  sha256: true,
  version: true,
  onProgress: true,
  signal: true,
};

/** In the cache folder: where a download is kept until it is installed. */
const DOWNLOAD = '.download';

/** What the steps of one fetch share. */
interface Work extends Staging {
  options: FetchOptions;
  /** That pip or PyTorch's archive is asked for. */
  version: string;
}

/**
 * Makes sure that the cache holds libtorch and returns where. A whole copy from the same file is reused at once; while
 * another process fetches, this one waits and then finds its copy. Everything temporary lies in the cache folder and is
 * removed on failure and on abort, but for a download that broke off: the next call goes on with it.
 *
 * @throws ERR_CLIPN_INVALID_ARG, ERR_CLIPN_PLATFORM, ERR_CLIPN_FETCH, ERR_CLIPN_FETCH_HASH,
 *   ERR_CLIPN_LIBTORCH_VERSION, ERR_CLIPN_IO; the signal's reason when aborted.
 */
export async function fetchLibtorch(options: FetchOptions = {}, machine: Machine = thisMachine()): Promise<Fetched> {
  assertArguments({ options: ['options', options], machine: ['record', machine] });
  assertOptionNames('fetchLibtorch', options, FETCH_OPTIONS);
  assertOptions({ ...options, mirror: mirrorOf(options, machine) });
  const { from, signal, variant: flavour = 'cpu' } = options;
  signal?.throwIfAborted();
  const cuda = flavour === CUDA_VARIANT;
  const version = options.version ?? (cuda ? CUDA_LIBTORCH_VERSION : fetchedVersion(machine));
  const cache = libtorchCacheDir(machine.env);
  const copies = { cache, flavour, machine };
  const copyHere = async () => (from === undefined ? await copyOfVersion(version, options.sha256, copies) : null);
  const onProgress = (progress: FetchProgress) => options.onProgress?.(progress);
  const onWait = (pid: number | null) => {
    const who = pid === null ? 'another process' : `process ${pid}`;
    onProgress({ phase: 'wait', message: `Waiting for ${who}, which fetches libtorch` });
  };
  const fetchAnew = async (temporary: string) => {
    const staged = join(temporary, 'libtorch');
    const work = { ...copies, temporary, staged, options, version, onProgress, signal };
    return await (cuda ? fetchCuda(work) : fetchCpu(work));
  };

  const copy = await copyHere();
  if (copy !== null) return copy;
  try {
    await makeFolder(cache);
    return await withLock(join(cache, '.lock'), { onWait, signal }, async () => {
      await removeAbandoned(cache);
      return (await copyHere()) ?? (await withTemporary(cache, fetchAnew));
    });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (error instanceof ClipnError || (error as NodeJS.ErrnoException).code === undefined) throw error;
    throw new ClipnError('ERR_CLIPN_IO', `libtorch could not be put into ${cache}: ${(error as Error).message}`, {
      ...cacheHint(error),
      cause: error,
    });
  }
}

/** The variable is for the CPU's wheel; a user may have it set and fetch a CUDA libtorch all the same. */
function mirrorOf({ mirror, variant }: FetchOptions, { env }: Machine): string | undefined {
  if (mirror !== undefined || variant === CUDA_VARIANT) return mirror;
  return env['CLIPN_LIBTORCH_MIRROR'] || undefined;
}

function assertOptions({ variant = 'cpu', sha256, version, from, mirror }: FetchOptions): void {
  const invalid = (message: string, hint: string) => new ClipnError('ERR_CLIPN_INVALID_ARG', message, { hint });
  const cuda = variant === CUDA_VARIANT;
  if (variant !== 'cpu' && !cuda) {
    throw invalid(`There is no variant '${variant}'.`, `Use \`--variant cpu\` or \`--variant ${CUDA_VARIANT}\`.`);
  }
  if (cuda && (from !== undefined || mirror !== undefined || sha256 !== undefined)) {
    const hint = 'Give pip an index or find-links of your own, or name an unpacked copy with CLIPN_LIBTORCH.';
    throw invalid(
      `Variant '${variant}' is many files, which pip collects: from, mirror and sha256 are not for it.`,
      hint,
    );
  }
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/i.test(sha256)) {
    throw invalid(`sha256 is '${sha256}'.`, 'Pass 64 hexadecimal digits, as sha256sum prints them.');
  }
  if (version !== undefined && !/^\d+\.\d+\.\d+$/.test(version)) {
    throw invalid(`version is '${version}'.`, `Pass it as in '${LIBTORCH_VERSION}'.`);
  }
  if (mirror !== undefined && !(/^https?:\/\/./i.test(mirror) && isAddress(mirror))) {
    throw invalid(`mirror is '${withoutUser(mirror)}'.`, 'Pass an http or https URL.');
  }
  if (from === '') throw invalid('from is empty.', 'Pass a file, a folder or a URL.');
  if (from !== undefined && /^(https?|file):/i.test(from) && !isAddress(from)) {
    const hint = 'Pass http://HOST/FILE or https://HOST/FILE, file:///PATH, or the path alone.';
    throw invalid(`from is '${withoutUser(from)}', which is no address of a file.`, hint);
  }
}

/** Whether a URL can be asked for: of http one whose user and password can be read, of file a path of this computer. */
function isAddress(text: string): boolean {
  try {
    const url = new URL(text);
    if (url.protocol === 'file:') fileURLToPath(url);
    else [url.username, url.password].forEach(decodeURIComponent);
    return true;
  } catch {
    return false;
  }
}

/** For messages, which may go into logs. */
const withoutUser = (address: string) => address.replace(/\/\/[^/]*@/, '//');

/** One file or folder. */
async function fetchCpu(work: Work): Promise<Fetched> {
  const source = await acquireSource(work);
  return await dropDownloadAfter(work, async () => {
    const isFolder = (await stat(source)).isDirectory();
    if (isFolder && work.options.sha256 !== undefined) throw folderHasNoHash(source);
    const sha256 = isFolder ? null : await verify(source, work);
    const copy = sha256 === null ? null : await copyFromSameFile(sha256, work.options.version, work);
    if (copy !== null) return copy;
    await unpack(source, isFolder, work);
    const version = inspectCpu(source, work);
    await recordSource(basename(source), sha256, work);
    return await publishCopy(version, work);
  });
}

/** Many wheels, which pip downloads and checks. */
async function fetchCuda(work: Work): Promise<Fetched> {
  await stageCudaLibtorch(work);
  inspectCuda(work);
  return await publishCopy(work.version, work);
}

/** The file or folder to take libtorch from, downloaded unless it is here already: by pip into `temporary`. */
async function acquireSource(work: Work): Promise<string> {
  const { options, version, cache, temporary, machine, onProgress, signal } = work;
  const { from } = options;
  const transfer = {
    folder: join(cache, DOWNLOAD),
    env: machine.env,
    signal,
    report: (name: string, done: number, total: number | undefined) =>
      onProgress({ phase: 'download', message: `Downloading ${name}`, done, ...(total !== undefined && { total }) }),
  };
  if (from !== undefined) {
    if (/^https?:/i.test(from)) return await download({ ...transfer, url: from });
    const path = /^file:/i.test(from) ? fileURLToPath(from) : resolve(from);
    if (!existsSync(path))
      throw new ClipnError('ERR_CLIPN_FETCH', `${path} does not exist.`, { hint: 'Check the path.' });
    return path;
  }
  const mirror = mirrorOf(options, machine);
  const pip = mirror === undefined ? await findPip(machine.env, signal) : null;
  if (pip !== null) {
    const say = (message: string) => onProgress({ phase: 'download', message });
    return await pipDownload({ pip, version, target: temporary, machine, report: say, signal });
  }
  const base = (mirror ?? PYTORCH_WHEELS).replace(/\/+$/, '');
  return await download({ ...transfer, url: `${base}/cpu/${encodeURIComponent(wheelName(version, machine))}` });
}

/** Drops the download when it has been used or refused; `use` that is interrupted leaves it to the next call. */
async function dropDownloadAfter<T>({ cache }: Work, use: () => Promise<T>): Promise<T> {
  const drop = () => rm(join(cache, DOWNLOAD), { recursive: true, force: true });
  try {
    const result = await use();
    await drop();
    return result;
  } catch (error) {
    // What was refused must come afresh; what was interrupted here, or lacked room, was downloaded well.
    if (error instanceof ClipnError) await drop();
    throw error;
  }
}

function folderHasNoHash(folder: string): ClipnError {
  return new ClipnError('ERR_CLIPN_INVALID_ARG', `sha256 is of a file, and ${folder} is a folder.`, {
    hint: 'Pass a wheel or zip, or leave sha256 out.',
  });
}

/** SHA-256 of the file; refused when it is not the expected one. */
async function verify(file: string, { options, onProgress, signal }: Work): Promise<string> {
  onProgress({ phase: 'verify', message: `Checking ${basename(file)}` });
  const hash = createHash('sha256');
  await pipeline(createReadStream(file, { highWaterMark: 1 << 20 }), hash, { signal });
  const actual = hash.digest('hex');
  const expected = (options.sha256 ?? MEASURED_SHA256[basename(file)])?.toLowerCase();
  if (expected !== undefined && expected !== actual) {
    throw new ClipnError(
      'ERR_CLIPN_FETCH_HASH',
      `${basename(file)} has SHA-256 ${actual}, but ${expected} was expected.`,
      {
        details: { file, actual, expected },
      },
    );
  }
  return actual;
}

async function unpack(source: string, isFolder: boolean, { staged, onProgress, signal }: Work): Promise<void> {
  const report = (done: number, total: number) =>
    onProgress({ phase: 'unpack', message: `Unpacking ${basename(source)}`, done, total });
  await (isFolder ? copyLibtorch : unpackLibtorch)(source, staged, report, signal);
}

/** The version of what came out of the file or folder; refused when it cannot be used or is not the one asked for. */
function inspectCpu(source: string, { staged, options, machine, version: asked }: Work): string {
  const found = inspectLibtorch(staged, { supported: 'any', headers: false }, machine);
  if (found.flavour !== undefined && found.flavour !== 'cpu') throw notCpu(source, `its version says ${found.flavour}`);
  if (found.refusal !== undefined) {
    throw new ClipnError('ERR_CLIPN_FETCH', `${source} holds no libtorch that can be used: ${found.refusal.reason}.`, {
      hint: `Pass a wheel of torch ${asked}+cpu or a libtorch zip for this system.`,
    });
  }
  const version = found.version!;
  const fits = options.version === undefined ? minorOf(version) === minorOf(asked) : version === options.version;
  if (!fits) {
    const wanted = options.version ?? `${minorOf(asked)}.x`;
    throw new ClipnError('ERR_CLIPN_LIBTORCH_VERSION', `${source} holds libtorch ${version}; ${wanted} was expected.`, {
      hint: 'Pass another file; to build a core for this one yourself, unpack it and set CLIPN_LIBTORCH.',
    });
  }
  return version;
}

/** Refuses what came out of pip's wheels when it cannot be used or is not what pip was asked for. */
function inspectCuda({ staged, version, machine }: Work): void {
  const found = inspectLibtorch(staged, { supported: 'any', headers: true }, machine);
  if (found.refusal !== undefined || found.flavour !== CUDA_VARIANT || found.version !== version) {
    const what = found.refusal?.reason ?? `it is ${found.version}+${found.flavour}`;
    throw new ClipnError('ERR_CLIPN_FETCH', `What pip brought is no libtorch ${version}+${CUDA_VARIANT}: ${what}.`);
  }
}
