/**
 * A made-up EvalResult: scores are drawn from normal distributions, no model ran. Consistent in itself: metrics, ROC
 * and histograms are those of the drawn scores.
 *   node --import tsx test/support/eval-result.ts OUT.html [classes]     renders it
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import type { EvalResult, Example, Histogram } from '../../lib/evaluate/result';
import type { Interval } from '../../lib/metrics/intervals';
import type { OodMetrics, SetMetrics } from '../../lib/metrics/metrics';
import { renderReport } from '../../lib/report/render';
import { repository } from './paths';

const PHOTOS = path.join(repository, 'models/small/photos');
const ID_IMAGES = 2000;
const OOD_IMAGES = { iNaturalist: 1000, SUN: 1000, Places: 1000, Textures: 564 };
/** Distance of ID from each OOD set, in standard deviations of a perfect score. */
const DISTANCE: Record<string, number> = { iNaturalist: 2.6, SUN: 2.3, Places: 2.1, Textures: 1.8 };
const BINS = 50;

const sigmoid = (z: number) => 1 / (1 + Math.exp(-z));

/** Name → share of the distance it sees, its value for a latent z, its formula and source. */
const SCORES: Record<string, [number, (z: number) => number, string, string]> = {
  ctw: [0.86, (z) => sigmoid(2.4 * z), 'p_yes of the top label', 'CLIPN (ICCV 2023), competing-to-win'],
  atd: [1, (z) => sigmoid(1.9 * z), 'Σ_j p_j · p_yes,j', 'CLIPN (ICCV 2023), agreeing-to-differ'],
  gap: [0.86, (z) => 3.1 * z, 'a_ĵ − b_ĵ, ĵ = argmax a', 'spec 3, numerics'],
  msp: [0.55, (z) => 0.01 + 0.99 * sigmoid(1.3 * z), 'max_j softmax(a)_j', 'Hendrycks and Gimpel (ICLR 2017)'],
  maxLogit: [0.72, (z) => 24 + 2.2 * z, 'max_j a_j', 'Hendrycks et al. (ICML 2022)'],
  energy: [0.7, (z) => 25.5 + 1.9 * z, 'log Σ_j exp a_j', 'Liu et al. (NeurIPS 2020), negated'],
  mcm: [0.66, (z) => 0.0101 + 0.0008 * sigmoid(z), 'max_j softmax(cosines)_j, T = 1', 'Ming et al. (NeurIPS 2022)'],
  negLabel: [
    0.98,
    (z) => Math.log1p(Math.exp(1.9 * z)),
    'share of the labels among labels and negative words',
    'Jiang et al. (ICLR 2024)',
  ],
};

/** mulberry32. */
function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const random = uniform(7);
const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
const pick = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]!;

interface Curve {
  fpr: number[];
  tpr: number[];
}

/** Vertices by falling threshold, from (0, 0); scores drawn from a continuum, so without ties. */
function curveOf(positive: number[], negative: number[]): Curve {
  const all = [...positive.map((s) => [s, 1] as const), ...negative.map((s) => [s, 0] as const)];
  all.sort((a, b) => b[0] - a[0]);
  let [tp, fp] = [0, 0];
  const curve: Curve = { fpr: [0], tpr: [0] };
  for (const [, isPositive] of all) {
    if (isPositive) tp++;
    else fp++;
    curve.fpr.push(fp / negative.length);
    curve.tpr.push(tp / positive.length);
  }
  return curve;
}

function auroc({ fpr, tpr }: Curve): number {
  let area = 0;
  for (let i = 1; i < fpr.length; i++) area += ((fpr[i]! - fpr[i - 1]!) * (tpr[i]! + tpr[i - 1]!)) / 2;
  return area;
}

