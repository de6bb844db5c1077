/** Whether a batch of verdicts passes: its share of `out`, by an exact one-sided bound. Pure. docs/gate.md */
import { assertArguments, assertOptionNames, type OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { percent } from '../base/wording';
import { clopperPearson } from '../metrics/intervals';
import type { Calibration } from './calibration';
import { conformalRank, ranksOf } from './conformal';
import type { Verdict } from './rule';

/** What `gate` reads of an answer: its verdict, or that there is none. */
export type GateInput = { verdict: Verdict } | { error: unknown };

/** Options of `gate`. */
export interface GateOptions {
  /** Largest share of images that may be `out`, at least 0 and below 1. */
  maxOut: number;
  /** How sure it must be that the share is larger, in (0, 1). Default 0.95. */
  confidence?: number | undefined;
}

const GATE_OPTIONS: OptionNames<GateOptions> = { maxOut: true, confidence: true };

/** What `gate` found. */
export interface GateResult {
  /** False when more than `maxOut` of images like these are `out`, with `confidence`, and when nothing was judged. */
  passed: boolean;
  /** Images with a verdict. */
  judged: number;
  /** Of these, those that are `in`. */
  in: number;
  /** Those that are `review`. */
  review: number;
  /** Those that are `out`. */
  out: number;
  /** Images that could not be read; not among the judged. */
  failures: number;
  /** Share of the judged that is `out`; 0 of none. */
  share: number;
  /** The lower bound on the true share, which decides (Clopper and Pearson, one-sided). */
  atLeast: number;
  /** As given. */
  maxOut: number;
  /** As given, or its default. */
  confidence: number;
}

/**
 * A batch passes unless it shows that too many of its kind are `out`: one `out` of three is no evidence of more than 2 %,
 * 12 of 200 is. Of batches whose true share is just `maxOut`, at most 1 − `confidence` fail.
 *
 * @throws ERR_CLIPN_INVALID_ARG for a share that is none, or a result that is no answer
 */
export function gate(results: readonly GateInput[], options: GateOptions): GateResult {
  assertArguments({ results: ['list', results], options: ['record', options] });
  assertOptionNames('gate', options, GATE_OPTIONS);
  const { maxOut, confidence = 0.95 } = options;
  assertArguments({ confidence: ['number', confidence] });
  if (!(typeof maxOut === 'number' && maxOut >= 0 && maxOut < 1)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `maxOut must be at least 0 and below 1, not ${maxOut}`);
  }
  const counts = { in: 0, review: 0, out: 0, failures: 0 };
  for (const [index, result] of results.entries()) counts[kindOf(result, index)]++;
  const judged = counts.in + counts.review + counts.out;
  const { low } = clopperPearson(counts.out, Math.max(1, judged), confidence, 'lower');
  const share = judged === 0 ? 0 : counts.out / judged;
  return { passed: judged > 0 && low <= maxOut, judged, ...counts, share, atLeast: low, maxOut, confidence };
}

function kindOf(result: unknown, index: number): Verdict | 'failures' {
  if (typeof result === 'object' && result !== null) {
    if ('error' in result) return 'failures';
    const { verdict } = result as { verdict?: unknown };
    if (verdict === 'in' || verdict === 'review' || verdict === 'out') return verdict;
  }
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', `result ${index} (counted from 0) has no verdict`);
}

/** How sure it must be that good images pass. */
const CONFIDENCE = 0.95;

/**
 * A calibration that keeps 95 % of ID images calls the others out, some 5 % of a good batch, and one made on few images
 * may call more of them out: with k − 1 of its n scores below the threshold the share is Beta(k, n + 1 − k).
 *
 * @throws ERR_CLIPN_CALIBRATION unless that share is at most `maxOut` with 95 % confidence; thresholds by hand promise nothing
 *   and are taken as they are
 */
export function assertGateCanPass(calibration: Calibration, maxOut: number): void {
  if (calibration.formatVersion === 1) return;
  const n = calibration.formatVersion === 3 ? calibration.scores.length : calibration.images;
  const k =
    calibration.formatVersion === 3
      ? ranksOf(calibration.scores, calibration.out).below + 1
      : conformalRank(n, { target: calibration.target });
  // The 95 % quantile of Beta(k, n + 1 − k).
  const { high } = clopperPearson(k - 1, n, CONFIDENCE, 'upper');
  if (high <= maxOut) return;
  throw new ClipnError(
    'ERR_CLIPN_CALIBRATION',
    `of your own images the calibration calls ${percent(k / (n + 1))} out by design and, since it was made on ${n}, ` +
      `perhaps ${percent(high)}: more than the ${percent(maxOut)} allowed`,
    {
      hint:
        `Calibrate for a target of ${Number((1 - maxOut).toFixed(4))} with confidence 0.95 (it takes enough images), or ` +
        `allow at least ${percent(Math.ceil(1000 * high) / 1000)}.`,
    },
  );
}
