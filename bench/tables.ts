/** The tables of a run: for a terminal and for RESULTS.md. */

import { table } from '../lib/cli/terminal';
import type { BenchResult } from '../lib/measure/bench';
import type { Times } from '../lib/measure/timing';
import { clopperPearson } from '../lib/metrics/intervals';
import type {
  BlockResult,
  LoopResult,
  PeakResult,
  PrecisionResult,
  ProcessResult,
  ProgramResult,
  Results,
  Row,
} from './results';

/** A heading, the command, a table: what both renderings print. */
export interface Section {
  title: string;
  command: string;
  header: string[];
  rows: string[][];
  /** Columns that are numbers. */
  right: number[];
}

const digits = (value: number) =>
  value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toPrecision(3);
const megabytes = (bytes: number | null) => (bytes === null ? '-' : (bytes / 1e6).toFixed(0));
const perhaps = (value: number | null) => (value === null ? '-' : digits(value));
const spread = ({ median, p10, p90 }: Times) => `${digits(median)} (${digits(p10)}–${digits(p90)})`;

/** A precision is compared with its own; where we have not measured it, what trades accuracy for speed with its like. */
const classOf = (row: Row) => (row.precision === 'fp32' ? 'fp32' : 'reduced');

/** The fastest way found to run the linears alone; undefined when none ran. */
export function boundOf(block: BlockResult, precision: string): Row | undefined {
  const linears = block.rows.filter((row) => row.kind === 'linears' && row.precision === precision && row.ms);
  return linears.sort((a, b) => a.ms!.median - b.ms!.median)[0];
}

const find = (block: BlockResult | undefined, precision: string, contender = 'clipn-native') =>
  block?.rows.find(
    (row) => row.kind === 'tower' && row.contender === contender && row.precision === precision && row.ms,
  );

/** Columns after the name, by group; a cell may be empty. */
const COLUMNS: Record<string, string[]> = {
  tower: ['precision', 'images/s', 'ms (p10–p90)', 'clipn-native is', 'of the bound', 'of the peak', 'cosine'],
  files: ['precision', 'images/s', 'ms (p10–p90)', 'clipn-native is'],
  scores: ['images/s', 'ms (p10–p90)', 'clipn-native is'],
  pixels: ['images/s', 'ms (p10–p90)', 'clipn-native is'],
  gpu: ['precision', 'images/s', 'ms (p10–p90)', 'clipn-native is', 'TFLOP/s', 'of the matrix rate', 'cosine'],
};

/** Operations a second in matrix products, in 10¹². */
const teraflops = ({ flop, ms }: Row) => (flop !== undefined && ms ? flop / ms.median / 1e9 : undefined);

/** What a square product reaches, the measure of the others. */
const matrixRate = (block: BlockResult | undefined) => {
  const product = block?.rows.find(({ kind }) => kind === 'matrix');
  return product && teraflops(product);
};

/** The fastest instruction of a precision on all threads, 10⁹ operations a second; unknown where a faster unit is there. */
export function peakOf({ peak, threads }: Results, precision: string): number | undefined {
  if (peak === undefined || (peak.result.unmeasured !== null && precision !== 'fp32')) return undefined;
  const rates = peak.result.rows.filter((row) => row.precision === precision && row.threads === threads);
  return rates.length > 0 ? Math.max(...rates.map(({ best }) => best)) : undefined;
}

/** What a row does in a second as a share of that. */
function ofPeak(results: Results, row: Row | undefined): string {
  const rate = row && teraflops(row);
  const peak = row && peakOf(results, row.precision);
  return rate === undefined || peak === undefined ? '' : ((1000 * rate) / peak).toFixed(2);
}

