/** Whether a batch of verdicts passes: its share of `out`, by an exact one-sided bound. Pure. docs/gate.md */
import { assertArguments } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { clopperPearson } from '../metrics/intervals';
import type { Calibration } from './calibration';
import type { Verdict } from './rule';

/** What `gate` reads of an answer: its verdict, or that there is none. */
export type GateInput = { verdict: Verdict } | { error: unknown };

export interface GateOptions {
  /** Largest share of images that may be `out`, at least 0 and below 1. */
  maxOut: number;
  /** How sure it must be that the share is larger, in (0, 1). Default 0.95. */
  confidence?: number | undefined;
}

export interface GateResult {
  /** False when more than `maxOut` of images like these are `out`, with `confidence`. */
  passed: boolean;
  /** Images with a verdict, and those of each. */
  judged: number;
  in: number;
  review: number;
  out: number;
  /** Images that could not be read; not among the judged. */
  failures: number;
  /** Share of the judged that is `out`; 0 of none. */
  share: number;
  /** The lower bound on the true share, which decides (Clopper and Pearson, one-sided). */
  atLeast: number;
  maxOut: number;
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
  const { maxOut, confidence = 0.95 } = options;
  if (!(typeof maxOut === 'number' && maxOut >= 0 && maxOut < 1)) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `maxOut must be at least 0 and below 1, not ${maxOut}`);
  }
  const counts = { in: 0, review: 0, out: 0, failures: 0 };
  for (const [index, result] of results.entries()) counts[kindOf(result, index)]++;
  const judged = counts.in + counts.review + counts.out;
  const { low } = clopperPearson(counts.out, Math.max(1, judged), confidence, 'lower');
  const share = judged === 0 ? 0 : counts.out / judged;
  return { passed: low <= maxOut, judged, ...counts, share, atLeast: low, maxOut, confidence };
}

function kindOf(result: unknown, index: number): Verdict | 'failures' {
  if (typeof result === 'object' && result !== null) {
    if ('error' in result) return 'failures';
    const { verdict } = result as { verdict?: unknown };
    if (verdict === 'in' || verdict === 'review' || verdict === 'out') return verdict;
  }
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', `result ${index} (counted from 0) has no verdict`);
}

/**
 * A calibration that keeps 95 % of ID images calls the others out: of such a batch 5 % are `out` by design.
 *
 * @throws ERR_CLIPN_CALIBRATION when good images alone could not pass
 */
export function assertGateCanPass(calibration: Calibration, maxOut: number): void {
  const target = calibration.formatVersion === 1 ? undefined : calibration.target;
  if (target === undefined || 1 - target <= maxOut + 1e-12) return;
  const percent = (share: number) => `${Number((100 * share).toFixed(4))} %`;
  throw new ClipnError(
    'ERR_CLIPN_CALIBRATION',
    `the calibration keeps ${percent(target)} of your own images, so that ${percent(1 - target)} are out by design, more ` +
      `than the ${percent(maxOut)} allowed`,
    { hint: `Calibrate with a target of at least ${Number((1 - maxOut).toFixed(6))}, or allow more.` },
  );
}
