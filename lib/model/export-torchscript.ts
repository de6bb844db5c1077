/** A detector as one TorchScript file, for programs that know libtorch or PyTorch and nothing of this package. */
import { assertArguments, assertOptionNames, type OptionNames, shown } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { writeThenRename } from '../base/write-file';
import { assertBankFits, type LabelBank } from '../labels/bank';
import { runTask, withLane } from '../native/lane';
import type { NegativeBank } from '../scores/negatives';
import type { ModelConfig } from '../weights/model-config';
import { checkModelFile } from '../weights/model-file';
import { refuseOverwriting } from '../weights/source';
import { assertSha256, withTrustedCopy } from '../weights/trusted-copy';
import type { Detector } from './detector';

/** Options of `exportTorchScript`. docs/triton.md */
export interface TorchScriptOptions {
  /**
   * What `forward` takes. Default `pixels`: uint8 [N, S, S, 3], RGB, resized and cropped by the caller (docs/pixels.md).
   * `normalised`: float32 [N, 3, S, S], these pixels over 255, minus `mean`, over `std`.
   */
  input?: 'pixels' | 'normalised';
  /** SHA-256 of the model file in hex: another file is refused. Default: any is read that has the detector's weights. */
  trustedSha256?: string;
  /** Default: nothing calls it off. */
  signal?: AbortSignal;
}

const OPTIONS: OptionNames<TorchScriptOptions> = { input: true, trustedSha256: true, signal: true };

/** One tensor of `forward`, without the dimension N of images. */
export interface ForwardTensor {
  /** Of the argument, or as in the scores that `check` gives. */
  name: string;
  /** As PyTorch calls it. */
  dtype: 'uint8' | 'float32' | 'int64';
  /** Of one image: [1] for a number. */
  shape: readonly number[];
}

/** What the file is, which says so itself: it carries this as JSON, as its extra file `forward.json`. */
export interface TorchScriptForward {
  /** Of this description. */
  formatVersion: 1;
  /** The one argument. */
  input: ForwardTensor;
  /** In the order of the tuple that `forward` gives. */
  outputs: readonly ForwardTensor[];
  /** [C] what `label`, `p` and `pYes` count. */
  labels: readonly string[];
  /** [W] what `word` counts; empty without negative words. */
  words: readonly string[];
  /** S */
  imageSize: number;
  /** What a channel's values in [0, 1] are reduced by, RGB. */
  mean: readonly number[];
  /** What they are then divided by, RGB. */
  std: readonly number[];
  /** The model's weights, as in its clipn.json. */
  contentId: string;
}

/** In the order of core.h, clipn_export_torchscript. */
function outputsOf({ labels, dim, no }: LabelBank, negatives: NegativeBank | undefined): ForwardTensor[] {
  const float = (name: string, count = 1): ForwardTensor => ({ name, dtype: 'float32', shape: [count] });
  const index = (name: string): ForwardTensor => ({ name, dtype: 'int64', shape: [1] });
  const numbers = (...names: string[]) => names.map((name) => float(name));
  const classes = labels.length;
  return [
    float('features', dim),
    index('label'),
    float('p', classes),
    ...numbers('msp', 'maxLogit', 'energy', 'mcm'),
    ...(no ? [float('pYes', classes), ...numbers('ctw', 'atd', 'gap', 'logPOut', 'logQMax')] : []),
    ...(negatives ? [index('word'), ...numbers('negLabel', 'wordMax')] : []),
    ...(no && negatives ? numbers('ole') : []),
  ];
}

function describe(detector: Detector, config: ModelConfig, input: 'pixels' | 'normalised'): TorchScriptForward {
  const { bank, negatives } = detector.scoring;
  const { imageSize: side, mean, std, contentId } = config;
  return {
    formatVersion: 1,
    input:
      input === 'pixels'
        ? { name: 'pixels', dtype: 'uint8', shape: [side, side, 3] }
        : { name: 'pixels', dtype: 'float32', shape: [3, side, side] },
    outputs: outputsOf(bank, negatives),
    labels: bank.labels,
    words: negatives?.words ?? [],
    imageSize: side,
    mean,
    std,
    contentId,
  };
}