function blockSection(results: Results, block: BlockResult): Section {
  const columns = COLUMNS[block.group] ?? [];
  const rows = block.rows.map((row) => {
    const { ms } = row;
    const bound = boundOf(block, row.precision);
    const [rate, peak] = [teraflops(row), matrixRate(block)];
    const own = block.rows.filter((each) => each.ours && each.ms && each.kind === row.kind);
    const ours =
      own.find((each) => each.precision === row.precision) ?? own.find((each) => classOf(each) === classOf(row));
    const cells: Record<string, string> = {
      precision: row.precision,
      'images/s': ms && row.kind !== 'matrix' ? digits((1000 * block.items) / ms.median) : '-',
      'ms (p10–p90)': ms ? spread(ms) : (row.missing ?? ''),
      'clipn-native is': ms && ours && !row.ours ? `${(ms.median / ours.ms!.median).toFixed(2)} ×` : '',
      'of the bound': ms && bound ? (bound.ms!.median / ms.median).toFixed(2) : '',
      'of the peak': ofPeak(results, row),
      'TFLOP/s': rate === undefined ? '' : digits(rate),
      'of the matrix rate': rate === undefined || peak === undefined ? '' : (rate / peak).toFixed(2),
      cosine: row.cosine === undefined ? '' : row.cosine.toFixed(6),
    };
    return [row.name, ...columns.map((column) => cells[column]!)];
  });
  return {
    title: block.gpu === undefined ? block.title : `${block.title} (${block.gpu})`,
    command: block.command,
    header: ['', ...columns],
    rows,
    right: columns.flatMap((column, i) => (column === 'precision' ? [] : [i + 1])),
  };
}

/** A goal, what was measured (undefined: nothing), and whether that meets it. */
function goal(
  name: string,
  wanted: string,
  got: number | undefined,
  met: (got: number) => boolean,
  unit = '',
  shown: (got: number) => string = digits,
) {
  if (got === undefined) return [name, wanted, '-', 'not measured'];
  return [name, wanted, `${shown(got)}${unit}`, met(got) ? 'met' : 'missed'];
}

const atLeast = (least: number) => (got: number) => got >= least;
const above = (least: number) => (got: number) => got > least;
const below = (most: number) => (got: number) => got < most;
const ratio = (a: Row | undefined, b: Row | undefined) => (a?.ms && b?.ms ? b.ms.median / a.ms.median : undefined);
const goalTable = (title: string, command: string, rows: string[][]): Section => ({
  title,
  command,
  header: ['', 'goal', 'measured', ''],
  rows,
  right: [1, 2],
});

const towerBlock = ({ blocks }: Results, batch: number) =>
  blocks.find(({ title }) => title.endsWith(`image tower, batch ${batch}`));
const BATCHES = [1, 8, 32];

/** The smallest cosine of a tower over all batches; undefined when none has one. */
function worstCosine(results: Results, precision: string, contender?: string): number | undefined {
  const rows = BATCHES.map((batch) => find(towerBlock(results, batch), precision, contender));
  const known = rows.flatMap((row) => row?.cosine ?? []);
  return known.length > 0 ? Math.min(...known) : undefined;
}

const rssOf = ({ processes }: Results, precision: string, contender = 'clipn-native') =>
  processes.find((each) => each.contender === contender && each.precision === precision)?.rssBytes ?? undefined;

/** What int8 is for: faster than what a JavaScript user picks today and than bf16, more exact than the one, smaller than the other. */
function int8Goals(results: Results): string[][] {
  const int8 = (batch: number) => find(towerBlock(results, batch), 'int8');
  const speed = BATCHES.flatMap((batch) => {
    const block = towerBlock(results, batch);
    const theirs = ratio(int8(batch), find(block, 'int8', 'onnxruntime-node'));
    return [
      goal(`int8 tower, batch ${batch}: times onnxruntime-node int8`, '≥ 1.5', theirs, atLeast(1.5)),
      goal(`int8 tower, batch ${batch}: times bf16`, '≥ 1.6', ratio(int8(batch), find(block, 'bf16')), atLeast(1.6)),
    ];
  });
  const [cosine, theirs] = [worstCosine(results, 'int8'), worstCosine(results, 'int8', 'onnxruntime-node')];
  const six = (value: number) => value.toFixed(6);
  const [memory, ofBf16] = [rssOf(results, 'int8'), rssOf(results, 'bf16')];
  const share = memory !== undefined && ofBf16 !== undefined ? memory / ofBf16 : undefined;
  return [
    ...speed,
    goal('int8 tower: cosine of features at worst', '≥ 0.9995', cosine, atLeast(0.9995), '', six),
    theirs === undefined
      ? goal("int8 tower: cosine at worst, above onnxruntime-node int8's", '-', undefined, above(0))
      : goal(
          "int8 tower: cosine at worst, above onnxruntime-node int8's",
          `> ${six(theirs)}`,
          cosine,
          above(theirs),
          '',
          six,
        ),
    goal("int8 tower: memory of its process, of bf16's", '< 1', share, below(1)),
  ];
}

