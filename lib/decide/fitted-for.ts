/** What a score depends on, as hashes: a threshold fitted under one provenance means nothing under another. */
import { jsonHash } from '../base/json-hash';
import type { LabelBank } from '../labels/bank';
import type { ModelInfo } from '../model/model';

export interface Provenance {
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

export function provenanceOf(info: ModelInfo, bank: LabelBank, { exif = true }: { exif?: boolean }): Provenance {
  const { resize, imageSize, mean, std, scale } = info.config;
  return {
    contentId: info.contentId,
    scale,
    preprocessing: jsonHash({ resize, imageSize, mean, std }),
    exif,
    precision: info.precision,
    labels: jsonHash(bank.labels),
    templates: bank.templates.sha256,
  };
}
