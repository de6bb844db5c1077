/** `metrics`: score files of any system to OOD metrics. */
import type { Interval } from '../../metrics/intervals';
import type { SetMetrics } from '../../metrics/metrics';
import { evaluateScores, FPR_RULES, type FprRule, type OodMetrics } from '../../metrics/metrics';
import { readScoreFile } from '../../metrics/score-file';
import type { Args, Command } from '../command';
import { namedFiles } from '../named-files';
import { table } from '../terminal';

export const metricsCommand: Command = {
  summary: 'Measure how well scores tell ID from OOD: AUROC, AUPR and both FPRs at 95 % recall, of any score files.',
  usage: '--id FILE --ood NAME=FILE [--ood NAME=FILE]...',
  operands: 'any',
  flags: {
    id: { value: 'FILE', doc: 'scores of in-distribution images, higher = more ID: one number a line' },
    ood: { value: 'NAME=FILE', many: true, doc: 'scores of an OOD set; may be repeated' },
    column: { value: 'C', doc: 'the files are CSV: name of the column, or its number from 1' },
    'no-header': { doc: 'the CSV files have no header' },
    rule: {
      value: 'R',
      choices: FPR_RULES,
      doc: "how the FPR at 95 % ID recall is read off the ROC, default interpolated, the paper's",
    },
    json: { doc: 'one JSON object' },
  },
  run,
};

async function run(args: Args): Promise<number> {
  const idFile = args.required('id');
  const files = namedFiles([...args.all('ood'), ...args.operands]);
  const options = { column: args.text('column'), header: !args.on('no-header') };
  const id = await readScoreFile(idFile, options);
  const sets: [string, Float64Array][] = [];
  for (const [name, file] of files) sets.push([name, await readScoreFile(file, options)]);
  const rule = (args.text('rule') ?? 'interpolated') as FprRule;
  const { sets: measured, average } = evaluateScores(id, Object.fromEntries(sets), { rule });

  if (args.on('json')) {
    const counts = new Map(sets.map(([name, scores]) => [name, scores.length]));
    const listed = Object.entries(measured).map(([name, { roc: _, ...metrics }]) => [
      name,
      { ...metrics, scores: counts.get(name) },
    ]);
    const result = { sets: Object.fromEntries(listed), average, rule, id: { scores: id.length } };
    process.stdout.write(`${JSON.stringify(result)}\n`);
    return 0;
  }
  process.stdout.write(`${metricsTable({ sets: measured, average })}\n`);
  return 0;
}

const HEADER = ['OOD set', 'AUROC', '95 %', 'AUPR in', 'AUPR out', 'FPR at ID TPR 95', '95 %', 'FPR at OOD TPR 95'];

function metricsTable({ sets, average }: ReturnType<typeof evaluateScores>): string {
  const percent = (rate: number) => (100 * rate).toFixed(2);
  const range = (interval?: Interval) => (interval ? `${percent(interval.low)}-${percent(interval.high)}` : '');
  const row = (name: string, metrics: OodMetrics, intervals?: SetMetrics['intervals']) => [
    name,
    percent(metrics.auroc),
    range(intervals?.auroc),
    percent(metrics.auprIn),
    percent(metrics.auprOut),
    percent(metrics.fprAtIdTpr95),
    range(intervals?.fprAtIdTpr95),
    percent(metrics.fprAtOodTpr95),
  ];
  const rows = Object.entries(sets).map(([name, metrics]) => row(name, metrics, metrics.intervals));
  return [
    table(HEADER, [...rows, row('average', average)], [1, 2, 3, 4, 5, 6, 7]),
    '',
    'Percent. FPR at ID TPR 95: OOD images accepted where 95 % of the ID images are.',
    'FPR at OOD TPR 95: ID images rejected where 95 % of the OOD images are. docs/metrics.md defines each.',
  ].join('\n');
}
