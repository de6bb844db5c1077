/** The scores of spec section 3 for rows of features against a label bank; the arithmetic is the core's. */
import { threadId } from 'node:worker_threads';
import { ClipnError } from '../base/errors';
import type { LabelBank } from '../labels/build-bank';
import { type NativeLane, type NativeScores, runTask, sharedLane } from '../native/engine';

/**
 * Names of the scores that decide, all higher = more in-distribution.
 *
 * - `ctw`: p_yes at the top class (paper: competing-to-win), in [0, 1]
 * - `atd`: Σ_j p_j · p_yes,j = 1 − p(C+1) (paper: agreeing-to-differ), in [0, 1]
 * - `msp`: max_j p_j at scale s, in [1/C, 1]
 * - `maxLogit`: max_j a_j, a logit (cosine × s)
 * - `energy`: logsumexp_j a_j, a logit
 * - `mcm`: max softmax of the raw cosines at T = 1, in [1/C, 1]
 * - `gap`: a − b at the top class, a logit difference; ranks as `ctw` but does not saturate
 */
export const DECIDING_SCORES = ['ctw', 'atd', 'msp', 'maxLogit', 'energy', 'mcm', 'gap'] as const;
export type DecidingScore = (typeof DECIDING_SCORES)[number];

/** Scores that need the no tower; NaN for a plain CLIP. */
export const NO_TOWER_SCORES: readonly string[] = ['ctw', 'atd', 'gap', 'logPOut'];

/** Every score of one image. `logPOut` = log p(C+1) is the one that is higher = more OUT-of-distribution. */
export type Scores = Record<DecidingScore | 'logPOut', number>;

export interface ScoreOptions {
  /** Entries of the top list, 0 to C. Default 5 (or C, if fewer). */
  topK?: number;
  /** s, the factor on cosines. Default 100, which the published models use (spec 1.6). */
  scale?: number;
  signal?: AbortSignal;
}

/** Results for N images: arrays of length N; `top*` are [N, K] row-major. */
export interface ScoreResult extends Omit<NativeScores, 'logitsYes' | 'logitsNo'> {
  n: number;
  k: number;
}

/**
 * Scores features of your own: one fused pass that never stores N × C numbers.
 *
 * @param features float [N, D], unit rows, as the bank's model makes them
 * @throws ERR_CLIPN_INVALID_ARG when `features` is not a whole number of rows of the bank's width
 */
export async function score(features: Float32Array, bank: LabelBank, options: ScoreOptions = {}): Promise<ScoreResult> {
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
  if (!(scale > 0)) throw new ClipnError('ERR_CLIPN_INVALID_ARG', `scale must be positive, not ${scale}`);
  const n = features.length / d;
  const k = Math.min(topK, c);
  const bankId = device === 'cuda' ? idOf(bank) : 0;
  const input = { features, yes: bank.yes, no: bank.no ?? undefined, n, c, d, k, scale, logits, device, bankId };
  return { ...(await runTask(lane, signal, () => lane.score(input))), n, k };
}
