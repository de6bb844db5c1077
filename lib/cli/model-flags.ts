/** What the flags stand for that name a model, its labels and a label bank. */
import { optionsNamed } from '../base/arguments';
import { type DecodeOptions, TRUNCATED } from '../images/decode';
import type { LabelBank } from '../labels/bank';
import { loadLabelsFile } from '../labels/labels-file';
import { NEGATIVES_OPTIONS, type NegativesOptions } from '../model/choose-words';
import { loadModel } from '../model/load';
import type { Model } from '../model/model';
import { labelTemplates, readWords } from '../model/negatives';
import type { LabelBankOptions, LoadModelOptions } from '../model/options';
import type { NegativeBank } from '../scores/negatives';
import { smallModel } from '../weights/small-model';
import { type Args, type Flag, UsageError } from './command';
import { note, type Progress } from './terminal';

export * from './flags';

/** Where a label bank comes from: encoded from class names, or read from a file. */
export type BankSource = { labels: string[] } | { file: string };

/** What may be read as an image. */
export const LIMIT_FLAGS: Record<string, Flag> = {
  truncated: { value: 'HOW', choices: TRUNCATED, doc: 'images cut short: refuse, the default, or accept' },
  'limit-pixels': { value: 'N', number: true, doc: 'largest width × height of an image, default 268402689' },
};

export const DECODING_FLAGS: Record<string, Flag> = {
  'no-exif': { doc: 'do not turn images as their EXIF orientation says' },
  ...LIMIT_FLAGS,
};

/** By LIMIT_FLAGS. */
export function limitsFrom(args: Args): Pick<DecodeOptions, 'truncated' | 'limitPixels'> {
  const limitPixels = args.number('limit-pixels');
  if (limitPixels !== undefined && !(limitPixels >= 1 && Number.isSafeInteger(limitPixels))) {
    throw new UsageError(`--limit-pixels must be a whole number of at least 1, not ${limitPixels}`);
  }
  return { truncated: args.text('truncated') as DecodeOptions['truncated'], ...(limitPixels && { limitPixels }) };
}

/** How images are read, by DECODING_FLAGS. */
export function decodingFrom(args: Args): DecodeOptions {
  return { exif: !args.on('no-exif'), ...limitsFrom(args) };
}

/** Loads the model the flags name. */
export async function modelFrom(args: Args, signal: AbortSignal): Promise<Model> {
  let path = args.text('model');
  if (path === undefined) {
    path = smallModel()?.model;
    if (path === undefined) throw new UsageError('--model is missing, and clipn-native-model-small is not installed');
    note('no --model given: using the small model, which knows little (see its README)');
  }
  const model = await loadModel(path, {
    device: args.text('device') as LoadModelOptions['device'],
    precision: args.text('precision') as LoadModelOptions['precision'],
    libtorch: args.text('libtorch'),
    trustedSha256: args.text('trusted-sha256'),
    signal,
  });
  const { firstReason } = model.info;
  if (firstReason !== null) note(`guarded is plain fp32 here: ${firstReason}`);
  return model;
}

/** The class names of --labels or --labels-file; undefined when neither is there. */
export async function labelsFrom(args: Args): Promise<string[] | undefined> {
  const list = args.text('labels');
  const file = args.text('labels-file');
  if (list !== undefined && file !== undefined) throw new UsageError('--labels and --labels-file exclude each other');
  if (file !== undefined) return await loadLabelsFile(file, (warning) => note(`warning: ${warning}`));
  return list?.split(',').map((name) => name.trim());
}

/** Options for encoding labels: templates of the flags, progress on stderr. */
export function bankOptions(args: Args, progress: Progress, signal: AbortSignal): LabelBankOptions {
  return {
    templates: args.text('templates'),
    signal,
    onProgress: ({ stage, done, total }) => progress.show(`encoding ${stage}: ${done} of ${total} sentences`),
  };
}

/** Where the flags say the bank comes from; asked before a model is loaded. @throws UsageError for none, and for two */
export async function bankSourceFrom(args: Args): Promise<BankSource> {
  const file = args.text('bank');
  const labels = await labelsFrom(args);
  if (labels !== undefined && file === undefined) return { labels };
  if (file !== undefined && args.text('templates') !== undefined) {
    throw new UsageError('a bank has its own templates: --bank and --templates exclude each other');
  }
  if (labels === undefined && file !== undefined) return { file };
  throw new UsageError('give one of --labels, --labels-file and --bank');
}

/** Labels and, with --negatives, the words beside them; `progress` is shown meanwhile. */
export async function comparedFrom(
  args: Args,
  source: BankSource,
  model: Model,
  progress: Progress,
  signal: AbortSignal,
): Promise<{ bank: LabelBank; negatives: NegativeBank | undefined }> {
  const options = bankOptions(args, progress, signal);
  const given = args.text('negatives');
  const words = given === undefined ? undefined : await readWords(given);
  const templates = options.templates ?? labelTemplates(model.info, words);
  const bank = await bankFrom(source, model, { ...options, templates });
  const negatives =
    words === undefined
      ? undefined
      : await model.createNegatives(bank, words, optionsNamed<NegativesOptions>(NEGATIVES_OPTIONS, options));
  progress.done();
  return { bank, negatives };
}

async function bankFrom(source: BankSource, model: Model, options: LabelBankOptions): Promise<LabelBank> {
  return 'labels' in source
    ? await model.createLabelBank(source.labels, options)
    : await model.loadLabelBank(source.file);
}
