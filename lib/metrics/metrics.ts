/**
 * metrics/: Arithmetic on two lists of scores: ROC, AUROC, FPR95, intervals; reads score files.
 *
 * OOD metrics (spec 4.3), exact, with ties handled by definition: docs/metrics.md. Pure.
 */
import { assertArguments, assertOptionNames, type OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { aurocInterval, fprAtIdTpr95Interval, type Interval, wilsonInterval } from './intervals';
import { countRoc, curveOf, type Roc, twiceWins } from './roc';

/** Rates are fractions in [0, 1]. Scores are ID confidences: higher = more in-distribution. */
export interface OodMetrics {
  /** P(id > ood) + P(tie) / 2. */
  auroc: number;
  /** Average precision, ID positive. */
  auprIn: number;
  /** Average precision, OOD positive, on negated scores. */
  auprOut: number;
  /** False-positive rate at ID recall 0.95, ID positive: the paper's interpolated rule (spec 4.3), unless `rule` says otherwise. */
  fprAtIdTpr95: number;
  /** Smallest false-positive rate at which OOD recall is at least 0.95, OOD positive. */
  fprAtOodTpr95: number;
}

/** One score on one OOD set, against all ID images. */
export interface SetMetrics extends OodMetrics {
  /** 95 % intervals of two of them. docs/metrics.md */
  intervals: { auroc: Interval; fprAtIdTpr95: Interval };
  /** ROC, ID positive: at most a few hundred vertices, the corners kept. */
  roc: { fpr: number[]; tpr: number[] };
}

export const FPR_RULES = ['interpolated', 'reached', 'nearest'] as const;
/**
 * How `fprAtIdTpr95` is read off the ROC where no threshold has ID recall 0.95 exactly, or several have.
 *
 * - `interpolated` (the paper's code): linear between the vertices around 0.95; of several at 0.95 the largest rate
 * - `reached`: smallest rate at which ID recall is at least 0.95 (OpenOOD, pytorch-ood, with ID positive)
 * - `nearest`: at the recall nearest to 0.95 (MCM, NegLabel); of several with that recall the largest rate
 */
export type FprRule = (typeof FPR_RULES)[number];

/** Options of the metrics. */
export interface MetricOptions {
  /** How `fprAtIdTpr95` is read off the ROC. Default `interpolated`. */
  rule?: FprRule | undefined;
  /** What errors call the OOD set. Default `ood`. */
  name?: string | undefined;
}

const METRIC_OPTIONS: OptionNames<MetricOptions> = { rule: true, name: true };

/** The ID recall at which thresholds and false-positive rates are read (spec 4.3). */
export const RECALL = 0.95;

/**
 * AUROC, both AUPR and both FPR95 of one score on one OOD set. Higher score = more in-distribution. docs/metrics.md
 *
 * @param id scores of in-distribution images
 * @param ood scores of out-of-distribution images
 * @throws ERR_CLIPN_SCORES when a set is empty or holds NaN, naming set and index
 */
export function oodMetrics(id: ArrayLike<number>, ood: ArrayLike<number>, options: MetricOptions = {}): OodMetrics {
  assertArguments({ id: ['numbers', id], ood: ['numbers', ood], options: ['options', options] });
  assertOptionNames('oodMetrics', options, METRIC_OPTIONS);
  return metricsOf(countRoc(id, ood, options.name), options);
}

/** As `oodMetrics`, with 95 % intervals and the curve (at most `maxPoints`, default 300) from the same sort. */
export function setMetrics(
  id: ArrayLike<number>,
  ood: ArrayLike<number>,
  given: MetricOptions & { maxPoints?: number } = {},
): SetMetrics {
  assertArguments({ id: ['numbers', id], ood: ['numbers', ood], options: ['options', given] });
  assertOptionNames('setMetrics', given, { ...METRIC_OPTIONS, maxPoints: true });
  const { maxPoints = 300, ...options } = given;
  const roc = countRoc(id, ood, options.name);
  const metrics = metricsOf(roc, options);
  const intervals = {
    auroc: aurocInterval(roc),
    fprAtIdTpr95: fprAtIdTpr95Interval(roc, metrics.fprAtIdTpr95),
  };
  return { ...metrics, intervals, roc: curveOf(roc, maxPoints) };
}

/**
 * One score on several OOD sets, each against all ID images (spec 4.3).
 *
 * @throws ERR_CLIPN_SCORES when there is no set, or one is empty or holds NaN
 */
export function evaluateScores(
  id: ArrayLike<number>,
  sets: Readonly<Record<string, ArrayLike<number>>>,
  options: Omit<MetricOptions, 'name'> & { maxPoints?: number } = {},
): { sets: Record<string, SetMetrics>; average: OodMetrics } {
  assertArguments({ id: ['numbers', id], sets: ['record', sets], options: ['options', options] });
  assertOptionNames('evaluateScores', options, { rule: true, maxPoints: true });
  const measured = Object.entries(sets).map(
    ([name, ood]) => [name, setMetrics(id, ood, { ...options, name })] as const,
  );
  return { sets: Object.fromEntries(measured), average: averageMetrics(measured.map(([, metrics]) => metrics)) };
}

const KEYS = ['auroc', 'auprIn', 'auprOut', 'fprAtIdTpr95', 'fprAtOodTpr95'] as const;

/** Plain means over OOD sets (spec 4.3). @throws ERR_CLIPN_SCORES for no sets */
export function averageMetrics(sets: readonly OodMetrics[]): OodMetrics {
  assertArguments({ sets: ['list', sets] });
  if (sets.length === 0) throw new ClipnError('ERR_CLIPN_SCORES', 'there is no OOD set to average over');
  const mean = (key: (typeof KEYS)[number]) => sets.reduce((sum, set) => sum + set[key], 0) / sets.length;
  return Object.fromEntries(KEYS.map((key) => [key, mean(key)])) as Record<(typeof KEYS)[number], number>;
}

/**
 * Share of ID images whose top class is the true one, with Wilson's 95 % interval.
 *
 * @param predicted class index of each image, [N]
 * @param truth its true class index, [N]
 * @throws ERR_CLIPN_SCORES for no images or lists of unequal length
 */
export function idAccuracy(
  predicted: ArrayLike<number>,
  truth: ArrayLike<number>,
): { accuracy: number; interval: Interval } {
  assertArguments({ predicted: ['numbers', predicted], truth: ['numbers', truth] });
  const total = predicted.length;
  if (total === 0 || truth.length !== total) {
    throw new ClipnError('ERR_CLIPN_SCORES', `no accuracy of ${total} predictions for ${truth.length} true classes`, {
      hint: 'Give one prediction and one true class for each image.',
    });
  }
  let right = 0;
  for (let i = 0; i < total; i++) right += predicted[i] === truth[i] ? 1 : 0;
  return { accuracy: right / total, interval: wilsonInterval(right, total) };
}

function metricsOf(roc: Roc, { rule = 'interpolated' }: MetricOptions): OodMetrics {
  if (!FPR_RULES.includes(rule)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `rule must be one of ${FPR_RULES.join(', ')}, not ${rule}`);
  }
  const reversed = oodPositive(roc);
  return {
    auroc: twiceWins(roc) / (2 * roc.nId * roc.nOod),
    auprIn: averagePrecision(roc),
    auprOut: averagePrecision(reversed),
    fprAtIdTpr95: FPR[rule](roc),
    fprAtOodTpr95: FPR.reached(reversed),
  };
}

