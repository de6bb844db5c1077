/**
 * MSP, maximum softmax probability (Hendrycks and Gimpel, ICLR 2017), of the logits at scale s: max_j p_j. In [1/C, 1].
 * Higher = more in-distribution. Not MCM: that takes the softmax of the bare cosines.
 */
import type { Scorer } from './scorer';

export const msp: Scorer = {
  name: 'msp',
  formula: 'max_j softmax(a)_j, a = s · cosine',
  source: 'Hendrycks and Gimpel (ICLR 2017); spec 3',
  needs: [],
  read: ({ core }) => core.msp,
};
