/** `doctor`: what was found, what is missing, what to do next. */
import { diagnose } from '../../doctor/diagnose';
import { formatDiagnosis, isReady } from '../../doctor/format';
import type { Args, Command } from '../command';
import { say, sayJson } from '../terminal';

export const doctorCommand: Command = {
  summary: 'Show what the package found on this machine: binaries, every libtorch and why it was refused, CPU, cache.',
  usage: '[--json]',
  operands: 'none',
  flags: {
    libtorch: { value: 'DIR', doc: 'folder of libtorch to examine' },
    json: { doc: 'one JSON object' },
  },
  run,
};

async function run(args: Args): Promise<number> {
  const libtorch = args.text('libtorch');
  const diagnosis = await diagnose(libtorch === undefined ? {} : { libtorch });
  if (args.on('json')) sayJson(diagnosis);
  else say(formatDiagnosis(diagnosis));
  return isReady(diagnosis) ? 0 : 1;
}
