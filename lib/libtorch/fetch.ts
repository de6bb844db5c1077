/** Puts a libtorch into the managed cache: from a file, folder or URL, through pip, or from PyTorch's own archive. */

import { createHash } from 'node:crypto';
import { createReadStream, existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { ClipnError } from '../base/errors';
import { download } from '../download/download';
import { withLock } from '../download/lock';
import type { FetchProgress } from '../download/progress';
import { type Fetched, putInPlace, RECORD, removeAbandoned, reusable, sameFile, TEMPORARY } from './copies';
import { stageCudaLibtorch } from './fetch-cuda';
import { inspectLibtorch, minorOf } from './inspect';
import { type Machine, thisMachine } from './machine';
import { findPip, PYTORCH_WHEELS, pipDownload, wheelName } from './pip';
import { libtorchCacheDir } from './places';
import { CUDA_LIBTORCH_VERSION, CUDA_VARIANT, LIBTORCH_VERSION, MEASURED_SHA256 } from './release';
import { copyLibtorch, notCpu, unpackLibtorch } from './unpack';

export interface FetchOptions {
  /** 'cpu' or 'cu130'. The latter takes 2.6 GB from pip and 4.2 GB on disk; `from`, `mirror` and `sha256` are for 'cpu'. */
  variant?: string;
  /** A wheel, a libtorch zip, a folder that holds libtorch, or an http(s) or file URL of a wheel or zip. */
  from?: string;
  /** URL that replaces https://download.pytorch.org/whl: the wheel lies below it in cpu/. `CLIPN_LIBTORCH_MIRROR` too. */
  mirror?: string;
  /** Expected SHA-256 of the file, 64 hex digits. */
  sha256?: string;
  /** E.g. '2.13.0', the default ('2.14.1' with CUDA). With `from`, any patch release of the default's minor is taken unless this is given. */
  version?: string;
  onProgress?: (progress: FetchProgress) => void;
  signal?: AbortSignal;
}

/** In the cache folder: where a download is kept until it is installed. */
const DOWNLOAD = '.download';

/**
 * Makes sure that the cache holds libtorch and returns where. A whole copy from the same file is reused at once; while
 * another process fetches, this one waits and then finds its copy. Everything temporary lies in the cache folder and is
 * removed on failure and on abort, but for a download that broke off: the next call goes on with it.
 *
 * @throws ERR_CLIPN_INVALID_ARG, ERR_CLIPN_PLATFORM, ERR_CLIPN_FETCH, ERR_CLIPN_FETCH_HASH,
 *   ERR_CLIPN_LIBTORCH_VERSION, ERR_CLIPN_IO; the signal's reason when aborted.
 */
export async function fetchLibtorch(options: FetchOptions = {}, machine: Machine = thisMachine()): Promise<Fetched> {
  checkOptions({ ...options, mirror: mirrorOf(options, machine) });
  const { from, signal } = options;
  signal?.throwIfAborted();
  const cache = libtorchCacheDir(machine.env);
  const cuda = options.variant === CUDA_VARIANT;
  const version = options.version ?? (cuda ? CUDA_LIBTORCH_VERSION : LIBTORCH_VERSION);
  const flavour = cuda ? CUDA_VARIANT : 'cpu';
  const present = async () =>
    from === undefined ? await reusable(join(cache, `${version}+${flavour}`), options.sha256, machine, flavour) : null;
  const onWait = (pid: number | null) => {
    const who = pid === null ? 'another process' : `process ${pid}`;
    options.onProgress?.({ phase: 'wait', message: `Waiting for ${who}, which fetches libtorch` });
  };

  const copy = await present();
  if (copy !== null) return copy;
  try {
    await mkdir(cache, { recursive: true });
    return await withLock(join(cache, '.lock'), { onWait, signal }, async () => {
      await removeAbandoned(cache);
      const fetchAnew = cuda ? fetchCudaInto : fetchInto;
      return (await present()) ?? (await fetchAnew(cache, version, options, machine));
    });
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (error instanceof ClipnError || (error as NodeJS.ErrnoException).code === undefined) throw error;
    throw new ClipnError('ERR_CLIPN_IO', `libtorch could not be put into ${cache}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

interface Work {
  options: FetchOptions;
  temporary: string;
  cache: string;
  machine: Machine;
}

async function fetchInto(cache: string, version: string, options: FetchOptions, machine: Machine): Promise<Fetched> {
  const temporary = await mkdtemp(join(cache, TEMPORARY));
  const work = { options, temporary, cache, machine };
  const dropDownload = () => rm(join(cache, DOWNLOAD), { recursive: true, force: true });
  try {
    const source = await obtain(work, version);
    try {
      const fetched = await place(source, work);
      await dropDownload();
      return fetched;
    } catch (error) {
      // What was refused must come afresh; what was interrupted here, or lacked room, was downloaded well.
      if (error instanceof ClipnError) await dropDownload();
      throw error;
    }
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function fetchCudaInto(
  cache: string,
  version: string,
  options: FetchOptions,
  machine: Machine,
): Promise<Fetched> {
  const { signal, onProgress = () => {} } = options;
  const temporary = await mkdtemp(join(cache, TEMPORARY));
  try {
    const staged = join(temporary, 'libtorch');
    const wheels = join(temporary, 'wheels');
    await stageCudaLibtorch({ wheels, staged, version, machine, onProgress, signal });
    const found = inspectLibtorch(staged, { supported: 'any', headers: true }, machine);
    if (found.refusal !== undefined || found.flavour !== CUDA_VARIANT || found.version !== version) {
      const what = found.refusal?.reason ?? `it is ${found.version}+${found.flavour}`;
      throw new ClipnError('ERR_CLIPN_FETCH', `What pip brought is no libtorch ${version}+${CUDA_VARIANT}: ${what}.`);
    }
    signal?.throwIfAborted();
    return await putInPlace(staged, `${version}+${CUDA_VARIANT}`, temporary, cache, machine, onProgress);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Checks the file or folder and installs it, unless the cache has a copy from the same file. */
async function place(source: string, work: Work): Promise<Fetched> {
  const { options, cache, machine } = work;
  let sha256: string | null = null;
  if (!(await stat(source)).isDirectory()) {
    options.onProgress?.({ phase: 'verify', message: `Checking ${basename(source)}` });
    sha256 = await verify(source, options.sha256, options.signal);
    const copy = await sameFile(cache, sha256, options.version, machine);
    if (copy !== null) return copy;
  }
  return await install(source, sha256, work);
}

function mirrorOf({ mirror }: FetchOptions, { env }: Machine): string | undefined {
  return mirror ?? (env['CLIPN_LIBTORCH_MIRROR'] || undefined);
}

function checkOptions({ variant = 'cpu', sha256, version, from, mirror }: FetchOptions): void {
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
  if (mirror !== undefined && !/^https?:\/\/./i.test(mirror)) {
    throw invalid(`mirror is '${mirror}'.`, 'Pass an http or https URL.');
  }
  if (from === '') throw invalid('from is empty.', 'Pass a file, a folder or a URL.');
}

/** The file or folder to take libtorch from, downloaded unless it is here already: by pip into `temporary`. */
async function obtain({ options, temporary, cache, machine }: Work, version: string): Promise<string> {
  const { from, signal, onProgress: progress = () => {} } = options;
  const transfer = {
    folder: join(cache, DOWNLOAD),
    env: machine.env,
    signal,
    report: (name: string, done: number, total: number | undefined) =>
      progress({ phase: 'download', message: `Downloading ${name}`, done, ...(total !== undefined && { total }) }),
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
    const say = (message: string) => progress({ phase: 'download', message });
    return await pipDownload({ pip, version, target: temporary, machine, report: say, signal });
  }
  const base = (mirror ?? PYTORCH_WHEELS).replace(/\/+$/, '');
  return await download({ ...transfer, url: `${base}/cpu/${encodeURIComponent(wheelName(version, machine))}` });
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

/** Unpacks into the temporary folder, judges what came out, and renames it into place. */
async function install(source: string, sha256: string | null, work: Work): Promise<Fetched> {
  const { options, temporary, cache, machine } = work;
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

  return await putInPlace(staged, `${version}+cpu`, temporary, cache, machine, onProgress);
}
