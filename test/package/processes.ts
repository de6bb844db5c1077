/** Processes of a user who has this Node, npm and a shell, and an empty home. */
import assert from 'node:assert/strict';
import { type ExecFileException, execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { repository } from '../support/paths';
import type { Tried } from './tried';

/** Holds all that the tests of the package write; `removeFolder` ends it. */
export const folder = mkdtempSync(path.join(tmpdir(), 'clipn-package-'));
export const removeFolder = () => rmSync(folder, { recursive: true, force: true });

export interface Ended {
  code: number | string | null;
  stdout: string;
  stderr: string;
}

interface Where {
  cwd: string;
  env?: NodeJS.ProcessEnv;
}

/** A crash shows as a code that is not a number. */
export function run(command: string, args: readonly string[], options: Where) {
  return new Promise<Ended>((resolve) => {
    execFile(command, args, { maxBuffer: 1 << 26, ...options }, (error: ExecFileException | null, stdout, stderr) => {
      resolve({ code: error ? (error.code ?? error.signal ?? null) : 0, stdout, stderr });
    });
  });
}

export async function must(command: string, args: readonly string[], options: Where) {
  const ended = await run(command, args, options);
  assert.equal(ended.code, 0, `${command} ${args.join(' ')}\n${ended.stdout}\n${ended.stderr}`);
  return ended.stdout;
}

/** npm's own program: named by npm when it runs us, else found as a shell would. */
function npmProgram(name: 'npm' | 'npx'): string {
  const running = process.env['npm_execpath'];
  if (running?.endsWith('npm-cli.js')) return path.join(path.dirname(running), `${name}-cli.js`);
  const folders = (process.env['PATH'] ?? '').split(':').map((each) => path.join(each, name));
  const found = folders.find((file) => existsSync(file));
  assert.ok(found, `${name} is not on PATH`);
  return found;
}

/** The environment of a user who has this Node, npm and a shell, and an empty home. */
export function userEnv(node: string): NodeJS.ProcessEnv {
  const bin = mkdtempSync(path.join(folder, 'bin-'));
  symlinkSync(node, path.join(bin, 'node'));
  for (const name of ['npm', 'npx'] as const) symlinkSync(npmProgram(name), path.join(bin, name));
  symlinkSync('/bin/sh', path.join(bin, 'sh'));
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(CLIPN_|NODE_OPTIONS$|VIRTUAL_ENV$|CONDA_)/.test(name),
  );
  return {
    ...Object.fromEntries(kept),
    PATH: bin,
    HOME: path.join(folder, 'home'),
    CLIPN_CACHE_DIR: path.join(folder, 'cache'),
    NO_PROXY: '127.0.0.1',
    no_proxy: '127.0.0.1',
  };
}

/** Package managers' settings and downloads are the caller's: only the product sees the empty home. */
export const npmEnv = () => ({ ...userEnv(process.execPath), HOME: homedir() });

const installing = new Map<string, Promise<string>>();

/** Path of a program that is tried, which is installed on first need and kept in build/; this Node serves as its major's. */
export function programOf(tried: Tried): Promise<string> {
  if (tried.name === `Node ${process.versions.node.split('.')[0]}`) return Promise.resolve(process.execPath);
  const known = installing.get(tried.name) ?? install(tried);
  installing.set(tried.name, known);
  return known;
}

async function install({ package: name, version, program }: Tried): Promise<string> {
  const prefix = path.join(repository, 'build/tried', `${name.replace('/', '+')}-${version}`);
  const file = path.join(prefix, 'node_modules', name, program);
  if (!existsSync(file)) {
    mkdirSync(prefix, { recursive: true });
    const flags = ['--ignore-scripts', '--no-save', '--no-audit', '--no-fund', '--prefer-offline', '--prefix', prefix];
    await must('npm', ['install', ...flags, `${name}@${version}`], { cwd: prefix });
  }
  return file;
}
