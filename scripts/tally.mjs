/** What each test runner of `npm test` counted itself, and how that is told at the end. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, Stop } from './steps.mjs';

/** Counts of one runner; `status` is its exit code. */
const counts = [];

export function add({ runner, passed, failed, skipped = 0, status }) {
  counts.push({ runner, passed, failed, skipped, status });
}

/** A number in a runner's report; its absence means that the runner broke off. */
export function numberIn(file, pattern) {
  const found = existsSync(join(root, file)) ? pattern.exec(readFileSync(join(root, file), 'utf8')) : null;
  if (found === null) throw new Stop(`${file} holds no test results: the runner broke off`);
  return Number(found[1]);
}

/** Prints every runner's counts and their sum, and sets the exit code. */
export function tell() {
  if (counts.length === 0) return;
  const line = ({ passed, failed, skipped }) =>
    `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
  const sum = (key) => counts.reduce((total, count) => total + count[key], 0);
  console.log();
  for (const count of counts) console.log(`${count.runner}: ${line(count)}`);
  const broken = counts.filter(({ status, failed }) => status !== 0 && failed === 0).map(({ runner }) => runner);
  if (broken.length > 0) throw new Stop(`${broken.join(', ')}: all tests passed, but the runner failed`);
  if (sum('failed') > 0) process.exitCode = 1;
  console.log(line({ passed: sum('passed'), failed: sum('failed'), skipped: sum('skipped') }));
}
