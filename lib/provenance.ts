/** What a score depends on, as hashes: a threshold fitted under one provenance means nothing under another. */
import { createHash } from 'node:crypto';
import type { LabelBank } from './label-bank';
import type { ModelInfo } from './model';

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

const sha256 = (value: unknown): string => createHash('sha256').update(JSON.stringify(value)).digest('hex');

export function provenanceOf(info: ModelInfo, bank: LabelBank, { exif = true }: { exif?: boolean }): Provenance {
  const { resize, imageSize, mean, std, scale } = info.config;
  return {
    contentId: info.contentId,
    scale,
    preprocessing: sha256({ resize, imageSize, mean, std }),
    exif,
    precision: info.precision,
    labels: sha256(bank.labels),
    templates: bank.templates.sha256,
  };
}
