/**
 * How often the drift monitor raises a false alarm, and how many images pass until it notices OOD images mixed in.
 *
 *   npm run bench -- drift [--id FILE --ood FILE] [--runs 1000] [--rate-to-detect 0.1] [--ert 10000] [--seed 1] [--json]
 *
 * A run draws n calibration images and a stream. False alarms: the stream is 10,000 ID images. Delay: after 1,000 ID images
 * each image is OOD with the probability given; at most 5,000 images follow, and runs with an alarm before count as false
 * alarms. Scores are drawn from N(2, 1) for ID and N(0, 1) for OOD images (AUROC 0.92, and 36 % of the OOD images accepted
 * where 95 % of the ID images are), or with replacement from two files of scores, one number a line.
 *
 * Two that the monitor does not use, for comparison: `simple` is Vovk's simple jumper with jumps of 0.01; `fixed` is our
 * martingale on p-values against the calibration scores alone, as verdicts have them.
 */
import { parseArgs } from 'node:util';
import { conformalThreshold, readScoreFile } from '../lib';
import { normal, uniformSource } from '../lib/base/random';
import { addToCusum, designCusum } from '../lib/decide/cusum';
import { BETS, bet, jumpOf, OnlinePValues, SIMPLE_JUMPER, startJumper } from '../lib/decide/martingale';

const TARGET = 0.95;
const CALIBRATED = [200, 1000, 2000] as const;
const SHARES = [0.02, 0.05, 0.1, 0.2, 0.5] as const;
const QUIET = 10_000;
const BEFORE = 1000;
const AFTER = 5000;
const VILLE = Math.log(100);

const WATCHES = ['martingale', 'cusum', 'simple', 'fixed'] as const;
type Watch = (typeof WATCHES)[number];
/** The image, counted from 1, that raised each alarm; absent where none did. */
type Alarms = Partial<Record<Watch, number>>;

/** Smoothed p-values against the calibration scores alone. */
function fixedPValues(scores: readonly number[], uniform: () => number): (score: number) => number {
  const sorted = Float64Array.from(scores).sort();
  return (score) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle]! < score) low = middle + 1;
      else high = middle;
    }
    let equal = 1;
    while (sorted[low + equal - 1] === score) equal++;
    return (low + (uniform() + 2 ** -33) * equal) / (sorted.length + 1);
  };
}

/** Whether the martingale that is fed these p-values has reached the threshold. */
function martingale(jump: (t: number) => number, bets = BETS): (p: number) => boolean {
  let [jumper, t] = [startJumper(bets), 0];
  return (p) => {
    jumper = bet(jumper, p, jump(t++), bets);
    return jumper.logM >= VILLE;
  };
}

/** Runs watches, with a threshold of `calibrate`, over a stream until all have raised their alarm or it ends. */
function run(
  watches: readonly Watch[],
  calibration: readonly number[],
  stream: Iterable<number>,
  chart: ReturnType<typeof designCusum>,
  seed: number,
): Alarms {
  const threshold = conformalThreshold(calibration, TARGET);
  const online = new OnlinePValues(calibration, seed);
  const fixed = fixedPValues(calibration, uniformSource(seed));
  const [ours, simple, onFixed] = [martingale(jumpOf), martingale(() => 0.01, SIMPLE_JUMPER), martingale(jumpOf)];
  let [sum, i] = [0, 0];
  const reached: Record<Watch, (score: number, p: number) => boolean> = {
    martingale: (_, p) => ours(p),
    cusum: (score) => {
      sum = addToCusum(chart, sum, score < threshold);
      return sum >= chart.threshold;
    },
    simple: (_, p) => simple(p),
    fixed: (score) => onFixed(fixed(score)),
  };
  const alarms: Alarms = {};
  for (const score of stream) {
    const p = online.next(score);
    i++;
    for (const watch of watches) if (alarms[watch] === undefined && reached[watch](score, p)) alarms[watch] = i;
    if (watches.every((watch) => alarms[watch] !== undefined)) break;
  }
  return alarms;
}

