/**
 * The command line as a user has it, many times in one process, which loads libtorch once: a child process of
 * snippets.test.ts. It gets `Call`s and sends a `Called` for each.
 */
import { appendFileSync } from 'node:fs';
import { type Command, readArgs } from '../../lib/cli/command';
import { cliProgram } from '../support/built';

export interface Call {
  key: string;
  argv: string[];
  cwd: string;
  /** File that standard output goes to, as `>` sends it. */
  to?: string | undefined;
  env?: Record<string, string> | undefined;
  /** Only read verb and flags. */
  readOnly?: boolean;
}

export interface Called {
  key: string;
  code: number;
  out: string;
  err: string;
}

/** Writes into `said` until the function that is given back is called. */
function listen(stream: NodeJS.WriteStream, said: string[]): () => void {
  const { write } = stream;
  stream.write = ((chunk: string | Uint8Array, ...rest: unknown[]) => {
    said.push(typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString());
    const done = rest.find((each) => typeof each === 'function') as (() => void) | undefined;
    if (done) setImmediate(done);
    return true;
  }) as typeof write;
  return () => {
    stream.write = write;
  };
}

/** The program itself, loaded anew: it takes `process.argv`, and sets the exit code when all is said. */
async function runProgram(argv: string[]): Promise<number> {
  const program = cliProgram();
  process.argv = [process.execPath, program, ...argv];
  process.exitCode = undefined;
  delete require.cache[program];
  require(program);
  while (process.exitCode === undefined) await new Promise((resolve) => setTimeout(resolve, 1));
  const code = Number(process.exitCode);
  process.exitCode = undefined;
  return code;
}

function readOnly([verb, ...argv]: string[]): number {
  const commands = require(`../../lib/cli/commands/${verb}`) as Record<string, Command>;
  readArgs(commands[`${verb}Command`]!, argv);
  return 0;
}

async function call({ key, argv, cwd, to, env = {}, readOnly: onlyRead = false }: Call): Promise<Called> {
  process.chdir(cwd);
  const before = Object.keys(env).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, env);
  const [out, err]: [string[], string[]] = [[], []];
  const quiet = [listen(process.stdout, out), listen(process.stderr, err)];
  let code = -1;
  try {
    code = onlyRead ? readOnly(argv) : await runProgram(argv);
  } catch (error) {
    err.push(String(error));
  } finally {
    for (const end of quiet) end();
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
  if (to !== undefined) appendFileSync(to, out.join(''));
  return { key, code, out: out.join(''), err: err.join('') };
}

// For the children of `doctor`, which run what is built.
process.execArgv = [];
process.stdout.setMaxListeners(0);
process.stderr.setMaxListeners(0);
process.setMaxListeners(0);
process.once('message', async (calls: Call[]) => {
  for (const each of calls) process.send!(await call(each));
  process.disconnect();
});
