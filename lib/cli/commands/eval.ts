/** `eval`: the paper's evaluation on folders of images. */
import { readCalibration } from '../../decide/calibration';
import { evaluate } from '../../evaluate/evaluate';
import type { EvalProgress } from '../../evaluate/options';
import type { EvalResult } from '../../evaluate/result';
import { readClassNames } from '../../labels/class-names';
import { count } from '../../report/format';
import { writeReport } from '../../report/write';
import { type Args, type Command, UsageError } from '../command';
import {
  LABEL_FLAGS,
  LIMIT_FLAGS,
  labelsFrom,
  limitsFrom,
  MODEL_FLAGS,
  modelFrom,
  NEGATIVES_FLAG,
} from '../model-flags';
import { namedFiles } from '../named-files';
import { Pace } from '../pace';
import { note, Progress, say, sayJson, table } from '../terminal';

export const evalCommand: Command = {
  summary: 'Measure how well images of your classes are told from others, as the paper does: AUROC, FPR95, a report.',
  usage: '--id DIR --ood NAME=DIR... [--model M] [--out REPORT.html]',
  operands: 'any',
  flags: {
    ...MODEL_FLAGS,
    id: { value: 'DIR', doc: 'in-distribution images: a folder a class, or images alone' },
    ood: { value: 'NAME=DIR', many: true, doc: 'a folder of out-of-distribution images; may be repeated' },
    ...LABEL_FLAGS,
    'class-names': {
      value: 'F',
      doc: "names of class folders: JSON, or lines 'folder name'; wnids of ImageNet are known",
    },
    score: { value: 'S', doc: 'score that judges; default of the calibration, else atd, without a no tower negLabel' },
    ...NEGATIVES_FLAG,
    patches: { doc: 'also GL-MCM: encodes the images with their patches, for these labels' },
    lambda: { value: 'X', number: true, doc: 'with --patches: weight of the patches in GL-MCM, default 1' },
    calibration: { value: 'F', doc: 'calibration file: what its threshold does on these sets' },
    exif: { doc: "turn images as their EXIF orientation says, as `check` does; the paper's evaluation does not" },
    ...LIMIT_FLAGS,
    store: { value: 'DIR', doc: 'folder of computed features; one for the model in the cache folder when absent' },
    features: {
      value: 'F',
      many: true,
      doc: 'file of results/ of a batch: its features go into the store first; may be repeated',
    },
    batch: { value: 'N', number: true, doc: 'images in a call of the image tower, default 8' },
    out: { value: 'REPORT', doc: 'write REPORT.html, and beside it REPORT.json and REPORT.csv' },
    json: { doc: 'the whole result as one JSON object' },
  },
  run,
};

async function run(args: Args, signal: AbortSignal): Promise<number> {
  const id = args.required('id');
  const ood = Object.fromEntries(namedFiles([...args.all('ood'), ...args.operands], 'NAME=DIR'));
  if (args.has('lambda') && !args.on('patches')) throw new UsageError('--lambda needs --patches');
  const out = args.text('out');
  const [classNames, negatives, calibration] = [
    args.text('class-names'),
    args.text('negatives'),
    args.text('calibration'),
  ];
  const labels = await labelsFrom(args);
  const inputs = {
    classNames: classNames === undefined ? undefined : await readClassNames(classNames),
    negatives,
    calibration: calibration === undefined ? undefined : await readCalibration(calibration),
  };
  const progress = new Progress();
  const pace = new Pace();
  await using model = await modelFrom(args, signal);
  const evaluated = evaluate({
    model,
    id,
    ood,
    labels,
    ...inputs,
    templates: args.text('templates'),
    store: args.text('store'),
    features: args.all('features'),
    score: args.text('score'),
    patches: args.on('patches'),
    exif: args.on('exif'),
    ...limitsFrom(args),
    lambda: args.number('lambda'),
    batch: args.number('batch'),
    command: `clipn-native ${process.argv.slice(2).map(quoted).join(' ')}`,
    signal,
    onProgress: (each) => progress.show(progressLine(each, pace)),
  });
  const result = await evaluated.finally(() => {
    progress.done();
    if (signal.aborted) note('What is encoded is kept in the store: the same command goes on from there.');
  });
  for (const warning of result.warnings) note(`warning: ${warning}`);
  const written = out === undefined ? [] : await writeReport(result, out);
  if (args.on('json')) sayJson(result);
  else say(summaryOf(result, written));
  const unreadable = tellUnreadable(result);
  return unreadable > 0 ? 1 : 0;
}

const quoted = (word: string) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`);

const STAGES = {
  labels: 'encoding labels',
  words: 'encoding words',
  features: 'encoding images',
  scores: 'scoring',
} as const;
const UNITS = { labels: 'sentences', words: 'sentences', features: 'images', scores: 'images' } as const;

/** Stage, count, rate since the stage began, and the time that is left at this rate. */
function progressLine({ stage, done, total }: EvalProgress, pace: Pace): string {
  return `${STAGES[stage]}: ${count(done)} of ${count(total)}${pace.words({ stage, done, total, unit: UNITS[stage] })}`;
}

/** A row per score: AUROC and FPR95 of each set and their mean, in per cent. */
function summaryOf(result: EvalResult, written: readonly string[]): string {
  const { id, ood, scores, skipped, decidingScore, threshold } = result;
  const sets = Object.keys(ood);
  const pair = ({ auroc, fprAtIdTpr95 }: { auroc: number; fprAtIdTpr95: number }) =>
    `${(100 * auroc).toFixed(2)} / ${(100 * fprAtIdTpr95).toFixed(2)}`;
  const average = sets.length > 1;
  const header = ['AUROC / FPR95, %', ...sets, ...(average ? ['average'] : [])];
  const rows = Object.entries(scores).map(([name, { sets: of, average: mean }]) => {
    return [name, ...sets.map((set) => pair(of[set]!)), ...(average ? [pair(mean)] : [])];
  });
  const images = [`ID ${id.images}`, ...sets.map((set) => `${set} ${ood[set]!.images}`)].join(', ');
  const lines = [
    table(
      header,
      rows,
      header.map((_, i) => i).filter((i) => i > 0),
    ),
    '',
    `Images: ${images}. ID is positive; FPR95 is the share of OOD images accepted where 95 % of ID images are.`,
  ];
  if (id.accuracy !== null && id.accuracyInterval !== null) {
    const { low, high } = id.accuracyInterval;
    const percent = (share: number) => (100 * share).toFixed(2);
    lines.push(`ID accuracy ${percent(id.accuracy)} % (95 % interval ${percent(low)} to ${percent(high)}).`);
  }
  lines.push(`Threshold of ${decidingScore} that keeps 95 % of ID images: ${threshold}`);
  if (skipped.length > 0) lines.push(`Left out: ${skipped.map(({ score, why }) => `${score} (${why})`).join('; ')}`);
  if (written.length > 0) lines.push(`Written: ${written.join(', ')}`);
  return lines.join('\n');
}

/** Lists unreadable images on stderr; returns their number. */
function tellUnreadable({ id, ood }: EvalResult): number {
  let total = 0;
  for (const [name, set] of Object.entries({ id, ...ood })) {
    for (const { image, code, message } of set.unreadable) note(`unreadable, ${name}: ${image}: ${code}: ${message}`);
    if (set.otherFiles > 0) note(`${name}: ${set.otherFiles} files are no images and were left alone`);
    total += set.unreadable.length;
  }
  if (total > 0) note(`${total} images could not be read and are in no figure`);
  return total;
}
