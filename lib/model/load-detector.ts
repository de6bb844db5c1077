/** From paths and names to a detector in one call. */
import { assertArguments, assertOptionNames, type OptionNames, optionsNamed } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { readCalibration } from '../decide/calibration';
import { assertDetectorOptions, DETECTOR_OPTIONS, type Detector, type DetectorOptions } from './detector';
import { loadModel } from './load';
import {
  assertNothingToEncode,
  LABEL_BANK_OPTIONS,
  type LabelBankOptions,
  LOAD_MODEL_OPTIONS,
  type LoadModelOptions,
} from './options';

/** Options of `loadDetector`: those of `loadModel` and of a detector, and which model and classes. */
export interface LoadDetectorOptions extends LoadModelOptions, DetectorOptions {
  /** Path of the model file, or name of a fetched model, as for `loadModel`. */
  model: string;
  /** Class names; absent when `bank` is given. */
  labels?: readonly string[];
  /** Path of a saved label bank; absent when `labels` are given. */
  bank?: string;
  /** How `labels` are encoded. Default as `model.createLabelBank` does. */
  labelBank?: LabelBankOptions;
  /** Path of a calibration file, in place of `calibration`. Default none. */
  calibrationFile?: string;
}

const LOAD_DETECTOR_OPTIONS: OptionNames<LoadDetectorOptions> = {
  ...LOAD_MODEL_OPTIONS,
  ...DETECTOR_OPTIONS,
  model: true,
  labels: true,
  bank: true,
  labelBank: true,
  calibrationFile: true,
};

/** Loads a model, its labels and a detector in one call; closing the detector closes all of it. */
export async function loadDetector(options: LoadDetectorOptions): Promise<Detector> {
  assertArguments({ options: ['record', options] });
  assertArguments({ model: ['text', options.model], options: ['options', options] });
  assertOptionNames('loadDetector', options, LOAD_DETECTOR_OPTIONS);
  assertOptionNames('labelBank', options.labelBank ?? {}, LABEL_BANK_OPTIONS);
  const { model: path, labels, bank: bankPath, labelBank, calibrationFile, ...rest } = options;
  if ((labels === undefined) === (bankPath === undefined)) {
    throw new ClipnError('ERR_CLIPN_LABELS', 'give either labels or a bank');
  }
  if (calibrationFile !== undefined && rest.calibration !== undefined) {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', 'give either a calibration or a calibrationFile');
  }
  assertDetectorOptions(optionsNamed<DetectorOptions>(DETECTOR_OPTIONS, rest));
  if (bankPath !== undefined) assertNothingToEncode(labelBank);
  const calibration = calibrationFile === undefined ? rest.calibration : await readCalibration(calibrationFile);
  const model = await loadModel(path, optionsNamed<LoadModelOptions>(LOAD_MODEL_OPTIONS, rest));
  try {
    const classes = bankPath === undefined ? labels! : await model.loadLabelBank(bankPath);
    const { signal } = rest;
    return await model.detectorFor(classes, { ...rest, calibration, labelBank: { signal, ...labelBank } }, true);
  } catch (error) {
    await model.close();
    throw error;
  }
}
