/** How far an image's score is from the thresholds, and how it ranks among the images of a calibration. Pure. */
import type { DecidingScore, Scores } from '../scores/names';
import { calibratedScore } from './calibration';
import { ranksOf } from './conformal';
import type { Decision } from './rule';

/** How far an image's score is from the threshold. */
export interface Margin {
  /** The score that decided. */
  score: DecidingScore;
  /** What the image has of it. */
  value: number;
  /** In from here on; where classes have thresholds of their own, that of the nearest. */
  threshold: number;
  /** `value` − `threshold`, in the score's own unit: negative for what is not in. */
  by: number;
  /** Out below here, where that is another threshold: between the two the verdict is `review`. */
  outBelow?: number;
  /** Among the scores of the ID images that the calibration was fitted on; a calibration that keeps none has no rank. */
  rank?: Rank;
}

/** How an image ranks among those of a calibration. Those that are neither lower nor higher score exactly the same. */
export interface Rank {
  /** Images of the calibration. */
  images: number;
  /** How many of them score lower. */
  lower: number;
  /** How many score higher. */
  higher: number;
}

/**
 * Undefined for the rules without a threshold.
 *
 * @param top index of the nearest label
 */
export function marginOf(decision: Decision, scores: Scores, top: number): Margin | undefined {
  if (decision.rule === 'threshold') {
    const { score, threshold } = decision;
    const value = scores[score] ?? Number.NaN;
    return { score, value, threshold, by: value - threshold };
  }
  if (decision.rule !== 'calibrated') return undefined;
  const { calibration } = decision;
  const { score, in: threshold, out } = calibration;
  // Less the offset of its class, where classes have thresholds of their own: that is what decides and ranks.
  const compared = calibratedScore(calibration, scores, top);
  const value = scores[score] ?? Number.NaN;
  const offset = value - compared;
  return {
    score,
    value,
    threshold: threshold + offset,
    by: compared - threshold,
    ...(out !== threshold && { outBelow: out + offset }),
    ...(calibration.formatVersion === 3 && { rank: rankOf(compared, calibration.scores) }),
  };
}

/** @param sorted ascending */
function rankOf(value: number, sorted: readonly number[]): Rank {
  const { below, notAbove } = ranksOf(sorted, value);
  return { images: sorted.length, lower: below, higher: sorted.length - notAbove };
}
