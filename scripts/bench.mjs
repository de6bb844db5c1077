/**
 * `npm run bench [-- NAME… flags]`: set-up, then the suite, all of it or the named groups. Programs with flags of their
 * own (bench/loop.ts, metrics.ts and others) are run as they are when named alone.
 */
import { join } from 'node:path';
import { main, root, runNode } from './steps.mjs';

const PROGRAMS = [
  'baselines',
  'calibration',
  'concurrency',
  'drift',
  'eval-memory',
  'few-labels',
  'guarded',
  'label-lint',
  'loop',
  'metrics',
  'migrating',
  'overhead',
  'precision',
  'rescore',
  'serve',
  'teach',
  'text-bank',
  'verify',
  'why',
];

await main(() => {
  const [name, ...flags] = process.argv.slice(2);
  runNode(['scripts/setup.mjs']);
  const program = PROGRAMS.includes(name);
  const args = program ? flags : process.argv.slice(2);
  runNode(['--import', 'tsx', join(root, 'bench', `${program ? name : 'suite'}.ts`), ...args]);
});
