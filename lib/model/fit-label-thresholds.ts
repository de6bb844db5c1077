/** Fits the thresholds of labels by themselves on photos of each. docs/scores.md */
import { assertArguments, assertOptionNames, type OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { firstFew } from '../base/wording';
import { assertPromise, conformalThreshold, DEFAULT_TARGET, type Promised, scoresNeeded } from '../decide/conformal';
import { thresholdsOf } from '../decide/present';
import type { DecodeOptions } from '../images/decode';
import type { LabelBank } from '../labels/bank';
import type { Model } from './model';
import { ENCODE_OPTIONS } from './options';

/** Options of `fitLabelThresholds`. */
export interface FitLabelThresholdsOptions extends DecodeOptions {
  /** Share of the images that show a label for which it counts as present, on average. Default 0.95. */
  target?: number | undefined;
  /** Aborts: the call rejects with `signal.reason`. */
  signal?: AbortSignal | undefined;
}

const FIT_OPTIONS: OptionNames<FitLabelThresholdsOptions> = { ...ENCODE_OPTIONS, target: true };

/**
 * Fits `present` on photos of each label: split-conformal, so that the label counts as present in the share `target` of new
 * photos that show it, on average. How often it counts as present in others is not promised.
 *
 * @param photos label → paths of photos that show it, whatever else they show; at least 19 each for a target of 0.95
 * @throws ERR_CLIPN_TOO_FEW_IMAGES naming the labels, ERR_CLIPN_LABELS for one that the bank lacks,
 *   ERR_CLIPN_MODEL_CONTRACT for a plain CLIP, what reading a photo throws, or `signal.reason`
 */
export async function fitLabelThresholds(
  model: Model,
  bank: LabelBank,
  photos: Readonly<Record<string, readonly string[]>>,
  options: FitLabelThresholdsOptions = {},
): Promise<Record<string, number>> {
  assertArguments({
    model: ['model', model],
    bank: ['bank', bank],
    photos: ['record', photos],
    options: ['options', options],
  });
  assertOptionNames('fitLabelThresholds', options, FIT_OPTIONS);
  for (const [label, paths] of Object.entries(photos)) assertArguments({ [`photos of ${label}`]: ['list', paths] });
  const { target = DEFAULT_TARGET, signal, ...decoding } = options;
  assertArguments({ target: ['number', target] });
  thresholdsOf(0, bank);
  assertPhotos(bank, photos, { target });
  const detector = await model.detectorFor(bank, { ...decoding, present: 0 }, false, false);
  const thresholds: Record<string, number> = {};
  for (const label of bank.labels) {
    const shares: number[] = [];
    for await (const result of detector.stream(photos[label]!, { signal })) {
      if ('error' in result) throw result.error;
      shares.push(result.present!.find((entry) => entry.label === label)!.pYes);
    }
    thresholds[label] = conformalThreshold(shares, target);
  }
  return thresholds;
}

function assertPhotos(bank: LabelBank, photos: Readonly<Record<string, readonly string[]>>, promised: Promised): void {
  const unknown = Object.keys(photos).filter((label) => !bank.labels.includes(label));
  if (unknown.length > 0) throw new ClipnError('ERR_CLIPN_LABELS', `photos of what is no label: ${firstFew(unknown)}`);
  assertPromise(promised);
  const needed = scoresNeeded(promised);
  const few = bank.labels.filter((label) => (photos[label]?.length ?? 0) < needed);
  if (few.length === 0) return;
  throw new ClipnError(
    'ERR_CLIPN_TOO_FEW_IMAGES',
    `a target of ${promised.target} needs at least ${needed} photos of each label; there are fewer of ${firstFew(few)}`,
    { details: { needed, labels: few } },
  );
}
