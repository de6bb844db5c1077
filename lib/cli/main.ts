#!/usr/bin/env node
/**
 * cli/: Flags in, words and exit codes out. Nobody imports it.
 *
 * The command line: finds the verb, owns exit codes and how errors are told.
 */
import { ClipnError } from '../base/errors';
import { packageVersion } from '../base/version';
import { suggestion } from '../base/wording';
import { type Command, helpOf, readArgs, UsageError } from './command';
import { allSaid, note, say } from './terminal';

// Loaded on first need: `doctor` must work where nothing else loads.
const COMMANDS = new Map<string, () => Promise<Command>>([
  ['quickstart', async () => (await import('./commands/quickstart.js')).quickstartCommand],
  ['check', async () => (await import('./commands/check.js')).checkCommand],
  ['labels', async () => (await import('./commands/labels.js')).labelsCommand],
  ['negatives', async () => (await import('./commands/negatives.js')).negativesCommand],
  ['eval', async () => (await import('./commands/eval.js')).evalCommand],
  ['calibrate', async () => (await import('./commands/calibrate.js')).calibrateCommand],
  ['gate', async () => (await import('./commands/gate.js')).gateCommand],
  ['drift', async () => (await import('./commands/drift.js')).driftCommand],
  ['metrics', async () => (await import('./commands/metrics.js')).metricsCommand],
  ['export', async () => (await import('./commands/export.js')).exportCommand],
  ['teach', async () => (await import('./commands/teach.js')).teachCommand],
  ['fetch', async () => (await import('./commands/fetch.js')).fetchCommand],
  ['bench', async () => (await import('./commands/bench.js')).benchCommand],
  ['doctor', async () => (await import('./commands/doctor.js')).doctorCommand],
]);

async function overview(): Promise<string> {
  const lines: string[] = [];
  for (const [name, load] of COMMANDS) lines.push(`  ${name.padEnd(10)}  ${(await load()).summary}`);
  return [
    'clipn-native: does an image belong to one of your classes, or to none?',
    '',
    ...lines,
    '',
    'At first: `clipn-native fetch` for libtorch, then `clipn-native quickstart`. Something amiss: `clipn-native doctor`.',
    '`clipn-native VERB --help` shows the flags. Exit codes: 0 done, 1 failure, 2 usage, 3 gate not met, 130 Ctrl-C,',
    '141 the reader of the output left early.',
  ].join('\n');
}

/** By Ctrl-C, or because the answers can go nowhere. */
const interrupted = new AbortController();
/** Why the answers can go nowhere. */
let lost: NodeJS.ErrnoException | undefined;

async function main(argv: readonly string[]): Promise<number> {
  const [verb, ...rest] = argv;
  if (verb === undefined || verb === 'help' || verb === '--help' || verb === '-h') {
    const named = COMMANDS.get(rest[0] ?? '');
    say(named ? helpOf(rest[0]!, await named()) : await overview());
    return verb === undefined ? 2 : 0;
  }
  if (verb === '--version' || verb === '-v') {
    say(packageVersion());
    return 0;
  }
  const load = COMMANDS.get(verb);
  if (!load) {
    note(`unknown command ${verb}.${suggestion(verb, [...COMMANDS.keys()])}\n\n${await overview()}`);
    return 2;
  }
  const command = await load();
  if (rest.includes('--help') || rest.includes('-h')) {
    say(helpOf(verb, command));
    return 0;
  }
  process.once('SIGINT', () => interrupted.abort());
  try {
    return await command.run(readArgs(command, rest), interrupted.signal);
  } catch (error) {
    if (lost !== undefined) return 1;
    if (interrupted.signal.aborted) {
      note('interrupted');
      return 130;
    }
    if (error instanceof UsageError) {
      const usage = `clipn-native ${verb} ${command.usage}`.trim();
      note(`${error.message}\nusage: ${usage}\n\`clipn-native ${verb} --help\` shows the flags.`);
      return 2;
    }
    if (error instanceof ClipnError) {
      note(`${error.code}: ${error.message}\n  ${error.hint}`);
      return error.code === 'ERR_CLIPN_INVALID_ARG' ? 2 : 1;
    }
    throw error;
  }
}

// Whoever reads the answers has left, as `head` does, or the disk that they go to is full: the verb ends as by Ctrl-C, so
// that it cleans up behind itself. What it writes until then goes nowhere.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  lost ??= error;
  interrupted.abort();
});
// Nobody reads the notes: they are no reason to stop.
process.stderr.on('error', () => undefined);

/** As a program that the system ends by SIGPIPE is seen by its shell: `cat`, `git` and `grep` among them. */
const READER_LEFT = 141;

function exitCode(ofVerb: number): number {
  if (lost === undefined) return ofVerb;
  if (lost.code === 'EPIPE') return READER_LEFT;
  note(`ERR_CLIPN_IO: the answers could not be written: ${lost.message}\n  Make room, or send them somewhere else.`);
  return 1;
}

main(process.argv.slice(2)).then(
  async (code) => {
    await allSaid();
    process.exitCode = exitCode(code);
  },
  (error: unknown) => {
    const stack = error instanceof Error ? error.stack : String(error);
    note(
      `ERR_CLIPN_INTERNAL: ${stack}\n  This is a defect: please report it with the output of \`clipn-native doctor\`.`,
    );
    process.exitCode = 1;
  },
);