function averagePrecision({ fpr, tpr }: Curve, positives: number, negatives: number): number {
  let sum = 0;
  for (let i = 1; i < fpr.length; i++) {
    const [tp, fp] = [tpr[i]! * positives, fpr[i]! * negatives];
    sum += ((tpr[i]! - tpr[i - 1]!) * tp) / (tp + fp);
  }
  return sum;
}

const fprAtTpr95 = ({ fpr, tpr }: Curve) => fpr[tpr.findIndex((t) => t >= 0.95)]!;

function wald(p: number, n: number): Interval {
  const half = 1.96 * Math.sqrt((p * (1 - p)) / n);
  return { low: Math.max(0, p - half), high: Math.min(1, p + half) };
}

/** Every k-th vertex, the last one always. */
function thinned({ fpr, tpr }: Curve, vertices = 300): Curve {
  const step = Math.ceil(fpr.length / vertices);
  const kept = fpr.map((_, i) => i).filter((i) => i % step === 0 || i === fpr.length - 1);
  return { fpr: kept.map((i) => fpr[i]!), tpr: kept.map((i) => tpr[i]!) };
}

function setMetrics(id: number[], ood: number[]): SetMetrics {
  const curve = curveOf(id, ood);
  const reversed = curveOf(
    ood.map((s) => -s),
    id.map((s) => -s),
  );
  const metrics: OodMetrics = {
    auroc: auroc(curve),
    auprIn: averagePrecision(curve, id.length, ood.length),
    auprOut: averagePrecision(reversed, ood.length, id.length),
    fprAtIdTpr95: fprAtTpr95(curve),
    fprAtOodTpr95: fprAtTpr95(reversed),
  };
  const intervals = {
    auroc: wald(metrics.auroc, ood.length),
    fprAtIdTpr95: wald(metrics.fprAtIdTpr95, ood.length),
  };
  return { ...metrics, intervals, roc: thinned(curve) };
}

function histogram(id: number[], ood: Record<string, number[]>): Histogram {
  const all = [id, ...Object.values(ood)].flat();
  const low = all.reduce((a, b) => Math.min(a, b));
  const high = all.reduce((a, b) => Math.max(a, b));
  const edges = Array.from({ length: BINS + 1 }, (_, i) => low + ((high - low) * i) / BINS);
  const counts = (scores: number[]) => {
    const bins = new Array<number>(BINS).fill(0);
    for (const s of scores) bins[Math.min(BINS - 1, Math.floor(((s - low) / (high - low)) * BINS))]!++;
    return bins;
  };
  return {
    edges,
    id: counts(id),
    ood: Object.fromEntries(Object.entries(ood).map(([set, scores]) => [set, counts(scores)])),
  };
}

function means(sets: SetMetrics[]): OodMetrics {
  const mean = (key: keyof OodMetrics) => sets.reduce((sum, set) => sum + set[key], 0) / sets.length;
  return {
    auroc: mean('auroc'),
    auprIn: mean('auprIn'),
    auprOut: mean('auprOut'),
    fprAtIdTpr95: mean('fprAtIdTpr95'),
    fprAtOodTpr95: mean('fprAtOodTpr95'),
  };
}

async function thumbnails(): Promise<string[]> {
  const photos = readdirSync(PHOTOS).filter((name) => name.endsWith('.jpg'));
  return Promise.all(
    photos.map(async (name) => {
      const jpeg = await sharp(path.join(PHOTOS, name)).resize(192, 192, { fit: 'inside' }).jpeg().toBuffer();
      return `data:image/jpeg;base64,${jpeg.toString('base64')}`;
    }),
  );
}

