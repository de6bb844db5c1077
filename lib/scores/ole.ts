/**
 * ATD with outlier labels in its softmax, after OLE (arXiv 2406.01170): Σ_j q_j · p_yes,j over the labels j ≤ C, where q is
 * the softmax over labels and negative words together and p_yes,j = σ(a_j − b_j). In [0, 1]. Higher = more
 * in-distribution: it falls where the words take the share, and where the labels say no.
 *
 * The paper takes s = 50 and prototypes of many words in place of the words; here s is the model's and the words are
 * those that NegLabel has.
 */
import type { Scorer } from './scorer';

export const ole: Scorer = {
  name: 'ole',
  formula: 'Σ_j softmax(a, s·⟨f, u⟩)_j · σ(a_j − b_j), u_k the negative words',
  source: "after OLE (arXiv 2406.01170), with the words themselves and the model's scale",
  needs: ['no tower', 'negatives'],
  read: ({ core }) => core.ole,
};
