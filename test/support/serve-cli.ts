/** `clipn-native-serve` as a user has it: processes of their own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { endWithTests } from './left-running';
import { repository } from './paths';
import { serveProgram } from './serve-process';

export interface ServeRun {
  child: ChildProcess;
  /** What it has said so far. */
  said: () => { out: string; err: string };
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; out: string; err: string }>;
}

export function startServe(args: readonly string[], env: Record<string, string> = {}): ServeRun {
  const child = spawn(process.execPath, [serveProgram(), ...args], {
    cwd: repository,
    env: { ...process.env, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  endWithTests(child);
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
