/**
 * What bf16 and int8 change: features, top labels, ATD and verdicts against fp32 on the same images and one label bank, and what
 * `guarded` leaves of that (docs/precision.md). Each image is encoded once in each precision; guarded answers are put together
 * from those by lib/decide/guard.ts, which is what a detector asks.
 *
 *   npm run bench -- precision FOLDER… --labels-file F [--model M | --vit] [--templates S] [--count 500] [--data TEXT] [--json]
 *
 * Each folder gives its share of --count, evenly spaced over its sorted images. --vit: the reference's seeded ViT-B/16 with both text
 * towers. --data says for bench/RESULTS.md what the folders hold. Of the images 300, evenly spaced too, are held out: margins are
 * measured on them, and on drawn images; all other figures are of the rest. Goal of a precision alone: cosine ≥ 0.9995, the same
 * top label and |ΔATD| ≤ 0.01 on at least 99 % of the images.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ClipnError, type LabelBank, loadModel, type Model } from '../lib';
import {
  type Deciding,
  type Differences,
  differencesOf,
  isTooClose,
  type Margins,
  type Measured,
  marginsOf,
} from '../lib/decide/guard';
import { type Decision, decide } from '../lib/decide/rule';
import { findImages } from '../lib/images/find';
import type { ImageInput } from '../lib/images/image-input';
import { loadLabelsFile } from '../lib/labels/labels-file';
import { cosinesOf, drawnImages } from '../lib/model/drawn';
import { decidingRows, drawnMargins, labelSpaceOf, measuredRows } from '../lib/model/guard';
import { PHOTO_FLAGS, photoInputs } from './prepare';
import { type PrecisionResult, startResults, writeResults } from './results';
import { precisionSection, printed, verdictSection } from './tables';

type PrecisionRow = PrecisionResult['rows'][number];
type VerdictRow = NonNullable<PrecisionResult['verdicts']>[number];

const GOAL = { cosine: 0.9995, atd: 0.01 };
const HELD_OUT = 300;
/** Shares of the images that a threshold on fp32's ATD keeps. */
const KEPT = [0.9, 0.95, 0.99];
const FIRST = ['bf16', 'int8'] as const;
/** Images scored at a time with all their logits. */
const BLOCK = 256;

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

/** One precision: features of the photos and of the drawn images. */
interface Encoded {
  photos: Float32Array;
  drawn: Float32Array;
}

/** Null where this machine lacks the precision. */
async function encode(file: string, precision: 'fp32' | 'bf16' | 'int8', paths: string[]): Promise<Encoded | null> {
  let model: Model;
  try {
    model = await loadModel(file, { precision, device: 'cpu' });
  } catch (error) {
    if (precision !== 'int8' || !(error instanceof ClipnError) || error.code !== 'ERR_CLIPN_INVALID_ARG') throw error;
    process.stderr.write(`SKIPPED: int8: ${error.message}\n`);
    return null;
  }
  try {
    const start = performance.now();
    const photos = await model.encodeImages(paths);
    const seconds = (performance.now() - start) / 1000;
    process.stderr.write(`${precision}: ${paths.length} images in ${seconds.toFixed(0)} s\n`);
    return { photos, drawn: await model.encodeImages(drawnImages() as ImageInput[]) };
  } finally {
    await model.close();
  }
}

/** Rows at `indices` of a matrix of n. */
function rowsAt(all: Float32Array, n: number, indices: readonly number[]): Float32Array {
  const d = all.length / n;
  const rows = new Float32Array(indices.length * d);
  for (const [to, from] of indices.entries()) rows.set(all.subarray(from * d, (from + 1) * d), to * d);
  return rows;
}

type Scored = Awaited<ReturnType<Model['scoreFeatures']>>;

/** What `read` makes of the scores of all features, with their logits. */
async function scoredRows<Row>(
  model: Model,
  bank: LabelBank,
  features: Float32Array,
  read: (scored: Scored) => Row[],
): Promise<Row[]> {
  const all: Row[] = [];
  const step = BLOCK * bank.dim;
  for (let from = 0; from < features.length; from += step) {
    const rows = features.subarray(from, from + step);
    all.push(...read(await model.scoreFeatures(rows, bank, { topK: 1, logits: true })));
  }
  return all;
}