function goalsSection(results: Results): Section {
  const { loop } = results;
  const tower = (batch: number) => towerBlock(results, batch);
  const eight = tower(8);
  const bf16 = find(eight, 'bf16');
  const precisions = ['int8', 'bf16', 'fp32'] as const;
  const ofLinears = precisions.map((precision) => {
    const bound = eight && boundOf(eight, precision);
    const name = `${precision} tower, batch 8: of the bare linears' rate`;
    return goal(name, '≥ 0.80', ratio(find(eight, precision), bound), atLeast(0.8));
  });
  const larger = (['bf16', 'fp32'] as const).map((precision) => {
    const [large, small] = [find(tower(32), precision), find(eight, precision)];
    const perImage = large && small && (4 * small.ms!.median) / large.ms!.median;
    return goal(`${precision} tower: batch 32 per image, times batch 8`, '≥ 1', perImage, atLeast(1));
  });
  const compiled = ratio(bf16, find(eight, 'bf16', 'torch.compile, frozen'));
  const int8 = ratio(bf16, find(eight, 'int8', 'onnxruntime-node'));
  const fp32 = ratio(find(eight, 'fp32'), find(eight, 'fp32', 'onnxruntime-node'));
  const p99 = loop?.result.eventLoopDelayMs.busy.p99;
  return goalTable('Goals', 'npm run bench', [
    ...ofLinears,
    goal('bf16 tower, batch 8: times torch.compile bf16', '≥ 1.5', compiled, atLeast(1.5)),
    goal('bf16 tower, batch 8: times onnxruntime-node int8', '> 1', int8, above(1)),
    goal('fp32 tower, batch 8: times onnxruntime-node fp32', '> 1', fp32, above(1)),
    ...larger,
    ...int8Goals(results),
    goal('event loop under load, p99', '< 20 ms', p99, (got) => got < 20, ' ms'),
  ]);
}

function gpuGoalsSection(blocks: readonly BlockResult[]): Section {
  const tower = (batch: number) =>
    blocks.find(({ group, title }) => group === 'gpu' && title.endsWith(`features, batch ${batch}`));
  const [many, one] = [tower(256), tower(1)];
  const compiled = (block: BlockResult | undefined) =>
    ratio(find(block, 'bf16'), find(block, 'bf16', 'torch.compile, max-autotune'));
  const ours = find(many, 'bf16');
  const [rate, peak] = [ours && teraflops(ours), matrixRate(many)];
  const share = rate !== undefined && peak !== undefined ? rate / peak : undefined;
  const script = ratio(ours, find(many, 'tf32', 'PyTorch eager'));
  return goalTable('Goals on a GPU', 'npm run bench -- gpu', [
    goal('bf16 tower, batch 256: times torch.compile max-autotune', '≥ 1', compiled(many), atLeast(1)),
    goal('bf16 tower, batch 256: of the matrix rate', '≥ 0.55', share, atLeast(0.55)),
    goal('bf16 tower, batch 1: times torch.compile max-autotune', '> 1', compiled(one), above(1)),
    goal('bf16 tower, batch 256: times the plain PyTorch script in TF32', '≥ 2.5', script, atLeast(2.5)),
  ]);
}

