/** Flags that the verbs of a batch share. */
import { Option } from 'commander';
import { numberOf } from '../detector-flags';
import { ServeError } from '../errors';
import { DEFAULT_REDIS } from './queue';

/** By default from the environment, where a password is not seen by `ps`. */
export const REDIS_OPTION = (): Option =>
  new Option('--redis <address>', 'redis://HOST:PORT, rediss:// for TLS, or the path of a socket')
    .env('REDIS_URL')
    .default(DEFAULT_REDIS);

/** @throws ERR_SERVE_USAGE unless the text is a whole number of at least 1 */
export function wholeNumber(text: string): number {
  const value = numberOf(text);
  if (Number.isSafeInteger(value) && value >= 1) return value;
  throw new ServeError('ERR_SERVE_USAGE', `a whole number of at least 1 is needed, not '${text}'`);
}

/** @throws ERR_SERVE_USAGE unless the text is a number of at least 0 */
export function seconds(text: string): number {
  const value = numberOf(text);
  if (value >= 0) return value;
  throw new ServeError('ERR_SERVE_USAGE', `seconds are at least 0, not '${text}'`);
}
