/**
 * Energy (Liu et al., NeurIPS 2020), sign turned: log Σ_j exp(a_j), no temperature beyond s (spec 3). The paper's energy is
 * its negative. Higher = more in-distribution.
 */
import type { Scorer } from './scorer';

export const energy: Scorer = {
  name: 'energy',
  formula: 'log Σ_j exp(a_j)',
  source: 'Liu et al. (NeurIPS 2020), negated; spec 3',
  needs: [],
  read: ({ core }) => core.energy,
};
