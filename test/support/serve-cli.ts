/** `clipn-native-serve` as a user has it: processes of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { repository } from './paths';

const program = path.join(repository, 'serve/dist/main.js');

/** Throws when serve/ has changed since it was built. */
function assertUpToDate(): void {
  const built = statSync(program, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const changed = readdirSync(path.join(repository, 'serve/src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .find((entry) => statSync(path.join(entry.parentPath, entry.name)).mtimeMs > built);
  if (changed) throw new Error(`serve/dist/ is older than ${changed.name}: run \`npm run build:serve\``);
}

export interface ServeRun {
  child: ChildProcess;
  /** What it has said so far. */
  said: () => { out: string; err: string };
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; out: string; err: string }>;
}

export function startServe(args: readonly string[], env: Record<string, string> = {}): ServeRun {
  assertUpToDate();
  const child = spawn(process.execPath, [program, ...args], {
    cwd: repository,
    env: { ...process.env, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { out: '', err: '' };
  child.stdout.on('data', (data) => {
    said.out += data;
  });
  child.stderr.on('data', (data) => {
    said.err += data;
  });
  const ended = new Promise<Awaited<ServeRun['ended']>>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal, ...said }));
  });
  return { child, said: () => ({ ...said }), ended };
}

export const runServe = (args: readonly string[], env?: Record<string, string>): ServeRun['ended'] =>
  startServe(args, env).ended;
