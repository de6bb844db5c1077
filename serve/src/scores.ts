/** Every score that an answer may have, as clipn-native names them (docs/scores.md). */
export const SCORES = ['ctw', 'atd', 'msp', 'maxLogit', 'energy', 'mcm', 'gap', 'logPOut', 'negLabel', 'ole'] as const;
