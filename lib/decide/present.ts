/** Which labels an image shows by themselves, for images that may show several: p_yes of each against its own threshold. Pure. */
import { assertArguments } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { firstFew } from '../base/wording';
import type { LabelBank } from '../labels/bank';

/** p_yes from which on a label counts as present: one for all, or one for each label. */
export type LabelThresholds = number | Readonly<Record<string, number>>;

/** The threshold of each label, in order. @throws ERR_CLIPN_INVALID_ARG, ERR_CLIPN_LABELS for a label without one, ERR_CLIPN_MODEL_CONTRACT */
export function thresholdsOf(given: LabelThresholds, bank: LabelBank): number[] {
  if (bank.no === null) {
    const message = 'labels by themselves need p_yes, and this model is a plain CLIP without a no tower';
    throw new ClipnError('ERR_CLIPN_MODEL_CONTRACT', message, { hint: 'Leave `present` out, or take a CLIPN model.' });
  }
  if (typeof given === 'number') return bank.labels.map(() => shareOf(given, 'present'));
  assertArguments({ present: ['record', given] });
  const lacking = bank.labels.filter((label) => !Object.hasOwn(given, label));
  if (lacking.length > 0)
    throw new ClipnError('ERR_CLIPN_LABELS', `no threshold in \`present\` for ${firstFew(lacking)}`);
  return bank.labels.map((label) => shareOf(given[label]!, `present of ${label}`));
}

function shareOf(value: number, name: string): number {
  if (typeof value === 'number' && value >= 0 && value <= 1) return value;
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${name} must be a number from 0 to 1, not ${value}`);
}

/** The labels of one image whose p_yes reaches their threshold, by falling p_yes. */
export function presentLabels(
  labels: readonly string[],
  thresholds: readonly number[],
  { yes, no }: { yes: readonly number[]; no: readonly number[] },
): { label: string; pYes: number }[] {
  const each = labels.map((label, c) => ({ label, pYes: 1 / (1 + Math.exp(no[c]! - yes[c]!)) }));
  return each.filter(({ pYes }, c) => pYes >= thresholds[c]!).sort((a, b) => b.pYes - a.pYes);
}
