/** Which scores an evaluation can compute, and why the others are left out. */
import { ClipnError } from '../base/errors';
import type { ModelInfo } from '../model/info';
import { builtInScorers, type Need, type Scorer } from '../scores/scorers';
import type { EvalOptions } from './options';
import type { EvalResult } from './result';

export interface UsableScorers {
  usable: Scorer[];
  skipped: EvalResult['skipped'];
}

/**
 * The built-in scorers and the caller's own, for this model.
 *
 * @throws ERR_CLIPN_MODEL_CONTRACT (patches that the model does not offer), ERR_CLIPN_INVALID_ARG (a name given twice)
 */
export function scorersFor(info: ModelInfo, options: EvalOptions): UsableScorers {
  const { scorers = [], lambda, negatives, patches } = options;
  const met: Record<Need, true | string> = {
    'no tower': info.hasNo || 'the model is a plain CLIP, without a no tower',
    patches: patches === true || 'it needs images encoded with their patches: `patches`, on the command line --patches',
    negatives:
      negatives !== undefined ||
      'it needs words that are none of the labels: `negatives`, on the command line --negatives',
    logits: true,
  };
  if (patches && !info.hasPatches) {
    throw new ClipnError('ERR_CLIPN_MODEL_CONTRACT', `${info.path} has no method encode_image_patches`);
  }
  const all = [...builtInScorers(lambda), ...scorers];
  const twice = all.find(({ name }, i) => all.findIndex((each) => each.name === name) !== i);
  if (twice) throw new ClipnError('ERR_CLIPN_INVALID_ARG', `there are two scorers called ${twice.name}`);
  return usableScorers(all, met);
}

/** The scorers whose needs are met, and why the others are left out. */
function usableScorers(scorers: readonly Scorer[], met: Readonly<Record<Need, true | string>>): UsableScorers {
  const usable: Scorer[] = [];
  const skipped: EvalResult['skipped'] = [];
  for (const scorer of scorers) {
    const why = scorer.needs.map((need) => met[need]).find((answer) => answer !== true);
    if (why === undefined) usable.push(scorer);
    else skipped.push({ score: scorer.name, why: String(why) });
  }
  return { usable, skipped };
}

/** Why this score is not among the usable ones. */
export function cannotDecide(score: string, { usable, skipped }: UsableScorers): ClipnError {
  const names = usable.map(({ name }) => name).join(', ');
  const left = skipped.find((each) => each.score === score);
  const orWords = usable.some(({ needs }) => needs.includes('negatives'))
    ? ''
    : '; or give `negatives`, on the command line --negatives';
  return left
    ? new ClipnError('ERR_CLIPN_MODEL_CONTRACT', `${score} cannot decide: ${left.why}`, {
        hint: `Choose another score: ${names}${orWords}.`,
      })
    : new ClipnError('ERR_CLIPN_INVALID_ARG', `there is no score ${score}; there are ${names}`);
}
