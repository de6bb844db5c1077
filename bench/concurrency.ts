/**
 * JPEG buffers to verdicts while 1, 8 or 64 calls of `check()` are always under way, and as one stream: images a second,
 * latency of a call, memory. Photos of 1024 × 768, scaled up from the sample photos; 1,000 classes. Each row is a process
 * of its own: its largest resident set is its own too. ViT-B/16 has seeded weights, whose values do not change the work.
 *
 *   npm run bench -- concurrency [--seconds 15] [--model small|vit] [--json]
 */
import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { loadModel } from '../lib';
import { syntheticBank } from '../lib/measure/synthetic';
import { smallModel } from '../lib/weights/small-model';
import { CAMERA, cameraPhotos, vitB16 } from './prepare';

const CLASSES = 1000;
const ROWS = [1, 8, 64, 'stream'] as const;

interface Row {
  model: string;
  concurrency: number | 'stream';
  imagesPerSecond: number;
  /** Of one call, in ms; a stream has no calls. */
  p50: number | null;
  p99: number | null;
  meanBatch: number | null;
  /** Largest resident set of the process, and what it was before the first photo, in MB. */
  maxRssMb: number;
  loadedRssMb: number;
}

async function modelFile(name: string): Promise<string> {
  if (name === 'small') return smallModel()!.model;
  return (await vitB16()).model;
}

const rssMb = () => Math.round(process.memoryUsage.rss() / 1e6);

async function measure(name: string, concurrency: number | 'stream', seconds: number): Promise<Row> {
  const jpegs = await cameraPhotos();
  const model = await loadModel(await modelFile(name));
  const detector = await model.createDetector(syntheticBank(CLASSES, model.info.embedDim, model.info));
  const loadedRssMb = rssMb();
  let next = 0;
  const photo = () => jpegs[next++ % jpegs.length]!;
  await detector.check(Array.from({ length: 16 }, photo));

  const before = model.stats?.();
  const times: number[] = [];
  let done = 0;
  const start = performance.now();
  const end = start + 1000 * seconds;
  const caller = async () => {
    while (performance.now() < end) {
      const asked = performance.now();
      await detector.check(photo());
      times.push(performance.now() - asked);
      done++;
    }
  };
  function* source() {
    while (performance.now() < end) yield photo();
  }
  if (concurrency === 'stream') for await (const _ of detector.stream(source())) done++;
  else await Promise.all(Array.from({ length: concurrency }, caller));
  const imagesPerSecond = (1000 * done) / (performance.now() - start);
  const after = model.stats?.();
  await model.close();

  times.sort((a, b) => a - b);
  const at = (q: number) => (times.length === 0 ? null : times[Math.ceil(q * times.length) - 1]!);
  return {
    model: name,
    concurrency,
    imagesPerSecond,
    p50: at(0.5),
    p99: at(0.99),
    meanBatch: before && after ? (after.done - before.done) / (after.batches - before.batches) : null,
    maxRssMb: Math.round(process.resourceUsage().maxRSS / 1e3),
    loadedRssMb,
  };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '15' },
      model: { type: 'string' },
      row: { type: 'string' },
      json: { type: 'boolean' },
    },
  });
  if (values.row !== undefined) {
    const concurrency = values.row === 'stream' ? values.row : Number(values.row);
    console.log(JSON.stringify(await measure(values.model!, concurrency, Number(values.seconds))));
    return;
  }
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version };
  if (!values.json)
    console.log(`${machine.cores} cores of ${machine.cpu}, photos of ${CAMERA.width} × ${CAMERA.height}\n`);
  const columns = ['model', 'in flight', 'images/s', 'p50 ms', 'p99 ms', 'mean batch', 'MB', 'loaded'];
  if (!values.json) console.log(columns.map((column) => column.padStart(10)).join(''));
  for (const name of values.model === undefined ? ['small', 'vit'] : [values.model]) {
    await modelFile(name);
    for (const row of ROWS) {
      const flags = ['--row', String(row), '--model', name, '--seconds', values.seconds];
      const said = execFileSync(process.execPath, ['--import', 'tsx', __filename, ...flags], { encoding: 'utf8' });
      const result: Row = JSON.parse(said);
      const number = (value: number | null) => (value === null ? '-' : value.toFixed(1));
      const { imagesPerSecond, p50, p99, meanBatch, maxRssMb, loadedRssMb } = result;
      const cells = [name, String(row), ...[imagesPerSecond, p50, p99, meanBatch].map(number), maxRssMb, loadedRssMb];
      console.log(
        values.json
          ? JSON.stringify({ benchmark: 'concurrency', machine, ...result })
          : cells.map((cell) => String(cell).padStart(10)).join(''),
      );
    }
  }
}

main();
