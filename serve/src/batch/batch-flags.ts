/** Flags that the verbs of a batch share. */
import { Option } from 'commander';
import { DEFAULT_REDIS } from './queue';

/** By default from the environment, where a password is not seen by `ps`. */
export const REDIS_OPTION = (): Option =>
  new Option('--redis <address>', 'redis://HOST:PORT, rediss:// for TLS, or the path of a socket')
    .env('REDIS_URL')
    .default(DEFAULT_REDIS);