/** What the answers for images with these features rest on. */
async function decidingAll(model: Model, bank: LabelBank, features: Float32Array): Promise<Deciding[]> {
  const space = labelSpaceOf(model, bank);
  const all = Number.POSITIVE_INFINITY;
  return await scoredRows(model, bank, features, (scored) => decidingRows(scored, scored.n, space, all));
}

async function measuredAll(model: Model, bank: LabelBank, features: Float32Array): Promise<Measured[]> {
  return await scoredRows(model, bank, features, (scored) => measuredRows(scored, scored.n));
}

async function differencesFrom(
  model: Model,
  bank: LabelBank,
  decision: Decision,
  first: Float32Array,
  own: Float32Array,
): Promise<Differences[]> {
  const [rough, exact] = [await measuredAll(model, bank, first), await measuredAll(model, bank, own)];
  const space = labelSpaceOf(model, bank);
  return rough.map((row, i) => differencesOf(decision, space, row, exact[i]!));
}

function compare(precision: string, found: readonly Deciding[], exact: readonly Deciding[], cosines: Float64Array) {
  const share = (good: (i: number) => boolean) => found.filter((_, i) => good(i)).length / found.length;
  const change = (i: number) => Math.abs(found[i]!.scores.atd - exact[i]!.scores.atd);
  const isSameLabel = (i: number) => found[i]!.top === exact[i]!.top;
  const isSmall = (i: number) => change(i) <= GOAL.atd;
  const verdict = (row: Deciding) => decide({ rule: 'atd' }, row.scores, row);
  const sorted = cosines.slice().sort();
  const row: PrecisionRow = {
    precision,
    used: precision,
    cosineLeast: sorted[0]!,
    cosineMedian: sorted[Math.floor(sorted.length / 2)]!,
    sameLabel: share(isSameLabel),
    smallChange: share(isSmall),
    sameVerdict: share((i) => verdict(found[i]!) === verdict(exact[i]!)),
    largestChange: found.reduce((most, _, i) => Math.max(most, change(i)), 0),
    within: share((i) => cosines[i]! >= GOAL.cosine && isSameLabel(i) && isSmall(i)),
  };
  return row;
}

/** Answers that differ from fp32's: of the first arithmetic alone without margins, else guarded by them. */
function changes(
  answers: string,
  threshold: string,
  decision: Decision,
  first: readonly Deciding[],
  exact: readonly Deciding[],
  guard?: { margins: Margins; differences: readonly Differences[] },
): VerdictRow {
  const margins = guard?.margins;
  const again = first.map((row) => margins !== undefined && isTooClose(decision, row, margins));
  const given = first.map((row, i) => (again[i] ? exact[i]! : row));
  const count = (differs: (row: Deciding, i: number) => boolean) => given.filter(differs).length;
  const verdict = (row: Deciding) => decide(decision, row.scores, row);
  return {
    threshold,
    answers,
    verdicts: count((row, i) => verdict(row) !== verdict(exact[i]!)),
    labels: count((row, i) => row.top !== exact[i]!.top),
    ...(guard && {
      again: again.filter(Boolean).length,
      margins: { score: guard.margins.score, label: guard.margins.label },
      beyond: guard.differences.filter(({ score = 0, label = 0 }) => score > margins!.score || label > margins!.label)
        .length,
    }),
  };
}

/** The threshold that keeps this share of the scores. */
function keeping(share: number, rows: readonly Deciding[]): number {
  const sorted = Float64Array.from(rows, ({ scores }) => scores.atd).sort();
  return sorted[Math.floor((1 - share) * sorted.length)]!;
}

