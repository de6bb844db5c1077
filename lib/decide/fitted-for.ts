/** What a score depends on, as hashes: a threshold fitted for one such set of facts means nothing under another. */
import { type LabelBank, labelsHash } from '../labels/bank';
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
}

/** The part of a model that scores depend on. */
export interface ScoringModel {
  contentId: string;
  precision: string;
  config: Preprocessing & Pick<ModelConfig, 'scale'>;
}

export function fittedFor(model: ScoringModel, bank: LabelBank, { exif = true }: { exif?: boolean }): FittedFor {
  return {
    contentId: model.contentId,
    scale: model.config.scale,
    preprocessing: preprocessingHash(model.config),
    exif,
    precision: model.precision,
    labels: labelsHash(bank.labels),
    templates: bank.templates.sha256,
  };
}
