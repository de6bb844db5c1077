/**
 * What the paper's rules and a calibrated threshold accept when a model is given 1, 2, 3, 5, 10, 20 or all of its classes.
 *
 *   npm run bench -- few-labels --images DIR --classes FILE [--list FILE] [--model M] [--score atd] [--draws 20] [--seed 1] [--json]
 *
 * DIR holds a folder of images per class. FILE is JSON: `labels` names folders the model knows, `strangers` lists those it
 * does not; caltech-101.json is for the small model. --list names the images to use, paths relative to DIR, one a line.
 *
 * A draw picks k labels. Their images are ID: half of them, at least 19, calibrate, the others are asked; OOD are the
 * images of every other folder. Labels with too few images are drawn again.
 */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { conformalThreshold, type DecidingScore, loadModel, removeLabels, type ScoreResult, score } from '../lib';
import { uniformSource } from '../lib/base/random';
import { scoresNeeded } from '../lib/decide/conformal';
import { type Decision, decide } from '../lib/decide/rule';
import { smallModel } from '../lib/weights/small-model';

const TARGET = 0.95;
/** Fewest ID images that are asked. */
const ASKED = 10;

interface Images {
  /** Feature rows of each label's images; those of strangers under ''. */
  rows: Map<string, number[]>;
  paths: string[];
}

function findClasses(folder: string, classes: string, list: string | undefined): Images {
  const { labels, strangers } = JSON.parse(readFileSync(classes, 'utf8'));
  const wanted = list === undefined ? undefined : new Set(readFileSync(list, 'utf8').split(/\r?\n/));
  const rows = new Map<string, number[]>();
  const paths: string[] = [];
  for (const [name, label] of [...Object.entries<string>(labels), ...strangers.map((each: string) => [each, ''])]) {
    const own = rows.get(label) ?? [];
    rows.set(label, own);
    for (const file of readdirSync(path.join(folder, name)).sort()) {
      if (wanted !== undefined && !wanted.has(`${name}/${file}`)) continue;
      own.push(paths.length);
      paths.push(path.join(folder, name, file));
    }
  }
  return { rows, paths };
}

/** A copy in random order. */
function shuffled<T>(items: readonly T[], uniform: () => number): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(uniform() * (i + 1));
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}

/** Share of the rows that a decision calls in. */
function accepted(decision: Decision, scored: ScoreResult, rows: readonly number[]): number {
  const verdict = (i: number) => {
    const { ctw, atd, msp, maxLogit, energy, mcm, gap, logPOut, logQMax } = scored;
    const all = { ctw, atd, msp, maxLogit, energy, mcm, gap, logPOut };
    const scores = Object.fromEntries(Object.entries(all).map(([name, values]) => [name, values[i]!]));
    return decide(decision, scores as Record<keyof typeof all, number>, {
      logQMax: logQMax[i]!,
      wordMax: Number.NaN,
      top: 0,
    });
  };
  return rows.filter((i) => verdict(i) === 'in').length / rows.length;
}

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      images: { type: 'string' },
      classes: { type: 'string' },
      list: { type: 'string' },
      model: { type: 'string', default: smallModel()?.model ?? '' },
      score: { type: 'string', default: 'atd' },
      draws: { type: 'string', default: '20' },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean' },
    },
  });
  if (values.images === undefined || values.classes === undefined) throw new Error('give --images and --classes');
  const { rows, paths } = findClasses(values.images, values.classes, values.list);
  const known = [...rows.keys()].filter((label) => label !== '');
  const by = values.score as DecidingScore;
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
      const scored = await score(features, bank, { topK: 1, scale: model.info.config.scale });
      const ood = [...rows].flatMap(([label, own]) => (labels.includes(label) ? [] : own));
      const threshold = conformalThreshold(
        fit.map((i) => scored[by][i]!),
        TARGET,
      );
      const rules: Decision[] = [{ rule: 'ctw' }, { rule: 'atd' }, { rule: 'threshold', score: by, threshold }];
      const shares = rules.map((rule) => [accepted(rule, scored, ask), accepted(rule, scored, ood)] as const);
      draws.push({ fitted: fit.length, shares });
    }
    const share = (rule: number, side: 0 | 1) => mean(draws.map(({ shares }) => shares[rule]![side]));
    const of = (rule: number) => ({ id: share(rule, 0), ood: share(rule, 1) });
    results.push({
      labels: k,
      fitted: Math.round(mean(draws.map(({ fitted }) => fitted))),
      ctw: of(0),
      atd: of(1),
      calibrated: of(2),
    });
  }

  if (values.json) {
    console.log(JSON.stringify({ benchmark: 'few-labels', images: paths.length, target: TARGET, score: by, results }));
    return;
  }
  const cell = ({ id, ood }: { id: number; ood: number }) => `${(100 * id).toFixed(1)} / ${(100 * ood).toFixed(1)}`;
  console.log(`| labels | CTW rule | ATD rule | ${by} calibrated for ${100 * TARGET} % | fitted on |`);
  console.log('|---|---|---|---|---|');
  for (const { labels, fitted, ctw, atd, calibrated } of results) {
    console.log(`| ${labels} | ${cell(ctw)} | ${cell(atd)} | ${cell(calibrated)} | ${fitted} |`);
  }
}

main();
