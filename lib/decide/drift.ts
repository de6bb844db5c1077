/**
 * Tells when the images that come no longer look like those of the calibration, from the verdicts alone. Two watches over
 * one stream: a conformal test martingale on the scores and a CUSUM on the rate of `out`. Pure; docs/drift.md.
 */
import { assertArguments, assertOptionNames, type OptionNames, shown } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { jsonHash } from '../base/json-hash';
import type { DecidingScore } from '../scores/names';
import { pValueOf, ranksOf } from './conformal';
import { addToCusum, type Cusum, designCusum } from './cusum';
import { type DriftAlarm, type DriftState, parseDriftState } from './drift-state';
import { bet, jumpOf, LARGEST_SEED, OnlinePValues, startJumper } from './martingale';
import type { Rule, Verdict } from './rule';

/** What the monitor reads of a calibration; one of `calibrate` has it. */
export interface DriftCalibration {
  /** The score that decides. */
  score: DecidingScore;
  /** `score < out` is `out`. */
  out: number;
  /** Scores of the calibration images; one written by hand has none and is refused. */
  scores?: readonly number[];
  /** One with a threshold for each class is refused: an answer does not tell what was compared with the threshold. */
  offsets?: readonly number[];
}

/** What the monitor reads of an answer: all that `check` gives with the calibration will do. */
export type DriftInput =
  | { image?: string; verdict: Verdict; rule: Rule; scores: Partial<Record<DecidingScore, number>>; pValue?: number }
  | { image?: string; error: unknown };

/** Options of `createDriftMonitor`. */
export interface DriftOptions {
  /** The martingale raises its alarm when it reaches this, in (1, 1e100]. Default 100: a false alarm ever in at most 1 % of runs. */
  villeThreshold?: number;
  /** Of the chance that settles equal scores: a whole number from 0 to 2^20. Default 0. */
  seed?: number;
  /** Rate of `out` to detect fastest, in (0, 1) and above `rate`. Without it there is no CUSUM. */
  rateToDetect?: number;
  /** Rate of `out` while nothing changed, in (0, 1). Default the calibration's, (1 + scores below `out`) / (n + 1). */
  rate?: number;
  /** Expected run time: images until the CUSUM's false alarm, on average, in [1, 1e9]. Default 10,000. */
  ert?: number;
}

const DRIFT_OPTIONS: OptionNames<DriftOptions> = {
  villeThreshold: true,
  seed: true,
  rateToDetect: true,
  rate: true,
  ert: true,
};

/** Where a monitor stands. */
export interface DriftStanding {
  /** Images observed. */
  images: number;
  /** How many of them were `out`. */
  out: number;
  /** Images that could not be read: no observations. */
  failures: number;
  /** Natural logarithm of the martingale: it may be larger than any number. */
  logMartingale: number;
  /** What the martingale has to reach for its alarm. */
  villeThreshold: number;
  /** Null without `rateToDetect`. `delay` is the CUSUM's expected run time at the rate to detect, `ert` at `rate`. */
  cusum: { sum: number; threshold: number; rate: number; rateToDetect: number; ert: number; delay: number } | null;
  /** At most one of each kind, in their order. */
  alarms: DriftAlarm[];
}

/** Made by `createDriftMonitor` or `resumeDriftMonitor`. Plain arithmetic: it holds nothing that must be closed. */
export interface DriftMonitor {
  /**
   * Takes the answer for one image and gives the alarms that it raises: mostly none. Each kind is raised once; to be warned
   * again begin anew, best with a new calibration.
   *
   * @throws ERR_CLIPN_CALIBRATION for an answer of another calibration or of none, ERR_CLIPN_SCORES for a score that is no
   *   number, ERR_CLIPN_INVALID_ARG for what is no answer; the monitor is then as it was
   */
  update(result: DriftInput): DriftAlarm[];
  /** Where it stands; changes nothing. */
  standing(): DriftStanding;
  /** All it needs to go on, as plain JSON: `resumeDriftMonitor` continues to the bit. */
  state(): DriftState;
}

const DEFAULTS = { villeThreshold: 100, seed: 0, ert: 10_000 };

