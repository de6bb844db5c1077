/**
 * What a threshold fitted on n images keeps of the others, and what it costs: the 5th percentile as it is commonly taken,
 * split-conformal, and with 95 % confidence. Then how small the p-values of the other ID images are, how many of the images
 * that `select` flags are ID, and whether verdicts hang on how images are asked for.
 *
 *   npm run bench -- calibration --images DIR --classes FILE [--list FILE] [--model M] [--score atd] [--draws 4000] [--out DIR] [--json]
 *
 * DIR, FILE and --list as for few-labels. ID are the images of the labels, OOD those of the strangers. A draw takes n of the
 * ID images to fit and asks the others, at least 200. --out writes the scores to id.txt and ood.txt, for `npm run bench -- drift`.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  type CheckFailure,
  type CheckResult,
  conformalPValues,
  conformalThreshold,
  type DecidingScore,
  type LabelBank,
  loadModel,
  type Model,
  score,
  select,
} from '../lib';
import { shuffled, uniformSource } from '../lib/base/random';
import { scoresNeeded } from '../lib/decide/conformal';
import { CLASS_FOLDER_FLAGS, imagesFrom } from './class-folders';

const TARGET = 0.95;
const ASKED = 200;
/** Images that calibrate p-values, and a batch to flag. */
const CALIBRATED = 1000;
const BATCH_ID = 180;
const BATCH_OOD = 20;

type Fit = (sorted: Float64Array) => number;

const RULES: Record<string, { fit: Fit; needs: number }> = {
  percentile: { fit: (sorted) => sorted[Math.floor((1 - TARGET) * sorted.length)]!, needs: 1 },
  conformal: { fit: (sorted) => conformalThreshold(sorted, TARGET), needs: scoresNeeded({ target: TARGET }) },
  'with 95 % confidence': {
    fit: (sorted) => conformalThreshold(sorted, TARGET, 0.95),
    needs: scoresNeeded({ target: TARGET, confidence: 0.95 }),
  },
};

const acceptedShare = (scores: readonly number[], threshold: number) =>
  scores.filter((value) => value >= threshold).length / scores.length;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ...CLASS_FOLDER_FLAGS,
      score: { type: 'string', default: 'atd' },
      draws: { type: 'string', default: '4000' },
      out: { type: 'string' },
    },
  });
  const { rows, paths } = imagesFrom(values);
  await using model = await loadModel(values.model);
  const features = await model.encodeImages(paths);
  const bank = await model.createLabelBank([...rows.keys()].filter((label) => label !== ''));
  const scored = await score(features, bank, { topK: 1, scale: model.info.config.scale });
  const valuesOf = (of: readonly number[]) => of.map((i) => scored[values.score as DecidingScore][i]!);
  const id = valuesOf([...rows].flatMap(([label, own]) => (label === '' ? [] : own)));
  const ood = valuesOf(rows.get('')!);

  for (const [name, scores] of Object.entries({ id, ood })) {
    if (values.out !== undefined) writeFileSync(join(values.out, `${name}.txt`), `${scores.join('\n')}\n`);
  }

  const uniform = uniformSource(1);
  const draws = Number(values.draws);
  const results = [];
  for (const n of [20, 59, 100, 200, 500, 1000].filter((each) => each + ASKED <= id.length)) {
    const sums = Object.fromEntries(Object.keys(RULES).map((name) => [name, { missed: 0, kept: 0, ood: 0 }]));
    for (let draw = 0; draw < draws; draw++) {
      const drawn = shuffled(id, uniform);
      const sorted = Float64Array.from(drawn.slice(0, n)).sort();
      for (const [name, { fit, needs }] of Object.entries(RULES)) {
        if (n < needs) continue;
        const threshold = fit(sorted);
        const kept = acceptedShare(drawn.slice(n), threshold);
        const sum = sums[name]!;
        sum.kept += kept / draws;
        sum.missed += (kept < TARGET ? 1 : 0) / draws;
        sum.ood += acceptedShare(ood, threshold) / draws;
      }
    }
    results.push({ n, sums });
  }

  const changes = await verdictChanges(
    model,
    bank,
    paths,
    conformalThreshold(id, TARGET),
    values.score as DecidingScore,
  );
  const small = smallPValues(id, draws, uniform);
  const flags = [0.1, 0.2, 0.5].map((alpha) => flagged(id, ood, alpha, draws, uniform));
  if (values.json) {
    console.log(
      JSON.stringify({
        benchmark: 'calibration',
        id: id.length,
        ood: ood.length,
        draws,
        results,
        changes,
        small,
        flags,
      }),
    );
    return;
  }
  const percent = (share: number) => (100 * share).toFixed(1);
  console.log(
    `${id.length} ID images, ${ood.length} OOD images. Each cell: ID kept / draws below 95 % / OOD accepted, in %`,
  );
  console.log(`| n | ${Object.keys(RULES).join(' | ')} |`);
  console.log(`|---|${'---|'.repeat(Object.keys(RULES).length)}`);
  for (const { n, sums } of results) {
    const cells = Object.entries(sums).map(([name, { kept, missed, ood: price }]) =>
      n < RULES[name]!.needs ? 'too few' : [kept, missed, price].map(percent).join(' / '),
    );
    console.log(`| ${n} | ${cells.join(' | ')} |`);
  }
  console.log(`\nPromised share of p-values, and share among ${CALIBRATED} held-out ID images, in %`);
  for (const { at, share } of small) console.log(`${percent(at)}: ${percent(share)}`);
  console.log(
    `\nFlagged of ${BATCH_ID} ID and ${BATCH_OOD} OOD images, ${CALIBRATED} calibrated. alpha: ID among the flagged, OOD found, in %`,
  );
  for (const { alpha, wrong, found } of flags) console.log(`${percent(alpha)}: ${percent(wrong)}, ${percent(found)}`);
  console.log(`\nVerdicts that are others singly, in a list or in a stream: ${changes} of ${paths.length}`);
}

