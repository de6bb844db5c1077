/** Verdicts as a table for the terminal. */
import { basename } from 'node:path';
import { printable } from '../base/wording';
import type { CheckFailure, CheckResult } from '../model/detector';
import { table } from './terminal';

const VERDICT_STYLE = { in: 'green', out: 'red', review: 'yellow' } as const;

/** A label that fits a column. */
const short = (label: string) => (label.length > 40 ? `${label.slice(0, 39)}…` : label);

/** What an image shows instead: the nearest word where there are words, else the nearest label. */
function noneOfYours(label: string, nearestWord: string | undefined): string {
  return nearestWord === undefined
    ? `none (nearest: ${short(label)})`
    : `none of yours; nearest word: ${short(nearestWord)}`;
}

/** Behind the class: why the verdict means little. */
const REMARK = {
  tiny: ' (tiny image)',
  transparent: ' (transparent image)',
  flat: ' (image of one colour)',
  nearlyFlat: ' (image of nearly one colour)',
} as const;

/** One line per image: the verdict first, then what it rests on, and why where that was asked; errors below. */
export function resultTable(results: readonly (CheckResult | CheckFailure)[]): string {
  const answered = results.filter((result): result is CheckResult => !('error' in result));
  const failures = results.filter((result): result is CheckFailure => 'error' in result);
  const percent = (p: number) => (Number.isNaN(p) ? '-' : `${(100 * p).toFixed(1)} %`);
  const score = (value: number) => (Number.isNaN(value) ? '-' : value.toFixed(3));
  const compared = answered.some(({ nearestWord }) => nearestWord !== undefined);
  const told = answered.some(({ present }) => present !== undefined);
  const rows = answered.map(({ image, quality, verdict, label, nearestWord, scores, top, present }) => [
    basename(image ?? ''),
    { text: verdict, style: VERDICT_STYLE[verdict] },
    (verdict === 'out' ? noneOfYours(label, nearestWord) : short(label)) + (quality ? REMARK[quality] : ''),
    percent(top[0]!.p),
    percent(top[0]!.pYes),
    score(scores.atd),
    ...(compared ? [score(scores.negLabel ?? Number.NaN)] : []),
    ...(told ? [(present ?? []).map(({ label: each }) => short(each)).join(', ') || '-'] : []),
  ]);
  const header = [
    'image',
    'verdict',
    'class',
    'share',
    'p_yes',
    'ATD',
    ...(compared ? ['NegLabel'] : []),
    ...(told ? ['present'] : []),
  ];
  const lines = rows.length > 0 ? table(header, rows, [3, 4, 5, 6]).split('\n') : [];
  for (const [i, { why }] of [...answered.entries()].reverse()) {
    if (why) lines.splice(i + 2, 0, `  ${printable(why.sentence)}`);
  }
  for (const { error } of failures) lines.push(`${error.code}: ${printable(error.message)}\n  ${error.hint}`);
  return lines.join('\n');
}
