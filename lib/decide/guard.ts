/**
 * Which answers of a faster, rougher arithmetic are those of fp32: where every number that decides lies farther from its
 * threshold than the two arithmetics differ. Pure. docs/precision.md
 */
import type { DecidingScore, Scores } from '../scores/names';
import { offsetOf } from './calibration';
import type { Decision } from './rule';

/** What the answer for one image rests on. */
export interface Deciding {
  scores: Scores;
  logQMax: number;
  /** NaN without negative words. */
  wordMax: number;
  /** Index of the nearest label. */
  top: number;
  /** How far the image lies from where another label is nearest (`borderOf`). */
  border: number;
  /** With `present`: a − b of each label, and the threshold of its p_yes. */
  present?: { gaps: readonly number[]; thresholds: readonly number[] } | undefined;
}

/** How near to another answer an image may be before fp32 is asked. */
export interface Margins {
  /** Of the deciding score: a share in log-odds, else in the score's unit. */
  score: number;
  /** Of the border to another label: a length between unit features, 0 to 2. */
  label: number;
  /** Of labels by themselves, in log-odds; absent without `present`. */
  present?: number | undefined;
}

/** Where images and labels lie: the yes features of the labels, unit rows [C, dim], and how many logits a cosine of 1 counts. */
export interface LabelSpace {
  yes: Float32Array;
  dim: number;
  scale: number;
}

/** |t₁ − t₂| of two labels' features, 0 to 2. */
function apart({ yes, dim }: LabelSpace, one: number, other: number): number {
  let squares = 0;
  for (let j = 0; j < dim; j++) squares += (yes[one * dim + j]! - yes[other * dim + j]!) ** 2;
  return Math.sqrt(squares);
}

/** What two cosines in float32 may be off together. */
const COSINE_ROUNDING = 2 ** -20;
/** Of labels closer to each other than this, rounding counts as much as the image. */
const ALIKE = 2 ** -10;

/**
 * How far an image lies from the nearest border of its nearest label. The border of two labels is the plane where both are
 * as near; a feature lies (a₁ − a₂) / (scale · |t₁ − t₂|) from it. An error of the feature moves that by no more than the
 * error's own length, whatever the labels are; the lead in logits it moves the more the farther these lie from each other.
 * Infinity where there is no other label; 0 or NaN where only rounding tells two apart.
 *
 * @param logits [C] a of the image
 * @param top its nearest label
 * @param within borders farther than this may be left out
 */
export function borderOf(space: LabelSpace, logits: ArrayLike<number>, top: number, within: number): number {
  // No two unit features lie farther from each other than 2.
  const farthest = 2 * space.scale * within;
  let border = Number.POSITIVE_INFINITY;
  for (let c = 0; c < logits.length; c++) {
    if (c === top || logits[top]! - logits[c]! > farthest) continue;
    const lead = Math.max(0, (logits[top]! - logits[c]!) / space.scale - COSINE_ROUNDING);
    border = Math.min(border, lead / apart(space, top, c));
  }
  return border;
}

/** Scores that are shares, whose steps vanish towards 0 and 1: they are compared by their log-odds, in which an error means the same everywhere. */
const IN_LOG_ODDS: readonly DecidingScore[] = ['atd', 'ctw', 'msp', 'negLabel', 'ole'];

/** What a score stored as float32 may be off, relative: near 1 its log-odds are not known to less. */
const ROUNDING = 2 ** -22;
/** Closer to 1 than this, the log-odds of a float32 tell nothing of the difference of two. */
const SATURATED = 2 ** -18;

const logOdds = (share: number): number =>
  share <= 0 ? Number.NEGATIVE_INFINITY : share >= 1 ? Number.POSITIVE_INFINITY : Math.log(share) - Math.log1p(-share);

/**
 * How far a score is from a threshold: of a share the log-odds, 0 where the float32 cannot tell the two apart; else the
 * score's own unit (`mcm`, whose range is narrow, among them).
 */
function distance(score: DecidingScore, scores: Scores, threshold: number): number {
  const value = scores[score] ?? Number.NaN;
  if (!IN_LOG_ODDS.includes(score)) return Math.abs(value - threshold);
  if (Number.isNaN(value)) return Number.NaN;
  const [low, high, at] = [logOdds(value * (1 - ROUNDING)), logOdds(value * (1 + ROUNDING)), logOdds(threshold)];
  if (at < low) return low - at;
  return at > high ? at - high : 0;
}

/**
 * The distances of one image from everything that could turn its verdict, its label or what is `present`. Thresholds with an
 * offset by class take that of the nearest label: as long as the label keeps, so does the offset.
 *
 * - rules: `atd` logQMax − log p(C+1), `ctw` the gap a − b, `nearest` maxLogit − wordMax, each from 0
 * - thresholds: `atd`, `ctw`, `msp`, `negLabel`, `ole` in log-odds (of `ctw` that is the gap), other scores as they are;
 *   a calibration has two, `in` and `out`
 * - the label: its nearest border
 * - `present`: a − b of each label from the log-odds of its threshold
 */
export function distancesOf(
  decision: Decision,
  { scores, logQMax, wordMax, top, border, present }: Deciding,
): { score: number[]; label: number[]; present: number[] } {
  const ofScore = (): number[] => {
    switch (decision.rule) {
      case 'ctw':
        return [Math.abs(scores.gap)];
      case 'atd':
        return [Math.abs(logQMax - scores.logPOut)];
      case 'nearest':
        return [Math.abs(scores.maxLogit - wordMax)];
      case 'threshold':
        return [distance(decision.score, scores, decision.threshold)];
      case 'calibrated': {
        const { calibration } = decision;
        const offset = offsetOf(calibration, top);
        const thresholds = new Set([calibration.in, calibration.out]);
        return [...thresholds].map((threshold) => distance(calibration.score, scores, threshold + offset));
      }
    }
  };
  const gaps = present?.gaps ?? [];
  return {
    score: ofScore(),
    label: [border],
    present: gaps.map((gap, c) => Math.abs(gap - logOdds(present!.thresholds[c]!))),
  };
}

