/** What this machine's vector units reach (cpp/bench/peak.cpp), compiled on demand: one file, no library. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { timesOf } from '../lib/measure/timing';
import { BENCH_FILES } from './prepare';
import type { PeakResult } from './results';

const SOURCE = path.join(__dirname, '..', 'cpp', 'bench', 'peak.cpp');
const PROGRAM = path.join(BENCH_FILES, 'peak');

interface Printed {
  rows: { precision: string; instruction: string; threads: number; rates: number[] }[];
  unmeasured: string | null;
}

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ended with ${status}:\n${stderr}`);
  return stdout;
}

/** Rates of each instruction on `threads` threads and on one; or what is missing. */
export function measurePeak(threads: number): PeakResult | { missing: string } {
  const compiler = process.env['CXX'] ?? 'c++';
  if (spawnSync(compiler, ['--version']).status !== 0) return { missing: `no C++ compiler ${compiler}` };
  if (!existsSync(PROGRAM) || statSync(PROGRAM).mtimeMs < statSync(SOURCE).mtimeMs) {
    mkdirSync(BENCH_FILES, { recursive: true });
    run(compiler, ['-O3', '-std=c++20', '-pthread', SOURCE, '-o', PROGRAM]);
  }
  const { rows, unmeasured } = JSON.parse(run(PROGRAM, ['--threads', String(threads)])) as Printed;
  return {
    rows: rows.map(({ rates, ...row }) => ({ ...row, rate: timesOf(rates), best: Math.max(...rates) })),
    unmeasured,
  };
}
