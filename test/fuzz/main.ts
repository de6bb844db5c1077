/**
 * `npm run fuzz`: damages files and arguments at random and looks whether each ends as it should.
 *   npm run fuzz -- [--seed N] [--runs N] [--only NAME]… [--first N]
 * --runs: executions of each target (20,000), in a process of its own: a crash, a hang or memory without end is a finding too.
 * --first: the number of the first one; a finding tells it.
 * Target `core` is the C ABI of the core, from the native tests (`npm test -- --only native` builds them).
 */
import { fork, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { repository } from '../support/paths';
import { type Outcome, runTarget } from './run';
import { TARGETS } from './targets';

const CORE = 'core';
/** Far more than any execution takes: the process then hangs. */
const SILENT_MS = 60_000;

interface Flags {
  seed: number;
  runs: number;
  first: number;
}

/** Runs a target in a process of its own; what ended it early is a finding. */
async function inProcess(name: string, flags: Flags): Promise<Outcome> {
  const child = fork(
    __filename,
    ['--child', name, ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)],
    {
      execArgv: ['--require', 'tsx/cjs'],
    },
  );
  let run = flags.first;
  let outcome: Outcome | undefined;
  let timer: NodeJS.Timeout | undefined;
  const waitOn = () => {
    clearTimeout(timer);
    timer = setTimeout(() => child.kill('SIGKILL'), SILENT_MS);
  };
  waitOn();
  child.on('message', (message: { run: number } | Outcome) => {
    waitOn();
    if ('run' in message) run = message.run;
    else outcome = message;
  });
  // What it said last may come after its end.
  const [[code, signal]] = await Promise.all([once(child, 'exit'), once(child, 'disconnect')]);
  clearTimeout(timer);
  return (
    outcome ?? { findings: [{ run, what: `the process ended with ${signal ?? `exit code ${code}`}` }], counts: {} }
  );
}

async function child(name: string, flags: Flags): Promise<void> {
  const folder = mkdtempSync(path.join(tmpdir(), 'clipn-fuzz-'));
  try {
    const target = TARGETS.find((each) => each.name === name)!;
    const outcome = await runTarget(target, { ...flags, folder, onRun: (run) => process.send!({ run }) });
    process.send!(outcome);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The native fuzzers; true when they passed. */
function core({ seed, runs }: Flags): boolean {
  const program = path.join(repository, 'build/Release/clipn_core_test');
  if (!existsSync(program)) {
    console.log(`${CORE}: SKIPPED, for the native tests are not built: npm test -- --only native`);
    return true;
  }
  const env = { GOMP_SPINCOUNT: '1000', ...process.env, CLIPN_FUZZ_SEED: String(seed), CLIPN_FUZZ_RUNS: String(runs) };
  const { status, signal } = spawnSync(program, ['--gtest_filter=CoreFuzz*'], { stdio: 'inherit', env });
  if (status !== 0) console.log(`${CORE}: ended with ${signal ?? `exit code ${status}`}`);
  return status === 0;
}

function readFlags() {
  const options = {
    seed: { type: 'string', default: '1' },
    runs: { type: 'string', default: '20000' },
    first: { type: 'string', default: '0' },
    only: { type: 'string', multiple: true, default: [] as string[] },
    child: { type: 'string' },
  } as const;
  const { values } = parseArgs({ options });
  const number = (name: 'seed' | 'runs' | 'first') => {
    const value = Number(values[name]);
    if (!Number.isSafeInteger(value) || value < 0)
      throw new Error(`--${name} takes a whole number, not ${values[name]}`);
    return value;
  };
  const names = [...TARGETS.map(({ name }) => name), CORE];
  const unknown = values.only.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`--only takes ${names.join(', ')}; not '${unknown}'`);
  const only = values.only.length > 0 ? values.only : names;
  return { flags: { seed: number('seed'), runs: number('runs'), first: number('first') }, only, of: values.child };
}

async function main(): Promise<void> {
  const { flags, only, of } = readFlags();
  if (of !== undefined) return await child(of, flags);
  let found = 0;
  for (const name of only) {
    const started = performance.now();
    if (name === CORE) {
      if (!core(flags)) found++;
      continue;
    }
    const { findings, counts } = await inProcess(name, flags);
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    const ended = Object.entries(counts).sort(([, a], [, b]) => b - a);
    console.log(
      `${name}: ${flags.runs} runs, ${seconds} s: ${ended.map(([how, count]) => `${count} ${how}`).join(', ')}`,
    );
    for (const { run, what } of findings.slice(0, 10)) {
      console.log(`  --only ${name} --seed ${flags.seed} --first ${run} --runs 1: ${what}`);
    }
    if (findings.length > 10) console.log(`  and ${findings.length - 10} more`);
    found += findings.length;
  }
  console.log(found === 0 ? 'Nothing was found.' : `${found} findings`);
  process.exitCode = found === 0 ? 0 : 1;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