/** Whether fp32 might answer otherwise: a distance is within its margin, equal to it or not a number. */
export function isTooClose(decision: Decision, image: Deciding, margins: Margins): boolean {
  const distances = distancesOf(decision, image);
  const kinds = ['score', 'label', 'present'] as const;
  return kinds.some((kind) => distances[kind].some((far) => !(far > (margins[kind] ?? Number.NaN))));
}

/** One image in one arithmetic, with all its logits. */
export interface Measured {
  scores: Scores;
  logQMax: number;
  wordMax: number;
  /** [C] a, and b, which a plain CLIP lacks. */
  yes: ArrayLike<number>;
  no?: ArrayLike<number> | undefined;
}

/** How far two arithmetics differ on one image, in the units of `distancesOf`. */
export interface Differences {
  /** Undefined where the score is so near 1 that float32 does not tell. */
  score: number | undefined;
  /** 0 where there is one label; undefined where only rounding tells the nearest two apart. */
  label: number | undefined;
  /** [C]; empty for a plain CLIP. */
  present: number[];
}

/** The first two labels by falling logit. */
function nearestTwo(yes: ArrayLike<number>): [number, number] {
  let [first, second] = [0, -1];
  for (let c = 1; c < yes.length; c++) {
    if (yes[c]! > yes[first]!) [first, second] = [c, first];
    else if (second < 0 || yes[c]! > yes[second]!) second = c;
  }
  return [first, second];
}

/** What stands for the deciding score at the label `top`. */
function quantity(decision: Decision, { scores, logQMax, wordMax, yes, no }: Measured, top: number): number {
  if (decision.rule === 'atd') return logQMax - scores.logPOut;
  if (decision.rule === 'nearest') return scores.maxLogit - wordMax;
  const name =
    decision.rule === 'calibrated' ? decision.calibration.score : decision.rule === 'ctw' ? 'ctw' : decision.score;
  switch (name) {
    case 'ctw':
    case 'gap':
      return yes[top]! - (no?.[top] ?? Number.NaN);
    case 'atd':
      return Math.log(scores.atd) - scores.logPOut;
    case 'msp':
    case 'negLabel':
    case 'ole': {
      const share = scores[name] ?? Number.NaN;
      return 1 - share < SATURATED ? Number.POSITIVE_INFINITY : logOdds(share);
    }
    default:
      return scores[name];
  }
}

const isInfinite = (value: number) => Math.abs(value) === Number.POSITIVE_INFINITY;

/** Differences of `first` from `exact`, both at the labels that `first` finds nearest: whether these keep is the label's affair. */
export function differencesOf(decision: Decision, space: LabelSpace, first: Measured, exact: Measured): Differences {
  const [top, second] = nearestTwo(first.yes);
  const [score, scoreExact] = [quantity(decision, first, top), quantity(decision, exact, top)];
  const lead = (of: Measured) => (of.yes[top]! - of.yes[second]!) / space.scale;
  const gap = (of: Measured, c: number) => of.yes[c]! - of.no![c]!;
  const labelDifference = () => {
    if (second < 0) return 0;
    const length = apart(space, top, second);
    return length < ALIKE ? undefined : Math.abs(lead(first) - lead(exact)) / length;
  };
  const bothNo = first.no !== undefined && exact.no !== undefined;
  return {
    score: [score, scoreExact].some(isInfinite) ? undefined : Math.abs(score - scoreExact),
    label: labelDifference(),
    present: bothNo ? Array.from(first.yes, (_, c) => Math.abs(gap(first, c) - gap(exact, c))) : [],
  };
}

/**
 * Of fewer images margins are none: of normally distributed differences one lies beyond four times the root mean square of n
 * with probability 0.08 % at 19 (Student's t), 1.6 % at 4, 16 % at 1.
 */
const FEWEST_FOR_MARGINS = 19;

/**
 * The margin of a guard: the largest difference seen, or four times their root mean square if that is more. Of normally
 * distributed differences 99.99 % are smaller than four times the root mean square; and whatever their distribution, the
 * largest of n covers that of a new image of the same source with probability 1 − 1 / (n + 1).
 *
 * NaN, within which everything lies, when there is no difference or one is not a number.
 */
export function marginOver(differences: readonly number[]): number {
  const squares = differences.reduce((sum, difference) => sum + difference ** 2, 0);
  const largest = differences.reduce((most, difference) => Math.max(most, difference), 0);
  return Math.max(largest, 4 * Math.sqrt(squares / differences.length));
}

/**
 * The margins of a detector from images that both arithmetics encoded; without `present` where nobody asks for it. NaN where
 * fewer than FEWEST_FOR_MARGINS of them tell.
 */
export function marginsOf(measured: readonly Differences[], present: boolean): Margins {
  const over = (values: (number | undefined)[]) => {
    const known = values.filter((value) => value !== undefined);
    return known.length < FEWEST_FOR_MARGINS ? Number.NaN : marginOver(known);
  };
  return {
    score: over(measured.map(({ score }) => score)),
    label: over(measured.map(({ label }) => label)),
    ...(present && { present: marginOver(measured.flatMap((image) => image.present)) }),
  };
}