function processSection(processes: readonly ProcessResult[]): Section {
  return {
    title: 'Processes: load time and memory of one with an image tower alone, ViT-B/16, after batches of 8',
    command: 'npm run bench -- processes',
    header: ['', 'precision', 'start to ready, s', 'of that, loading, s', 'RSS, MB', 'RSS at most, MB', 'versions'],
    rows: processes.map(({ contender, precision, versions, startMs, loadMs, rssBytes, peakBytes }) => [
      contender,
      precision,
      digits(startMs / 1000),
      perhaps(loadMs && loadMs / 1000),
      megabytes(rssBytes),
      megabytes(peakBytes),
      Object.entries(versions)
        .map((each) => each.join(' '))
        .join(', '),
    ]),
    right: [2, 3, 4, 5],
  };
}

function smallSection({ command, result }: ProgramResult<BenchResult>): Section {
  const { tower, gemmBound, endToEnd, score, load, rss, overhead } = result;
  const number = (value: number | null) => (value === null ? '-' : digits(value));
  return {
    title: `The small model: ${result.precision}, batch ${result.batch}, ${result.threads} threads`,
    command,
    header: ['', 'images/s', 'ms (p10–p90)'],
    rows: [
      ['tower', number(tower.imagesPerSecond), spread(tower.ms)],
      gemmBound.imagesPerSecond === null
        ? ['gemmBound', '-', gemmBound.why]
        : ['gemmBound', number(gemmBound.imagesPerSecond), spread(gemmBound.ms)],
      [`endToEnd, ${endToEnd.images} files`, number(endToEnd.imagesPerSecond), spread(endToEnd.ms)],
      ...score.cases.map(({ n, c, imagesPerSecond, ms }) => [
        `score, N = ${n}, C = ${c}`,
        number(imagesPerSecond),
        spread(ms),
      ]),
      ['load: libtorch and core', '', digits(load.engineMs)],
      ['load: model', '', digits(load.modelMs)],
      ['call into the addon', '', spread(milli(overhead.callMicroseconds))],
      ['task through the lane and back', '', spread(milli(overhead.taskMicroseconds))],
      ['RSS after loading, at most', '', `${megabytes(rss.loadedBytes)}, ${megabytes(rss.peakBytes)} MB`],
    ],
    right: [1, 2],
  };
}

const milli = ({ samples, median, p10, p90 }: Times): Times => ({
  samples,
  median: median / 1000,
  p10: p10 / 1000,
  p90: p90 / 1000,
});

function loopSection({ command, result }: ProgramResult<LoopResult>): Section {
  const rows = Object.entries(result.eventLoopDelayMs).map(([name, { p50, p99, max }]) => [
    name,
    ...[p50, p99, max].map(digits),
  ]);
  return {
    title: `Delay of the event loop, ms, idle and while ViT-B/16 batches run at ${digits(result.imagesPerSecond)} images/s`,
    command,
    header: ['', 'p50', 'p99', 'max'],
    rows,
    right: [1, 2, 3],
  };
}

function peakSection({ command, result }: ProgramResult<PeakResult>): Section {
  const more = result.unmeasured === null ? '' : `; not measured: ${result.unmeasured}`;
  return {
    title: `What the vector units reach, in multiply-adds of registers${more}`,
    command,
    header: ['', 'precision', 'threads', 'Gop/s, fastest round', 'median (p10–p90)'],
    rows: result.rows.map(({ instruction, precision, threads, best, rate }) => [
      instruction,
      precision,
      String(threads),
      digits(best),
      spread(rate),
    ]),
    right: [2, 3, 4],
  };
}

/** Rows of the table of all precisions: contender, precision, and what people call it. */
const CHOICES = [
  ['clipn-native', 'fp32'],
  ['clipn-native', 'bf16'],
  ['clipn-native', 'int8'],
  ['clipn-native', 'guarded'],
  ['onnxruntime-node', 'fp32'],
  ['onnxruntime-node', 'int8'],
  ['transformers.js', 'int8', 'q8'],
  ['torch.compile, frozen', 'bf16'],
] as const;

