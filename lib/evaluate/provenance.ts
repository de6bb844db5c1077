/** Where the figures of an evaluation come from. */
import { shown } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { packageVersion } from '../base/version';
import type { DecodeOptions } from '../images/decode';
import { type LabelBank, labelsHash } from '../labels/bank';
import type { Model } from '../model/model';
import { describeCore } from '../native/engine';
import { featurePrecision } from '../native/placement';
import { type NegativeBank, negativesHash } from '../scores/negatives';
import { preprocessingText } from '../weights/preprocessing';
import type { EvalResult } from './result';

/**
 * ISO 8601; of SOURCE_DATE_EPOCH where that is set, so that two runs can be compared byte for byte.
 *
 * @throws ERR_CLIPN_INVALID_ARG for one that is no whole number of seconds
 */
export function createdAt(): string {
  const given = process.env['SOURCE_DATE_EPOCH'];
  if (!given) return new Date().toISOString();
  if (!/^\d{1,11}$/.test(given)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `SOURCE_DATE_EPOCH must be seconds since 1970, not ${shown(given)}`);
  }
  return new Date(1000 * Number(given)).toISOString();
}

export async function provenance(
  { info }: Model,
  bank: LabelBank,
  words: NegativeBank | undefined,
  { command, ...decoding }: { exif: boolean; truncated: DecodeOptions['truncated']; command: string },
): Promise<EvalResult['provenance']> {
  const core = await describeCore();
  const { name, count, sha256 } = bank.templates;
  return {
    model: {
      path: info.path,
      contentId: info.contentId,
      precision: featurePrecision(info.precision),
      kind: info.config.kind,
    },
    preprocessing: preprocessingText(info.config, decoding),
    labels: { count: bank.labels.length, sha256: labelsHash(bank.labels) },
    templates: { name, count, sha256 },
    negatives: words
      ? {
          count: words.words.length,
          dropped: words.dropped,
          groups: words.groupEnds.length,
          sha256: negativesHash(words),
        }
      : null,
    versions: {
      'clipn-native': packageVersion(),
      libtorch: core.torchVersion,
      kernels: core.cpuTarget,
      node: process.versions.node,
    },
    command,
  };
}
