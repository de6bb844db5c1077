#!/usr/bin/env node
/** The command line: finds the verb, owns exit codes and how errors are told. */
import { type Command, helpOf, readArgs, suggestion, UsageError } from './command';
import { ClipnError } from './errors';

// Loaded on first need: `doctor` must work where nothing else loads.
const COMMANDS: Record<string, () => Promise<Command>> = {
  quickstart: async () => (await import('./commands/quickstart.js')).quickstartCommand,
  check: async () => (await import('./commands/check.js')).checkCommand,
  labels: async () => (await import('./commands/labels.js')).labelsCommand,
  export: async () => (await import('./commands/export.js')).exportCommand,
  fetch: async () => (await import('./commands/fetch.js')).fetchCommand,
  doctor: async () => (await import('./commands/doctor.js')).doctorCommand,
};

async function overview(): Promise<string> {
  const lines: string[] = [];
  for (const [name, load] of Object.entries(COMMANDS)) lines.push(`  ${name.padEnd(10)}  ${(await load()).summary}`);
  return [
    'clipn-native: does an image belong to one of your classes, or to none?',
    '',
    ...lines,
    '',
    '`clipn-native VERB --help` shows the flags. Exit codes: 0 done, 1 failure, 2 usage, 3 gate not met.',
  ].join('\n');
}

function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

async function main(argv: readonly string[]): Promise<number> {
  const [verb, ...rest] = argv;
  if (verb === undefined || verb === 'help' || verb === '--help' || verb === '-h') {
    process.stdout.write(`${await overview()}\n`);
    return verb === undefined ? 2 : 0;
  }
  if (verb === '--version' || verb === '-v') {
    const { version } = require('../package.json') as { version: string };
    process.stdout.write(`${version}\n`);
    return 0;
  }
  const load = COMMANDS[verb];
  if (!load) {
    tell(`unknown command ${verb}.${suggestion(verb, Object.keys(COMMANDS))}\n\n${await overview()}`);
    return 2;
  }
  const command = await load();
  if (rest.includes('--help') || rest.includes('-h')) {
    process.stdout.write(`${helpOf(verb, command)}\n`);
    return 0;
  }
  const interrupted = new AbortController();
  process.once('SIGINT', () => interrupted.abort());
  try {
    return await command.run(readArgs(command, rest), interrupted.signal);
  } catch (error) {
    if (interrupted.signal.aborted) {
      tell('interrupted');
      return 130;
    }
    if (error instanceof UsageError) {
      tell(`${error.message}\nusage: clipn-native ${verb} ${command.usage}`);
      return 2;
    }
    if (error instanceof ClipnError) {
      tell(`${error.code}: ${error.message}\n  ${error.hint}`);
      return 1;
    }
    throw error;
  }
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    const stack = error instanceof Error ? error.stack : String(error);
    tell(
      `ERR_CLIPN_INTERNAL: ${stack}\n  This is a defect: please report it with the output of \`clipn-native doctor\`.`,
    );
    process.exitCode = 1;
  },
);
