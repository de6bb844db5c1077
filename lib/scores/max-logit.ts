/** MaxLogit (Hendrycks et al., ICML 2022): max_j a_j, which ranks as the largest cosine. Higher = more in-distribution. */
import type { Scorer } from './scorer';

export const maxLogit: Scorer = {
  name: 'maxLogit',
  formula: 'max_j a_j',
  source: 'Hendrycks et al. (ICML 2022); spec 3',
  needs: [],
  read: ({ core }) => core.maxLogit,
};
