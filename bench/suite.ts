/**
 * The benchmarks side by side: every contender in a process of its own, taking turns call by call.
 *
 *   npm run bench                      all of it: tables, build/bench/results.json
 *   npm run bench -- tower 'batch 32'  only these groups, or tables by a part of their title; other results are kept
 *   npm run bench -- gpu               the tower and whole checks on a GPU, beside PyTorch on it; only when named
 *   npm run bench -- --record          also writes bench/RESULTS.md      --threads N
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { findImages } from '../lib/images/find';
import type { BenchResult } from '../lib/measure/bench';
import { timesOf } from '../lib/measure/timing';
import { type Contender, startContender } from './contender';
import { nativeBenchmarks } from './native';
import type { Missing } from './peers/serve';
import { BLOCKS, type Block, CONTENDERS, type ContenderKey, commandOf, envOf, flopOf } from './plan';
import { BENCH_FILES, findPython, PHOTOS, vitB16, writeOnnx, writePixels } from './prepare';
import { type BlockResult, type ProcessResult, type Results, type Row, startResults, writeResults } from './results';
import { forTerminal, recordIn } from './tables';

const ROOT = path.join(__dirname, '..');
const SETTLE_MS = 30;
const PROGRAMS = ['overhead', 'loop', 'small', 'native'] as const;

const say = (text: string) => process.stderr.write(`${text}\n`);

/** Starts contenders on first need and keeps them: a process that waits takes no time. */
class Contenders {
  readonly #started = new Map<ContenderKey, Contender | Missing>();

  constructor(private readonly given: Parameters<typeof commandOf>[1] & { python: string | null }) {}

  async get(key: ContenderKey): Promise<Contender | Missing> {
    const known = this.#started.get(key);
    if (known) return known;
    const spec = CONTENDERS[key];
    const started =
      spec.program.endsWith('.py') && this.given.python === ''
        ? { missing: 'no Python with torch' }
        : await startContender(commandOf(spec, this.given), envOf(spec), path.join(BENCH_FILES, 'logs', `${key}.log`));
    this.#started.set(key, started);
    return started;
  }

  /** Load time and memory of those that hold a model. */
  processes(): ProcessResult[] {
    return [...this.#started].flatMap(([key, started]) => {
      if ('missing' in started || started.loadMs === null) return [];
      const { rssBytes = null, peakBytes = null } = started.memory() ?? {};
      const { name, precision } = CONTENDERS[key];
      const { versions, startMs, loadMs } = started;
      return [{ contender: name, precision, versions, startMs, loadMs, rssBytes, peakBytes }];
    });
  }

  close(): void {
    for (const started of this.#started.values()) if (!('missing' in started)) started.close();
  }
}

/** The smallest cosine of corresponding rows; the batch repeats the reference's images. */
function smallestCosine(features: readonly number[], reference: Float32Array, dim: number): number {
  let least = 1;
  for (let i = 0; i < Math.min(features.length, reference.length); i += dim) {
    const [a, b] = [features.slice(i, i + dim), reference.subarray(i, i + dim)];
    const dot = (x: ArrayLike<number>, y: ArrayLike<number>) =>
      Array.from(x).reduce((sum, value, j) => sum + value * y[j]!, 0);
    least = Math.min(least, dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)));
  }
  return least;
}

async function runBlock(block: Block, contenders: Contenders): Promise<BlockResult> {
  const reference = path.join(BENCH_FILES, 'clip', 'reference.f32');
  const expected = existsSync(reference) ? new Float32Array(Uint8Array.from(readFileSync(reference)).buffer) : null;
  const entries: { row: Row; call?: () => Promise<{ ms?: number; error?: string }>; samples: number[] }[] = [];
  for (const { contender: key, case: work, name, ours = false } of block.runs) {
    const spec = CONTENDERS[key];
    const row: Row = {
      name: name ?? spec.name,
      contender: spec.name,
      precision: spec.precision,
      kind: work.kind,
      ours,
      ...(flopOf(work) !== undefined && { flop: flopOf(work) }),
    };
    const entry: (typeof entries)[number] = { row, samples: [] };
    entries.push(entry);
    say(`  ${row.name} ${row.precision}`);
    const contender = await contenders.get(key);
    if ('missing' in contender) {
      row.missing = contender.missing;
      continue;
    }
    const { features, error } = await contender.ask({ op: 'prepare', case: work });
    if (error !== undefined) row.missing = error;
    else entry.call = () => contender.ask({ op: 'run', case: work });
    if (features && expected) row.cosine = smallestCosine(features, expected, 512);
  }
  for (let round = 0; round < block.rounds; round++) {
    for (const entry of entries) {
      // OpenMP's threads spin for some milliseconds after a call, on the cores of whoever comes next.
      await setTimeout(SETTLE_MS);
      const { ms, error } = (await entry.call?.()) ?? {};
      if (ms !== undefined) entry.samples.push(ms);
      if (error === undefined) continue;
      entry.row.missing = error;
      delete entry.call;
    }
  }
  for (const { row, samples } of entries) if (row.missing === undefined) row.ms = timesOf(samples);
  return {
    group: block.group,
    title: block.title,
    items: block.items,
    rounds: block.rounds,
    command: `npm run bench -- ${block.group}`,
    when: new Date().toISOString(),
    ...(block.group === 'gpu' && { gpu: describeGpu() }),
    rows: entries.map(({ row }) => row),
  };
}

