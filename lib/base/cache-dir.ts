/** Where this package keeps what can be made or fetched again. */
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

/**
 * The folder for what can be made or fetched again: `CLIPN_CACHE_DIR`, else `clipn-native` in `XDG_CACHE_HOME`, else
 * `~/.cache/clipn-native`. It may not exist yet.
 */
export function cacheDir(env: NodeJS.ProcessEnv = process.env): string {
  const own = env['CLIPN_CACHE_DIR'];
  if (own) return resolve(own);
  const xdg = env['XDG_CACHE_HOME'];
  // The XDG specification has relative paths ignored.
  return join(xdg && isAbsolute(xdg) ? xdg : join(homedir(), '.cache'), 'clipn-native');
}
