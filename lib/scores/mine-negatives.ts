/**
 * Choosing negative words from many, by their cosines to the labels or to the user's own images. Pure; who computes the
 * cosines is not its business.
 */

/** NegLabel (Jiang et al., ICLR 2024): of a word's cosines to the labels this percentile counts, and this share is kept. */
export const NEG_LABEL = { percentile: 0.95, share: 0.15 } as const;

/** InterNeg, its static part: how many words are kept, in how many groups. */
export const INTER_NEG = { words: 2000, groups: 5 } as const;

/** The `q` quantile of numbers, between neighbours in proportion, as NumPy's and PyTorch's default. Sorts `values`. */
export function quantile(values: Float32Array, q: number): number {
  values.sort();
  const at = q * (values.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, values.length - 1);
  return values[low]! + (at - low) * (values[high]! - values[low]!);
}

/**
 * NegLabel's measure of words: the percentile of each one's cosines to the labels. The lowest are kept.
 *
 * @param cosines [n, C], which is left in another order
 * @returns [n]
 */
export function nearnessToLabels(cosines: Float32Array, labels: number): Float64Array {
  return Float64Array.from({ length: cosines.length / labels }, (_, i) =>
    quantile(cosines.subarray(i * labels, (i + 1) * labels), NEG_LABEL.percentile),
  );
}

/**
 * InterNeg's measure of words, negated so that the lowest are kept: the mean over classes of cos(m_c, u) − cos(m_c, t_c),
 * m_c the unit mean of the class's image features, t_c its label. NaN for a word that some class's images are not nearer
 * to their label than to.
 *
 * @param cosines [n, C]: of each word to each m_c
 * @param own [C]: cos(m_c, t_c)
 * @returns [n]
 */
export function nearnessToImages(cosines: Float32Array, own: Float32Array): Float64Array {
  const labels = own.length;
  return Float64Array.from({ length: cosines.length / labels }, (_, i) => {
    let sum = 0;
    for (let c = 0; c < labels; c++) {
      const gap = cosines[i * labels + c]! - own[c]!;
      if (!(gap < 0)) return Number.NaN;
      sum += gap;
    }
    return sum / labels;
  });
}

/** A word on its way into the list. */
export interface Candidate {
  word: string;
  nearness: number;
  /** [D] */
  row: Float32Array;
}

/** Keeps the `most` candidates of lowest nearness; of equal ones those that came first. Holds no more than that. */
export class Lowest {
  #kept: Candidate[] = [];

  constructor(private readonly most: number) {}

  /** @param rows [n, D]; what is kept of them is copied */
  add(words: readonly string[], nearness: Float64Array, rows: Float32Array): void {
    if (this.most === 0) return;
    const dim = rows.length / words.length;
    const bar = this.#kept.length < this.most ? Number.POSITIVE_INFINITY : this.#kept.at(-1)!.nearness;
    const better = words.flatMap((word, i): Candidate[] =>
      nearness[i]! < bar ? [{ word, nearness: nearness[i]!, row: rows.slice(i * dim, (i + 1) * dim) }] : [],
    );
    // The sort is stable: those that came first stay before their equals.
    this.#kept = [...this.#kept, ...better].sort((a, b) => a.nearness - b.nearness).slice(0, this.most);
  }

  get kept(): readonly Candidate[] {
    return this.#kept;
  }
}
