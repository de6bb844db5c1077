#!/usr/bin/env node
/** The command line: finds the verb, owns exit codes and how errors are told. */
import { ClipnError } from 'clipn-native';
import { Command, CommanderError } from 'commander';
import { batchCommands } from './batch/commands';
import { ServeError } from './errors';
import { httpCommand } from './http/command';
import { tritonCommand } from './triton/command';
import { ownVersion } from './versions';

const USAGE = 2;

function program(): Command {
  const top = new Command('clipn-native-serve')
    .description('clipn-native beyond one process: over HTTP, over a queue of workers, in Triton.')
    .version(ownVersion())
    .showHelpAfterError(
      '`clipn-native-serve --help` shows the verbs, `clipn-native-serve VERB --help` the flags of one.',
    )
    // As the errors are told that are not found by reading flags.
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error/, 'ERR_SERVE_USAGE')) })
    .exitOverride();
  top.addCommand(httpCommand().copyInheritedSettings(top), { isDefault: true });
  top.addCommand(tritonCommand().copyInheritedSettings(top));
  for (const command of batchCommands()) top.addCommand(command.copyInheritedSettings(top));
  return top;
}

/** Exit codes: 0 done, 1 failure, 2 usage. */
async function main(): Promise<number> {
  try {
    const top = program();
    // Of an operand the default verb would complain, and of its own missing flags before.
    const [verb = '-'] = process.argv.slice(2);
    if (!verb.startsWith('-') && verb !== 'help' && !top.commands.some((each) => each.name() === verb))
      top.error(`error: unknown command '${verb}'`);
    await top.parseAsync();
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE;
    if (error instanceof ClipnError || error instanceof ServeError) {
      process.stderr.write(`${error.code}: ${error.message}\n  ${error.hint}\n`);
      return ['ERR_SERVE_USAGE', 'ERR_CLIPN_INVALID_ARG'].includes(error.code) ? USAGE : 1;
    }
    throw error;
  }
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    const stack = error instanceof Error ? error.stack : String(error);
    process.stderr.write(`ERR_SERVE_INTERNAL: ${stack}\n  This is a defect: please report it.\n`);
    process.exitCode = 1;
  },
);
