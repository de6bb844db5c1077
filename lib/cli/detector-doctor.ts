/** `doctor` with labels: asks a detector about drawings. */
import { readCalibration } from '../decide/calibration';
import { diagnoseDetector } from '../doctor/diagnose-detector';
import { formatDetectorDiagnosis } from '../doctor/format-detector';
import type { DecidingScore } from '../scores/names';
import type { Args } from './command';
import { bankSourceFrom, comparedFrom, modelFrom } from './model-flags';
import { note, Progress, say, sayJson } from './terminal';

/** Exit code 1 for a detector that fails. */
export async function diagnoseLabels(args: Args, signal: AbortSignal): Promise<number> {
  const source = await bankSourceFrom(args);
  const calibrationPath = args.text('calibration');
  const calibration = calibrationPath === undefined ? undefined : await readCalibration(calibrationPath);
  const progress = new Progress();
  await using model = await modelFrom(args, signal);
  const { bank, negatives } = await comparedFrom(args, source, model, progress, signal);
  const score = args.text('score') as DecidingScore | undefined;
  const options = { score, threshold: args.number('threshold'), calibration, negatives };
  const detector = await model.createDetector(bank, options);
  for (const warning of detector.warnings) note(`warning: ${warning}`);
  const diagnosis = await diagnoseDetector(model, detector, { signal });
  if (args.on('json')) sayJson(diagnosis);
  else say(formatDetectorDiagnosis(diagnosis));
  return diagnosis.standing === 'fails' ? 1 : 0;
}
