/** What a user should know of a label bank, and of the words beside it, on a given model. */
import type { LabelBank } from '../labels/bank';
import type { NegativeBank } from '../scores/negatives';
import { negativesWarning, vocabularyWarning } from '../weights/vocabulary';
import type { ModelInfo } from './info';

/** The bank's own warnings, and which of its labels the model never learnt. */
export function bankWarnings({ config }: Pick<ModelInfo, 'config'>, bank: LabelBank): string[] {
  const unknown = vocabularyWarning(config.vocabulary, bank.labels);
  return unknown === undefined ? [...bank.warnings] : [...bank.warnings, unknown];
}

/** The same of negative words; nothing without them. */
export function wordsWarnings({ config }: Pick<ModelInfo, 'config'>, negatives: NegativeBank | undefined): string[] {
  if (negatives === undefined) return [];
  const unknown = negativesWarning(config.vocabulary, negatives.words);
  return unknown === undefined ? [...negatives.warnings] : [...negatives.warnings, unknown];
}