/**
 * Starts a monitor. What it promises, while images are drawn as those of the calibration were:
 *
 * - the martingale reaches `villeThreshold` λ, at any time ever, with probability at most 1 / λ, for any number of
 *   calibration images;
 * - the CUSUM raises an alarm after `ert` images on average, at least, where the rate of `out` is exactly `rate`. The rate
 *   of one calibration differs from its target, the more the fewer its images.
 *
 * @throws ERR_CLIPN_CALIBRATION for a calibration without scores; ERR_CLIPN_INVALID_ARG for an option out of its range
 */
export function createDriftMonitor(calibration: DriftCalibration, options: DriftOptions = {}): DriftMonitor {
  assertArguments({ calibration: ['record', calibration], options: ['options', options] });
  assertOptionNames('createDriftMonitor', options, DRIFT_OPTIONS);
  const scores = scoresOf(calibration);
  return monitor(calibration, scores, {
    formatVersion: 1,
    calibration: hashOf(calibration, scores),
    options: settled(options, calibration, scores),
    images: 0,
    out: 0,
    failures: 0,
    counts: [],
    jumper: startJumper(),
    cusum: 0,
    alarms: [],
  });
}

/**
 * Goes on where a monitor stood, with its options.
 *
 * @param state of `state()`, also after a way through JSON
 * @throws ERR_CLIPN_DRIFT_STATE for a state that is malformed or of another calibration, and as above
 */
export function resumeDriftMonitor(calibration: DriftCalibration, state: DriftState): DriftMonitor {
  assertArguments({ calibration: ['record', calibration] });
  const scores = scoresOf(calibration);
  const checked = parseDriftState(state);
  if (checked.calibration !== hashOf(calibration, scores)) {
    throw new ClipnError('ERR_CLIPN_DRIFT_STATE', 'the state of the monitor belongs to another calibration');
  }
  return monitor(calibration, scores, checked);
}

function monitor(calibration: DriftCalibration, scores: Float64Array, begin: DriftState): DriftMonitor {
  const { options } = begin;
  const { rate, rateToDetect, ert, villeThreshold, seed } = options;
  const cusum = rateToDetect === null ? null : designCusum({ rate, rateToDetect, ert });
  const pValues = new OnlinePValues(scores, seed, begin.counts);
  const now = { ...begin, alarms: [...begin.alarms] };

  const raise = (by: DriftAlarm['by'], image: string | undefined, value: number, threshold: number): DriftAlarm[] => {
    if (value < threshold || now.alarms.some((alarm) => alarm.by === by)) return [];
    const alarm = { by, images: now.images, ...(image !== undefined && { image }), value, threshold };
    now.alarms.push(alarm);
    return [{ ...alarm }];
  };
  return {
    update(result) {
      assertArguments({ result: ['record', result] });
      if ('error' in result) {
        now.failures++;
        return [];
      }
      const score = scoreOf(result, calibration, scores);
      const out = result.verdict === 'out';
      now.jumper = bet(now.jumper, pValues.next(score), jumpOf(now.images));
      now.images++;
      if (out) now.out++;
      // Logs of others may hold anything there.
      const image = typeof result.image === 'string' ? result.image : undefined;
      const raised = raise('martingale', image, Math.exp(now.jumper.logM), villeThreshold);
      if (cusum === null) return raised;
      now.cusum = addToCusum(cusum, now.cusum, out);
      return [...raised, ...raise('cusum', image, now.cusum, cusum.threshold)];
    },
    standing() {
      const { images, out, failures, jumper } = now;
      const alarms = now.alarms.map((alarm) => ({ ...alarm }));
      const ofCusum = cusum && rateToDetect !== null ? cusumStanding(cusum, now.cusum, rate, rateToDetect) : null;
      return { images, out, failures, logMartingale: jumper.logM, villeThreshold, cusum: ofCusum, alarms };
    },
    state: () => structuredClone({ ...now, counts: pValues.counts() }),
  };
}

function cusumStanding({ threshold, ert, delay }: Cusum, sum: number, rate: number, rateToDetect: number) {
  return { sum, threshold, rate, rateToDetect, ert, delay };
}

