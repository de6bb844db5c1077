/** Google Benchmark on the core's C ABI: built on demand, only where the library is installed. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { NativeRow } from './results';

const ROOT = path.join(__dirname, '..');
const BUILD = path.join(ROOT, 'build');

interface Report {
  benchmarks: { run_name: string; aggregate_name: string; real_time: number; time_unit: string }[];
}

function run(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, {
    cwd: ROOT,
    encoding: 'utf8',
    env,
    maxBuffer: 1e8,
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`);
  return stdout;
}

/** Median and standard deviation of each benchmark, in microseconds; or what is missing. */
export function nativeBenchmarks(threads: number): { rows: NativeRow[] } | { missing: string } {
  const cache = path.join(BUILD, 'CMakeCache.txt');
  if (!existsSync(cache)) return { missing: 'the native build: npm run build:native' };
  run('cmake', [BUILD]);
  if (!/^benchmark_DIR:PATH=(?!.*NOTFOUND)/m.test(readFileSync(cache, 'utf8'))) {
    return { missing: 'Google Benchmark is not installed (Debian: apt-get install libbenchmark-dev)' };
  }
  run('cmake', ['--build', BUILD, '--target', 'clipn_core_bench']);
  const program = path.join(BUILD, 'Release', 'clipn_core_bench');
  const flags = ['--benchmark_format=json', '--benchmark_repetitions=9', '--benchmark_report_aggregates_only=true'];
  // Repetitions of different benchmarks take turns.
  flags.push('--benchmark_enable_random_interleaving=true', '--benchmark_min_time=0.05');
  const report = JSON.parse(run(program, flags, { ...process.env, OMP_NUM_THREADS: String(threads) })) as Report;
  const rows = new Map<string, NativeRow>();
  for (const { run_name, aggregate_name, real_time, time_unit } of report.benchmarks) {
    const name = run_name.replace(/\/(real_time|min_time:.*)/g, '');
    const row = rows.get(name) ?? { name, median: 0, spread: 0 };
    if (time_unit !== 'us') throw new Error(`${name} is in ${time_unit}, not in µs`);
    if (aggregate_name === 'median') row.median = real_time;
    if (aggregate_name === 'stddev') row.spread = real_time;
    rows.set(name, row);
  }
  return { rows: [...rows.values()] };
}
