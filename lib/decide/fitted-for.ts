/** What a score depends on, as hashes: a threshold fitted for one such set of facts means nothing under another. */
import { type LabelBank, labelsHash } from '../labels/bank';
import { featurePrecision, type Precision } from '../native/placement';
import { type NegativeBank, negativesHash } from '../scores/negatives';
import type { ModelConfig } from '../weights/model-config';
import { type Preprocessing, preprocessingHash } from '../weights/preprocessing';

export interface FittedFor {
  /** The model's weights. */
  contentId: string;
  /** s, the factor on cosines. */
  scale: number;
  /** Of resize rule, image size, mean and standard deviation. */
  preprocessing: string;
  /** Whether images are turned as their EXIF orientation says. */
  exif: boolean;
  precision: string;
  /** Of the names, in order. */
  labels: string;
  /** Of the templates. */
  templates: string;
  /** Of the negative words, where the score compares with them. */
  negatives?: string;
}

/** The part of a model that scores depend on. */
export interface ScoringModel {
  contentId: string;
  precision: Precision;
  config: Preprocessing & Pick<ModelConfig, 'scale'>;
}

/** @param negatives the words that the score compares with; none for another score */
export function fittedFor(
  model: ScoringModel,
  bank: LabelBank,
  { exif = true }: { exif?: boolean },
  negatives?: NegativeBank,
): FittedFor {
  return {
    contentId: model.contentId,
    scale: model.config.scale,
    preprocessing: preprocessingHash(model.config),
    exif,
    precision: featurePrecision(model.precision),
    labels: labelsHash(bank.labels),
    templates: bank.templates.sha256,
    ...(negatives && { negatives: negativesHash(negatives) }),
  };
}
