/** Where the figures of an evaluation come from. */

import { createHash } from 'node:crypto';
import { packageVersion } from '../base/version';
import type { LabelBank } from '../labels/bank';
import type { Model } from '../model/model';
import { describeCore } from '../native/engine';
import type { Negatives } from '../scores/negatives';
import type { EvalResult } from './result';
import { preprocessingOf } from './sets';

export async function provenance(
  { info }: Model,
  bank: LabelBank,
  words: Negatives | undefined,
  { exif, command }: { exif: boolean; command: string },
): Promise<EvalResult['provenance']> {
  const core = await describeCore();
  const { name, count, sha256 } = bank.templates;
  return {
    model: { path: info.path, contentId: info.contentId, precision: info.precision, kind: info.config.kind },
    preprocessing: preprocessingOf(info, exif),
    labels: { count: bank.labels.length, sha256: createHash('sha256').update(bank.labels.join('\n')).digest('hex') },
    templates: { name, count, sha256 },
    negatives: words
      ? {
          count: words.groups.reduce((sum, group) => sum + group.length, 0),
          dropped: words.dropped,
          groups: words.groups.length,
          sha256: words.sha256,
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
