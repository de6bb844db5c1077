/** The metrics as CSV (RFC 4180): the same numbers as the JSON, to the last digit. */
import { assertArguments } from '../base/arguments';
import type { EvalResult } from '../evaluate/result';
import type { OodMetrics, SetMetrics } from '../metrics/metrics';

const METRICS = ['auroc', 'auprIn', 'auprOut', 'fprAtIdTpr95', 'fprAtOodTpr95'] as const;
const HEADER = [
  'score',
  'set',
  ...METRICS,
  'aurocLow',
  'aurocHigh',
  'fprAtIdTpr95Low',
  'fprAtIdTpr95High',
  'idImages',
  'oodImages',
];

const cell = (value: string | number): string =>
  typeof value === 'string' && /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : String(value);

function intervalCells({ intervals }: SetMetrics): number[] {
  const { auroc, fprAtIdTpr95 } = intervals;
  return [auroc.low, auroc.high, fprAtIdTpr95.low, fprAtIdTpr95.high];
}

/** A row per score and OOD set, then one named `average` per score, whose cells of intervals and OOD images are empty. Shares, not per cent. */
export function reportCsv(result: EvalResult): string {
  assertArguments({ result: ['result', result] });
  const metrics = (of: OodMetrics) => METRICS.map((name) => of[name]);
  const rows = Object.entries(result.scores).flatMap(([score, { sets, average }]) => [
    ...Object.entries(sets).map(([set, of]) => {
      const images = [result.id.images, result.ood[set]?.images ?? ''];
      return [score, set, ...metrics(of), ...intervalCells(of), ...images];
    }),
    [score, 'average', ...metrics(average), '', '', '', '', result.id.images, ''],
  ]);
  return [HEADER, ...rows].map((row) => `${row.map(cell).join(',')}\r\n`).join('');
}
