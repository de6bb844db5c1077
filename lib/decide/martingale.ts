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

/** Counts of whole numbers below a size, and their sums: both in O(log size). A Fenwick tree. */
class Counts {
  readonly #tree: Int32Array;

  constructor(size: number) {
    this.#tree = new Int32Array(size + 1);
  }

  add(index: number, count: number): void {
    for (let i = index + 1; i < this.#tree.length; i += i & -i) this.#tree[i]! += count;
  }

  /** Sum of the counts below the index. */
  below(index: number): number {
    let sum = 0;
    for (let i = index; i > 0; i -= i & -i) sum += this.#tree[i]!;
    return sum;
  }
}

/** Bins of a block: blocks without scores, nearly all, take no memory. */
const BLOCK = 2 ** 10;

/**
 * P-values of a stream. Each score is compared with the calibration scores and with all scores of the stream before it:
 *
 *     p = (#{earlier scores below it} + u · (#{earlier scores equal to it} + 1)) / (#{earlier scores} + 1)
 *
 * with u uniform in (0, 1). While calibration and stream are exchangeable (drawn alike, in any order) these p are independent
 * and uniform, exactly. The p-value of a verdict, which knows a fixed set of calibration scores alone, is not that over a
 * stream: where this set came out low, every p of the stream comes out high.
 */
export class OnlinePValues {
  readonly #blocks = new Counts(BINS / BLOCK);
  readonly #inBlocks = new Map<number, Counts>();
  /** Of the stream, by bin. */
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
    const [block, place] = [Math.floor(bin / BLOCK), bin % BLOCK];
    const inBlock = this.#inBlocks.get(block);
    const before = inBlock?.below(place) ?? 0;
    const below = this.#blocks.below(block) + before;
    const equal = (inBlock?.below(place + 1) ?? 0) - before;
    // A generator of its own for each, so that nothing of it needs to be kept.
    const u = uniformSource(this.#seed * 2 ** 32 + this.#ofStream)() + 2 ** -33;
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
    const block = Math.floor(bin / BLOCK);
    const inBlock = this.#inBlocks.get(block) ?? new Counts(BLOCK);
    this.#inBlocks.set(block, inBlock);
    inBlock.add(bin % BLOCK, count);
    this.#blocks.add(block, count);
    this.#total += count;
  }
}

/** A bet on the next p-value: what a stake of 1 becomes, 1 on average while p is uniform. */
type Bet = (p: number) => number;

/** Of Vovk's simple jumper: that p is low, nothing, and that it is high; ε of −1, 0 and 1 in 1 + ε(p − ½). */
export const SIMPLE_JUMPER: readonly Bet[] = [(p) => 1.5 - p, () => 1, (p) => 0.5 + p];

/**
 * What we bet: these, and the power bets ε · p^(ε − 1) with ε of ½ and ¾, which grow where a few p are very low: what OOD
 * images among ID images do. docs/drift.md has what the simple jumper alone would miss.
 */
export const BETS: readonly Bet[] = [
  ...SIMPLE_JUMPER,
  (p) => 0.5 / Math.sqrt(p),
  (p) => 0.75 / Math.sqrt(Math.sqrt(p)),
];

/** The part of the capital that changes its bet with image t, counted from 0: as usual 0.01 at first, then about 1 / t. */
export const jumpOf = (t: number): number => 1 / (100 + t);

/** How the martingale's capital lies, and how much there is. */
export interface Jumper {
  /** Natural logarithm of the martingale M; 0 at the start. */
  logM: number;
  /** Shares of M that lie on each bet; they sum to 1. */
  shares: number[];
}

export const startJumper = (bets: readonly Bet[] = BETS): Jumper => ({
  logM: 0,
  shares: bets.map(() => 1 / bets.length),
});

/**
 * One step of a jumper (Vovk et al., "Retrain or not retrain", 2021): of each share a part `jump` is spread evenly over all
 * bets, which then pay. While p-values are independent and uniform, M has mean 1 at any time, and by Ville's inequality ever
 * reaches λ with probability at most 1 / λ. A constant part would be lost with every image that is as it should be, so that
 * M would fall without end and an alarm come later and later; parts of 1 / t cost a logarithm.
 * In logarithms, for M may grow without bound.
 */
export function bet({ logM, shares }: Jumper, p: number, jump: number, bets: readonly Bet[] = BETS): Jumper {
  const paid = shares.map((share, i) => ((1 - jump) * share + jump / bets.length) * bets[i]!(p));
  const sum = paid.reduce((total, each) => total + each, 0);
  return { logM: logM + Math.log(sum), shares: paid.map((each) => each / sum) };
}
