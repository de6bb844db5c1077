/** The other side of peers/serve.ts: starts a contender's process, asks it, and notes what it weighs. */
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { Answer, Missing, Ready, Request } from './peers/serve';

export interface Contender {
  versions: Record<string, string>;
  /** Milliseconds from the start of the process until it was ready. */
  startMs: number;
  /** Milliseconds of that for loading the model. */
  loadMs: number | null;
  ask(request: Request): Promise<Answer>;
  /** Resident memory now and at most; null where the system does not tell. */
  memory(): { rssBytes: number; peakBytes: number } | null;
  /** Resolves when its process has ended. */
  close(): Promise<void>;
}

/** Starts `command` with `env` added to ours; what it prints on stderr goes to `log`. */
export async function startContender(
  command: readonly string[],
  env: Record<string, string>,
  log: string,
): Promise<Contender | Missing> {
  mkdirSync(path.dirname(log), { recursive: true });
  const start = performance.now();
  const child = spawn(command[0]!, command.slice(1), {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
  child.stderr.pipe(createWriteStream(log));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const failure = new Promise<{ missing: string }>((resolve) => {
    child.on('error', (error) => resolve({ missing: `cannot be started: ${error.message}` }));
    child.on('close', (code, signal) => resolve({ missing: `its process ended with ${signal ?? code}, see ${log}` }));
  });
  child.stdin.on('error', () => {}); // the process ended: `failure` says so
  const next = async <T>(): Promise<T | Missing> => {
    const line = await lines.next();
    return line.done ? await failure : (JSON.parse(line.value) as T);
  };
  const first = await next<Ready>();
  if ('missing' in first) return first;
  const { versions, loadMs } = first.ready;
  return {
    versions,
    startMs: performance.now() - start,
    loadMs: loadMs ?? null,
    async ask(request) {
      child.stdin.write(`${JSON.stringify(request)}\n`);
      const answer = await next<Answer>();
      return 'missing' in answer ? { error: answer.missing } : answer;
    },
    memory() {
      const status = `/proc/${child.pid}/status`;
      if (!existsSync(status)) return null;
      const bytes = (key: string) =>
        1024 * Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(readFileSync(status, 'utf8'))?.[1]);
      return { rssBytes: bytes('VmRSS'), peakBytes: bytes('VmHWM') };
    },
    async close() {
      child.stdin.end();
      await failure;
    },
  };
}
