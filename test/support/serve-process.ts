/** The server of serve/ as a process of its own, as `npx clipn-native-serve` starts it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { builtLibrary } from './built';
import { endWithTests } from './left-running';
import { photos, repository } from './paths';

export const SMALL = path.join(repository, 'models/small/model.pt');
export const LABELS = readFileSync(path.join(photos, 'labels.txt'), 'utf8').trim().split('\n');
export const photo = (name: string) => readFileSync(path.join(photos, `${name}.jpg`));

/** A line of its log. */
export type LogLine = Record<string, unknown> & { msg: string };

export interface ServeProcess {
  url: string;
  log: LogLine[];
  /** What it said on stderr. */
  said(): string;
  child: ChildProcess;
  /** Ends it and gives its exit code and signal. */
  end(signal?: NodeJS.Signals): Promise<[code: number | null, signal: NodeJS.Signals | null]>;
}

/** Path of serve/dist/main.js. Throws when its sources have changed since it was built. */
export function serveProgram(): string {
  builtLibrary();
  const program = path.join(repository, 'serve/dist/main.js');
  const built = statSync(program, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const changed = readdirSync(path.join(repository, 'serve/src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .find((entry) => statSync(path.join(entry.parentPath, entry.name)).mtimeMs > built);
  if (changed) throw new Error(`serve/dist is older than ${changed.name}: run \`npm run build:serve\``);
  return program;
}

/** With the small model and its labels on a port of its own; resolves when it listens. */
export async function startServer(
  flags: readonly string[] = [],
  { labels = true, env = {} }: { labels?: boolean; env?: NodeJS.ProcessEnv } = {},
): Promise<ServeProcess> {
  const named = labels ? ['--labels', LABELS.join(',')] : [];
  const args = [serveProgram(), '--model', SMALL, '--port', '0', ...named, ...flags];
  return await listening(
    spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] }),
  );
}

/** A server that was just started, once its log tells where it listens. */
export async function listening(child: ChildProcess): Promise<ServeProcess> {
  endWithTests(child);
  let said = '';
  child.stderr!.on('data', (chunk) => {
    said += chunk;
  });
  const exited = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const log: LogLine[] = [];
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout! }).on('line', (text) => {
      const line = JSON.parse(text) as LogLine;
      log.push(line);
      const [, at] = /^listening at (http:\S+)$/.exec(line.msg) ?? [];
      if (at !== undefined) resolve(at);
    });
    exited.then(([code]) => reject(new Error(`the server ended with ${code}: ${said}`)));
  });
  return {
    ...{ url, log, child },
    said: () => said,
    async end(signal = 'SIGTERM') {
      child.kill(signal);
      return await exited;
    },
  };
}

export interface Answered {
  status: number;
  type: string;
  headers: Headers;
  body: Record<string, unknown>;
}

export async function ask(url: string, init: RequestInit & { duplex?: 'half' } = {}): Promise<Answered> {
  const response = await fetch(url, init);
  const text = await response.text();
  const type = response.headers.get('content-type') ?? '';
  return {
    ...{ status: response.status, type, headers: response.headers },
    body: /json/.test(type) ? (JSON.parse(text) as Record<string, unknown>) : { text },
  };
}

/** An image as the body. */
export const post = (url: string, body: BodyInit | Buffer, headers: Record<string, string> = {}) =>
  ask(url, { method: 'POST', body: body as BodyInit, headers: { 'content-type': 'image/jpeg', ...headers } });

export const postJson = (url: string, value: unknown, headers: Record<string, string> = {}) =>
  ask(url, {
    method: 'POST',
    body: typeof value === 'string' ? value : JSON.stringify(value),
    headers: { 'content-type': 'application/json', ...headers },
  });

export function form(files: Readonly<Record<string, Buffer>>): FormData {
  const made = new FormData();
  for (const [name, bytes] of Object.entries(files)) made.append('images', new Blob([new Uint8Array(bytes)]), name);
  return made;
}