/**
 * Writes a detector as one TorchScript module: the image tower in fp32, the label bank and, with negatives, their words,
 * behind one method, `forward(pixels)`. It gives a tuple: `features` [N, D] (unit rows), `label` [N, 1] (index of the top
 * class), `p` [N, C] (softmax shares), `msp`, `maxLogit`, `energy` and `mcm` [N, 1]; of a model with a no tower `pYes`
 * [N, C], `ctw`, `atd`, `gap`, `logPOut` and `logQMax`; with negatives `word` (index of the nearest), `negLabel` and
 * `wordMax`; with both `ole`. The formulas are those of spec 3. What decides (rule, threshold, calibration) is not in it.
 *
 * The file appears under its name only when it is complete. A model file that `export` did not write goes in whole.
 *
 * @param detector of `createDetector` or `loadDetector`; its model's file is read again
 * @throws ClipnError ERR_CLIPN_MODEL_NOT_FOUND, ERR_CLIPN_MODEL_FORMAT or ERR_CLIPN_MODEL_UNTRUSTED for the model file,
 *   ERR_CLIPN_BANK_MISMATCH when it is another one by now, ERR_CLIPN_INVALID_ARG, ERR_CLIPN_IO, or `signal.reason`
 */
export async function exportTorchScript(
  detector: Detector,
  out: string,
  options: TorchScriptOptions = {},
): Promise<TorchScriptForward> {
  assertArguments({ detector: ['detector', detector], out: ['text', out], options: ['options', options] });
  assertOptionNames('exportTorchScript', options, OPTIONS);
  const { input = 'pixels', trustedSha256, signal } = options;
  if (input !== 'pixels' && input !== 'normalised') {
    throw new ClipnError('ERR_CLIPN_INVALID_ARG', `input must be 'pixels' or 'normalised', not ${shown(input)}`);
  }
  if (trustedSha256 !== undefined) assertSha256(trustedSha256);
  const { path } = detector.scoring.info;
  await refuseOverwriting(out, [path]);
  const write = (file: string) => writeForward(detector, file, out, input, signal);
  return await (trustedSha256 === undefined ? write(path) : withTrustedCopy(path, trustedSha256, signal, write));
}

/** @param file the model file, or a copy of it */
async function writeForward(
  detector: Detector,
  file: string,
  out: string,
  input: 'pixels' | 'normalised',
  signal: AbortSignal | undefined,
): Promise<TorchScriptForward> {
  const { bank, negatives } = detector.scoring;
  const config = await checkModelFile(file, signal);
  assertBankFits(bank, { contentId: config.contentId, dim: config.embedDim });
  const forward = describe(detector, config, input);
  const { imageSize: side, mean, std, scale } = config;
  await writeThenRename(out, async (temporary) => {
    signal?.throwIfAborted();
    // The core is not told of the signal: it must have let go of the temporary file before that is removed.
    const work = {
      model: file,
      target: temporary,
      bank: {
        features: new Float32Array(0),
        yes: bank.yes,
        no: bank.no ?? undefined,
        n: 0,
        c: bank.labels.length,
        d: bank.dim,
        k: 0,
        scale,
        logits: false,
        device: 'cpu' as const,
        bankId: 0,
        words: negatives?.rows,
        groupEnds: negatives?.groupEnds,
      },
      side,
      normalised: input === 'normalised',
      mean,
      std,
      json: `${JSON.stringify(forward)}\n`,
    };
    await withLane((lane) => runTask(lane, undefined, () => lane.exportTorchScript(work)));
    signal?.throwIfAborted();
  });
  return forward;
}