/** Of the p-values of ID images that did not calibrate: the shares up to some values. */
function smallPValues(id: readonly number[], draws: number, uniform: () => number) {
  const levels = [0.01, 0.05, 0.1, 0.5].map((at) => ({ at, share: 0 }));
  for (let draw = 0; draw < draws; draw++) {
    const drawn = shuffled(id, uniform);
    const p = conformalPValues(drawn.slice(0, CALIBRATED), drawn.slice(CALIBRATED, 2 * CALIBRATED));
    for (const level of levels) level.share += p.filter((value) => value <= level.at).length / CALIBRATED / draws;
  }
  return levels;
}

/** Of batches of ID and OOD images: the mean share of ID images among the flagged, and of OOD images that are. */
function flagged(id: readonly number[], ood: readonly number[], alpha: number, draws: number, uniform: () => number) {
  let [wrong, found] = [0, 0];
  for (let draw = 0; draw < draws; draw++) {
    const drawn = shuffled(id, uniform);
    const batch = [...drawn.slice(-BATCH_ID), ...shuffled(ood, uniform).slice(0, BATCH_OOD)];
    const p = conformalPValues(drawn.slice(0, CALIBRATED), batch);
    const { flagged: indices } = select(
      Array.from(p, (pValue) => ({ pValue })),
      { alpha },
    );
    const ofId = indices.filter((index) => index < BATCH_ID).length;
    wrong += ofId / Math.max(1, indices.length) / draws;
    found += (indices.length - ofId) / BATCH_OOD / draws;
  }
  return { alpha, wrong, found };
}

/** Images whose verdict is another one when they are asked for singly or as a stream than in a list. */
async function verdictChanges(model: Model, bank: LabelBank, paths: string[], threshold: number, by: DecidingScore) {
  const detector = await model.createDetector(bank, { score: by, threshold });
  const verdictOf = (result: CheckResult | CheckFailure) => ('error' in result ? 'unreadable' : result.verdict);
  const listed = (await detector.check(paths)).map(verdictOf);
  const streamed: string[] = [];
  for await (const result of detector.stream(paths)) streamed.push(verdictOf(result));
  let changes = 0;
  for (const [i, path] of paths.entries()) {
    const single = verdictOf(await detector.check(path));
    if (single !== listed[i] || streamed[i] !== listed[i]) changes++;
  }
  return changes;
}

main();