/** @param classes 1 to 1000 */
export async function exampleResult(classes = 100): Promise<EvalResult> {
  const names: string[] = JSON.parse(readFileSync(path.join(repository, 'lib/data/imagenet-classnames.json'), 'utf8'));
  const labels = Array.from({ length: classes }, (_, i) => names[Math.floor((i * names.length) / classes)]!);
  const sets = Object.entries(OOD_IMAGES);

  const scores: EvalResult['scores'] = {};
  let deciding: number[] = [];
  for (const [name, [share, value, formula, source]] of Object.entries(SCORES)) {
    const draw = (n: number, mean: number) => Array.from({ length: n }, () => value(mean + normal()));
    const id = draw(ID_IMAGES, 1.3 * share);
    const ood = Object.fromEntries(sets.map(([set, n]) => [set, draw(n, (1.3 - DISTANCE[set]!) * share)]));
    const results = Object.fromEntries(Object.entries(ood).map(([set, drawn]) => [set, setMetrics(id, drawn)]));
    const average = means(Object.values(results));
    scores[name] = { formula, source, sets: results, average, histogram: histogram(id, ood) };
    if (name === 'atd') deciding = id;
  }
  const threshold = [...deciding].sort((a, b) => b - a)[Math.ceil(0.95 * ID_IMAGES) - 1]!;

  const images = await thumbnails();
  const example = (set: string, i: number, score: number): Example => {
    const rest = [0.55, 0.2, 0.12, 0.08, 0.05].map((p) => p * (0.8 + 0.4 * random()));
    const sum = rest.reduce((a, b) => a + b);
    const top = rest.map((p) => ({ label: pick(labels), p: p / sum, pYes: sigmoid(set === 'id' ? -1 : 3 + normal()) }));
    const truth = set === 'id' ? pick(labels) : null;
    const thumbnail = i === 5 ? null : images[i % images.length]!;
    return { set, image: `folder ${i % 7}/synthetic_${1000 + 17 * i}.jpg`, truth, score, top, thumbnail };
  };
  const perClass = Math.round(ID_IMAGES / classes);
  const share = (mean: number, n: number) => Math.min(n, Math.round(n * sigmoid(mean + 0.8 * normal()))) / n;

  return {
    format: 'clipn-native eval 2',
    created: '2026-01-15T09:30:00.000Z',
    provenance: {
      model: {
        path: 'SYNTHETIC-EXAMPLE.pt',
        contentId: '3f6c1e0a9b7d4c5280e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7',
        precision: 'fp32',
        kind: 'clipn',
      },
      preprocessing: 'shorter side to 224, bicubic, centre crop; EXIF not applied',
      labels: { count: classes, sha256: '9d1c0b5e7f2a46c8b3d4e5f60718293a4b5c6d7e8f9012345678abcdef012345' },
      templates: {
        name: 'clipn',
        count: 128,
        sha256: '0a1b2c3d4e5f60718293a4b5c6d7e8f9012345678abcdef0123456789abcdef0',
      },
      negatives: {
        count: 10000,
        dropped: 12,
        groups: 100,
        sha256: '5c6d7e8f9012345678abcdef0123456789abcdef00a1b2c3d4e5f60718293a4b',
      },
      versions: { 'clipn-native': '0.0.0-synthetic', libtorch: '2.13.0+cpu', node: 'v20.20.2' },
      command: 'none: this result is drawn from random numbers, no model ran',
    },
    id: {
      folder: 'synthetic/val',
      images: ID_IMAGES,
      otherFiles: 3,
      unreadable: [
        { image: 'n01440764/broken.jpg', code: 'ERR_CLIPN_IMAGE_DECODE', message: 'premature end of JPEG image' },
      ],
      accuracy: 0.7018,
      accuracyInterval: wald(0.7018, ID_IMAGES),
    },
    ood: Object.fromEntries(
      sets.map(([set, n]) => [set, { folder: `synthetic/${set}`, images: n, otherFiles: 0, unreadable: [] }]),
    ),
    decidingScore: 'atd',
    threshold,
    scores,
    skipped: [{ score: 'glMcm', why: 'the model has no patch features' }],
    warnings: ['the label "missile" is given twice, as rows 12 and 57'],
    classes: labels.map((label) => ({
      label,
      images: perClass,
      accuracy: share(0.9, perClass),
      accepted: share(3.2, perClass),
      falseAccepts: Math.floor(Math.exp(1.2 + 1.3 * normal())),
    })),
    worst: {
      falseAccepts: Array.from({ length: 12 }, (_, i) => example(sets[i % sets.length]![0], i, 0.9995 - i * 0.0008)),
      falseRejects: Array.from({ length: 12 }, (_, i) => example('id', i + 3, 0.011 + i * 0.006)),
    },
    calibration: {
      target: 0.95,
      confidence: null,
      score: 'atd',
      threshold: threshold * 0.9,
      reviewFrom: threshold * 0.7,
      images: 800,
      idAccepted: 0.907,
      oodAccepted: Object.fromEntries(sets.map(([set], i) => [set, 0.21 + i * 0.03])),
      idNotOut: 0.957,
      oodNotOut: Object.fromEntries(sets.map(([set], i) => [set, 0.28 + i * 0.03])),
      byClass: false,
      curve: Array.from({ length: 50 }, (_, i) => (50 + i) / 100).map((target) => ({
        target,
        threshold: threshold * 0.9 * (1.95 - target),
        kept: target + 0.004,
        interval: { low: target - 0.01, high: target + 0.005 },
      })),
    },
    published: [
      ['iNaturalist', 0.962, 0.1911],
      ['SUN', 0.9418, 0.2569],
      ['Places', 0.9262, 0.3211],
      ['Textures', 0.9081, 0.4091],
    ].map(([set, rate, fpr95]) => ({
      source: 'CLIPN README, ViT-B/16, mean of three runs',
      score: 'atd',
      set: set as string,
      auroc: rate as number,
      fpr95: fpr95 as number,
    })),
  };
}