/** All precisions and what people would use instead, a line each. */
function choicesSection(results: Results): Section {
  // `guarded` is one of verdicts: its rows go from pixels to them.
  const rowOf = (batch: number, contender: string, precision: string) =>
    towerBlock(results, batch)?.rows.find(
      (row) =>
        row.contender === contender &&
        row.precision === precision &&
        row.kind === (precision === 'guarded' ? 'raw' : 'tower'),
    );
  const model = results.precision?.find((each) => each.result.model.includes('ViT-B/16'))?.result;
  // At the threshold of most people; guarded as it is without a calibration.
  const changed = (contender: string, precision: string) => {
    const isMeant = (answers: string) =>
      precision === 'guarded' ? /^guarded, int8 first.* drawn/.test(answers) : answers === precision;
    const found = model?.verdicts?.find(({ threshold, answers }) => threshold === 'keeps 0.95' && isMeant(answers));
    return contender === 'clipn-native' && found ? `${found.verdicts}, ${found.labels}` : '';
  };
  return {
    title: 'All precisions: ViT-B/16, pixels to features (guarded: to verdicts)',
    command: 'npm run bench -- peak processes tower',
    header: [
      '',
      'precision',
      ...BATCHES.map((batch) => `images/s, batch ${batch}`),
      'of the peak, batch 8',
      'RSS, MB',
      'cosine at worst',
      `verdicts, labels changed${model ? ` of ${model.images}` : ''}`,
    ],
    rows: CHOICES.map(([contender, precision, called]) => [
      contender,
      called ?? precision,
      ...BATCHES.map((batch) => {
        const ms = rowOf(batch, contender, precision)?.ms;
        return ms ? digits((1000 * batch) / ms.median) : '-';
      }),
      ofPeak(results, rowOf(8, contender, precision)),
      megabytes(rssOf(results, precision, contender) ?? null),
      worstCosine(results, precision, contender)?.toFixed(6) ?? '',
      changed(contender, precision),
    ]),
    right: [2, 3, 4, 5, 6, 7, 8],
  };
}

export function precisionSection({ command, result }: ProgramResult<PrecisionResult>): Section {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const { model, data, images, labels, templates, sha256, rows } = result;
  return {
    title: `Precision: ${model}, ${images} images (${data}; sha256 ${sha256.slice(0, 12)}), ${labels} labels, templates ${templates}`,
    command,
    header: [
      'against fp32',
      'cosine, least',
      'median',
      'same top label',
      '|ΔATD| ≤ 0.01',
      'largest |ΔATD|',
      'same verdict',
      'all three',
      'goal ≥ 99 %',
    ],
    rows: rows.map((row) => [
      row.used === row.precision ? row.precision : `${row.precision} (${row.used} here)`,
      row.cosineLeast.toFixed(6),
      row.cosineMedian.toFixed(6),
      percent(row.sameLabel),
      percent(row.smallChange),
      row.largestChange.toFixed(4),
      percent(row.sameVerdict),
      percent(row.within),
      row.within >= 0.99 ? 'met' : 'missed',
    ]),
    right: [1, 2, 3, 4, 5, 6, 7],
  };
}

/** What each precision, and each guarded by fp32, answers otherwise than fp32. */
export function verdictSection({ command, result }: ProgramResult<PrecisionResult>): Section {
  const { model, images, verdicts = [] } = result;
  const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
  const changed = (count: number) => {
    const { low, high } = clopperPearson(count, images, 0.95);
    return `${count} (${percent(low)}–${percent(high)})`;
  };
  return {
    title: `Verdicts and labels that are not fp32's: ${model}, ${images} images, 95 % intervals (Clopper and Pearson)`,
    command,
    header: ['threshold', 'answers', 'verdicts', 'labels', 'encoded again', 'margin, score', 'label', 'beyond margin'],
    rows: verdicts.map(({ threshold, answers, verdicts: turned, labels, again, margins, beyond }) => [
      threshold,
      answers,
      changed(turned),
      changed(labels),
      again === undefined ? '' : percent(again / images),
      margins?.score.toFixed(4) ?? '',
      margins?.label.toFixed(4) ?? '',
      beyond === undefined ? '' : percent(beyond / images),
    ]),
    right: [2, 3, 4, 5, 6, 7],
  };
}

