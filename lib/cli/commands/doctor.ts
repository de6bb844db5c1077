/** `doctor`: what was found, what is missing, what to do next. */

import { diagnose } from '../../doctor/diagnose';
import { formatDiagnosis, isReady } from '../../doctor/format';
import { type Args, type Command, UsageError } from '../command';

export const doctorCommand: Command = {
  summary: 'Show what the package found on this machine: binaries, every libtorch and why it was refused, CPU, cache.',
  usage: '[--json]',
  flags: {
    libtorch: { value: 'DIR', doc: 'folder of libtorch to examine' },
    json: { doc: 'one JSON object' },
  },
  run,
};

async function run(args: Args): Promise<number> {
  if (args.operands.length > 0) throw new UsageError(`unexpected argument ${args.operands[0]}`);
  const libtorch = args.text('libtorch');
  const diagnosis = await diagnose(libtorch === undefined ? {} : { libtorch });
  process.stdout.write(`${args.on('json') ? JSON.stringify(diagnosis) : formatDiagnosis(diagnosis)}\n`);
  return isReady(diagnosis) ? 0 : 1;
}
