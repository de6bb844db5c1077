/** What a user should know of a label bank, and of the words beside it, on a given model. */
import { wordWarnings } from '../decide/rule';
import type { LabelBank } from '../labels/bank';
import type { NegativeBank } from '../scores/negatives';
import { negativesWarning, vocabularyWarning } from '../weights/vocabulary';
import type { ModelInfo } from './info';

type Info = Pick<ModelInfo, 'config'>;

/** The bank's own warnings, and which of its labels the model never learnt. */
export function bankWarnings({ config }: Info, bank: LabelBank): string[] {
  const unknown = vocabularyWarning(config.vocabulary, bank.labels);
  return unknown === undefined ? [...bank.warnings] : [...bank.warnings, unknown];
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
    ...wordWarnings(deciding, words, { templates: bank.templates.sha256 }),
  ];
}
