/**
 * NegLabel (Jiang et al., ICLR 2024) with negative words u_k in G groups: the mean over groups of
 * Σ_j exp(a_j) / (Σ_j exp(a_j) + Σ_{k in the group} exp(s·⟨f, u_k⟩)). In (0, 1). Higher = more in-distribution.
 *
 * Which words, and in which group: mine-negatives.ts, negatives.ts.
 */
import type { Scorer } from './scorer';

export const negLabel: Scorer = {
  name: 'negLabel',
  formula: 'mean over groups of Σ_j exp(a_j) / (Σ_j exp(a_j) + Σ_k exp(s·⟨f, u_k⟩)), u_k the negative words',
  source: 'Jiang et al. (ICLR 2024), words and groups as docs/evaluation.md says',
  needs: ['negatives'],
  read: ({ core }) => core.negLabel,
};
