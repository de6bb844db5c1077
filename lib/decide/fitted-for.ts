/** What a score depends on, as hashes: a threshold fitted for one such set of facts means nothing under another. */
import { type LabelBank, labelsHash } from '../labels/bank';
import { featurePrecision, type Precision } from '../native/placement';
import { type NegativeBank, negativesHash } from '../scores/negatives';
import type { ModelConfig } from '../weights/model-config';
import { type Preprocessing, preprocessingHash } from '../weights/preprocessing';

/** What a calibration was fitted for, mostly as hashes. */
export interface FittedFor {
  /** The model's weights. */
  contentId: string;
  /** s, the factor on cosines. */
  scale: number;
  /** Of resize rule, image size, mean and standard deviation. */
  preprocessing: string;
  /** Whether images are turned as their EXIF orientation says. */
  exif: boolean;
  /** Of the images' features; 'bf16, labels fp32' and so for fp16, since earlier versions had labels in bf16 too. */
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

/** Another name than what earlier versions wrote where these had other labels. */
function arithmetics(precision: Precision): string {
  const images = featurePrecision(precision);
  return images === 'bf16' || images === 'fp16' ? `${images}, labels fp32` : images;
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
    precision: arithmetics(model.precision),
    labels: labelsHash(bank.labels),
    templates: bank.templates.sha256,
    ...(negatives && { negatives: negativesHash(negatives) }),
  };
}
