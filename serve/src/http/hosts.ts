/** By which name a server on the loopback interface is asked: a page of another site must not reach it through a name of its own. */
import { isIPv4 } from 'node:net';
import type { FastifyRequest } from 'fastify';
import { ServeError } from '../errors';

const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

export const isLoopback = (host: string) =>
  host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));

/** Undefined where no name is refused: the server is there for others. */
export function hostChecker(host: string, more: readonly string[]): ((request: FastifyRequest) => void) | undefined {
  if (!isLoopback(host)) return undefined;
  const allowed = new Set([...LOOPBACK, host, ...more].map((name) => name.toLowerCase()));
  return ({ headers }) => {
    const name = (headers.host ?? '').replace(/:\d*$/, '').toLowerCase();
    if (allowed.has(name)) return;
    throw new ServeError('ERR_SERVE_HOST', `the server is not known as ${JSON.stringify(name.slice(0, 80))}`);
  };
}
