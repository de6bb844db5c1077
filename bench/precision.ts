/**
 * What bf16 changes: features, top labels and ATD of fp32, bf16 and auto on the same images, each precision with a label bank
 * of its own, as users have it.
 * Goal: cosine ≥ 0.9995, the same top label and |ΔATD| ≤ 0.01 on at least 99 % of the images.
 *
 *   npm run bench -- precision FOLDER… --labels-file F [--model M | --vit] [--templates S] [--count 500] [--data TEXT] [--json]
 *
 * Each folder gives its share of --count, evenly spaced over its sorted images. --vit: the reference's seeded ViT-B/16 with both text
 * towers. --data says for bench/RESULTS.md what the folders hold.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { type LabelBank, loadModel } from '../lib';
import { findImages } from '../lib/images/find';
import { loadLabelsFile } from '../lib/labels/labels-file';
import { smallModel } from '../lib/weights/small-model';
import { vitB16WithText } from './prepare';
import { type PrecisionResult, startResults, writeResults } from './results';
import { precisionSection, printed } from './tables';

type PrecisionRow = PrecisionResult['rows'][number];

interface Judged {
  label: string;
  verdict: string;
  atd: number;
  feature: number[];
}

const GOAL = { cosine: 0.9995, atd: 0.01 };

/** The same images wherever the folders lie: evenly spaced over each folder's sorted list. */
async function choose(folders: readonly string[], count: number): Promise<{ paths: string[]; sha256: string }> {
  const hash = createHash('sha256');
  const paths: string[] = [];
  for (const [i, folder] of folders.entries()) {
    const all = await findImages([folder]);
    const share = Math.floor((count * (i + 1)) / folders.length) - Math.floor((count * i) / folders.length);
    if (all.length < share) throw new Error(`${folder} holds ${all.length} images, fewer than ${share}`);
    for (let k = 0; k < share; k++) {
      const file = all[Math.floor((k * all.length) / share)]!;
      hash.update(`${path.relative(folder, file)}\0`).update(readFileSync(file));
      paths.push(file);
    }
  }
  return { paths, sha256: hash.digest('hex') };
}

async function judge(
  model: string,
  precision: 'fp32' | 'bf16' | 'auto',
  { labels, templates, paths }: { labels: string[]; templates: string | undefined; paths: string[] },
  exactBank?: LabelBank,
): Promise<{ used: string; bank: LabelBank; images: Judged[] }> {
  const loaded = await loadModel(model, { precision });
  try {
    // Not from the cache: another version of this package may have encoded what lies there.
    const own = () => loaded.createLabelBank(labels, { templates, cache: false });
    const used = loaded.info.precision;
    const bank = exactBank ?? (await own());
    const detector = await loaded.createDetector(bank, { trace: true });
    const images: Judged[] = [];
    for await (const result of detector.stream(paths)) {
      if ('error' in result) throw result.error;
      const { label, verdict, scores, feature = [] } = result;
      images.push({ label, verdict, atd: scores.atd, feature });
    }
    return { used, bank, images };
  } finally {
    await loaded.close();
  }
}

function cosine(a: readonly number[], b: readonly number[]): number {
  const dot = (x: readonly number[], y: readonly number[]) => x.reduce((sum, value, i) => sum + value * y[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

function compare(precision: string, used: string, found: readonly Judged[], exact: readonly Judged[]): PrecisionRow {
  const pairs = found.map((image, i) => {
    const other = exact[i]!;
    return {
      cosine: cosine(image.feature, other.feature),
      atd: Math.abs(image.atd - other.atd),
      label: image.label === other.label,
      verdict: image.verdict === other.verdict,
    };
  });
  const share = (good: (pair: (typeof pairs)[number]) => boolean) => pairs.filter(good).length / pairs.length;
  const cosines = pairs.map((pair) => pair.cosine).sort((a, b) => a - b);
  return {
    precision,
    used,
    cosineLeast: cosines[0]!,
    cosineMedian: cosines[Math.floor(cosines.length / 2)]!,
    sameLabel: share((pair) => pair.label),
    smallChange: share((pair) => pair.atd <= GOAL.atd),
    sameVerdict: share((pair) => pair.verdict),
    largestChange: Math.max(...pairs.map((pair) => pair.atd)),
    within: share((pair) => pair.cosine >= GOAL.cosine && pair.label && pair.atd <= GOAL.atd),
  };
}

async function main(): Promise<void> {
  const text = { type: 'string' } as const;
  const { values, positionals: folders } = parseArgs({
    options: {
      model: text,
      vit: { type: 'boolean' },
      'labels-file': text,
      templates: text,
      count: { ...text, default: '500' },
      data: text,
      json: { type: 'boolean' },
    },
    allowPositionals: true,
  });
  const model = values.vit ? (await vitB16WithText()).model : (values.model ?? smallModel()?.model);
  const labelsFile = values['labels-file'];
  if (model === undefined || folders.length === 0 || labelsFile === undefined) {
    throw new Error(
      'usage: npm run bench -- precision FOLDER… --labels-file F [--model M | --vit] [--templates S] [--count 500]',
    );
  }
  const { paths, sha256 } = await choose(folders, Number(values.count));
  const labels = await loadLabelsFile(labelsFile);
  const work = { labels, templates: values.templates, paths };
  const { images: exact, bank } = await judge(model, 'fp32', work);
  const rows: PrecisionRow[] = [];
  // fp32 again: what two runs of the same differ by.
  for (const precision of ['fp32', 'bf16', 'auto'] as const) {
    const { used, images } = await judge(model, precision, work);
    rows.push(compare(precision, used, images, exact));
  }
  // Which side the difference comes from.
  const { images: onExactBank } = await judge(model, 'bf16', work, bank);
  const title = 'bf16 images, fp32 labels (no option)';
  rows.push(compare(title, title, onExactBank, exact));
  const nameOf = (file: string) => path.basename(path.resolve(file));
  const result: PrecisionResult = {
    model: values.vit ? "the reference's seeded ViT-B/16" : nameOf(model),
    data: values.data ?? folders.map(nameOf).join(', '),
    images: paths.length,
    sha256,
    labels: labels.length,
    templates: values.templates ?? "the model's own",
    rows,
  };
  // Where the user keeps his files is nobody's business.
  const flags = process.argv.slice(2).map((flag) => (existsSync(flag) ? nameOf(flag) : flag));
  const words = flags.filter((flag) => flag !== '--json').map((flag) => (flag.includes(' ') ? `'${flag}'` : flag));
  const entry = { command: ['npm run bench -- precision', ...words].join(' '), when: new Date().toISOString(), result };
  const results = await startResults();
  const others = (results.precision ?? []).filter((other) => other.result.model !== result.model);
  writeResults({ ...results, precision: [...others, entry] });
  console.log(values.json ? JSON.stringify(entry) : printed(precisionSection(entry)));
}

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
