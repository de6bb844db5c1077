/**
 * What a call costs beyond its arithmetic: into the addon, through a lane and back, up to a whole verdict on a tiny image.
 * tinybench, for its results are data and its tasks may be promises.
 *
 *   npm run bench -- overhead [--json]
 */
import { parseArgs } from 'node:util';
import { loadDetector } from '../lib';
import { table } from '../lib/cli/terminal';
import { noisePixels, syntheticBank, unitRows } from '../lib/measure/synthetic';
import { timesOf } from '../lib/measure/timing';
import { openEngine } from '../lib/native/engine';
import { score } from '../lib/scores/score';
import { smallModel } from '../lib/weights/small-model';
import type { OverheadRow } from './results';

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { json: { type: 'boolean' } } });
  const { Bench } = await import('tinybench');
  const { addon } = await openEngine();
  const none = { contentId: '', precision: '' };
  const [one, hundred] = [syntheticBank(1, 8, none), syntheticBank(100, 512, none)];
  const [short, long] = [unitRows(1, 8), unitRows(1, 512)];
  const bench = new Bench({ time: 500, warmupTime: 100, retainSamples: true });
  bench
    .add('synchronous call into the addon', () => {
      addon.describeCore();
    })
    .add('score() of one row, C = 1, D = 8: a task through the lane and back', () => score(short, one, { topK: 0 }))
    .add('score() of one row, C = 100, D = 512', () => score(long, hundred));
  const small = smallModel();
  const detector = small && (await loadDetector({ model: small.model, labels: small.labels }));
  if (small && detector) {
    const [image] = noisePixels(1, 64);
    bench.add('check() of a decoded 64 × 64 image, small model', () => detector.check(image!));
  }
  await bench.run();
  await detector?.close();
  const rows = bench.tasks.map(({ name, result }): OverheadRow => {
    if (!('latency' in result)) throw new Error(`${name}: ${result.state}`);
    return { name, microseconds: timesOf((result.latency.samples ?? []).map((ms) => 1000 * ms)) };
  });
  if (values.json) console.log(JSON.stringify(rows));
  else
    console.log(
      table(
        ['', 'µs', 'p10', 'p90'],
        rows.map(({ name, microseconds: { median, p10, p90 } }) => [
          name,
          ...[median, p10, p90].map((us) => us.toFixed(1)),
        ]),
        [1, 2, 3],
      ),
    );
}

main();
