/**
 * decide/: From scores to in, out or review, and what that promises. Runs no model, reads no image.
 *
 * The decision rules: from one image's scores to in, out or review. Pure.
 */
import { ClipnError } from '../base/errors';
import { type DecidingScore, NO_TOWER_SCORES, type Scores } from '../scores/names';
import type { Calibration } from './calibration';

export type Verdict = 'in' | 'out' | 'review';

/** What decided: a rule of the paper, the caller's threshold, or a calibration. */
export type Rule = 'ctw' | 'atd' | 'threshold' | 'calibrated';

export type Decision =
  | { rule: 'ctw' }
  | { rule: 'atd' }
  | { rule: 'threshold'; score: DecidingScore; threshold: number }
  | { rule: 'calibrated'; calibration: Calibration };

/** Below this many labels the paper's rules are known to mislead. */
export const FEW_LABELS = 10;

export interface DecisionOptions {
  /** Score that decides. Default `atd`. */
  score?: DecidingScore;
  /** In when the score is at least this; in the score's own unit. */
  threshold?: number;
  calibration?: Calibration;
}

/**
 * Chooses the rule: a calibration, else a threshold, else the paper's own rule for `ctw` or `atd`.
 *
 * @throws ERR_CLIPN_INVALID_ARG for a score that needs a threshold and has none, or a threshold beside a calibration;
 *   ERR_CLIPN_MODEL_CONTRACT for a score that needs the no tower of a plain CLIP; ERR_CLIPN_CALIBRATION for another score
 */
export function decisionOf(options: DecisionOptions, hasNo: boolean): Decision {
  const { score = options.calibration?.score ?? 'atd', threshold, calibration } = options;
  if (!hasNo && NO_TOWER_SCORES.includes(score)) {
    throw new ClipnError(
      'ERR_CLIPN_MODEL_CONTRACT',
      `score ${score} needs a no tower, and this model is a plain CLIP`,
      {
        hint: "Choose a score of the yes tower ('msp', 'maxLogit', 'energy', 'mcm') and give a threshold.",
      },
    );
  }
  if (calibration !== undefined && threshold !== undefined) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', 'threshold and calibration exclude each other');
  }
  if (calibration !== undefined) {
    if (calibration.score !== score) {
      throw new ClipnError('ERR_CLIPN_CALIBRATION', `the calibration is for score ${calibration.score}, not ${score}`);
    }
    return { rule: 'calibrated', calibration };
  }
  if (threshold !== undefined) {
    if (!Number.isFinite(threshold)) {
      throw new ClipnError('ERR_CLIPN_INVALID_ARG', `threshold must be a number, not ${threshold}`);
    }
    return { rule: 'threshold', score, threshold };
  }
  if (score === 'ctw' || score === 'atd') return { rule: score };
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', `score ${score} has no rule of its own: give a threshold`, {
    hint: 'Only ctw and atd have a threshold-free rule in the paper.',
  });
}

/**
 * Applies a rule to one image. A NaN score is never `in`.
 *
 * - `ctw`: in iff p_yes ≥ ½ at the top class (spec 3)
 * - `atd`: out iff p(C+1) exceeds every p_j · p_yes,j (spec 3); `logQMax` is the log of the largest of those
 */
export function decide(decision: Decision, scores: Scores, logQMax: number): Verdict {
  switch (decision.rule) {
    case 'ctw':
      return scores.gap >= 0 ? 'in' : 'out';
    case 'atd':
      return scores.logPOut <= logQMax ? 'in' : 'out';
    case 'threshold':
      return scores[decision.score] >= decision.threshold ? 'in' : 'out';
    case 'calibrated': {
      const value = scores[decision.calibration.score];
      if (value >= decision.calibration.in) return 'in';
      return value >= decision.calibration.out ? 'review' : 'out';
    }
  }
}

/** Why a verdict of the paper's rules should not be trusted for this many labels, or undefined. */
export function ruleWarning(decision: Decision, labels: number): string | undefined {
  if ((decision.rule !== 'ctw' && decision.rule !== 'atd') || labels >= FEW_LABELS) return undefined;
  const why =
    decision.rule === 'atd'
      ? 'p(C+1) must exceed every single class share, and few classes leave one share large even for an OOD image'
      : 'the nearest of few names is compared with its own "no" only, whatever else the image may show';
  return (
    `${labels} label${labels === 1 ? '' : 's'}: the rule ${decision.rule} is known to mislead below ${FEW_LABELS} labels, ` +
    `since ${why}. Add labels of what else may appear, or give a threshold or calibration.`
  );
}
