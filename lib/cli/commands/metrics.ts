/** `metrics`: score files of any system to OOD metrics. */
import type { Interval } from '../../metrics/intervals';
import type { SetMetrics } from '../../metrics/metrics';
import { evaluateScores, FPR_RULES, type FprRule, type OodMetrics } from '../../metrics/metrics';
import { readLabelledScores, readScoreFile } from '../../metrics/score-file';
import { type Args, type Command, UsageError } from '../command';
import { namedFiles } from '../named-files';
import { note, say, sayJson, table } from '../terminal';

export const metricsCommand: Command = {
  summary: 'Measure how well scores tell ID from OOD: AUROC, AUPR and both FPRs at 95 % recall, of any score files.',
  usage: '(--id FILE --ood NAME=FILE [--ood NAME=FILE]... | --table FILE --id-label L)',
  operands: 'any',
  flags: {
    id: { value: 'FILE', doc: 'scores of in-distribution images, higher = more ID: one number a line' },
    ood: { value: 'NAME=FILE', many: true, doc: 'scores of an OOD set; may be repeated' },
    column: { value: 'C', doc: 'the files are CSV or Parquet: name of the column, or its number from 1' },
    'id-column': { value: 'C', doc: 'the same for the ID file, where it is another' },
    table: { value: 'FILE', doc: 'a CSV or Parquet file of ID and OOD images together, instead of --id and --ood' },
    'label-column': { value: 'C', doc: 'its column that tells the set, default label; --column has the scores' },
    'id-label': { value: 'L', doc: 'what stands there of ID images; every other label is an OOD set' },
    'lower-is-id': { doc: 'lower = more ID, as of distances and energies of some papers: signs are turned' },
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

interface ScoreSets {
  id: Float64Array;
  ood: [name: string, scores: Float64Array][];
}

async function readSets(args: Args): Promise<ScoreSets> {
  const table = args.text('table');
  if (table === undefined) return await readFiles(args);
  for (const other of ['id', 'id-column']) {
    if (args.text(other) !== undefined) throw new UsageError(`--table and --${other} exclude each other`);
  }
  if (args.all('ood').length + args.operands.length > 0) throw new UsageError('--table and --ood exclude each other');
  if (args.on('no-header')) throw new UsageError('the columns of --table have names: it needs a header');
  return await readLabelledScores(table, {
    column: args.text('column') ?? 'score',
    labelColumn: args.text('label-column') ?? 'label',
    idLabel: args.required('id-label'),
  });
}

async function readFiles(args: Args): Promise<ScoreSets> {
  for (const flag of ['label-column', 'id-label']) {
    if (args.text(flag) !== undefined) throw new UsageError(`--${flag} goes with --table`);
  }
  const idFile = args.required('id');
  const files = namedFiles([...args.all('ood'), ...args.operands], 'NAME=FILE');
  const header = !args.on('no-header');
  const column = args.text('column');
  const id = await readScoreFile(idFile, { column: args.text('id-column') ?? column, header });
  const ood: ScoreSets['ood'] = [];
  for (const [name, file] of files) ood.push([name, await readScoreFile(file, { column, header })]);
  return { id, ood };
}

const negated = (scores: Float64Array) => scores.map((score) => -score);

async function run(args: Args, signal: AbortSignal): Promise<number> {
  const read = await readSets(args);
  signal.throwIfAborted();
  const turned = args.on('lower-is-id');
  const id = turned ? negated(read.id) : read.id;
  const sets = turned ? read.ood.map(([name, scores]) => [name, negated(scores)] as const) : read.ood;
  const rule = (args.text('rule') ?? 'interpolated') as FprRule;
  const { sets: measured, average } = evaluateScores(id, Object.fromEntries(sets), { rule });

  for (const [name, { auroc, intervals }] of Object.entries(measured)) {
    if (intervals.auroc.high < 0.5) note(`warning: ${belowChance(name, auroc, turned)}`);
  }
  if (args.on('json')) {
    const counts = new Map(sets.map(([name, scores]) => [name, scores.length]));
    const listed = Object.entries(measured).map(([name, { roc: _, ...metrics }]) => [
      name,
      { ...metrics, scores: counts.get(name) },
    ]);
    const result = { sets: Object.fromEntries(listed), average, rule, id: { scores: id.length } };
    sayJson(result);
    return 0;
  }
  say(metricsTable({ sets: measured, average }));
  return 0;
}

function belowChance(name: string, auroc: number, turned: boolean): string {
  const remedy = turned ? 'leave --lower-is-id out' : 'pass --lower-is-id';
  return (
    `on ${name} the AUROC is ${(100 * auroc).toFixed(2)} %, below one half by more than chance: the scores rank the wrong ` +
    `way round. If ${turned ? 'higher' : 'lower'} means more ID, ${remedy}.`
  );
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
