/**
 * decide/: From scores to in, out or review, and what that promises. Runs no model, reads no image.
 *
 * The decision rules: from one image's scores to in, out or review. Pure.
 */
import { ClipnError } from '../base/errors';
import { type DecidingScore, NO_TOWER_SCORES, needsNegatives, type Scores } from '../scores/names';
import { type Calibration, calibratedScore } from './calibration';

/** `in`: accepted, `out`: rejected, `review`: between the two thresholds of a calibration, for a person to look at. */
export type Verdict = 'in' | 'out' | 'review';

/** What decided: a rule of the paper, the nearest of labels and words, the caller's threshold, or a calibration. */
export type Rule = 'ctw' | 'atd' | 'nearest' | 'threshold' | 'calibrated';

export type Decision =
  | { rule: 'ctw' }
  | { rule: 'atd' }
  | { rule: 'nearest' }
  | { rule: 'threshold'; score: DecidingScore; threshold: number }
  | { rule: 'calibrated'; calibration: Calibration };

/** Below this many labels the paper's rules are known to mislead. */
export const FEW_LABELS = 10;
/** Below this many negative words most of what is none of the labels has no word near it. */
export const FEW_WORDS = 100;

/** What an image can be compared with. */
export interface Comparable {
  /** Whether the labels have rows of the no tower. */
  no: boolean;
  /** Negative words; 0 without. */
  words: number;
  /** How many labels; not looked at when absent. */
  labels?: number;
}

/** The score that decides when none is named: `atd`, and of a plain CLIP with negative words `negLabel`. */
export function defaultScore({ no, words }: Comparable): DecidingScore {
  return no || words === 0 ? 'atd' : 'negLabel';
}

export interface DecisionOptions {
  /** Score that decides; `defaultScore` when absent. */
  score?: DecidingScore;
  /** In when the score is at least this; in the score's own unit. */
  threshold?: number;
  calibration?: Calibration;
}

/**
 * Chooses the rule: a calibration, else a threshold, else the paper's own rule for `ctw` or `atd`, and with negative words
 * the nearest of labels and words for `maxLogit`, or for a plain CLIP of which no score is named.
 *
 * @throws ERR_CLIPN_INVALID_ARG for a score that needs a threshold or negative words and has none, one that is the same for
 *   every image, or a threshold beside a calibration; ERR_CLIPN_MODEL_CONTRACT for a score that needs the no tower of a plain CLIP; ERR_CLIPN_CALIBRATION for
 *   another score
 */
export function decisionOf(options: DecisionOptions, has: Comparable): Decision {
  const { threshold, calibration } = options;
  const score = options.score ?? calibration?.score ?? defaultScore(has);
  assertComputable(score, has);
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
  if (has.words > 0 && (score === 'maxLogit' || options.score === undefined)) return { rule: 'nearest' };
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', `score ${score} has no rule of its own: give a threshold`, {
    hint: 'Without a threshold ctw and atd decide by the rules of the paper, and maxLogit with negatives by the nearest.',
  });
}

/** Shares among the labels: of one label always 1. */
const SHARES: readonly DecidingScore[] = ['msp', 'mcm'];

function assertComputable(score: DecidingScore, { no, words, labels }: Comparable): void {
  if (labels === 1 && SHARES.includes(score)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `score ${score} of a single label is 1 for every image`, {
      hint: no ? "Choose 'gap' and calibrate it." : "Choose 'maxLogit' and calibrate it.",
    });
  }
  if (!no && NO_TOWER_SCORES.includes(score)) {
    const hint =
      words > 0
        ? "Choose 'negLabel', or no score: then the nearest of labels and words decides."
        : "Give negatives ('wordnet', a list or a file of words), which need no threshold; or choose 'msp', 'maxLogit', " +
          "'energy' or 'mcm' and give a threshold.";
    const message = `score ${score} needs a no tower, and this model is a plain CLIP`;
    throw new ClipnError('ERR_CLIPN_MODEL_CONTRACT', message, { hint });
  }
  if (words === 0 && needsNegatives(score)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `score ${score} compares with words, and no negatives are given`, {
      hint: "Give negatives: 'wordnet', a list of words, or a file of them; on the command line --negatives.",
    });
  }
}

/** What decides: the name of a score, or of a rule that has none. */
export function decidingName(decision: Decision): string {
  if (decision.rule === 'calibrated') return decision.calibration.score;
  return decision.rule === 'threshold' ? decision.score : decision.rule;
}

/** Why verdicts by negative words should not be trusted for these words, in sentences; `deciding` as of `decidingName`. */
export function wordWarnings(
  deciding: string,
  words: { count: number; templates: string },
  labels: { templates: string },
): string[] {
  if (deciding !== 'nearest' && !needsNegatives(deciding)) return [];
  const warnings: string[] = [];
  if (words.count < FEW_WORDS) {
    warnings.push(
      `${words.count} word${words.count === 1 ? '' : 's'}: what is neither a label nor near one of so few is likely to ` +
        "count as a label. Give some thousand words, or negatives 'wordnet'.",
    );
  }
  if (words.templates !== labels.templates) {
    warnings.push(
      "labels and words went through different templates, which may favour one side: templates 'nice' are those of " +
        'mined words.',
    );
  }
  return warnings;
}

/** What the rules of one image need beside its scores. */
export interface Others {
  logQMax: number;
  /** NaN without negative words. */
  wordMax: number;
  /** Index of the nearest label. */
  top: number;
}

/**
 * Applies a rule to one image. A NaN score is never `in`.
 *
 * - `ctw`: in iff p_yes ≥ ½ at the top class (spec 3)
 * - `atd`: out iff p(C+1) exceeds every p_j · p_yes,j (spec 3); `logQMax` is the log of the largest of those
 * - `nearest`: in iff no negative word is nearer than the nearest label; `wordMax` is the largest logit of a word
 */
export function decide(decision: Decision, scores: Scores, { logQMax, wordMax, top }: Others): Verdict {
  switch (decision.rule) {
    case 'ctw':
      return scores.gap >= 0 ? 'in' : 'out';
    case 'atd':
      return scores.logPOut <= logQMax ? 'in' : 'out';
    case 'nearest':
      return scores.maxLogit >= wordMax ? 'in' : 'out';
    case 'threshold':
      return (scores[decision.score] ?? Number.NaN) >= decision.threshold ? 'in' : 'out';
    case 'calibrated': {
      const value = calibratedScore(decision.calibration, scores, top);
      if (value >= decision.calibration.in) return 'in';
      return value >= decision.calibration.out ? 'review' : 'out';
    }
  }
}

/**
 * Why a rule should not be trusted for this many labels, and what to do, or undefined. The figures are those of
 * docs/calibration.md.
 */
export function ruleWarning(decision: Decision, labels: number): string | undefined {
  if ((decision.rule !== 'ctw' && decision.rule !== 'atd') || labels >= FEW_LABELS) return undefined;
  const why =
    decision.rule === 'atd'
      ? 'p(C+1) must exceed every single class share, and few classes leave one share large even for an OOD image'
      : 'the nearest of few names is compared with its own "no" only, whatever else the image may show';
  return (
    `${labels} label${labels === 1 ? '' : 's'}: the rule ${decision.rule} is known to mislead below ${FEW_LABELS} labels, ` +
    `since ${why}. Calibrate on 19 photos of them or more: \`clipn-native calibrate\`.`
  );
}
