/** The ROC of ID against OOD scores as exact counts: everything in metrics.ts and intervals.ts is read off it. */
import { assertArguments } from '../base/arguments';
import { ClipnError } from '../base/errors';

/**
 * One entry per distinct score, in descending order: how many ID and OOD scores are at least that. Equal scores, in one
 * set or across the two, are therefore one step, whatever their order in the input.
 */
export interface Roc {
  /** True positives: ID scores ≥ the threshold. Rising, the last is `nId`. */
  tp: Float64Array;
  /** False positives: OOD scores ≥ the threshold. Rising, the last is `nOod`. */
  fp: Float64Array;
  nId: number;
  nOod: number;
}

/** A ROC, ID positive. */
export interface RocCurve {
  /** False-positive rate, in [0, 1], rising. */
  fpr: number[];
  /** True-positive rate (ID recall), in [0, 1], rising. */
  tpr: number[];
}

/** Ascending copy. @throws ERR_CLIPN_SCORES for no scores, NaN, or what is not a number, naming set and index */
function sorted(scores: ArrayLike<number>, set: string): Float64Array {
  if (scores.length === 0) {
    throw new ClipnError('ERR_CLIPN_SCORES', `${set} has no scores`, { details: { set } });
  }
  for (let i = 0; i < scores.length; i++) {
    const value: unknown = scores[i];
    if (typeof value !== 'number' || Number.isNaN(value)) {
      throw new ClipnError('ERR_CLIPN_SCORES', `${set}: score ${i} (counted from 0) is ${value}, not a number`, {
        details: { set, index: i },
      });
    }
  }
  // Without a comparator typed arrays sort numerically, and natively.
  return Float64Array.from(scores).sort();
}

/**
 * Counts of the ROC with ID positive, higher = more ID (spec 4.3). Infinite scores are allowed: only the order matters,
 * and they have a place in it (a log-probability may be -Infinity).
 *
 * @throws ERR_CLIPN_SCORES when a set is empty or holds NaN
 */
export function countRoc(id: ArrayLike<number>, ood: ArrayLike<number>, oodName = 'ood'): Roc {
  const [a, b] = [sorted(id, 'id'), sorted(ood, oodName)];
  const tp = new Float64Array(a.length + b.length);
  const fp = new Float64Array(a.length + b.length);
  let [i, j, steps] = [a.length - 1, b.length - 1, 0];
  while (i >= 0 || j >= 0) {
    // -0 equals 0 here, as it must.
    const value = j < 0 || (i >= 0 && a[i]! >= b[j]!) ? a[i]! : b[j]!;
    while (i >= 0 && a[i] === value) i--;
    while (j >= 0 && b[j] === value) j--;
    tp[steps] = a.length - 1 - i;
    fp[steps++] = b.length - 1 - j;
  }
  return { tp: tp.slice(0, steps), fp: fp.slice(0, steps), nId: a.length, nOod: b.length };
}

/**
 * Twice the number of pairs whose ID score is the higher, ties counting half: AUROC · 2 nId nOod. A whole number, exact up
 * to 2^53, which is 67 million scores on either side.
 */
export function twiceWins({ tp, fp }: Roc): number {
  let twice = 0;
  let [tpBefore, fpBefore] = [0, 0];
  for (let k = 0; k < tp.length; k++) {
    twice += (fp[k]! - fpBefore) * (tpBefore + tp[k]!);
    [tpBefore, fpBefore] = [tp[k]!, fp[k]!];
  }
  return twice;
}

/**
 * The curve from (0, 0) to (1, 1), for drawing. Points on a straight line between their neighbours are left out; if more
 * than `maxPoints` (default 300) are left, so are those nearer than 4 / (maxPoints - 2) to others: every long edge keeps
 * both its corners.
 *
 * @throws ERR_CLIPN_SCORES, ERR_CLIPN_INVALID_ARG for `maxPoints` below 2
 */
export function rocCurve(id: ArrayLike<number>, ood: ArrayLike<number>, maxPoints = 300): RocCurve {
  assertArguments({ id: ['numbers', id], ood: ['numbers', ood], maxPoints: ['number', maxPoints] });
  return curveOf(countRoc(id, ood), maxPoints);
}

export function curveOf({ tp, fp, nId, nOod }: Roc, maxPoints: number): RocCurve {
  if (!Number.isInteger(maxPoints) || maxPoints < 2) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `maxPoints must be a whole number of at least 2, not ${maxPoints}`);
  }
  const x = [0, ...corners(tp, fp)];
  const point = (k: number) => (k === 0 ? [0, 0] : [fp[k - 1]! / nOod, tp[k - 1]! / nId]) as [number, number];
  const curve = x.map(point);
  const kept = curve.length <= maxPoints ? curve : thinned(curve, 4 / (maxPoints - 2));
  return { fpr: kept.map(([fpr]) => fpr), tpr: kept.map(([, tpr]) => tpr) };
}

/** 1 + indices of the steps where the curve bends, the last included. */
function corners(tp: Float64Array, fp: Float64Array): number[] {
  const bends: number[] = [];
  let [fromTp, fromFp] = [0, 0];
  for (let k = 0; k < tp.length - 1; k++) {
    const [inTp, inFp] = [tp[k]! - fromTp, fp[k]! - fromFp];
    const [outTp, outFp] = [tp[k + 1]! - tp[k]!, fp[k + 1]! - fp[k]!];
    [fromTp, fromFp] = [tp[k]!, fp[k]!];
    if (inTp * outFp !== outTp * inFp) bends.push(k + 1);
  }
  bends.push(tp.length);
  return bends;
}

/** Ends, and each point whose successor is more than `step` (|Δfpr| + |Δtpr|) from the point kept last. */
function thinned(curve: [number, number][], step: number): [number, number][] {
  const kept = [curve[0]!];
  for (let k = 1; k < curve.length - 1; k++) {
    const [last, next] = [kept[kept.length - 1]!, curve[k + 1]!];
    if (next[0] - last[0] + (next[1] - last[1]) > step) kept.push(curve[k]!);
  }
  kept.push(curve[curve.length - 1]!);
  return kept;
}
