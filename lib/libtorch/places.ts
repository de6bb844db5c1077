/** Where a libtorch may lie on this computer, best first. Python is looked for on disk: starting it would cost seconds. */
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { cacheDir, cacheDirIfAny } from '../base/cache-dir';
import { type Machine, multiarchTriplet, systemPath } from './machine';

/** The `libtorch` option, `CLIPN_LIBTORCH`, the cache folder, a Python torch, or a folder of the system. */
export type Source = 'option' | 'env' | 'cache' | 'python' | 'system';

export interface Place {
  source: Source;
  path: string;
}

/** The folder of fetched libtorch copies, one folder `<version>+<flavour>` each. */
export function libtorchCacheDir(env: NodeJS.ProcessEnv = process.env): string {
  return join(cacheDir(env), 'libtorch');
}

/** Every place in order; an option or `CLIPN_LIBTORCH` comes first and alone decides when given. */
export function* places(option: string | undefined, machine: Machine): Generator<Place> {
  if (option !== undefined) yield { source: 'option', path: option };
  const named = machine.env['CLIPN_LIBTORCH'];
  if (named) yield { source: 'env', path: named };
  for (const path of cachePlaces(machine)) yield { source: 'cache', path };
  for (const path of pythonPlaces(machine)) yield { source: 'python', path };
  for (const path of ['/usr/local/lib', `/usr/lib/${multiarchTriplet(machine.arch)}`, '/opt/libtorch']) {
    yield { source: 'system', path: systemPath(machine, path) };
  }
}

/** Newest version first; the folder itself when nothing was fetched, so that a report can name it. */
function cachePlaces(machine: Machine): string[] {
  if (cacheDirIfAny(machine.env) === null) return [];
  const folder = libtorchCacheDir(machine.env);
  const newestFirst = (a: string, b: string) => b.localeCompare(a, 'en', { numeric: true });
  const copies = list(folder)
    .filter((name) => !name.startsWith('.'))
    .sort(newestFirst);
  return copies.length > 0 ? copies.map((name) => join(folder, name)) : [folder];
}

/** torch folders of the Pythons in sight: active environments, those on PATH, the user's and the system's packages. */
function* pythonPlaces(machine: Machine): Generator<string> {
  const prefixes = [machine.env['VIRTUAL_ENV'], machine.env['CONDA_PREFIX']].filter((prefix) => prefix !== undefined);
  for (const folder of (machine.env['PATH'] ?? '').split(':')) {
    if (folder === '' || !existsSync(join(folder, 'python3'))) continue;
    if (basename(folder) === 'shims') {
      prefixes.push(...pyenvPrefixes(dirname(folder), machine.env));
      continue;
    }
    // A virtual environment's python3 is a link: its own prefix counts first, then that of the Python it was made from.
    prefixes.push(dirname(folder), dirname(dirname(realpathSync(join(folder, 'python3')))));
  }
  if (machine.home !== null) prefixes.push(join(machine.home, '.local'));
  prefixes.push(systemPath(machine, '/usr'), systemPath(machine, '/usr/local'));

  const seen = new Set<string>();
  for (const prefix of prefixes) {
    for (const packages of packageFolders(prefix)) {
      const identity = realpathSync(packages);
      if (seen.has(identity)) continue;
      seen.add(identity);
      yield join(packages, 'torch');
    }
  }
}

/** site-packages and Debian's dist-packages below a prefix, newest Python first. */
function packageFolders(prefix: string): string[] {
  const folders: string[] = [];
  for (const lib of ['lib', 'lib64']) {
    const pythons = list(join(prefix, lib)).filter((name) => /^python3(\.\d+)?$/.test(name));
    pythons.sort((a, b) => b.localeCompare(a, 'en', { numeric: true }));
    for (const python of pythons) {
      for (const packages of ['site-packages', 'dist-packages']) folders.push(join(prefix, lib, python, packages));
    }
  }
  return folders.filter((folder) => existsSync(folder));
}

/** pyenv's python3 on PATH is a script; the file `version` (or PYENV_VERSION) names the installation it starts. */
function pyenvPrefixes(root: string, env: NodeJS.ProcessEnv): string[] {
  const file = join(root, 'version');
  const names = env['PYENV_VERSION']?.split(':') ?? (existsSync(file) ? readFileSync(file, 'utf8').split(/\s+/) : []);
  return names.filter(Boolean).map((name) => join(root, 'versions', name));
}

/** Names in a folder; none when it is missing, is no folder or may not be read, for then no libtorch can be used there. */
function list(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
