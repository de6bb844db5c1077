/** Who may ask: keys in a file or an environment variable, never on the command line, where every user would see them. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { FastifyRequest } from 'fastify';
import { ServeError } from '../errors';

export const KEYS_VARIABLE = 'CLIPN_SERVE_API_KEYS';
/** Shorter ones can be guessed. */
const SHORTEST = 16;

/** One a line in the file, `#` begins a comment; comma-separated in the variable. @throws ERR_SERVE_USAGE */
export async function readApiKeys(file: string | undefined, variable: string | undefined): Promise<string[]> {
  const keys = [
    ...(file === undefined ? [] : linesOf(await readFile(file, 'utf8').catch((cause) => unreadable(file, cause)))),
    ...(variable ?? '').split(','),
  ];
  const given = keys.map((key) => key.trim()).filter(Boolean);
  if (given.length === 0 && (file !== undefined || variable !== undefined)) {
    throw new ServeError('ERR_SERVE_USAGE', `${file ?? KEYS_VARIABLE} holds no API key`);
  }
  if (given.some((key) => key.length < SHORTEST || /[^\x21-\x7e]/.test(key))) {
    throw new ServeError('ERR_SERVE_USAGE', `an API key must have ${SHORTEST} or more printable ASCII characters`, {
      hint: 'Make one with `openssl rand -base64 32`.',
    });
  }
  return given;
}

const linesOf = (text: string) => text.split(/\r?\n/).filter((line) => !line.startsWith('#'));

function unreadable(file: string, cause: Error): never {
  throw new ServeError('ERR_SERVE_USAGE', `the API keys cannot be read from ${file}: ${cause.message}`, { cause });
}

const digest = (text: string) => createHash('sha256').update(text).digest();

/** Compares with every key in the same time, whatever is right of it. */
export function keyChecker(keys: readonly string[]): (request: FastifyRequest) => void {
  const digests = keys.map(digest);
  return ({ headers }) => {
    const [, given] = /^Bearer +(\S+)$/i.exec(headers.authorization ?? '') ?? [];
    const mine = digest(given ?? '');
    const matches = digests.filter((each) => timingSafeEqual(each, mine)).length > 0;
    if (given !== undefined && matches) return;
    const what = given === undefined ? 'the request has no API key' : 'the API key is none of this server';
    throw new ServeError('ERR_SERVE_API_KEY', what);
  };
}
