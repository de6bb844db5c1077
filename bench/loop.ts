/**
 * How long the event loop is held up while ViT-B/16 batches run: the delay of a 1 ms timer, idle and under load.
 * Goal: p99 under 20 ms. The weights are seeded ones: their values do not change the work.
 *
 *   npm run bench -- loop [--seconds 20] [--json]
 */
import { cpus } from 'node:os';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { describeCore, loadModel } from '../lib';
import { noisePixels } from '../lib/measure/synthetic';
import { vitB16 } from './prepare';

async function delays(milliseconds: number): Promise<{ p50: number; p99: number; max: number }> {
  const monitor = monitorEventLoopDelay({ resolution: 1 });
  monitor.enable();
  await sleep(milliseconds);
  monitor.disable();
  const ms = (nanoseconds: number) => Number((nanoseconds / 1e6).toFixed(2));
  return { p50: ms(monitor.percentile(50)), p99: ms(monitor.percentile(99)), max: ms(monitor.max) };
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { seconds: { type: 'string', default: '20' }, json: { type: 'boolean' } } });
  const model = await loadModel((await vitB16()).model);
  // Decoded already: the loop's own work is what is measured, not sharp's.
  const images = noisePixels(64, 640, 480);
  await model.encodeImages(images.slice(0, 8));

  const idle = await delays(2000);
  let running = true;
  let done = 0;
  const start = performance.now();
  const load = (async () => {
    while (running) done += (await model.encodeImages(images)).length / model.info.embedDim;
  })();
  const busy = await delays(1000 * Number(values.seconds));
  running = false;
  await load;
  const imagesPerSecond = Number((done / ((performance.now() - start) / 1000)).toFixed(2));
  await model.close();

  const result = {
    benchmark: 'loop',
    model: 'ViT-B/16, fp32, batches of 8',
    machine: { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version, ...(await describeCore()) },
    eventLoopDelayMs: { idle, busy },
    imagesPerSecond,
  };
  if (values.json) {
    console.log(JSON.stringify(result));
    return;
  }
  const row = (name: string, { p50, p99, max }: typeof idle) =>
    console.log(`${name.padEnd(24)} p50 ${p50.toFixed(2)} ms   p99 ${p99.toFixed(2)} ms   max ${max.toFixed(2)} ms`);
  console.log(`${result.model}, ${imagesPerSecond} images/s, on ${result.machine.cpu}, ${result.machine.cores} cores`);
  row('event loop, idle', idle);
  row('event loop, under load', busy);
}

main();