/** The calibration's scores, checked, in rising order. */
function scoresOf({ score, out, scores, offsets }: DriftCalibration): Float64Array {
  if (typeof score !== 'string' || !Number.isFinite(out) || !Array.isArray(scores) || scores.length === 0) {
    throw new ClipnError('ERR_CLIPN_CALIBRATION', 'the calibration holds no scores to compare with', {
      hint: 'Use one of `calibrate`; one written by hand, or by an earlier version, has none: calibrate again.',
    });
  }
  if (offsets !== undefined) {
    throw new ClipnError('ERR_CLIPN_CALIBRATION', 'the calibration has a threshold for each class', {
      hint: 'Monitor the answers of one with one threshold for all: calibrate without thresholds per class.',
    });
  }
  const odd = Array.from<unknown>(scores).findIndex((each) => !Number.isFinite(each));
  if (odd >= 0) {
    throw new ClipnError('ERR_CLIPN_CALIBRATION', `score ${odd} (counted from 0) of the calibration is no number`);
  }
  return Float64Array.from(scores).sort();
}

const hashOf = ({ score, out }: DriftCalibration, scores: Float64Array) => jsonHash([score, out, [...scores]]);

function settled(options: DriftOptions, { out }: DriftCalibration, scores: Float64Array): DriftState['options'] {
  const { villeThreshold, seed, ert } = { ...DEFAULTS, ...defined(options) };
  const refuse = (name: string, range: string, value: unknown): never => {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `${name} must be ${range}, not ${shown(value)}`);
  };
  if (!(typeof villeThreshold === 'number' && villeThreshold > 1 && villeThreshold <= 1e100)) {
    refuse('villeThreshold', 'above 1 and at most 1e100', villeThreshold);
  }
  if (!(Number.isSafeInteger(seed) && seed >= 0 && seed <= LARGEST_SEED)) {
    refuse('seed', `a whole number from 0 to ${LARGEST_SEED}`, seed);
  }
  if (options.rateToDetect === undefined) {
    for (const name of ['rate', 'ert'] as const) {
      if (options[name] !== undefined) refuse(name, 'given with rateToDetect only', options[name]);
    }
  }
  // A threshold that is the k-th lowest of n scores finds new ones below it at the rate k / (n + 1), on average.
  const rate = options.rate ?? (1 + ranksOf(scores, out).below) / (scores.length + 1);
  const rateToDetect = options.rateToDetect ?? null;
  for (const [name, value] of Object.entries({ rate, rateToDetect: rateToDetect ?? 0.5, ert })) {
    if (typeof value !== 'number') refuse(name, 'a number', value);
  }
  return { villeThreshold, seed, rate, rateToDetect, ert };
}

/** Without what is given as undefined. */
function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}

const VERDICTS: readonly unknown[] = ['in', 'review', 'out'];

/** The score that decided, when this calibration did. */
function scoreOf(
  result: Exclude<DriftInput, { error: unknown }>,
  calibration: DriftCalibration,
  sorted: Float64Array,
): number {
  const { rule, verdict, scores, pValue } = result;
  const name = calibration.score;
  if (!VERDICTS.includes(verdict) || typeof scores !== 'object' || scores === null) {
    throw new ClipnError(
      'ERR_CLIPN_INVALID_ARG',
      'the result must be an answer of `check`: it has no verdict or scores',
    );
  }
  const other = (why: string) =>
    new ClipnError('ERR_CLIPN_CALIBRATION', `the answer was not made with this calibration: ${why}`, {
      hint: 'Monitor the answers of a detector with the calibration that the monitor has (`check --calibration`).',
    });
  if (rule !== 'calibrated') throw other(`its rule is ${shown(rule)}`);
  const score: unknown = scores[name];
  if (typeof score !== 'number' || !Number.isFinite(score)) {
    throw new ClipnError('ERR_CLIPN_SCORES', `the score ${name} of the answer is ${shown(score)}, not a number`);
  }
  const expected = pValueOf(sorted, score);
  if (pValue !== undefined && pValue !== expected) throw other(`its pValue is ${shown(pValue)}, here ${expected}`);
  // Calibrations on the same images with other targets have the same p-values.
  const out = score < calibration.out;
  if (out !== (verdict === 'out')) throw other(`its verdict is ${verdict}, here it would ${out ? '' : 'not '}be out`);
  return score;
}