function describeGpu(): string {
  const query = ['--query-gpu=name,driver_version', '--format=csv,noheader'];
  const { status, stdout } = spawnSync('nvidia-smi', query, { encoding: 'utf8' });
  return status === 0 ? stdout.trim().replaceAll('\n', '; ').replaceAll(', ', ', driver ') : 'no GPU';
}

/** Runs a program of this repository that prints one JSON value. */
function jsonOf<T>(args: readonly string[]): T {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', ...args], {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 1e8,
  });
  if (status !== 0) throw new Error(`${args.join(' ')} ended with ${status}:\n${stderr}`);
  return JSON.parse(stdout) as T;
}

async function runPrograms(results: Results, wanted: (name: string) => boolean): Promise<void> {
  const when = new Date().toISOString();
  if (wanted('overhead')) {
    say('overhead');
    results.overhead = {
      command: 'npm run bench -- overhead',
      when,
      result: jsonOf([path.join(__dirname, 'overhead.ts'), '--json']),
    };
  }
  if (wanted('loop')) {
    say('loop');
    results.loop = {
      command: 'npm run bench -- loop',
      when,
      result: jsonOf([path.join(__dirname, 'loop.ts'), '--seconds', '10', '--json']),
    };
  }
  if (wanted('small')) {
    say('small model');
    const flags = ['bench', '--batch', '8', '--precision', 'fp32', '--json'];
    const result = jsonOf<BenchResult>([path.join(ROOT, 'lib/cli/main.ts'), ...flags]);
    results.small = { command: `clipn-native ${flags.join(' ')}`, when, result };
  }
  if (wanted('native')) {
    say('native');
    const native = nativeBenchmarks(results.threads);
    if ('missing' in native) say(`SKIPPED: ${native.missing}`);
    else results.native = { command: 'npm run bench -- native', when, result: native.rows };
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    options: { record: { type: 'boolean' }, threads: { type: 'string' } },
    allowPositionals: true,
  });
  const programs: readonly string[] = PROGRAMS;
  const blocksOf = (name: string) => BLOCKS.filter(({ group, title }) => group === name || title.includes(name));
  const unknown = positionals.find((name) => !programs.includes(name) && blocksOf(name).length === 0);
  if (unknown !== undefined) {
    const groups = new Set(BLOCKS.map(({ group }) => group));
    throw new Error(`no benchmark ${unknown}; there are ${[...groups, ...programs].join(', ')}`);
  }
  const wanted = (name: string) => positionals.length === 0 || positionals.includes(name);
  const threads = values.threads === undefined ? undefined : Number(values.threads);
  if (threads !== undefined && !(Number.isInteger(threads) && threads > 0))
    throw new Error(`--threads ${values.threads}`);

  const results = await startResults(threads);
  const blocks =
    positionals.length === 0 ? BLOCKS.filter(({ group }) => group !== 'gpu') : positionals.flatMap(blocksOf);
  if (blocks.length > 0) {
    const { checkpoint, model } = await vitB16();
    const pixels = await writePixels(model);
    writeOnnx(checkpoint, pixels);
    const python = findPython('numpy, PIL, torch') ?? '';
    const photos = await findImages([PHOTOS]);
    const contenders = new Contenders({ files: BENCH_FILES, checkpoint, threads: results.threads, python, photos });
    try {
      for (const block of blocks) {
        say(block.title);
        const result = await runBlock(block, contenders);
        // The first tower block is that of batch 8: what later ones need would count otherwise.
        if (block === BLOCKS[0]) results.processes = contenders.processes();
        results.blocks = [...results.blocks.filter(({ title }) => title !== block.title), result];
        writeResults(results);
      }
    } finally {
      contenders.close();
    }
  }
  await runPrograms(results, wanted);
  const order = BLOCKS.map(({ title }) => title);
  results.blocks = results.blocks
    .filter(({ title }) => order.includes(title))
    .sort((a, b) => order.indexOf(a.title) - order.indexOf(b.title));
  writeResults(results);
  console.log(forTerminal(results));
  if (!values.record) return;
  const page = path.join(__dirname, 'RESULTS.md');
  writeFileSync(page, recordIn(existsSync(page) ? readFileSync(page, 'utf8') : '# Results\n', results));
  say(`wrote ${path.relative(ROOT, page)}`);
}

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
