/** One HTTP request: through the proxy that its URL needs, redirects followed, credentials kept to the origin they are for. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ProxyAgent, Response } from 'undici';
import { ClipnError } from '../base/errors';
import { proxyFor } from './proxy';

const REDIRECTS = 5;
const CONNECT_MS = 30_000;
/** Longest silence of a server. */
const SILENCE_MS = 60_000;
/** Times that what broke off, or met a server that was busy, is tried again. */
const RETRIES = 4;
const RETRY_MS = 300;
/** Longest wait that a server may ask for. */
const LONGEST_RETRY_MS = 30_000;
const BUSY = [408, 429, 500, 502, 503, 504];

/** The transfer broke off; the bytes that came are good. */
export class BrokenOff extends Error {}

/** The server answered with a status that is no success. */
export class Refusal extends Error {
  readonly status: number;
  readonly headers: Response['headers'];

  constructor({ status, statusText, headers }: Response) {
    super(`the server answered ${status} ${statusText}`.trim());
    this.status = status;
    this.headers = headers;
  }
}

/** Does `work` again, after a moment, where it broke off or the server was busy; the last failure is thrown. */
export async function retrying<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  for (let retry = 0; ; retry++) {
    try {
      return await work();
    } catch (error) {
      const busy = error instanceof Refusal && BUSY.includes(error.status);
      const wait = (busy && askedWait(error)) || RETRY_MS * (retry + 1);
      const again = (busy || error instanceof BrokenOff) && wait <= LONGEST_RETRY_MS;
      if (!again || signal?.aborted || retry === RETRIES) throw error;
      await sleep(wait, undefined, { signal });
    }
  }
}

/** Milliseconds of Retry-After, where it is given in seconds; 0 when not. */
function askedWait({ headers }: Refusal): number {
  return 1000 * Number(/^\d+$/.exec(headers.get('retry-after') ?? '')?.[0] ?? 0);
}

/** Follows redirects itself, for each may need another proxy, and credentials are for the first host alone. The caller disposes. */
export async function request(
  start: URL,
  headers: Record<string, string>,
  authorization: string | null,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal | undefined,
): Promise<{ response: Response } & AsyncDisposable> {
  const { Agent, ProxyAgent, fetch } = require('undici') as typeof import('undici');
  const options = { connect: { timeout: CONNECT_MS }, headersTimeout: SILENCE_MS, bodyTimeout: SILENCE_MS };
  let url = start;
  for (let hop = 0; hop <= REDIRECTS; hop++) {
    const proxy = proxyFor(url, env);
    const dispatcher = proxy === null ? new Agent(options) : proxied(ProxyAgent, { ...options, uri: proxy });
    const close = () => dispatcher.destroy();
    try {
      const own = authorization !== null && url.origin === start.origin && { authorization };
      const response = await fetch(url, {
        dispatcher,
        headers: { ...headers, ...own },
        redirect: 'manual',
        signal: signal ?? null,
      });
      const location = [301, 302, 303, 307, 308].includes(response.status) && response.headers.get('location');
      if (!location) return { response, [Symbol.asyncDispose]: close };
      url = new URL(location, url);
      if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new Error(`it was redirected to ${url}`);
    } catch (error) {
      await close();
      throw error;
    }
    await close();
  }
  throw new Error(`it was redirected more than ${REDIRECTS} times`);
}

/** Plain http is not tunnelled, as is usual: many proxies allow CONNECT to port 443 alone. */
function proxied(Agent: typeof ProxyAgent, options: ProxyAgent.Options & { uri: string }): ProxyAgent {
  try {
    return new Agent({ ...options, proxyTunnel: false });
  } catch (error) {
    const shown = options.uri.replace(/\/\/[^/]*@/, '//'); // without credentials
    throw new ClipnError('ERR_CLIPN_FETCH', `The proxy ${shown} cannot be used: ${(error as Error).message}`, {
      cause: error,
      hint: 'Set HTTPS_PROXY to http://HOST:PORT or https://HOST:PORT, or list the host in NO_PROXY.',
    });
  }
}
