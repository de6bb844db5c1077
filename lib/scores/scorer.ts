/** What a score of an evaluation is: its formula, and how it is read off what was computed for a block of images. */
import type { LabelBank } from '../labels/bank';
import type { ScoreResult } from './score';

/** What a scorer may need beyond the core's pass; the evaluation leaves out a scorer whose needs it cannot meet. */
export type Need = 'no tower' | 'patches' | 'negatives' | 'logits';

/** A block of n images. Arrays have an entry per image unless their shape says otherwise. */
export interface ScoreBlock {
  /** Images of the block. */
  n: number;
  /** s, the factor on cosines. */
  scale: number;
  /** The labels. */
  bank: LabelBank;
  /** [n, D], unit rows. */
  features: Float32Array;
  /** The core's fused pass, with the single best label in its top list; with need `negatives` over the words, too. */
  core: ScoreResult;
  /** With need `logits`: a and b of spec 3, [n, C]. */
  logits: { yes: Float32Array; no: Float32Array | null } | null;
  /** With need `patches`: the largest `mcm` of an image's patches. */
  patchMcm: Float32Array | null;
}

/** A score. Higher = more in-distribution, always. */
export interface Scorer {
  /** The key in results. */
  name: string;
  /** One line; symbols as in spec 3: f image, g_j and h_j yes and no vectors, a_j = s·⟨f, g_j⟩, b_j = s·⟨f, h_j⟩. */
  formula: string;
  /** Spec section or paper. */
  source: string;
  /** A scorer whose needs cannot be met is left out, and the result says so. */
  needs: readonly Need[];
  /** One finite number per image; NaN ends the evaluation. */
  read(block: ScoreBlock): ArrayLike<number>;
}
