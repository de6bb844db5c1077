/** From flags to a judge: loads the model, its labels and what decides. */
import type { Detector, Model } from 'clipn-native';
import { type DetectorFlags, modelFrom } from '../detector-flags';
import { Admission } from './admission';
import { DriftWatch, watchable } from './drift';
import { Judge } from './judge';
import { LabelSet, LabelSets } from './label-sets';
import { type HttpOptions, TOP } from './options';

/** A PNG of one pixel. Judged before the first request: what is loaded on first need is loaded then, decoder and threads. */
const DOT = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

/** @throws what loading the model, its labels and the calibration throws */
export async function openJudge(
  flags: DetectorFlags,
  options: HttpOptions,
  onAlarm: ConstructorParameters<typeof DriftWatch>[1],
): Promise<Judge> {
  const { model, classes, calibration, negatives, threshold } = await modelFrom(flags);
  try {
    const common = { calibration, threshold, limitPixels: options.limitPixels };
    const detector = await model.createDetector(classes, { ...common, negatives, topK: TOP.default });
    await detector.check(Buffer.from(DOT, 'base64'));
    const own = new LabelSet(model, detector.bank, { ...common, negatives }, detector);
    const sets = new LabelSets(own, whyClosed(model, detector, options, negatives !== undefined));
    const admission = new Admission({ images: options.maxWaiting, bytes: options.maxHeld });
    const drift = watchable(calibration) ? new DriftWatch(calibration, onAlarm) : undefined;
    return new Judge(model, sets, admission, drift);
  } catch (error) {
    await model.close();
    throw error;
  }
}

/** Why clients can give no labels of their own. */
function whyClosed(
  { info }: Model,
  { bank }: Detector,
  { liveLabels }: HttpOptions,
  hasNegatives: boolean,
): string | undefined {
  if (!liveLabels) return 'the server was started with --no-live-labels';
  if (!info.hasText) return 'the model holds no text tower';
  if (hasNegatives) return 'the negatives were chosen for the labels of the server';
  return bank.no === null
    ? 'the model has no "no" tower, and without negatives only the calibrated labels can be judged'
    : undefined;
}
