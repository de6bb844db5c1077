/** `teach`: data and a CLIP to a CLIPN. */
import {
  checkTeachOptions,
  NEGATIVES,
  TEACH_DEFAULTS,
  type TeachNegatives,
  type TeachOptions,
} from '../../teach/options';
import { type TeachResult, type TeachStep, teach } from '../../teach/teach';
import type { Activation } from '../../weights/known-weights';
import { STORED_DTYPES, type StoredDtype } from '../../weights/model-config';
import { type Args, type Command, UsageError } from '../command';
import { showFetch } from '../fetch-progress';
import { lossPlot } from '../loss-plot';
import { Pace } from '../pace';
import { note, Progress, say, sayJson } from '../terminal';

const defaults = TEACH_DEFAULTS;

export const teachCommand: Command = {
  summary: 'Teach a CLIP to say no: train its "no" tower on images with captions, or on class folders.',
  usage: '--base BASE --data DATA --out DIR',
  operands: 'none',
  flags: {
    base: {
      value: 'BASE',
      doc: 'weights of a CLIP, or of a CLIPN to go on with: a file, folder or hub name, as for export',
    },
    data: {
      value: 'DATA',
      doc: 'WebDataset shards (folder, .tar, glob); a .csv, .tsv, .jsonl or .parquet; images with texts; class folders',
    },
    out: { value: 'DIR', doc: 'folder for epoch_N.pt and model.pt; the same command goes on with a run in it' },
    epochs: { value: 'N', number: true, doc: `passes over the data, default ${defaults.epochs}` },
    steps: { value: 'N', number: true, doc: 'steps in all, instead of --epochs' },
    batch: { value: 'B', number: true, doc: `samples a step, default ${defaults.batch}` },
    lr: {
      value: 'X',
      number: true,
      doc: `learning rate at the start, default ${defaults.lr}; it falls to 0 by a cosine`,
    },
    seed: { value: 'S', number: true, doc: `default ${defaults.seed}` },
    precision: { value: 'P', choices: ['fp32', 'bf16', 'auto'], doc: `arithmetic, default ${defaults.precision}` },
    device: { value: 'D', choices: ['auto', 'cpu', 'cuda'], doc: `where to compute, default ${defaults.device}` },
    negatives: {
      value: 'M',
      choices: NEGATIVES,
      doc: `captions that an image is told from, default ${defaults.negatives}`,
    },
    templates: { value: 'S', doc: `for classes: clipn, openai, plain or a file; default ${defaults.templates}` },
    names: { value: 'FILE', doc: 'for class folders and .cls fields: JSON of folder or number to name, or one a line' },
    'image-column': { value: 'COL', doc: 'column of a table that holds images; by number, from 1, without a header' },
    'caption-column': { value: 'COL', doc: 'column of a table that holds captions; likewise' },
    delimiter: {
      value: 'D',
      doc: 'what stands between the columns of a .csv or .tsv, where its first line does not tell',
    },
    'image-field': { value: 'FIELD', doc: 'field of a shard that is the image, e.g. input.jpg' },
    'caption-field': { value: 'FIELD', doc: 'field that is the caption, e.g. cap, or json.caption for a key of JSON' },
    augmentations: { value: 'A', number: true, doc: 'random crops of each image; default 0, the evaluation crop' },
    'micro-batch': { value: 'M', number: true, doc: 'texts in memory at a time: less memory, more time' },
    'save-every': { value: 'N', number: true, doc: `steps between two saves, default ${defaults.saveEvery}` },
    features: { value: 'DIR', doc: 'folder of cached features, default DIR/features' },
    tokenizer: { value: 'FILE', doc: "Hugging Face tokenizer.json, when the vocabulary is not CLIP's own" },
    config: {
      value: 'FILE',
      doc: 'OpenCLIP config of weights that have none beside them: activation, heads, mean and std',
    },
    key: { value: 'K', doc: 'dictionary of the base to read, where several hold a model, e.g. state_dict_ema' },
    act: { value: 'A', choices: ['gelu', 'quickgelu'], doc: 'activation, where nothing else tells it' },
    dtype: { value: 'T', choices: STORED_DTYPES, doc: 'precision of the weights in model.pt, default fp32' },
    libtorch: { value: 'DIR', doc: 'folder of libtorch; found by itself when absent' },
    json: { doc: 'one JSON object a step: step, lossYes, lossNo, lossText, total, lr' },
  },
  run,
};

async function run(args: Args, signal: AbortSignal): Promise<number> {
  const [base, data, out] = [args.required('base'), args.required('data'), args.required('out')];
  const json = args.on('json');
  const progress = new Progress();
  const pace = new Pace();
  const batch = args.number('batch') ?? defaults.batch;
  let losses = '';
  const options: TeachOptions = {
    ...optionsOf(args),
    signal,
    onStep: (step) => {
      if (json) sayJson(step);
      losses = lossesOf(step);
    },
    onFetch: showFetch(progress),
    onProgress: ({ stage, done, total }) => {
      if (stage === 'steps') {
        const speed = pace.words({ stage, done: done * batch, total: total * batch, unit: 'samples' });
        progress.show(`step ${done} of ${total}: ${losses}${speed}`);
      } else if (stage === 'export') progress.show(`writing model.pt: ${Math.floor((100 * done) / total)} %`);
      else progress.show(`encoding ${stage}: ${done}${total > 0 ? ` of ${total}` : ''}`);
    },
    onWarning: (warning) => {
      progress.done();
      note(`warning: ${warning}`);
    },
  };
  try {
    checkTeachOptions(options);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  // libtorch's own switch, read when it loads: in huge pages a step in fp32 is a tenth faster.
  process.env.THP_MEM_ALLOC_ENABLE ??= '1';
  let result: TeachResult;
  try {
    result = await teach(base, data, out, options);
  } finally {
    progress.done();
    if (signal.aborted) note(`the state is in ${out}: the same command goes on`);
  }
  const text = `${result.checkpoint} and ${result.model}: ${result.steps} steps, ${result.samples} samples`;
  if (json) note(text);
  else say(`${await lossPlot(result.log)}\n${text}`);
  return 0;
}

function optionsOf(args: Args): TeachOptions {
  return {
    epochs: args.number('epochs'),
    steps: args.number('steps'),
    batch: args.number('batch'),
    lr: args.number('lr'),
    seed: args.number('seed'),
    precision: args.text('precision') as TeachOptions['precision'],
    device: args.text('device') as TeachOptions['device'],
    negatives: args.text('negatives') as TeachNegatives | undefined,
    templates: args.text('templates'),
    names: args.text('names'),
    imageColumn: args.text('image-column'),
    captionColumn: args.text('caption-column'),
    delimiter: args.text('delimiter'),
    imageField: args.text('image-field'),
    captionField: args.text('caption-field'),
    augmentations: args.number('augmentations'),
    microBatch: args.number('micro-batch'),
    saveEvery: args.number('save-every'),
    features: args.text('features'),
    tokenizer: args.text('tokenizer'),
    config: args.text('config'),
    key: args.text('key'),
    act: args.text('act') as Activation | undefined,
    dtype: args.text('dtype') as StoredDtype | undefined,
    libtorch: args.text('libtorch'),
  };
}

function lossesOf({ lossYes, lossNo, lossText, total }: TeachStep): string {
  const [yes, no, text, sum] = [lossYes, lossNo, lossText, total].map((loss) => loss.toFixed(4));
  return `loss ${sum} (yes ${yes}, no ${no}, text ${text})`;
}
