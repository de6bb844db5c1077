/**
 * download/: One file over HTTP onto this disk: resumed, through a proxy, under a lock.
 *
 * Downloads one file over HTTP, going on where an earlier attempt, also of another process, broke off (RFC 9110, 13-14).
 */
import { createWriteStream } from 'node:fs';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Response } from 'undici';
import { ClipnError } from '../base/errors';
import { makeFolder } from '../base/make-folder';
import { BrokenOff, Refusal, request, retrying } from './request';

export interface DownloadOptions {
  url: string;
  /** Holds the file, or the part of it that has come, and what tells where it came from; made when bytes come. */
  folder: string;
  /** Where proxies are named. */
  env: NodeJS.ProcessEnv;
  /** Bytes that are here, and of how many where the server says. */
  report: (name: string, done: number, total: number | undefined) => void;
  signal: AbortSignal | undefined;
  /** Header for the URL's own origin; that of a user name and password in the URL when absent. */
  authorization?: string | undefined;
  /** A longer file is refused; 4 GiB when absent. */
  most?: number;
  /** What to do when it fails. */
  hint?: string;
}

/** Times that a download begins anew because the server has another file by now. */
const RESTARTS = 4;
/** No libtorch for a CPU comes near. */
const MAX_BYTES = 4 * 2 ** 30;
/** File in the folder: URL and validator (ETag or Last-Modified) of what lies beside it. */
const RECORD = '.source.json';

/** The part that lies there is of another file than the server has now. */
class Changed extends Error {}

/**
 * Path of the whole file in `folder`. When it fails, what has come stays there for the next call with this URL.
 *
 * @throws ERR_CLIPN_FETCH; system errors of writing; the signal's reason or an AbortError when aborted.
 */
export async function download(options: DownloadOptions): Promise<string> {
  const { folder, signal } = options;
  const url = new URL(options.url);
  const credentials = url.username || url.password ? [url.username, url.password].map(decodeURIComponent) : null;
  url.username = url.password = '';
  const basic = credentials && `Basic ${Buffer.from(credentials.join(':')).toString('base64')}`;
  const authorization = options.authorization ?? basic;
  try {
    for (let restart = 0; ; restart++) {
      try {
        return await retrying(signal, () => transfer(url, authorization, options));
      } catch (error) {
        if (!(error instanceof Changed) || restart === RESTARTS) throw error;
        await rm(folder, { recursive: true, force: true });
      }
    }
  } catch (error) {
    // Errors of the disk name the call that failed; those of the network come wrapped.
    const ofDisk = ['open', 'write', 'close', 'mkdir', 'rm', 'stat'].includes(
      (error as NodeJS.ErrnoException).syscall!,
    );
    if (signal?.aborted || ofDisk || error instanceof ClipnError) throw error;
    throw new ClipnError('ERR_CLIPN_FETCH', `${url} could not be downloaded: ${reasons(error as Error)}.`, {
      cause: error,
      ...(options.hint !== undefined && { hint: options.hint }),
      ...(error instanceof BrokenOff && { hint: 'Run the same command again: it goes on where this one broke off.' }),
    });
  }
}

/** What went wrong and, for undici wraps its errors, what lay behind it. */
function reasons(error: Error): string {
  let last = error;
  while (last.cause instanceof Error) last = last.cause;
  return (last === error ? error.message : `${error.message} (${last.message})`).replace(/\.(?=\)?$)/, '');
}

async function transfer(
  url: URL,
  authorization: string | null,
  { folder, env, report, signal, most: longest = MAX_BYTES }: DownloadOptions,
): Promise<string> {
  const name = fileName(url);
  const target = join(folder, name);
  const part = await partOf(url, folder, name);
  const headers: Record<string, string> = {
    'accept-encoding': 'identity', // lengths and ranges are those of the file
    ...(part && { range: `bytes=${part.bytes}-`, 'if-range': part.validator }),
  };
  await using answer = await request(url, headers, authorization, env, signal);
  const { response } = answer;
  const whole = Number(/^bytes [^/]+\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1] ?? Number.NaN);
  if (part !== null && response.status === 416) {
    if (whole === part.bytes) return target;
    throw new Changed('the server has another file now');
  }
  const resumed = part !== null && response.status === 206;
  if (response.status !== 200 && !resumed) throw new Refusal(response);
  if (resumed && !continues(response, part)) throw new Changed('the server sent another part than was asked for');
  if (response.body === null) throw new Error('the server sent no content');

  const encoded = response.headers.has('content-encoding'); // unasked: then the length is not that of the file
  const length = encoded ? Number.NaN : Number(response.headers.get('content-length') ?? Number.NaN);
  const total = [whole, length].find((bytes) => bytes > 0);
  const most = Math.min(total ?? longest, longest);
  if (total !== undefined && total > most) throw new Error(`it is longer than ${most} bytes`);
  let done = resumed ? part.bytes : 0;
  if (!resumed) await begin(url, response, folder);
  const counted = async function* (chunks: AsyncIterable<Uint8Array>) {
    for await (const chunk of chunks) {
      done += chunk.length;
      if (done > most) throw new Error(`it is longer than ${most} bytes`);
      report(name, done, total);
      yield chunk;
    }
  };
  try {
    const file = createWriteStream(target, { flags: resumed ? 'a' : 'w' });
    await pipeline(Readable.fromWeb(response.body), counted, file, { signal });
  } catch (error) {
    if (error instanceof TypeError)
      throw new BrokenOff(`it ended after ${done} of ${total ?? 'unknown many'} bytes`, { cause: error });
    throw error;
  }
  if (total !== undefined && done !== total) throw new BrokenOff(`it ended after ${done} of ${total} bytes`);
  return target;
}

/** The last part of the URL's path where that is a plain file name. */
function fileName(url: URL): string {
  const name = basename(decodeURIComponent(url.pathname));
  return /^\w[\w.+-]*$/.test(name) ? name : 'download';
}

interface Part {
  bytes: number;
  validator: string;
}

/** What lies in the folder of this URL, when a server can be asked for the rest of it. */
async function partOf(url: URL, folder: string, name: string): Promise<Part | null> {
  const [text, bytes] = await Promise.all([
    readFile(join(folder, RECORD), 'utf8').catch(() => ''),
    stat(join(folder, name)).then(
      ({ size }) => size,
      () => 0,
    ),
  ]);
  if (bytes === 0) return null;
  let record: { url?: unknown; validator?: unknown };
  try {
    record = JSON.parse(text) as typeof record;
  } catch {
    return null; // absent, or its writer was killed
  }
  return record.url === url.href && typeof record.validator === 'string'
    ? { bytes, validator: record.validator }
    : null;
}

/** What If-Range takes: a strong ETag, else the date. */
function validatorOf(response: Response): string | null {
  const etag = response.headers.get('etag');
  return etag !== null && !etag.startsWith('W/') ? etag : response.headers.get('last-modified');
}

/** Whether a 206 answer goes on where the part ends; a server may ignore If-Range. */
function continues(response: Response, part: Part): boolean {
  const first = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1];
  return Number(first) === part.bytes && [part.validator, null].includes(validatorOf(response));
}

/** Empties the folder and records where the file comes from. The record is there before the first byte is. */
async function begin(url: URL, response: Response, folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await makeFolder(folder);
  await writeFile(join(folder, RECORD), JSON.stringify({ url: url.href, validator: validatorOf(response) }));
}
