/** The command line as a user has it: a process of its own. */
import { execFile } from 'node:child_process';
import { resolveLibtorch } from '../../lib/libtorch/find';
import { cliProgram } from './built';
import { repository } from './paths';

export interface CliRun {
  code: number;
  out: string;
  err: string;
}

/** For tests whose cache folder is their own: libtorch is looked for where the user has it. */
export function keepLibtorch(): void {
  process.env['CLIPN_LIBTORCH'] ??= resolveLibtorch().dir;
}

/** Runs `clipn-native ARGS`; a test that writes to the cache folder passes one of its own. */
export function runCli(args: readonly string[], cache?: string): Promise<CliRun> {
  const argv = [cliProgram(), ...args];
  const env = { ...process.env, ...(cache && { CLIPN_CACHE_DIR: cache }), NO_COLOR: '1' };
  return new Promise((resolve) => {
    execFile(process.execPath, argv, { cwd: repository, env }, (error, out, err) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, out, err });
    });
  });
}
