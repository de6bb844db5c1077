/** The names of the scores of one image (spec 3). */

export const DECIDING_SCORES = ['ctw', 'atd', 'msp', 'maxLogit', 'energy', 'mcm', 'gap', 'negLabel', 'ole'] as const;
/**
 * Names of the scores that decide, all higher = more in-distribution.
 *
 * - `ctw`: p_yes at the top class (paper: competing-to-win), in [0, 1]
 * - `atd`: Σ_j p_j · p_yes,j = 1 − p(C+1) (paper: agreeing-to-differ), in [0, 1]
 * - `msp`: max_j p_j at scale s, in [1/C, 1]
 * - `maxLogit`: max_j a_j, a logit (cosine × s)
 * - `energy`: logsumexp_j a_j, a logit
 * - `mcm`: max softmax of the raw cosines at T = 1, in [1/C, 1]
 * - `gap`: a − b at the top class, a logit difference; ranks as `ctw` but does not saturate
 * - `negLabel`: the labels' share against negative words, mean over groups of words, in (0, 1)
 * - `ole`: `atd` with the negative words in the softmax, in [0, 1]
 */
export type DecidingScore = (typeof DECIDING_SCORES)[number];

/** Scores that need the no tower; NaN for a plain CLIP. */
export const NO_TOWER_SCORES: readonly string[] = ['ctw', 'atd', 'gap', 'logPOut', 'ole'];

/** Without words there are none of them. */
export const NEGATIVE_SCORES = ['negLabel', 'ole'] as const;
/** Scores that compare with negative words. */
export type NegativeScore = (typeof NEGATIVE_SCORES)[number];

export const needsNegatives = (score: string): boolean => (NEGATIVE_SCORES as readonly string[]).includes(score);

/**
 * Every score of one image, by its name; those that compare with negative words are there with words alone. `logPOut` =
 * log p(C+1) is the one that is higher = more OUT-of-distribution.
 */
export type Scores = Record<Exclude<DecidingScore, NegativeScore> | 'logPOut', number> &
  Partial<Record<NegativeScore, number>>;
