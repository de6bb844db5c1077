/** The tables of a run: for a terminal and for RESULTS.md. */
import type { BenchResult } from '../lib/bench';
import { table } from '../lib/terminal';
import type { Times } from '../lib/timing';
import type { BlockResult, LoopResult, PrecisionResult, ProcessResult, ProgramResult, Results, Row } from './results';

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

/** fp32 is compared with fp32; what trades accuracy for speed, with its like. */
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
  tower: ['precision', 'images/s', 'ms (p10–p90)', 'clipn-native is', 'of the bound', 'cosine'],
  files: ['precision', 'images/s', 'ms (p10–p90)', 'clipn-native is'],
  scores: ['images/s', 'ms (p10–p90)', 'clipn-native is'],
  pixels: ['images/s', 'ms (p10–p90)', 'clipn-native is'],
};

function blockSection(block: BlockResult): Section {
  const columns = COLUMNS[block.group] ?? [];
  const rows = block.rows.map((row) => {
    const { ms } = row;
    const bound = boundOf(block, row.precision);
    const ours = block.rows.find((each) => each.ours && each.ms && classOf(each) === classOf(row));
    const cells: Record<string, string> = {
      precision: row.precision,
      'images/s': ms ? digits((1000 * block.items) / ms.median) : '-',
      'ms (p10–p90)': ms ? spread(ms) : (row.missing ?? ''),
      'clipn-native is':
        ms && ours && !row.ours && row.kind !== 'linears' ? `${(ms.median / ours.ms!.median).toFixed(2)} ×` : '',
      'of the bound': ms && bound ? (bound.ms!.median / ms.median).toFixed(2) : '',
      cosine: row.cosine === undefined ? '' : row.cosine.toFixed(6),
    };
    return [row.name, ...columns.map((column) => cells[column]!)];
  });
  return {
    title: block.title,
    command: block.command,
    header: ['', ...columns],
    rows,
    right: columns.flatMap((column, i) => (column === 'precision' ? [] : [i + 1])),
  };
}

function goalsSection({ blocks, loop }: Results): Section {
  const tower = (batch: number) => blocks.find(({ title }) => title.endsWith(`image tower, batch ${batch}`));
  const eight = tower(8);
  const rows: string[][] = [];
  const goal = (name: string, wanted: string, got: number | undefined, met: (got: number) => boolean, unit = '') =>
    rows.push([
      name,
      wanted,
      got === undefined ? '-' : `${digits(got)}${unit}`,
      got === undefined ? 'not measured' : met(got) ? 'met' : 'missed',
    ]);
  const ratio = (a: Row | undefined, b: Row | undefined) => (a?.ms && b?.ms ? b.ms.median / a.ms.median : undefined);
  const atLeast = (least: number) => (got: number) => got >= least;
  for (const precision of ['bf16', 'fp32']) {
    const bound = eight && boundOf(eight, precision);
    goal(
      `${precision} tower, batch 8: of the bare linears' rate`,
      '≥ 0.80',
      ratio(find(eight, precision), bound),
      atLeast(0.8),
    );
  }
  const bf16 = find(eight, 'bf16');
  goal(
    'bf16 tower, batch 8: times torch.compile bf16',
    '≥ 1.5',
    ratio(bf16, find(eight, 'bf16', 'torch.compile, frozen')),
    atLeast(1.5),
  );
  goal(
    'bf16 tower, batch 8: times onnxruntime-node int8',
    '> 1',
    ratio(bf16, find(eight, 'int8', 'onnxruntime-node')),
    (got) => got > 1,
  );
  goal(
    'fp32 tower, batch 8: times onnxruntime-node fp32',
    '> 1',
    ratio(find(eight, 'fp32'), find(eight, 'fp32', 'onnxruntime-node')),
    (got) => got > 1,
  );
  for (const precision of ['bf16', 'fp32']) {
    const [large, small] = [find(tower(32), precision), find(eight, precision)];
    goal(
      `${precision} tower: batch 32 per image, times batch 8`,
      '≥ 1',
      large && small && (4 * small.ms!.median) / large.ms!.median,
      atLeast(1),
    );
  }
  goal('event loop under load, p99', '< 20 ms', loop?.result.eventLoopDelayMs.busy.p99, (got) => got < 20, ' ms');
  return { title: 'Goals', command: 'npm run bench', header: ['', 'goal', 'measured', ''], rows, right: [1, 2] };
}

function processSection(processes: readonly ProcessResult[]): Section {
  return {
    title: 'Processes: load time and memory, ViT-B/16, after batches of 8',
    command: 'npm run bench -- tower',
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

/** Every table of a run, in the order of RESULTS.md. What was not run is left out. */
export function sections(results: Results): Section[] {
  const { blocks, processes, overhead, native, loop, small, precision = [] } = results;
  const of = (group: string) => blocks.filter((block) => block.group === group).map(blockSection);
  const list: (Section | undefined)[] = [
    blocks.some(({ group }) => group === 'tower') ? goalsSection(results) : undefined,
    ...of('tower'),
    ...precision.map(precisionSection),
    processes.length > 0 ? processSection(processes) : undefined,
    ...of('files'),
    ...of('scores'),
    ...of('pixels'),
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
