/**
 * What an epoch of teaching a ViT-B/16 costs with cached features, and what it would cost to compute them again each
 * time. The weights are seeded ones: their values do not change the work. Captions have as many words as CC3M's (10).
 *
 *   npm run bench -- teach [--images 768] [--batch 256] [--precision fp32] [--device auto] [--micro-batch 0] [--json]
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { type Device, describeCore, loadModel, teach } from '../lib';
import { openBase } from '../lib/teach/base-checkpoint';
import { openDataset } from '../lib/teach/data/open';
import { below } from '../lib/teach/draw';
import { encodeDataset } from '../lib/teach/encode-dataset';
import { withSource } from '../lib/weights/source';
import { vitB16WithText } from './prepare';

const WORDS =
  'a the of in on with and photo dog cat man woman street house tree river red green young old small large'.split(' ');

/** JPEGs of 640 × 480 and a table of captions of 4 to 16 words. */
async function writeData(folder: string, images: number): Promise<string> {
  mkdirSync(folder, { recursive: true });
  const rows = ['filepath,title'];
  for (let i = 0; i < images; i++) {
    const noise = { type: 'gaussian' as const, mean: 128, sigma: 50 };
    const small = await sharp({ create: { width: 80, height: 60, channels: 3, background: '#888', noise } })
      .png()
      .toBuffer();
    await sharp(small)
      .resize(640, 480)
      .jpeg()
      .toFile(path.join(folder, `${i}.jpg`));
    const words = Array.from({ length: 4 + below(13, i) }, (_, j) => WORDS[below(WORDS.length, i, j)]);
    rows.push(`${i}.jpg,${words.join(' ')}`);
  }
  const table = path.join(folder, 'data.csv');
  writeFileSync(table, rows.join('\n'));
  return table;
}

const median = (values: number[]) => [...values].sort((a, b) => a - b)[values.length >> 1]!;

async function main(): Promise<void> {
  process.env.THP_MEM_ALLOC_ENABLE ??= '1'; // as `clipn-native teach`
  const { values } = parseArgs({
    options: {
      images: { type: 'string', default: '768' },
      batch: { type: 'string', default: '256' },
      precision: { type: 'string', default: 'fp32' },
      device: { type: 'string', default: 'auto' },
      'micro-batch': { type: 'string', default: '0' },
      json: { type: 'boolean' },
    },
  });
  const [images, batch, microBatch] = (['images', 'batch', 'micro-batch'] as const).map((name) =>
    Number(values[name]),
  ) as [number, number, number];
  const precision = values.precision as 'fp32' | 'bf16';
  const asked = values.device as Device;
  const folder = mkdtempSync(path.join(tmpdir(), 'clipn-bench-teach-'));
  try {
    const { checkpoint: base, model: file } = await vitB16WithText();
    const data = await writeData(path.join(folder, 'data'), images);
    const { frozenId, tokenizer } = await withSource(base, path.join(folder, 'model.pt'), {}, (source) =>
      openBase(source, {}),
    );
    const features = path.join(folder, 'features');

    const model = await loadModel(file, { device: asked, precision });
    const { device } = model.info;
    const begun = performance.now();
    await encodeDataset(await openDataset(data, { templates: 'clipn' }), {
      folder: features,
      key: {
        contentId: frozenId,
        precision,
        device,
        tokenizer: tokenizer.sha256,
        augmentations: 0,
        seed: 0,
      },
      loadFrozen: async () => model,
      tokenizer,
    });
    const encodeSeconds = (performance.now() - begun) / 1000;
    await model.close();

    const times: number[] = [];
    await teach(base, data, path.join(folder, 'out'), {
      features,
      epochs: 1,
      batch,
      device,
      precision,
      microBatch,
      onStep: () => times.push(performance.now()),
    });
    // The first step allocates. One epoch: a checkpoint is written after the last step alone.
    const each = times.slice(1).map((time, i) => (time - times[i]!) / 1000);
    const stepSeconds = median(each);
    const epochSeconds = (stepSeconds * images) / batch;
    const result = {
      benchmark: 'teach',
      machine: { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version, ...(await describeCore()) },
      device,
      precision,
      images,
      batch,
      microBatch,
      encodeSeconds: Number(encodeSeconds.toFixed(2)),
      encodedPerSecond: Number((images / encodeSeconds).toFixed(2)),
      stepSeconds: Number(stepSeconds.toFixed(3)),
      trainedPerSecond: Number((batch / stepSeconds).toFixed(2)),
      epochWithCacheSeconds: Number(epochSeconds.toFixed(2)),
      epochWithoutCacheSeconds: Number((epochSeconds + encodeSeconds).toFixed(2)),
      ratio: Number(((epochSeconds + encodeSeconds) / epochSeconds).toFixed(2)),
      peakMegabytes: Math.round(process.resourceUsage().maxRSS / 1024),
    };
    console.log(values.json ? JSON.stringify(result) : result);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

main();
