/** What runs leave behind: build/bench/results.json. The tables are made of it. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describeCore } from '../lib';
import { type BenchMachine, type BenchResult, describeMachine } from '../lib/measure/bench';
import type { Times } from '../lib/measure/timing';

export interface Row {
  name: string;
  contender: string;
  precision: string;
  /** As in peers/serve.ts. */
  kind: string;
  /** What the others of its class are compared with. */
  ours: boolean;
  /** Milliseconds a call; absent when it could not run. */
  ms?: Times;
  /** Operations of one call in matrix products, where that is what it is about. */
  flop?: number;
  /** Smallest cosine between its features and the float64 reference's, over the images. */
  cosine?: number;
  /** Why there is no figure. */
  missing?: string;
}

export interface BlockResult {
  group: string;
  title: string;
  items: number;
  rounds: number;
  command: string;
  when: string;
  /** Name and driver of the GPU that it ran on. */
  gpu?: string;
  rows: Row[];
}

export interface ProcessResult {
  contender: string;
  precision: string;
  versions: Record<string, string>;
  startMs: number;
  loadMs: number | null;
  /** Resident after some batches of 8, and at most. */
  rssBytes: number | null;
  peakBytes: number | null;
}

/** Programs of their own, each with the JSON that it prints. */
export interface ProgramResult<T> {
  command: string;
  when: string;
  result: T;
}

export interface OverheadRow {
  name: string;
  microseconds: Times;
}

export interface NativeRow {
  name: string;
  /** Microseconds of wall time a call: median over the repetitions, and their spread. */
  median: number;
  spread: number;
}

/** What the machine's vector units reach, in 10⁹ operations a second: a product and its sum are two. */
export interface PeakResult {
  rows: {
    precision: string;
    instruction: string;
    threads: number;
    rate: Times;
    /** Of the fastest round: the peak. */
    best: number;
  }[];
  /** A faster unit that is there and was not measured. */
  unmeasured: string | null;
}

export interface LoopResult {
  imagesPerSecond: number;
  eventLoopDelayMs: Record<'idle' | 'busy', { p50: number; p99: number; max: number }>;
}

/** One model on one set of images: each precision against fp32. */
export interface PrecisionResult {
  model: string;
  data: string;
  images: number;
  /** Of the images' names and bytes, in order. */
  sha256: string;
  labels: number;
  templates: string;
  rows: {
    precision: string;
    /** What `auto` is here. */
    used: string;
    cosineLeast: number;
    cosineMedian: number;
    /** Shares of the images, 0 to 1. */
    sameLabel: number;
    sameVerdict: number;
    smallChange: number;
    /** Largest |ΔATD|. */
    largestChange: number;
    /** Share with cosine ≥ 0.9995, the same label and |ΔATD| ≤ 0.01. */
    within: number;
  }[];
  /** For each threshold: answers that differ from fp32's. Absent from results of earlier versions. */
  verdicts?: {
    threshold: string;
    /** Whose answers: a precision's, or guarded ones. */
    answers: string;
    /** Counts of images, of `images`. */
    verdicts: number;
    labels: number;
    /** Of guarded answers: how many are encoded again in fp32, and within which margins. */
    again?: number;
    margins?: { score: number; label: number };
    /** How many differ from fp32 by more than a margin, near a threshold or not. */
    beyond?: number;
  }[];
}

export interface Results {
  format: 1;
  machine: BenchMachine;
  versions: Record<string, string>;
  threads: number;
  blocks: BlockResult[];
  processes: ProcessResult[];
  overhead?: ProgramResult<OverheadRow[]>;
  native?: ProgramResult<NativeRow[]>;
  peak?: ProgramResult<PeakResult>;
  loop?: ProgramResult<LoopResult>;
  small?: ProgramResult<BenchResult>;
  precision?: ProgramResult<PrecisionResult>[];
}

const ROOT = path.join(__dirname, '..');
const FILE = path.join(ROOT, 'build', 'bench', 'results.json');

/** The results so far of this machine and setting, or empty ones. */
export async function startResults(threads?: number): Promise<Results> {
  const machine = describeMachine();
  const core = await describeCore();
  const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string };
  const commit = spawnSync('git', ['describe', '--always', '--dirty'], { cwd: ROOT, encoding: 'utf8' }).stdout?.trim();
  const versions: Record<string, string> = {
    'clipn-native': version,
    Node: process.versions.node,
    libtorch: core.torchVersion,
  };
  if (commit) versions['commit'] = commit;
  const now = { format: 1, machine, versions, threads: threads ?? machine.physicalCores } as const;
  const before = existsSync(FILE) ? (JSON.parse(readFileSync(FILE, 'utf8')) as Results) : null;
  const sameSetting = before?.machine.cpu === machine.cpu && before.threads === now.threads;
  return sameSetting ? { ...before, ...now } : { ...now, blocks: [], processes: [] };
}

export function writeResults(results: Results): void {
  mkdirSync(path.dirname(FILE), { recursive: true });
  writeFileSync(FILE, `${JSON.stringify(results, null, 1)}\n`);
}