async function main(): Promise<void> {
  const { values, positionals: folders } = parseArgs({
    options: {
      ...PHOTO_FLAGS,
      count: { type: 'string', default: '500' },
      data: { type: 'string' },
      json: { type: 'boolean' },
    },
    allowPositionals: true,
  });
  const { model, labelsFile } = await photoInputs(values, folders);
  const { paths, sha256 } = await choose(folders, Number(values.count));
  const labels = await loadLabelsFile(labelsFile);
  if (paths.length <= HELD_OUT) throw new Error(`--count must exceed ${HELD_OUT}, the images held out`);
  const exactModel = await loadModel(model, { device: 'cpu' });
  // Not from the cache: another version of this package may have encoded what lies there.
  const bank = await exactModel.createLabelBank(labels, { templates: values.templates, cache: false });
  const n = paths.length;
  const all = [...paths.keys()];
  const heldOut = Array.from({ length: HELD_OUT }, (_, k) => Math.floor((k * n) / HELD_OUT));
  const isHeldOut = new Set(heldOut);
  const judged = all.filter((i) => !isHeldOut.has(i));
  const own = (await encode(model, 'fp32', paths))!;
  const ownRows = rowsAt(own.photos, n, judged);
  const exact = await decidingAll(exactModel, bank, ownRows);
  const decisions: [name: string, decision: Decision][] = [
    ["the paper's rule", { rule: 'atd' }],
    ...KEPT.map((share): [string, Decision] => [
      `keeps ${share}`,
      { rule: 'threshold', score: 'atd', threshold: keeping(share, exact) },
    ]),
  ];
  const rows: PrecisionRow[] = [];
  const verdicts: VerdictRow[] = [];
  for (const precision of FIRST) {
    const encoded = await encode(model, precision, paths);
    if (encoded === null) continue;
    const features = rowsAt(encoded.photos, n, judged);
    const first = await decidingAll(exactModel, bank, features);
    rows.push(compare(precision, first, exact, cosinesOf(features, ownRows, judged.length)));
    const heldOutRows = [encoded.photos, own.photos].map((of) => rowsAt(of, n, heldOut)) as [
      Float32Array,
      Float32Array,
    ];
    for (const [name, decision] of decisions) {
      const differences = (of: Float32Array, ofOwn: Float32Array) =>
        differencesFrom(exactModel, bank, decision, of, ofOwn);
      const all = await differences(features, ownRows);
      const drawn = drawnMargins(precision, await differences(encoded.drawn, own.drawn), false);
      const held = marginsOf(await differences(...heldOutRows), false);
      verdicts.push(changes(precision, name, decision, first, exact));
      for (const [from, margins] of [
        [`${drawnImages().length} drawn images`, drawn],
        [`${HELD_OUT} held out`, held],
      ] as const) {
        const answers = `guarded, ${precision} first, margins of ${from}`;
        verdicts.push(changes(answers, name, decision, first, exact, { margins, differences: all }));
      }
    }
  }
  await exactModel.close();
  const nameOf = (file: string) => path.basename(path.resolve(file));
  const result: PrecisionResult = {
    model: values.vit ? "the reference's seeded ViT-B/16" : nameOf(model),
    data: values.data ?? folders.map(nameOf).join(', '),
    images: judged.length,
    sha256,
    labels: labels.length,
    templates: values.templates ?? "the model's own",
    rows,
    verdicts,
  };
  // Where the user keeps his files is nobody's business.
  const flags = process.argv.slice(2).map((flag) => (existsSync(flag) ? nameOf(flag) : flag));
  const words = flags.filter((flag) => flag !== '--json').map((flag) => (flag.includes(' ') ? `'${flag}'` : flag));
  const entry = { command: ['npm run bench -- precision', ...words].join(' '), when: new Date().toISOString(), result };
  const results = await startResults();
  const others = (results.precision ?? []).filter((other) => other.result.model !== result.model);
  writeResults({ ...results, precision: [...others, entry] });
  console.log(
    values.json ? JSON.stringify(entry) : [precisionSection(entry), verdictSection(entry)].map(printed).join('\n\n'),
  );
}

main().catch((error: Error) => {
  console.error(error.message);
  process.exitCode = 1;
});
