/**
 * Whether `eval` keeps its memory flat while it encodes: 100,000 small photos with the small model. Every image is a sample
 * photo with a number in a JPEG comment, so that no two files are equal and the store spares none.
 *
 *   npm run bench -- eval-memory [--images 100000] [--dir DIR] [--json]
 *
 * Prints the resident memory and its slope, by least squares over the last four fifths of the run.
 */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import sharp from 'sharp';
import { evaluate, loadModel } from '../lib';
import { smallModel } from '../lib/weights/small-model';

async function writeImages(root: string, images: number): Promise<void> {
  const { photos } = smallModel()!;
  const names = readdirSync(photos).filter((name) => name.endsWith('.jpg'));
  const jpegs = await Promise.all(
    names.map((name) => sharp(path.join(photos, name)).resize(96, 72).jpeg({ quality: 60 }).toBuffer()),
  );
  for (let i = 0; i < images; i++) {
    const folder = path.join(root, i % 2 === 0 ? `id/${i % 20}` : `ood/${i % 1000}`);
    mkdirSync(folder, { recursive: true });
    const jpeg = jpegs[i % jpegs.length]!;
    const comment = Buffer.from(`\xff\xfe\x00\x0a${String(i).padStart(8, '0')}`, 'latin1');
    writeFileSync(path.join(folder, `${i}.jpg`), Buffer.concat([jpeg.subarray(0, 2), comment, jpeg.subarray(2)]));
  }
}

/** Of y over x, by least squares. */
function slope(points: readonly [x: number, y: number][]): number {
  const mean = (axis: 0 | 1) => points.reduce((sum, point) => sum + point[axis], 0) / points.length;
  const [mx, my] = [mean(0), mean(1)];
  const covariance = points.reduce((sum, [x, y]) => sum + (x - mx) * (y - my), 0);
  return covariance / points.reduce((sum, [x]) => sum + (x - mx) ** 2, 0);
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { images: { type: 'string', default: '100000' }, dir: { type: 'string' }, json: { type: 'boolean' } },
  });
  const images = Number(values.images);
  const root = mkdtempSync(path.join(values.dir ?? tmpdir(), 'clipn-eval-memory-'));
  try {
    await writeImages(root, images);
    const model = await loadModel(smallModel()!.model);
    const samples: [done: number, rss: number][] = [];
    const start = performance.now();
    let seconds = 0;
    await evaluate({
      model,
      id: path.join(root, 'id'),
      ood: { ood: path.join(root, 'ood') },
      labels: Array.from({ length: 20 }, (_, i) => String(i)),
      templates: 'plain',
      store: path.join(root, 'store'),
      onProgress: ({ stage, done, total }) => {
        if (stage !== 'features') return;
        if (done % 500 === 0) samples.push([done, process.memoryUsage().rss / 1e6]);
        if (done === total) seconds = (performance.now() - start) / 1000;
      },
    });
    await model.close();
    const steady = samples.filter(([done]) => done >= images / 5);
    const rss = (share: number) => Math.round(samples[Math.floor(share * (samples.length - 1))]![1]);
    const report = {
      benchmark: 'eval-memory',
      images,
      imagesPerSecond: Math.round(images / seconds),
      rssMb: {
        atOneFifth: rss(0.2),
        atHalf: rss(0.5),
        atEnd: rss(1),
        most: Math.round(Math.max(...samples.map(([, mb]) => mb))),
      },
      slopeMbPer10kImages: Number((10_000 * slope(steady)).toFixed(2)),
    };
    if (values.json) console.log(JSON.stringify(report));
    else {
      const { atOneFifth, atHalf, atEnd, most } = report.rssMb;
      console.log(`${images} images, ${report.imagesPerSecond} images/s`);
      console.log(
        `resident memory: ${atOneFifth} MB at a fifth, ${atHalf} at half, ${atEnd} at the end, at most ${most}`,
      );
      console.log(`slope over the last four fifths: ${report.slopeMbPer10kImages} MB per 10,000 images`);
    }
  } finally {
    rmSync(root, { recursive: true });
  }
}

main();
