/** What the set-up and check scripts share: running commands, comparing file times, printing steps. Node only. */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
export const inCi = process.env.CI === 'true';
/** Loads a module of the built library, e.g. './dist/libtorch/fetch.js'. */
export const require = createRequire(join(root, 'package.json'));

/** '2.13.0' → '2.13', as the built library has it. */
export const minorOf = (version) => require('./dist/libtorch/inspect.js').minorOf(version);

/** A failure whose message is all that a user needs: printed without a stack. */
export class Stop extends Error {}

/** Runs in the repository root with the terminal; throws when the command fails. */
export function run(command, args, options = {}) {
  const { status, signal, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (error) throw new Stop(`${command} cannot be started: ${error.message}`);
  if (status !== 0) throw new Stop(`${command} ${args.join(' ')} ended with ${signal ?? `exit code ${status}`}`);
}

/** As `run`, for a command whose words matter only when it fails. */
export function runQuietly(command, args, options = {}) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd: root, encoding: 'utf8', ...options });
  if (error) throw new Stop(`${command} cannot be started: ${error.message}`);
  if (status !== 0) throw new Stop(`${stdout}${stderr}\n${command} ${args.join(' ')} ended with exit code ${status}`);
}

/** More than any part of the checks takes on a slow machine: what is not ended by then waits for what never comes. */
export const LONGEST_PART_MINUTES = 30;

/**
 * Runs beside others; resolves with the exit code and what it said, in one piece. With `live` it has the terminal instead;
 * with `onWords` what it says is also passed on as it comes. What still runs after `minutes` is ended.
 */
export function runAside(command, args, { live = false, onWords, minutes = LONGEST_PART_MINUTES, ...options } = {}) {
  const words = live ? 'inherit' : 'pipe';
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: root, stdio: ['ignore', words, words], ...options });
    let said = '';
    const limit = setTimeout(() => {
      child.kill('SIGKILL');
      // Its own children may live on and hold the pipes.
      child.stdout?.destroy();
      child.stderr?.destroy();
      reject(new Stop(`${said}\n${command} ${args.join(' ')} did not end within ${minutes} minutes`));
    }, minutes * 60_000).unref();
    const hear = (chunk) => {
      onWords?.(chunk);
      said += chunk;
    };
    child.stdout?.setEncoding('utf8').on('data', hear);
    child.stderr?.setEncoding('utf8').on('data', hear);
    child.on('error', (error) => reject(new Stop(`${command} cannot be started: ${error.message}`)));
    child.on('close', (status) => {
      clearTimeout(limit);
      resolve({ status, said });
    });
  });
}

/** Standard output of a command, or null when it is missing or fails. */
export function output(command, args) {
  const { status, stdout } = spawnSync(command, args, {
    cwd: root,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return status === 0 ? stdout : null;
}

/** Runs one of this repository's scripts or a tool's JavaScript entry with this Node. */
export const runNode = (args, options) => run(process.execPath, args, options);

/** Paths of the files below `folder` (relative to the root) whose name ends in one of `endings`. */
export function filesBelow(folder, endings) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { recursive: true })
    .filter((name) => endings.some((ending) => name.endsWith(ending)) && !name.includes('node_modules'))
    .map((name) => join(folder, name))
    .sort();
}

/** Whether any of the paths changed after `product` was made, or `product` is missing. */
export function isStale(product, paths) {
  if (!existsSync(join(root, product))) return true;
  const made = statSync(join(root, product)).mtimeMs;
  return paths.some((path) => existsSync(join(root, path)) && statSync(join(root, path)).mtimeMs > made);
}

export const nativeSources = () => [
  'CMakeLists.txt',
  'scripts/build-native.mjs',
  ...['cpp', 'binding'].flatMap((folder) =>
    filesBelow(folder, ['.h', '.cc', '.cpp', '.c', '.inl', '.cu', '.cmake', '.txt']),
  ),
];

/** Memory that one translation unit with libtorch's headers takes in g++. */
const BYTES_PER_COMPILE = 1.5e9;

/** How many of them to compile at once. */
export const compileJobs = () =>
  Math.max(1, Math.min(availableParallelism(), Math.floor(totalmem() / BYTES_PER_COMPILE)));

/** Prints `name`, does the work, prints the seconds. */
export async function step(name, work) {
  const start = performance.now();
  console.log(`${name} …`);
  const note = await work();
  console.log(`${name}: done in ${((performance.now() - start) / 1000).toFixed(1)} s${note ? ` (${note})` : ''}`);
}

/** Runs a script's main function; a `Stop` or one of the library's own errors ends it with its message alone. */
export async function main(work) {
  try {
    await work();
  } catch (error) {
    const known = error instanceof Stop || typeof error?.hint === 'string';
    console.error(known ? `\n${error.message}${error.hint ? `\n${error.hint}` : ''}` : error);
    process.exitCode = 1;
  }
}
