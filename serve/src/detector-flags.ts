/** The flags that name a model, its labels and a rule, for every verb, and the detector that they stand for. */
import {
  type Calibration,
  type Detector,
  type LabelBank,
  type LoadDetectorOptions,
  loadDetector,
  loadLabelsFile,
  loadModel,
  type Model,
  readCalibration,
} from 'clipn-native';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ServeError } from './errors';

/** Which model, and which classes. */
export interface ClassFlags {
  model: string;
  labels?: string;
  labelsFile?: string;
  bank?: string;
  negatives?: string;
  trustedSha256?: string;
  libtorch?: string;
}

export interface DetectorFlags extends ClassFlags {
  calibration?: string;
  threshold?: number;
  device?: 'auto' | 'cpu' | 'cuda';
  precision?: NonNullable<LoadDetectorOptions['precision']>;
}

/** Adds those of model and classes to a verb. */
export function withClassFlags(command: Command): Command {
  return command
    .requiredOption('--model <m>', 'model file, or name of a fetched model')
    .option('--labels <a,b,c>', 'class names, comma-separated')
    .option('--labels-file <file>', 'class names: one a line, or a JSON array')
    .option('--bank <file>', 'label bank of `clipn-native labels`, instead of class names')
    .option('--negatives <words>', 'words that are none of the classes: wordnet, or a file')
    .option('--trusted-sha256 <hex>', 'refuse the model file unless this is its SHA-256')
    .option('--libtorch <dir>', 'folder of libtorch; found by itself when absent');
}

/** Adds all of them to a verb. */
export function withDetectorFlags(command: Command): Command {
  return withClassFlags(command)
    .option('--calibration <file>', 'calibration file: in, out or review')
    .option(
      '--threshold <x>',
      "in when the score is at least this; absent: the paper's rule, of a plain CLIP the nearest of labels and words",
      numberOf,
    )
    .addOption(new Option('--device <device>', 'where to compute').choices(['auto', 'cpu', 'cuda']).default('auto'))
    .addOption(
      new Option('--precision <p>', 'arithmetic')
        .choices(['fp32', 'bf16', 'fp16', 'int8', 'guarded', 'auto'])
        .default('fp32'),
    );
}

/**
 * Reads a number from `least` to `most`; `isWhole` where there are no parts of one.
 *
 * @throws InvalidArgumentError for anything else: it is told with the flag's name
 */
export const numberWithin =
  (least: number, most = Number.MAX_SAFE_INTEGER, isWhole = true) =>
  (text: string): number => {
    const value = numberOf(text);
    if (value >= least && value <= most && (!isWhole || Number.isInteger(value))) return value;
    const range = most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `from ${least} to ${most}`;
    throw new InvalidArgumentError(`A ${isWhole ? 'whole ' : ''}number ${range} is needed.`);
  };

/** @throws InvalidArgumentError unless the text is a number */
function numberOf(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) {
    throw new InvalidArgumentError('A number is needed.');
  }
  return value;
}

/**
 * The detector that the flags stand for; closing it closes the model.
 *
 * @throws ERR_SERVE_USAGE unless exactly one of labels, labels file and bank is named; what `loadDetector` throws
 */
export async function detectorFrom(flags: DetectorFlags): Promise<Detector> {
  return await loadDetector(await detectorOptions(flags));
}

/** @throws as `detectorFrom`, of the flags alone */
async function detectorOptions(flags: DetectorFlags): Promise<LoadDetectorOptions> {
  const named = [flags.labels, flags.labelsFile, flags.bank].filter((each) => each !== undefined);
  if (named.length !== 1) {
    throw new ServeError('ERR_SERVE_USAGE', 'give exactly one of --labels, --labels-file and --bank');
  }
  const { model, bank, negatives, calibration, threshold, device, precision, trustedSha256, libtorch } = flags;
  const labels =
    flags.labelsFile === undefined
      ? flags.labels?.split(',').map((name) => name.trim())
      : await loadLabelsFile(flags.labelsFile);
  return {
    model,
    labels,
    bank,
    negatives,
    calibrationFile: calibration,
    threshold,
    device,
    precision,
    trustedSha256,
    libtorch,
  };
}

/** The model that the flags name, and what a detector of it is made of. */
export interface LoadedModel {
  model: Model;
  /** Labels, or a bank of them. */
  classes: readonly string[] | LabelBank;
  calibration: Calibration | undefined;
  negatives: LoadDetectorOptions['negatives'];
  threshold: number | undefined;
}

/** For a verb that makes more than one detector, or keeps what one is made of. @throws as `detectorFrom` */
export async function modelFrom(flags: DetectorFlags): Promise<LoadedModel> {
  const { model: path, labels, bank, calibrationFile, negatives, threshold, ...loading } = await detectorOptions(flags);
  const calibration = calibrationFile === undefined ? undefined : await readCalibration(calibrationFile);
  const model = await loadModel(path, loading);
  try {
    const classes = bank === undefined ? labels! : await model.loadLabelBank(bank);
    return { model, classes, calibration, negatives, threshold };
  } catch (error) {
    await model.close();
    throw error;
  }
}
