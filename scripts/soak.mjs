/**
 * `npm run soak -- --minutes 10 --seed N`: mixed traffic against one process (test/reliability/traffic.ts), for longer than
 * a test may take. Prints what happened; fails when a request ended wrongly or never, or when memory grows.
 *   node scripts/soak.mjs [--minutes M] [--seed N] [--workers W]
 *   node scripts/soak.mjs --serve [--minutes M] [--seed N]     hostile load on the server (test/reliability/hostile.ts) instead
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { LONGEST_PART_MINUTES, main, require, runAside, Stop } from './steps.mjs';

/** After its report the program has closed all that it opened. */
const MUST_END_MS = 30_000;

await main(async () => {
  const text = { type: 'string' };
  const {
    minutes = '10',
    seed = String(Date.now() % 1e6),
    workers = '100',
    serve = false,
  } = parseArgs({
    options: { minutes: text, seed: text, workers: text, serve: { type: 'boolean' } },
  }).values;
  console.log(`${minutes} minutes of ${serve ? 'hostile load' : 'traffic'}, --seed ${seed}`);
  const { resolveLibtorch } = require('./dist/libtorch/find.js');
  const cache = mkdtempSync(join(tmpdir(), 'clipn-soak-'));
  const env = { CLIPN_LIBTORCH: resolveLibtorch().dir, ...process.env, CLIPN_CACHE_DIR: cache };
  let reported = 0;
  const seconds = String(60 * Number(minutes));
  const program = serve ? ['test/reliability/hostile.ts'] : ['test/reliability/traffic.ts', '--workers', workers];
  const { status, said } = await runAside(
    process.execPath,
    ['--require', 'tsx/cjs', ...program, '--seconds', seconds, '--seed', seed],
    { env, minutes: Number(minutes) + LONGEST_PART_MINUTES, onWords: () => (reported = performance.now()) },
  );
  rmSync(cache, { recursive: true });
  let report;
  try {
    report = JSON.parse(said);
  } catch {
    throw new Stop(`it broke off: ${said}`);
  }
  console.log(JSON.stringify(report, null, 2));
  if (status !== 0) throw new Stop(`it went wrong; --seed ${seed} sends the same requests`);
  if (performance.now() - reported > MUST_END_MS) throw new Stop('it did not end by itself: something was left open');
});
