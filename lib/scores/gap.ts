/**
 * Gap: a_ĵ − b_ĵ, the log-odds of CTW. It ranks as CTW but does not saturate, so that it has no ties. A logit difference.
 * Higher = more in-distribution.
 */
import type { Scorer } from './scorer';

export const gap: Scorer = {
  name: 'gap',
  formula: 'a_ĵ − b_ĵ, ĵ = argmax a (log-odds of ctw)',
  source: 'spec 3, numerics',
  needs: ['no tower'],
  read: ({ core }) => core.gap,
};