const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? null;

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      id: { type: 'string' },
      ood: { type: 'string' },
      runs: { type: 'string', default: '1000' },
      'rate-to-detect': { type: 'string', default: '0.1' },
      ert: { type: 'string', default: '10000' },
      seed: { type: 'string', default: '1' },
      json: { type: 'boolean' },
    },
  });
  const [runs, rateToDetect, ert] = [values.runs, values['rate-to-detect'], values.ert].map(Number) as [
    number,
    number,
    number,
  ];
  const uniform = uniformSource(Number(values.seed));
  const source = async (file: string | undefined, mean: number) => {
    if (file === undefined) return () => mean + normal(uniform);
    const scores = await readScoreFile(file);
    return () => scores[Math.floor(uniform() * scores.length)]!;
  };
  const [id, ood] = [await source(values.id, 2), await source(values.ood, 0)];
  const chart = designCusum({ rate: 1 - TARGET, rateToDetect, ert });
  const draw = (n: number) => Array.from({ length: n }, id);

  /** `length` images, from `BEFORE` on OOD with the probability `share`. */
  function* stream(length: number, share: number): Generator<number> {
    for (let i = 0; i < length; i++) yield i >= BEFORE && uniform() < share ? ood() : id();
  }

  const falseAlarms = [];
  const delays = [];
  for (const calibrated of CALIBRATED) {
    const quiet = Array.from({ length: runs }, (_, seed) =>
      run(WATCHES, draw(calibrated), stream(QUIET, 0), chart, seed),
    );
    for (const by of WATCHES) {
      const within = (images: number) => quiet.filter((alarms) => (alarms[by] ?? Infinity) <= images).length / runs;
      falseAlarms.push({ calibrated, by, within1000: within(1000), within10000: within(QUIET) });
    }
    // The simple jumper, which sees least, makes runs long.
    const watches = WATCHES.slice(0, calibrated === CALIBRATED.at(-1) ? 3 : 2);
    for (const share of SHARES) {
      const found = Array.from({ length: runs }, (_, seed) =>
        run(watches, draw(calibrated), stream(BEFORE + AFTER, share), chart, seed),
      );
      for (const by of watches) {
        const fair = found.filter((alarms) => (alarms[by] ?? Infinity) > BEFORE);
        const waited = fair.map((alarms) => (alarms[by] ?? Infinity) - BEFORE);
        const detected = waited.filter(Number.isFinite).length / waited.length;
        delays.push({ calibrated, by, share, median: median(waited), within5000: detected });
      }
    }
  }

  const cusum = { ...chart, rate: 1 - TARGET, rateToDetect };
  if (values.json) {
    console.log(JSON.stringify({ benchmark: 'drift', runs, scores: values.id ?? 'drawn', cusum, falseAlarms, delays }));
    return;
  }
  console.log(
    `${runs} runs; CUSUM: alarm from ${chart.threshold} on, expected run time ${chart.ert.toFixed(0)} images`,
  );
  console.log('\nRuns with a false alarm, %, within 1,000 / 10,000 images\n');
  console.log(`| calibrated on | ${WATCHES.join(' | ')} |\n|---|---|---|---|---|`);
  const percent = (share: number) => (100 * share).toFixed(1);
  for (const calibrated of CALIBRATED) {
    const cells = falseAlarms.filter((row) => row.calibrated === calibrated);
    const shown = cells.map((row) => `${percent(row.within1000)} / ${percent(row.within10000)}`);
    console.log(`| ${calibrated} | ${shown.join(' | ')} |`);
  }
  console.log('\nMedian delay in images (% noticed within 5,000), by share of OOD images\n');
  console.log(`| calibrated on | watch | ${SHARES.map((share) => `${100 * share} %`).join(' | ')} |`);
  console.log(`|---|---|${'---|'.repeat(SHARES.length)}`);
  for (const calibrated of CALIBRATED) {
    for (const by of WATCHES) {
      const cells = delays.filter((row) => row.calibrated === calibrated && row.by === by);
      if (cells.length === 0) continue;
      const shown = cells.map(
        (row) => `${Number.isFinite(row.median) ? row.median : 'none'} (${percent(row.within5000)})`,
      );
      console.log(`| ${calibrated} | ${by} | ${shown.join(' | ')} |`);
    }
  }
}

main();
