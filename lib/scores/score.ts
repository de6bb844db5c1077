/**
 * scores/: From features and a bank to scores; the scorers of an evaluation.
 *
 * The scores of spec section 3 for rows of features against a label bank; the arithmetic is the core's.
 */

import { threadId } from 'node:worker_threads';
import { assertArguments, assertOptionNames, type OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import type { LabelBank } from '../labels/bank';
import type { NativeLane, NativeScores } from '../native/addon';
import { runTask, sharedLane } from '../native/lane';

/** Negative words, group after group; NegLabel is the mean over the groups. */
export interface NegativeRows {
  /** [W, D], unit rows, of the yes tower that made the bank's. */
  rows: Float32Array;
  /** The word after each group's last: rising, and the last is W. */
  groupEnds: readonly number[];
}

/** Options of `score`. */
export interface ScoreOptions {
  /** Entries of the top list, 0 to C. Default 5 (or C, if fewer). */
  topK?: number;
  /** s, the factor on cosines. Default 100, which the published models use (spec 1.6). */
  scale?: number;
  /** Words that are none of the labels, for `negLabel`, `ole`, `wordMax` and `wordIndex`. Without: NaN, and -1. */
  negatives?: NegativeRows | undefined;
  /** Aborts: the call rejects with `signal.reason`. */
  signal?: AbortSignal;
}

const OPTIONS: OptionNames<ScoreOptions> = { topK: true, scale: true, negatives: true, signal: true };

/** Results for N images: arrays of length N; `top*` are [N, K] row-major. */
export interface ScoreResult extends Omit<NativeScores, 'logitsYes' | 'logitsNo'> {
  /** N, rows of features. */
  n: number;
  /** K, entries of the top list. */
  k: number;
}

/**
 * Scores features of your own: one fused pass that never stores N × C numbers.
 *
 * @param features float [N, D], unit rows, as the bank's model makes them
 * @throws ERR_CLIPN_INVALID_ARG when `features` or `negatives.rows` is not a whole number of rows of the bank's width, or
 *   `negatives.groupEnds` do not end with the number of words
 */
export async function score(features: Float32Array, bank: LabelBank, options: ScoreOptions = {}): Promise<ScoreResult> {
  assertArguments({ features: ['numbers', features], bank: ['bank', bank], options: ['options', options] });
  assertOptionNames('score', options, OPTIONS);
  const { logitsYes: _a, logitsNo: _b, ...result } = await scoreOn(await sharedLane(), features, bank, options);
  return result;
}

const bankIds = new WeakMap<LabelBank, number>();
let lastBankId = 0;

/** A number for the bank, by which a GPU keeps its rows: the same object is the same bank. Workers share the GPU's store. */
function idOf(bank: LabelBank): number {
  const id = bankIds.get(bank) ?? threadId * 2 ** 32 + ++lastBankId;
  bankIds.set(bank, id);
  return id;
}

/** As `score`, on a given lane; `logits` also returns the [N, C] logits. */
export async function scoreOn(
  lane: NativeLane,
  features: Float32Array,
  bank: LabelBank,
  {
    topK = 5,
    scale = 100,
    negatives,
    signal,
    logits = false,
    device = 'cpu',
  }: ScoreOptions & { logits?: boolean; device?: 'cpu' | 'cuda' },
): Promise<ScoreResult & Pick<NativeScores, 'logitsYes' | 'logitsNo'>> {
  const d = bank.dim;
  const c = bank.labels.length;
  if (features.length === 0 || features.length % d !== 0) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `features has ${features.length} numbers, not rows of ${d}`);
  }
  if (!Number.isInteger(topK) || topK < 0) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `topK must be a whole number of at least 0, not ${topK}`);
  }
  if (negatives) assertGroups(negatives, d);
  if (!(scale > 0)) throw new ClipnError('ERR_CLIPN_INVALID_ARG', `scale must be positive, not ${scale}`);
  const n = features.length / d;
  const k = Math.min(topK, c);
  const bankId = device === 'cuda' ? idOf(bank) : 0;
  const [words, groupEnds] = [negatives?.rows, negatives?.groupEnds];
  const { yes } = bank;
  const no = bank.no ?? undefined;
  const input = { features, yes, no, n, c, d, k, scale, logits, device, bankId, words, groupEnds };
  return { ...(await runTask(lane, signal, () => lane.score(input))), n, k };
}

function assertGroups({ rows, groupEnds }: NegativeRows, d: number): void {
  const refuse = (what: string, hint?: string) => new ClipnError('ERR_CLIPN_INVALID_ARG', what, { hint });
  if (!(rows instanceof Float32Array) || !Array.isArray(groupEnds)) {
    throw refuse(
      'negatives must be rows of words and where their groups end',
      'Make them with `model.createNegatives`.',
    );
  }
  if (rows.length === 0 || rows.length % d !== 0) {
    throw refuse(`negatives.rows has ${rows.length} numbers, not rows of ${d}`);
  }
  const rising = groupEnds.every((end, i) => Number.isInteger(end) && end > (i === 0 ? 0 : groupEnds[i - 1]!));
  if (!rising || groupEnds.at(-1) !== rows.length / d) {
    throw refuse(`negatives.groupEnds must rise to ${rows.length / d}, the number of words`);
  }
}
