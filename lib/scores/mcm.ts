/**
 * MCM, maximum concept matching (Ming et al., NeurIPS 2022): max_j softmax(cosines / T)_j with T = 1 on the bare cosines
 * (spec 3). In [1/C, 1], and for many labels close to 1/C. Higher = more in-distribution.
 */
import type { Scorer } from './scorer';

export const mcm: Scorer = {
  name: 'mcm',
  formula: 'max_j softmax(cosines)_j, T = 1',
  source: 'Ming et al. (NeurIPS 2022); spec 3',
  needs: [],
  read: ({ core }) => core.mcm,
};
