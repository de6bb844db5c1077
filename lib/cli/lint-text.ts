/** What the linter of labels found, for people. */
import { printable } from '../base/wording';
import type { LabelLint } from '../model/lint-labels';

export function formatLint({ findings, skipped }: LabelLint, labels: number): string {
  const width = Math.max(...findings.map(({ kind }) => kind.length));
  const lines = findings.map(({ kind, advice }) => `${kind.padEnd(width)}  ${printable(advice)}`);
  const found =
    findings.length === 0 ? 'nothing amiss' : `${findings.length} finding${findings.length === 1 ? '' : 's'}`;
  const not = skipped.map((what) => `not looked at: ${printable(what)}`);
  return [...lines, ...(lines.length > 0 ? [''] : []), `${labels} labels: ${found}`, ...not].join('\n');
}
