/** `doctor`: what was found, what is missing, what to do next; with labels, whether a detector can work for them. */
import { diagnose } from '../../doctor/diagnose';
import { formatDiagnosis, isReady } from '../../doctor/format';
import { DECIDING_SCORES } from '../../scores/names';
import { type Args, type Command, UsageError } from '../command';
import { BANK_FLAG, LABEL_FLAGS, MODEL_FLAGS, NEGATIVES_FLAG } from '../flags';
import { say, sayJson } from '../terminal';

/** What the computer's diagnosis does not take. */
const OF_LABELS = { ...LABEL_FLAGS, ...BANK_FLAG };

export const doctorCommand: Command = {
  summary:
    'Show what the package found on this machine and what is missing; with labels, whether they can work at all.',
  usage: '[--json] [--labels A,B,C | --labels-file F | --bank F]',
  operands: 'none',
  flags: {
    ...MODEL_FLAGS,
    ...OF_LABELS,
    ...NEGATIVES_FLAG,
    score: { value: 'S', choices: DECIDING_SCORES, doc: 'score that decides, as for `check`' },
    threshold: { value: 'X', number: true, doc: 'in when the score is at least X, as for `check`' },
    calibration: { value: 'F', doc: 'calibration file' },
    json: { doc: 'one JSON object' },
  },
  run,
};

async function run(args: Args, signal: AbortSignal): Promise<number> {
  const given = Object.keys(doctorCommand.flags).filter((flag) => args.text(flag) !== undefined);
  if (Object.keys(OF_LABELS).some((flag) => given.includes(flag))) {
    // Loaded on first need: without labels this verb must work where nothing else loads.
    const { diagnoseLabels } = await import('../detector-doctor.js');
    return await diagnoseLabels(args, signal);
  }
  const lone = given.find((flag) => flag !== 'libtorch');
  if (lone !== undefined) throw new UsageError(`--${lone} is for a detector: give --labels, --labels-file or --bank`);
  const libtorch = args.text('libtorch');
  const diagnosis = await diagnose(libtorch === undefined ? {} : { libtorch });
  signal.throwIfAborted();
  if (args.on('json')) sayJson(diagnosis);
  else say(formatDiagnosis(diagnosis));
  return isReady(diagnosis) ? 0 : 1;
}