/** The least that is valid: one score of a plain CLIP, one OOD set, one class, one bin, nothing to show. */
export function plainResult(result: EvalResult): EvalResult {
  const { SUN: set } = result.ood;
  const { sets, ...mcm } = result.scores['mcm']!;
  const { intervals, roc: _, ...average } = sets['SUN']!;
  const roc = { fpr: [0, 1], tpr: [0, 1] };
  return {
    ...result,
    provenance: { ...result.provenance, negatives: null },
    id: { ...result.id, unreadable: [], accuracy: null, accuracyInterval: null },
    ood: { SUN: set! },
    decidingScore: 'mcm',
    threshold: 1,
    scores: {
      mcm: {
        ...mcm,
        average,
        sets: { SUN: { ...average, intervals, roc } },
        histogram: { edges: [0.9, 1], id: [2000], ood: { SUN: [1000] } },
      },
    },
    skipped: [],
    warnings: [],
    classes: [{ label: 'tench', images: 0, accuracy: null, accepted: null, falseAccepts: 0 }],
    worst: { falseAccepts: [], falseRejects: [] },
    calibration: null,
    published: [],
  };
}

/** The result with `text` after every set, score, label, path and message. */
export function hostile(result: EvalResult, text: string): EvalResult {
  const kept = new Set(['format', 'created', 'thumbnail', 'sha256', 'contentId']);
  const records = new Set(['ood', 'scores', 'sets', 'versions', 'oodAccepted']);
  const walk = (value: unknown, parent: string): unknown => {
    if (typeof value === 'string') return `${value}${text}`;
    if (Array.isArray(value)) return value.map((item) => walk(item, parent));
    if (typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value).map(([key, item]) => [
      records.has(parent) ? `${key}${text}` : key,
      kept.has(key) ? item : walk(item, key),
    ]);
    return Object.fromEntries(entries);
  };
  return walk(result, '') as EvalResult;
}

if (require.main === module) {
  const [out, classes] = process.argv.slice(2);
  if (out === undefined) throw new Error('usage: eval-result.ts OUT.html [classes]');
  exampleResult(classes === undefined ? undefined : Number(classes))
    .then(renderReport)
    .then((page) => writeFileSync(out, page));
}
