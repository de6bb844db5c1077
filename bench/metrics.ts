/**
 * How long metrics of a million scores a side take; with --coverage also how often the 95 % intervals hold the true value.
 *
 *   npm run bench -- metrics [--scores 1000000] [--coverage] [--json]
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { oodMetrics, readScoreFile, setMetrics } from '../lib';
import { normal, uniformSource } from '../lib/base/random';

const uniform = uniformSource(7);

/** n scores of N(mean, 1), rounded to a multiple of `grid` unless that is 0. */
function draw(n: number, mean: number, grid = 0): Float64Array {
  return Float64Array.from({ length: n }, () => {
    const x = mean + normal(uniform);
    return grid === 0 ? x : Math.round(x / grid) * grid;
  });
}

/** Medians of 5, on the clock and of CPU time, which other work on the machine disturbs less. */
async function seconds(work: () => unknown): Promise<{ wall: number; cpu: number }> {
  const runs: { wall: number; cpu: number }[] = [];
  for (let i = 0; i < 5; i++) {
    const [start, before] = [performance.now(), process.cpuUsage()];
    await work();
    const { user, system } = process.cpuUsage(before);
    runs.push({ wall: (performance.now() - start) / 1000, cpu: (user + system) / 1e6 });
  }
  const median = (key: 'wall' | 'cpu') =>
    Number(
      runs
        .map((run) => run[key])
        .sort((a, b) => a - b)[2]!
        .toFixed(2),
    );
  return { wall: median('wall'), cpu: median('cpu') };
}

async function speed(n: number): Promise<Record<string, { wall: number; cpu: number }>> {
  const [id, ood] = [draw(n, 1), draw(n, 0)];
  const folder = mkdtempSync(path.join(tmpdir(), 'clipn-bench-'));
  const file = path.join(folder, 'scores.txt');
  writeFileSync(file, id.join('\n'));
  const result = {
    oodMetrics: await seconds(() => oodMetrics(id, ood)),
    setMetrics: await seconds(() => setMetrics(id, ood)),
    readScoreFile: await seconds(() => readScoreFile(file)),
  };
  rmSync(folder, { recursive: true });
  return result;
}

/** Standard normal distribution function, by its power series. */
function phi(x: number): number {
  if (Math.abs(x) > 7) return x > 0 ? 1 : 0;
  let [sum, term] = [x, x];
  for (let i = 1; i < 200; i++) {
    term *= (-x * x) / (2 * i);
    sum += term / (2 * i + 1);
  }
  return 0.5 + sum / Math.sqrt(2 * Math.PI);
}

/** AUROC and interpolated FPR of the whole populations: sums over the grid, which is fine enough to stand for none. */
function truth(separation: number, grid: number): { auroc: number; fpr: number } {
  const step = grid || 0.002;
  const mass = (k: number, mean: number) => phi((k + 0.5) * step - mean) - phi((k - 0.5) * step - mean);
  let [tp, fp, auroc, fpr] = [0, 0, 0, -1];
  for (let k = Math.ceil(10 / step); k >= -Math.ceil(6.5 / step); k--) {
    const [id, ood] = [mass(k, separation), mass(k, 0)];
    auroc += ood * (tp + id / 2);
    if (fpr < 0 && tp + id > 0.95) fpr = fp + ((0.95 - tp) / id) * ood;
    [tp, fp] = [tp + id, fp + ood];
  }
  return { auroc, fpr };
}

function coverage() {
  const rows = [];
  for (const [separation, grid] of [
    [0, 0],
    [1, 0],
    [2, 0],
    [3.5, 0],
    [1, 0.5],
    [1, 1],
    [2.5, 1],
  ] as const) {
    const { auroc, fpr } = truth(separation, grid);
    for (const [n, m] of [
      [20, 20],
      [50, 200],
      [200, 200],
      [1000, 1000],
      [2000, 300],
    ] as const) {
      const draws = 500;
      const held = { auroc: 0, fprAtIdTpr95: 0 };
      for (let i = 0; i < draws; i++) {
        const { intervals } = setMetrics(draw(n, separation, grid), draw(m, 0, grid));
        if (intervals.auroc.low <= auroc && auroc <= intervals.auroc.high) held.auroc++;
        if (intervals.fprAtIdTpr95.low <= fpr && fpr <= intervals.fprAtIdTpr95.high) held.fprAtIdTpr95++;
      }
      rows.push({
        separation,
        grid,
        id: n,
        ood: m,
        auroc: held.auroc / draws,
        fprAtIdTpr95: held.fprAtIdTpr95 / draws,
      });
    }
  }
  return rows;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      scores: { type: 'string', default: '1000000' },
      coverage: { type: 'boolean' },
      json: { type: 'boolean' },
    },
  });
  const n = Number(values.scores);
  const result = {
    benchmark: 'metrics',
    machine: { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version },
    scoresASide: n,
    seconds: await speed(n),
    ...(values.coverage && { coverage: coverage() }),
  };
  if (values.json) {
    console.log(JSON.stringify(result));
    return;
  }
  console.log(`${n} scores a side, median of 5, seconds on ${result.machine.cpu}`);
  console.table(result.seconds);
  if (result.coverage) console.table(result.coverage);
}

main();
