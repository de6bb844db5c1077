/** What a user should know of a label bank, and of the words beside it, on a given model. */
import { decisionOf, ruleWarning, wordWarnings } from '../decide/rule';
import type { LabelBank } from '../labels/bank';
import type { NegativeBank } from '../scores/negatives';
import { negativesWarning, vocabularyWarning } from '../weights/vocabulary';
import type { ModelInfo } from './info';

/** On the small model, with 1 to 84 labels: docs/calibration.md. */
const GUESSED_WORDS =
  'where words decide that the model never learnt, a fifth to two thirds of the images of your labels were rejected. ' +
  'Calibrate on 19 photos of them or more: `clipn-native calibrate --negatives …`.';

type Info = Pick<ModelInfo, 'config'>;

/** The bank's own warnings, and which of its labels the model never learnt. */
export function bankWarnings({ config }: Info, bank: LabelBank): string[] {
  const unknown = vocabularyWarning(config.vocabulary, bank.labels);
  return unknown === undefined ? [...bank.warnings] : [...bank.warnings, unknown];
}

/** Why the rule that decides by itself should not be trusted for this bank; undefined where there is none, too. */
export function ruleWarningOf({ labels, no }: LabelBank): string | undefined {
  return no === null ? undefined : ruleWarning(decisionOf({}, { no: true, words: 0 }), labels.length);
}

/**
 * The same of a bank and the words beside it, and why these may mislead where they decide.
 *
 * @param deciding as of `decidingName`
 */
export function comparedWarnings(
  info: Info,
  bank: LabelBank,
  negatives: NegativeBank | undefined,
  deciding: string,
): string[] {
  const ofBank = bankWarnings(info, bank);
  if (negatives === undefined) return ofBank;
  const unknown = negativesWarning(info.config.vocabulary, negatives.words);
  const words = { count: negatives.words.length, templates: negatives.templates.sha256 };
  return [
    ...ofBank,
    ...negatives.warnings,
    ...(unknown === undefined ? [] : [unknown]),
    ...(unknown === undefined || deciding !== 'nearest' ? [] : [GUESSED_WORDS]),
    ...wordWarnings(deciding, words, { templates: bank.templates.sha256 }),
  ];
}