/** The same scores negated and the roles exchanged: an image is OOD when its score is at most the threshold. */
function oodPositive({ tp, fp, nId, nOod }: Roc): Roc {
  const steps = tp.length;
  // Below the k-th distinct score from the bottom lies what is not above the one before it.
  const complement = (counts: Float64Array, n: number) =>
    Float64Array.from({ length: steps }, (_, k) => n - (k === steps - 1 ? 0 : counts[steps - 2 - k]!));
  return { tp: complement(fp, nOod), fp: complement(tp, nId), nId: nOod, nOod: nId };
}

/** Σ_k (R_k − R_{k−1}) · P_k over the distinct scores, without interpolation. */
function averagePrecision({ tp, fp, nId }: Roc): number {
  let sum = 0;
  // Neumaier's compensation: a million terms stay exact to the last bits.
  let lost = 0;
  let before = 0;
  for (let k = 0; k < tp.length; k++) {
    const term = ((tp[k]! - before) * tp[k]!) / (tp[k]! + fp[k]!);
    const next = sum + term;
    lost += sum >= term ? sum - next + term : term - next + sum;
    sum = next;
    before = tp[k]!;
  }
  return (sum + lost) / nId;
}

const FPR: Record<FprRule, (roc: Roc) => number> = {
  interpolated({ tp, fp, nId, nOod }) {
    // Vertex k counts from 1; vertex 0 is (0, 0).
    let k = 0;
    while (tp[k]! / nId <= RECALL) k++;
    const [tpr, fpr] = k === 0 ? [0, 0] : [tp[k - 1]! / nId, fp[k - 1]! / nOod];
    if (tpr === RECALL) return fpr;
    return fpr + ((fp[k]! / nOod - fpr) / (tp[k]! / nId - tpr)) * (RECALL - tpr);
  },
  reached({ tp, fp, nId, nOod }) {
    let k = 0;
    while (tp[k]! / nId < RECALL) k++;
    return fp[k]! / nOod;
  },
  nearest({ tp, fp, nId, nOod }) {
    let best = 0;
    const distance = (k: number) => Math.abs(tp[k]! / nId - RECALL);
    for (let k = 1; k < tp.length && tp[k - 1]! < nId; k++) {
      if (distance(k) <= distance(best)) best = k;
    }
    return fp[best]! / nOod;
  },
};
