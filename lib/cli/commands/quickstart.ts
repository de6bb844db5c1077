/** `quickstart`: a first verdict, on the sample photos of the small model's package. */
import { performance } from 'node:perf_hooks';
import { ClipnError } from '../../base/errors';
import { findImages } from '../../images/find';
import { loadModel } from '../../model/load';
import { smallModel } from '../../weights/small-model';
import { REAL_MODEL } from '../../weights/vocabulary';
import type { Args, Command } from '../command';
import { bankOptions } from '../model-flags';
import { resultTable } from '../result-table';
import { Progress, say } from '../terminal';

export const quickstartCommand: Command = {
  summary: 'Check a few shipped photos with the small model.',
  usage: '',
  operands: 'none',
  flags: {},
  run,
};

async function run(args: Args, signal: AbortSignal): Promise<number> {
  const small = smallModel();
  if (small === undefined) {
    throw new ClipnError('ERR_CLIPN_MODEL_NOT_FOUND', 'the package clipn-native-model-small is not installed', {
      hint: 'Install it beside clipn-native: `npm install clipn-native-model-small`.',
    });
  }
  const progress = new Progress();
  progress.show('loading libtorch and the small model');
  await using model = await loadModel(small.model, { signal });
  const detector = await model.createDetector(small.labels, { labelBank: bankOptions(args, progress, signal) });
  progress.done();
  const photos = await findImages([small.photos]);
  const start = performance.now();
  const results = await detector.check(photos, { signal });
  const elapsed = performance.now() - start;
  say(
    [
      `Classes: ${small.labels.join(', ')}`,
      '',
      resultTable(results),
      '',
      `${photos.length} photos in ${elapsed.toFixed(0)} ms. "in": one of the classes. "out": none of them.`,
      'share: softmax among the classes. p_yes: yes against no for the nearest class. ATD: in-distribution score, 0 to 1.',
      'The small model learnt from 55,000 little photos in an hour and a half and errs often; these classes were chosen to suit it.',
      '',
      'For your own classes get a model that knows most words (docs/models.md):',
      `  npx clipn-native fetch model ${REAL_MODEL}`,
      `  npx clipn-native check PHOTO... --model ${REAL_MODEL} --labels cat,dog,bus --negatives wordnet`,
    ].join('\n'),
  );
  return results.some((result) => 'error' in result) ? 1 : 0;
}
