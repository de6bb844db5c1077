/**
 * What it costs that every byte is verified: of a model file (ViT-B/16 with both text towers, 0.86 GB in fp32) beside the
 * whole load, and of a row of a feature store beside the reading of its numbers. Rounds in turn; wall and CPU time.
 *
 *   npm run bench -- verify [--model FILE] [--rounds 5] [--json]
 */
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { loadModel } from '../lib';
import { table } from '../lib/cli/terminal';
import { crc32OfRows } from '../lib/features/shard';
import { checkZip } from '../lib/formats/zip-check';
import { unitRows } from '../lib/measure/synthetic';
import { checkModelFile } from '../lib/weights/model-file';
import { vitB16WithText } from './prepare';

const ROWS = 4096;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { model: { type: 'string' }, rounds: { type: 'string', default: '5' }, json: { type: 'boolean' } },
  });
  const model = values.model ?? (await vitB16WithText()).model;
  const trustedSha256 = createHash('sha256').update(readFileSync(model)).digest('hex');
  const rows = unitRows(ROWS, 512);
  const contenders: Record<string, () => unknown> = {
    'every byte of the model file': () => checkZip(model, { damaged: (what) => new Error(what) }),
    'that, its pickles and its clipn.json': () => checkModelFile(model),
    loadModel: async () => (await loadModel(model)).close(),
    'loadModel with trustedSha256': async () => (await loadModel(model, { trustedSha256 })).close(),
    [`CRC-32 of ${ROWS} rows, D = 512`]: () => crc32OfRows(rows, 512),
  };
  const times = new Map(Object.keys(contenders).map((name) => [name, { wall: [] as number[], cpu: [] as number[] }]));
  for (let round = 0; round <= Number(values.rounds); round++) {
    for (const [name, work] of Object.entries(contenders)) {
      const before = process.cpuUsage();
      const start = performance.now();
      await work();
      const wall = performance.now() - start;
      const { user, system } = process.cpuUsage(before);
      if (round === 0) continue; // libtorch is opened, files come into the page cache
      times.get(name)!.wall.push(wall);
      times.get(name)!.cpu.push((user + system) / 1000);
    }
  }
  const least = [...times].map(([name, { wall, cpu }]) => ({
    name,
    wallMs: Math.min(...wall),
    cpuMs: Math.min(...cpu),
  }));
  const about = { bytes: statSync(model).size, cpu: cpus()[0]?.model, node: process.version, load: loadavg()[0] };
  if (values.json) console.log(JSON.stringify({ benchmark: 'verify', ...about, least }));
  else {
    console.log(
      `${(about.bytes / 1e6).toFixed(0)} MB, ${about.cpu}, load ${about.load?.toFixed(1)}; least of ${values.rounds}`,
    );
    const lines = least.map(({ name, wallMs, cpuMs }) => [name, wallMs.toFixed(1), cpuMs.toFixed(1)]);
    console.log(table(['', 'wall ms', 'CPU ms'], lines, [1, 2]));
  }
}

main();
