/** `export`: a checkpoint to a model file. */
import { statSync } from 'node:fs';
import { loadLabelsFile } from '../../labels/labels-file';
import { exportModel } from '../../weights/export';
import type { Activation } from '../../weights/known-weights';
import { STORED_DTYPES, type StoredDtype } from '../../weights/model-config';
import type { Args, Command } from '../command';
import { showFetch } from '../fetch-progress';
import { Progress, say, sayJson } from '../terminal';

export const exportCommand: Command = {
  summary:
    'Turn a checkpoint, or a folder or name of a CLIP on the Hugging Face hub, into a model file. No Python runs.',
  usage: 'CHECKPOINT OUT',
  operands: { least: 2, most: 2, missing: 'give a checkpoint or a hub name, and a file to write' },
  flags: {
    'image-only': { doc: 'leave the text towers out, for applications with a saved label bank' },
    dtype: { value: 'T', choices: STORED_DTYPES, doc: 'precision of the stored weights, default fp32' },
    tokenizer: { value: 'FILE', doc: "Hugging Face tokenizer.json, when the vocabulary is not CLIP's own" },
    config: {
      value: 'FILE',
      doc: 'OpenCLIP config of weights that have none beside them: activation, heads, mean and std',
    },
    key: { value: 'K', doc: 'dictionary of the file to read, where several hold a model, e.g. state_dict_ema' },
    act: { value: 'A', choices: ['gelu', 'quickgelu'], doc: 'activation, where nothing else tells it' },
    vocabulary: { value: 'FILE', doc: 'names a model of few classes learnt: others are warned of' },
    json: { doc: "print the model's metadata as JSON" },
  },
  run,
};

async function run(args: Args, signal: AbortSignal): Promise<number> {
  const [checkpoint, out] = args.operands as [string, string];
  const vocabulary = args.text('vocabulary');
  const names = vocabulary === undefined ? undefined : await loadLabelsFile(vocabulary);
  const progress = new Progress();
  const config = await exportModel(checkpoint, out, {
    imageOnly: args.on('image-only'),
    dtype: args.text('dtype') as StoredDtype | undefined,
    tokenizer: args.text('tokenizer'),
    config: args.text('config'),
    key: args.text('key'),
    act: args.text('act') as Activation | undefined,
    vocabulary: names,
    signal,
    onFetch: showFetch(progress),
    onProgress: ({ stage, done, total }) =>
      progress.show(`${stage === 'hash' ? 'reading' : 'writing'}: ${Math.floor((100 * done) / total)} %`),
  });
  progress.done();
  if (args.on('json')) {
    sayJson(config);
    return 0;
  }
  const { architecture: a, kind, imageSize, dtype, contentId, source } = config;
  const size = (statSync(out).size / 1e6).toFixed(1);
  say(
    `${out}: ${kind === 'clipn' ? 'CLIPN' : 'plain CLIP'}, image tower ${a.visionLayers} × ${a.visionWidth}, ` +
      `patch ${a.patchSize} at ${imageSize} px, D ${config.embedDim}, ${dtype}, ${size} MB\n` +
      `${source.knownAs === undefined ? '' : `by its hash ${source.knownAs}; `}` +
      `${a.activation === 'gelu' ? 'GELU' : 'QuickGELU'}, content ${contentId.slice(0, 16)}`,
  );
  return 0;
}
