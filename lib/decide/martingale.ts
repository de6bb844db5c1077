/**
 * A conformal test martingale: one number that stays small while new scores look like those before them, and grows when
 * they do not. Pure; what it promises is in docs/drift.md.
 */
import { uniformSource } from '../base/random';

/**
 * Bits of a float32, in the order of its value, by which scores are compared: sign, exponent and 11 bits of the fraction,
 * steps of 1 / 2048 or finer. Rounding bounds state and time. It does not depend on the data, and equal scores are settled
 * by chance, so that p-values stay exactly uniform.
 */
const BITS = 20;
export const BINS = 2 ** BITS;
/** Of the seed: the rest of a whole number holds the count of scores. */
export const LARGEST_SEED = 2 ** 20;

const float = new Float32Array(1);
const integer = new Uint32Array(float.buffer);

/** The bin of a score, in [0, 2^20): a higher score is never in a lower bin. */
export function binOf(score: number): number {
  // Minus zero is zero.
  float[0] = score + 0;
  const bits = integer[0]!;
  return (bits >>> 31 === 1 ? ~bits : bits | 0x80000000) >>> (32 - BITS);
}

/**
 * P-values of a stream. Each score is compared with the calibration scores and with all scores of the stream before it:
 *
 *     p = (#{earlier scores below it} + u · (#{earlier scores equal to it} + 1)) / (#{earlier scores} + 1)
 *
 * with u uniform in [0, 1). While calibration and stream are exchangeable (drawn alike, in any order) these p are independent
 * and uniform, exactly. The p-value of a verdict, which knows a fixed set of calibration scores alone, is not that over a
 * stream: where this set came out low, every p of the stream comes out high.
 */
export class OnlinePValues {
  /** Fenwick tree of counts by bin. */
  readonly #tree = new Int32Array(BINS + 1);
  readonly #counts = new Map<number, number>();
  readonly #seed: number;
  #total = 0;
  #ofStream = 0;

  /** @param stream counts by bin of the stream so far */
  constructor(
    calibration: ArrayLike<number>,
    seed: number,
    stream: Iterable<readonly [bin: number, count: number]> = [],
  ) {
    this.#seed = seed;
    for (let i = 0; i < calibration.length; i++) this.#add(binOf(calibration[i]!), 1);
    for (const [bin, count] of stream) {
      this.#add(bin, count);
      this.#counts.set(bin, count);
      this.#ofStream += count;
    }
  }

  /** The p-value of a score, which then counts among the earlier ones. */
  next(score: number): number {
    const bin = binOf(score);
    const below = this.#upTo(bin);
    const equal = this.#upTo(bin + 1) - below;
    // A generator of its own for each, so that nothing of it needs to be kept.
    const u = uniformSource(this.#seed * 2 ** 32 + this.#ofStream)();
    const p = (below + u * (equal + 1)) / (this.#total + 1);
    this.#add(bin, 1);
    this.#counts.set(bin, (this.#counts.get(bin) ?? 0) + 1);
    this.#ofStream++;
    return p;
  }

  /** Counts of the stream by bin, in rising order. */
  counts(): [bin: number, count: number][] {
    return [...this.#counts].sort(([a], [b]) => a - b);
  }

  #add(bin: number, count: number): void {
    this.#total += count;
    for (let i = bin + 1; i <= BINS; i += i & -i) this.#tree[i]! += count;
  }

  /** Scores in bins below this one. */
  #upTo(bin: number): number {
    let sum = 0;
    for (let i = bin; i > 0; i -= i & -i) sum += this.#tree[i]!;
    return sum;
  }
}

/** The simple jumper: how its capital lies and how much there is. */
export interface Jumper {
  /** Natural logarithm of the martingale M; 0 at the start. */
  logM: number;
  /** Shares of M that bet on low p-values, on none and on high ones; they sum to 1. */
  shares: [low: number, none: number, high: number];
}

export const startJumper = (): Jumper => ({ logM: 0, shares: [1 / 3, 1 / 3, 1 / 3] });

/**
 * One step of the simple jumper (Vovk et al., "Retrain or not retrain", 2021): of each share a part `jump` is spread evenly
 * over the three, which then bet with ε of −1, 0 and 1 and become 1 + ε(p − ½) times as much. While p-values are independent
 * and uniform, M has mean 1 at any time, and by Ville's inequality ever reaches λ with probability at most 1 / λ.
 * In logarithms, for M may grow without bound.
 */
export function bet({ logM, shares }: Jumper, p: number, jump: number): Jumper {
  const grown = shares.map((share, i) => ((1 - jump) * share + jump / 3) * (1 + (i - 1) * (p - 0.5)));
  const [low, none, high] = grown as [number, number, number];
  const sum = low + none + high;
  return { logM: logM + Math.log(sum), shares: [low / sum, none / sum, high / sum] };
}
