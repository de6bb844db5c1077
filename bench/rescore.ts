/**
 * `eval` on features that are stored already: a million images (half ID in 1000 class folders, half OOD), D = 512, 1000
 * labels. The image files are empty and the features random: none is read or encoded. Time by part, and memory.
 *
 *   npm run bench -- rescore [--images 1000000] [--dir DIR] [--json]
 *
 * Needs 2.5 GB in DIR (a temporary folder when absent), which it removes.
 */
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { describeCore, evaluate, loadModel, type Model } from '../lib';
import { normal, uniformSource } from '../lib/base/random';
import imagenet from '../lib/data/imagenet-classnames.json';
import { type KnownFile, writeShard } from '../lib/features/shard';
import { preprocessingText } from '../lib/weights/preprocessing';
import { vitB16WithText } from './prepare';

const SHARD = 4096;

/** Writes empty images and returns what the store is to know of them. */
function writeImages(root: string, images: number): KnownFile[] {
  const files: KnownFile[] = [];
  for (let i = 0; i < images; i++) {
    const folder = i % 2 === 0 ? `id/class ${String((i / 2) % 1000).padStart(3, '0')}` : 'ood';
    if (i < 2000) mkdirSync(path.join(root, folder), { recursive: true });
    const file = path.join(root, folder, `${i}.jpg`);
    writeFileSync(file, '');
    const { size, mtimeNs } = statSync(file, { bigint: true });
    const sha256 = createHash('sha256').update(String(i)).digest();
    files.push({ path: file, size: Number(size), mtime: mtimeNs, sha256 });
  }
  return files;
}

async function writeStore(folder: string, model: Model, files: readonly KnownFile[]): Promise<void> {
  const { contentId, precision, embedDim: dim } = model.info;
  const identity = {
    contentId,
    precision,
    preprocessing: preprocessingText(model.info.config, { exif: false }),
    dim,
    patches: '',
  };
  const uniform = uniformSource(1);
  // Unit rows out of a pool of normal numbers, each from another place: drawing 512 million would take minutes.
  const pool = Float32Array.from({ length: 1 << 20 }, () => normal(uniform));
  mkdirSync(folder);
  for (let first = 0; first < files.length; first += SHARD) {
    const part = files.slice(first, first + SHARD);
    const features = part.map(() => {
      const at = Math.floor(uniform() * (pool.length - dim));
      const row = pool.slice(at, at + dim);
      const norm = Math.hypot(...row);
      return row.map((value) => value / norm);
    });
    const hashes = part.map(({ sha256 }) => sha256);
    const name = `${String(first).padStart(14, '0')}-bench.safetensors`;
    await writeShard(path.join(folder, name), identity, { hashes, features, patchMcm: [], files: part });
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { images: { type: 'string', default: '1000000' }, dir: { type: 'string' }, json: { type: 'boolean' } },
  });
  const root = mkdtempSync(path.join(values.dir ?? tmpdir(), 'clipn-rescore-'));
  try {
    const model = await loadModel((await vitB16WithText()).model);
    await writeStore(path.join(root, 'store'), model, writeImages(root, Number(values.images)));
    const folders = { id: path.join(root, 'id'), ood: { ood: path.join(root, 'ood') } };
    const labels = [...new Set(imagenet)].slice(0, 998);
    const classNames = new Map(
      Array.from({ length: 1000 }, (_, i) => [`class ${String(i).padStart(3, '0')}`, labels[i % 998]!]),
    );
    // The text towers are no part of this: the bank is in the cache afterwards.
    await model.createLabelBank(labels, { templates: 'plain' });
    global.gc?.();
    const rss = process.memoryUsage().rss;
    let most = rss;
    const marks: number[] = [performance.now()];
    const watch = setInterval(() => {
      most = Math.max(most, process.memoryUsage().rss);
    }, 50);
    let scored = 0;
    const result = await evaluate({
      model,
      ...folders,
      labels,
      classNames,
      templates: 'plain',
      store: path.join(root, 'store'),
      onProgress: ({ stage, done, total }) => {
        if (stage === 'features') throw new Error('an image would be encoded');
        if (stage !== 'scores') return;
        if (scored === 0) marks.push(performance.now());
        scored = done;
        if (done === total) marks.push(performance.now());
      },
    });
    clearInterval(watch);
    marks.push(performance.now());
    const [list, score, figures] = marks.slice(1).map((mark, i) => Number(((mark - marks[i]!) / 1000).toFixed(1)));
    const report = {
      benchmark: 'rescore',
      images: result.id.images + result.ood['ood']!.images,
      labels: labels.length,
      machine: { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version, ...(await describeCore()) },
      seconds: { listAndOpenStore: list, score, figures },
      memoryMb: { before: Math.round(rss / 1e6), most: Math.round(most / 1e6) },
    };
    await model.close();
    if (values.json) console.log(JSON.stringify(report));
    else {
      const { images, seconds, memoryMb } = report;
      console.log(
        `${images} stored images × ${labels.length} labels, D ${model.info.embedDim}, ${report.machine.cpu}, ${report.machine.cores} cores`,
      );
      console.log(`list the folders, look at every file, open the store  ${seconds.listAndOpenStore} s`);
      console.log(`read features, all scores of both towers               ${seconds.score} s`);
      console.log(`metrics, intervals, examples                           ${seconds.figures} s`);
      console.log(`memory: ${memoryMb.before} MB with the model loaded, at most ${memoryMb.most} MB`);
    }
  } finally {
    rmSync(root, { recursive: true });
  }
}

main();
