/** Where this package keeps what can be made or fetched again. */
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { ClipnError } from './errors';

/**
 * The user's home folder; null where the system names none that could be used: HOME is empty or a relative path, or it is
 * unset and the user has no entry, as in a container that runs under a number of its own.
 */
export function homeDir(): string | null {
  try {
    const home = homedir();
    return isAbsolute(home) ? home : null;
  } catch {
    return null;
  }
}

/**
 * The folder for what can be made or fetched again: `CLIPN_CACHE_DIR`, else `clipn-native` in `XDG_CACHE_HOME`, else
 * `~/.cache/clipn-native`. It may not exist yet. Null when nothing names one and there is no home folder.
 */
export function cacheDirIfAny(env: NodeJS.ProcessEnv = process.env): string | null {
  const own = env['CLIPN_CACHE_DIR'];
  if (own) return resolve(own);
  const xdg = env['XDG_CACHE_HOME'];
  // The XDG specification has relative paths ignored.
  if (xdg && isAbsolute(xdg)) return join(xdg, 'clipn-native');
  const home = homeDir();
  return home === null ? null : join(home, '.cache', 'clipn-native');
}

/** Of an error that refuses a cache folder to this user: the remedy. Of any other none, for its own is better. */
export function cacheHint(cause: unknown): { hint?: string } {
  const refused = ['EACCES', 'EPERM', 'EROFS', 'ENOTDIR'].includes((cause as NodeJS.ErrnoException).code ?? '');
  return refused ? { hint: 'Name a folder that may be written with CLIPN_CACHE_DIR.' } : {};
}

/** As `cacheDirIfAny`, where one is needed. @throws ERR_CLIPN_IO when there is none */
export function cacheDir(env: NodeJS.ProcessEnv = process.env): string {
  const folder = cacheDirIfAny(env);
  if (folder !== null) return folder;
  throw new ClipnError('ERR_CLIPN_IO', 'there is no cache folder, for this user has no home folder', {
    hint: 'Name a folder that may be written with CLIPN_CACHE_DIR, or set HOME.',
  });
}