/** Every table of a run, in the order of RESULTS.md. What was not run is left out. */
export function sections(results: Results): Section[] {
  const { blocks, processes, peak, overhead, native, loop, small, precision = [] } = results;
  const of = (group: string) =>
    blocks.filter((block) => block.group === group).map((block) => blockSection(results, block));
  const list: (Section | undefined)[] = [
    ...(blocks.some(({ group }) => group === 'tower') ? [choicesSection(results), goalsSection(results)] : []),
    ...of('tower'),
    peak && peakSection(peak),
    ...precision.flatMap((entry) => [precisionSection(entry), verdictSection(entry)]),
    processes.length > 0 ? processSection(processes) : undefined,
    ...of('files'),
    ...of('scores'),
    ...of('pixels'),
    blocks.some(({ group }) => group === 'gpu') ? gpuGoalsSection(blocks) : undefined,
    ...of('gpu'),
    overhead && {
      title: 'Overhead of a call',
      command: overhead.command,
      header: ['', 'µs (p10–p90)'],
      rows: overhead.result.map(({ name, microseconds }) => [name, spread(microseconds)]),
      right: [1],
    },
    loop && loopSection(loop),
    small && smallSection(small),
    native && {
      title: "The core's C ABI without Node (Google Benchmark)",
      command: native.command,
      header: ['', 'µs, median', '± %'],
      rows: native.result.map(({ name, median, spread: deviation }) => [
        name,
        digits(median),
        digits((100 * deviation) / median),
      ]),
      right: [1, 2],
    },
  ];
  return list.filter((section) => section !== undefined);
}

/** What it ran on, in one line each. */
export function headLines({ machine, versions, threads, blocks }: Results): string[] {
  const dates = blocks.map(({ when }) => when.slice(0, 10)).sort();
  const span = [...new Set([dates[0], dates.at(-1)])].filter(Boolean).join(' to ');
  const memory = `${Math.round(machine.memoryBytes / 2 ** 30)} GiB`;
  return [
    `${machine.cpu ?? 'unknown CPU'}, ${machine.physicalCores} cores, ${memory}, ${machine.isa.join(' ')}; ${machine.platform}`,
    `${Object.entries(versions)
      .map((each) => each.join(' '))
      .join(', ')}; ${threads} threads for each contender${span && `; ${span}`}`,
  ];
}

/** One table for a terminal. */
export function printed({ title, command, header, rows, right }: Section): string {
  return [`${title}    ${command}`, table(header, rows, right)].join('\n');
}

export function forTerminal(results: Results): string {
  return [headLines(results).join('\n'), ...sections(results).map(printed)].join('\n\n');
}

export function forMarkdown(results: Results): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const tables = sections(results).map(({ title, command, header, rows, right }) =>
    [
      `### ${title}`,
      `\`${command}\``,
      [line(header), line(header.map((_, i) => (right.includes(i) ? '---:' : '---'))), ...rows.map(line)].join('\n'),
    ].join('\n\n'),
  );
  return [
    headLines(results)
      .map((each) => `- ${each}`)
      .join('\n'),
    ...tables,
  ].join('\n\n');
}

const BEGIN = '<!-- written by `npm run bench -- --record`: begin -->';
const END = '<!-- end -->';

/** `page` with the tables between its two marks replaced; the marks are appended where it has none. */
export function recordIn(page: string, results: Results): string {
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  const body = `${BEGIN}\n\n${forMarkdown(results)}\n\n${END}`;
  return begin < 0 || end < begin
    ? `${page.trimEnd()}\n\n${body}\n`
    : page.slice(0, begin) + body + page.slice(end + END.length);
}
