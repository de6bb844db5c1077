/** What a user should know of a label bank on a given model. */
import type { LabelBank } from '../labels/bank';
import { vocabularyWarning } from '../weights/vocabulary';
import type { ModelInfo } from './info';

/** The bank's own warnings, and which of its labels the model never learnt. */
export function bankWarnings({ config }: Pick<ModelInfo, 'config'>, bank: LabelBank): string[] {
  const unknown = vocabularyWarning(config.vocabulary, bank.labels);
  return unknown === undefined ? [...bank.warnings] : [...bank.warnings, unknown];
}
