/** What a score depends on, as hashes: a threshold fitted for one such set of facts means nothing under another. */
import { jsonHash } from '../base/json-hash';
import type { LabelBank } from '../labels/bank';
import type { ModelConfig } from '../weights/model-config';

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
  config: Pick<ModelConfig, 'resize' | 'imageSize' | 'mean' | 'std' | 'scale'>;
}

export function fittedFor(model: ScoringModel, bank: LabelBank, { exif = true }: { exif?: boolean }): FittedFor {
  const { resize, imageSize, mean, std, scale } = model.config;
  return {
    contentId: model.contentId,
    scale,
    preprocessing: jsonHash({ resize, imageSize, mean, std }),
    exif,
    precision: model.precision,
    labels: jsonHash(bank.labels),
    templates: bank.templates.sha256,
  };
}
