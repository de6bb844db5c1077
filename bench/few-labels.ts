/**
 * What the paper's rules, the nearest of labels and words, and calibrated thresholds accept when a model is given 1, 2, 3,
 * 5, 10, 20 or all of its classes.
 *
 *   npm run bench -- few-labels --images DIR --classes FILE [--list FILE] [--model M] [--draws 20] [--seed 1] [--json]
 *
 * DIR holds a folder of images per class. FILE is JSON: `labels` names folders the model knows, `strangers` lists those it
 * does not; caltech-101.json is for the small model. --list names the images to use, paths relative to DIR, one a line.
 *
 * A draw picks k labels. Their images are ID: half of them, at least 19, calibrate, the others are asked; OOD are the
 * images of every other folder. Labels with too few images are drawn again.
 */
import { parseArgs } from 'node:util';
import { conformalThreshold, type DecidingScore, loadModel, removeLabels, type ScoreResult, score } from '../lib';
import { shuffled, uniformSource } from '../lib/base/random';
import { scoresNeeded } from '../lib/decide/conformal';
import { type Decision, decide } from '../lib/decide/rule';
import { DECIDING_SCORES, type Scores } from '../lib/scores/names';
import { CLASS_FOLDER_FLAGS, imagesFrom } from './class-folders';

const TARGET = 0.95;
/** Fewest ID images that are asked. */
const ASKED = 10;
const RULES = ['CTW', 'ATD', 'nearest', 'ATD calibrated', 'maxLogit calibrated', 'NegLabel calibrated'];

/** Share of the rows that a decision calls in. */
function accepted(decision: Decision, scored: ScoreResult, rows: readonly number[]): number {
  const verdict = (i: number) => {
    const scores = { logPOut: scored.logPOut[i]! } as Scores;
    for (const name of DECIDING_SCORES) scores[name] = scored[name][i]!;
    return decide(decision, scores, { logQMax: scored.logQMax[i]!, wordMax: scored.wordMax[i]!, top: 0 });
  };
  return rows.filter((i) => verdict(i) === 'in').length / rows.length;
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      ...CLASS_FOLDER_FLAGS,
      draws: { type: 'string', default: '20' },
      seed: { type: 'string', default: '1' },
    },
  });
  const { rows, paths } = imagesFrom(values);
  const known = [...rows.keys()].filter((label) => label !== '');
  await using model = await loadModel(values.model);
  const features = await model.encodeImages(paths);
  const whole = await model.createLabelBank(known);
  const uniform = uniformSource(Number(values.seed));

  const drawOne = (k: number): { labels: string[]; fit: number[]; ask: number[] } => {
    for (let attempt = 0; attempt < 1000; attempt++) {
      const labels = shuffled(known, uniform).slice(0, k);
      const id = shuffled(
        labels.flatMap((label) => rows.get(label)!),
        uniform,
      );
      const count = Math.max(scoresNeeded({ target: TARGET }), Math.floor(id.length / 2));
      if (id.length - count >= ASKED) return { labels, fit: id.slice(0, count), ask: id.slice(count) };
    }
    throw new Error(`no ${k} labels have ${scoresNeeded({ target: TARGET }) + ASKED} images`);
  };

  const results = [];
  for (const k of [1, 2, 3, 5, 10, 20, known.length].filter((each) => each <= known.length)) {
    const draws: { fitted: number; shares: (readonly [id: number, ood: number])[] }[] = [];
    for (let draw = 0; draw < Number(values.draws); draw++) {
      const { labels, fit, ask } = drawOne(k);
      const bank =
        k === known.length
          ? whole
          : removeLabels(
              whole,
              known.filter((label) => !labels.includes(label)),
            );
      const negatives = await model.createNegatives(bank, 'wordnet');
      const scored = await score(features, bank, { topK: 1, scale: model.info.config.scale, negatives });
      const ood = [...rows].flatMap(([label, own]) => (labels.includes(label) ? [] : own));
      const calibrated = (by: DecidingScore): Decision => {
        const fitted = fit.map((i) => scored[by][i]!);
        return { rule: 'threshold', score: by, threshold: conformalThreshold(fitted, TARGET) };
      };
      const rules: Decision[] = [
        { rule: 'ctw' },
        { rule: 'atd' },
        { rule: 'nearest' },
        calibrated('atd'),
        calibrated('maxLogit'),
        calibrated('negLabel'),
      ];
      const shares = rules.map((rule) => [accepted(rule, scored, ask), accepted(rule, scored, ood)] as const);
      draws.push({ fitted: fit.length, shares });
    }
    const share = (rule: number, side: 0 | 1) => mean(draws.map(({ shares }) => shares[rule]![side]));
    const of = (rule: number) => ({ id: share(rule, 0), ood: share(rule, 1) });
    results.push({
      labels: k,
      fitted: Math.round(mean(draws.map(({ fitted }) => fitted))),
      rules: Object.fromEntries(RULES.map((rule, r) => [rule, of(r)])),
    });
  }

  if (values.json) {
    console.log(JSON.stringify({ benchmark: 'few-labels', images: paths.length, target: TARGET, results }));
    return;
  }
  const cell = ({ id, ood }: { id: number; ood: number }) => `${(100 * id).toFixed(1)} / ${(100 * ood).toFixed(1)}`;
  console.log(`| labels | ${RULES.join(' | ')} | fitted on |`);
  console.log(`|---|${'---|'.repeat(RULES.length)}---|`);
  for (const { labels, fitted, rules } of results) {
    console.log(`| ${labels} | ${RULES.map((rule) => cell(rules[rule]!)).join(' | ')} | ${fitted} |`);
  }
}

main();
