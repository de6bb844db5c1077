/**
 * The benchmarks side by side: every contender in a process of its own, taking turns call by call.
 *
 *   npm run bench                      all of it: tables, build/bench/results.json
 *   npm run bench -- tower 'batch 32'  only these groups, or tables by a part of their title; other results are kept
 *   npm run bench -- peak processes    what the vector units reach; load time and memory of each tower's process alone
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
import { measurePeak } from './peak';
import type { Missing } from './peers/serve';
import { BLOCKS, type Block, CONTENDERS, type ContenderKey, commandOf, envOf, flopOf, PROCESSES } from './plan';
import { BENCH_FILES, findPython, PHOTOS, vitB16, writeOnnx, writePixels } from './prepare';
import { type BlockResult, type ProcessResult, type Results, type Row, startResults, writeResults } from './results';
import { forTerminal, recordIn } from './tables';

const ROOT = path.join(__dirname, '..');
const SETTLE_MS = 30;
const PROGRAMS = ['peak', 'processes', 'overhead', 'loop', 'small', 'native'] as const;
/** Starts of each process; what is told is the start of median load time. */
const STARTS = 3;

const say = (text: string) => process.stderr.write(`${text}\n`);

type Given = Parameters<typeof commandOf>[1];

/** Starts contenders on first need and keeps them: a process that waits takes no time. */
class Contenders {
  readonly #started = new Map<ContenderKey, Contender | Missing>();

  constructor(private readonly given: Given) {}

  async get(key: ContenderKey): Promise<Contender | Missing> {
    const known = this.#started.get(key);
    if (known) return known;
    const started = await start(key, this.given, envOf(CONTENDERS[key]));
    this.#started.set(key, started);
    return started;
  }

  async close(): Promise<void> {
    for (const started of this.#started.values()) if (!('missing' in started)) await started.close();
  }
}

async function start(key: ContenderKey, given: Given, env: Record<string, string>): Promise<Contender | Missing> {
  const spec = CONTENDERS[key];
  if (spec.program.endsWith('.py') && given.python === '') return { missing: 'no Python with torch' };
  return await startContender(commandOf(spec, given), env, path.join(BENCH_FILES, 'logs', `${key}.log`));
}

/**
 * Load time and memory of each tower, in a process that holds it and its runtime and nothing else. One runs at a time and
 * in a plain environment: the setting that makes peers faster keeps memory that they gave back.
 */
async function measureProcesses(given: Given): Promise<ProcessResult[]> {
  const found: ProcessResult[] = [];
  for (const { contender: key, case: work } of PROCESSES) {
    const { name, precision } = CONTENDERS[key];
    say(`  ${name} ${precision}`);
    const starts: ProcessResult[] = [];
    for (let i = 0; i < STARTS; i++) {
      const started = await start(key, given, {});
      if ('missing' in started) break;
      const { versions, startMs, loadMs } = started;
      let answer = await started.ask({ op: 'prepare', case: work });
      for (let call = 0; call < 3 && answer.error === undefined; call++) {
        answer = await started.ask({ op: 'run', case: work });
      }
      const { rssBytes = null, peakBytes = null } = started.memory() ?? {};
      await started.close();
      if (answer.error !== undefined) break;
      starts.push({ contender: name, precision, versions, startMs, loadMs, rssBytes, peakBytes });
    }
    starts.sort((a, b) => (a.loadMs ?? 0) - (b.loadMs ?? 0));
    found.push(...starts.slice(Math.floor(starts.length / 2)).slice(0, 1));
  }
  return found;
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

/** What contenders are given: everything they read is written. */
async function prepare(threads: number): Promise<Given> {
  const { checkpoint, model } = await vitB16();
  writeOnnx(checkpoint, await writePixels(model));
  const python = findPython('numpy, PIL, torch') ?? '';
  return { files: BENCH_FILES, checkpoint, threads, python, photos: await findImages([PHOTOS]) };
}

async function runPrograms(results: Results, wanted: (name: string) => boolean): Promise<void> {
  const when = new Date().toISOString();
  if (wanted('peak')) {
    say('peak');
    const peak = measurePeak(results.threads);
    if ('missing' in peak) say(`SKIPPED: ${peak.missing}`);
    else results.peak = { command: 'npm run bench -- peak', when, result: peak };
  }
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
  const blocksOf = (name: string) =>
    BLOCKS.filter(({ group, title }) => group === name || (group !== 'gpu' && title.includes(name)));
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
  const given = blocks.length > 0 || wanted('processes') ? await prepare(results.threads) : undefined;
  if (given && wanted('processes')) {
    say('processes');
    results.processes = await measureProcesses(given);
    writeResults(results);
  }
  if (given && blocks.length > 0) {
    const contenders = new Contenders(given);
    try {
      for (const block of blocks) {
        say(block.title);
        const result = await runBlock(block, contenders);
        results.blocks = [...results.blocks.filter(({ title }) => title !== block.title), result];
        writeResults(results);
      }
    } finally {
      await contenders.close();
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
