/** What a model is and can do, from what the core says of its file. */
import { ClipnError } from '../base/errors';
import { METHODS, type NativeModel } from '../native/addon';
import type { FirstPrecision, Placement, Precision } from '../native/placement';
import type { ModelConfig } from '../weights/model-config';

/** What a model is and can do. */
export interface ModelInfo {
  /** The model file. */
  path: string;
  /** Hash of the weights: banks and caches are keyed on it. */
  contentId: string;
  /** Where it computes. */
  device: 'cpu' | 'cuda';
  /** With device `auto`: why it is not CUDA. Else null. */
  deviceReason: string | null;
  /** Of the image tower; labels are encoded in fp32. `guarded` where that was asked for and this machine has a first tower. */
  precision: Precision;
  /** Of a guarded model: the arithmetic of its first tower. Else null. */
  first: FirstPrecision | null;
  /** With `guarded`: why the model is plain fp32. Else null. */
  firstReason: string | null;
  /** Width D of a feature. */
  embedDim: number;
  /** Side S of the square the image tower sees. */
  imageSize: number;
  /** Longest prompt in tokens, start and end included; null without text towers. */
  contextLength: number | null;
  /** Whether the file gives the features of image patches, which GL-MCM needs. */
  hasPatches: boolean;
  /** Whether the file has the yes text tower: without it, labels come from a saved bank. */
  hasText: boolean;
  /** Whether the file has the no text tower: without it, ctw and atd are unavailable. */
  hasNo: boolean;
  /**
   * Whether the towers run with weights packed for this machine; false for a file that `export` did not write, or a CPU
   * without AVX2, which run as the file has them: same features, slower.
   */
  rewritten: boolean;
  /** What the model file says of itself. docs/model-file.md */
  config: ModelConfig;
}

const NO_FIRST = 'this CPU multiplies neither int8 nor bf16 fast enough for a first tower';
const NO_FIRST_AS_IS = 'the file runs as it is, not in int8, and this CPU multiplies bf16 no faster than fp32';

/** @throws ERR_CLIPN_MODEL_FORMAT when the file's methods are not those that its clipn.json promises */
export function modelInfo(path: string, native: NativeModel, placement: Placement, config: ModelConfig): ModelInfo {
  const has = (method: number) => (native.methods & method) !== 0;
  const info = Object.freeze({
    path,
    contentId: config.contentId,
    device: placement.device,
    deviceReason: placement.reason,
    precision: placement.first ? ('guarded' as const) : placement.precision,
    first: placement.first ?? null,
    firstReason: placement.first === null ? (native.rewritten ? NO_FIRST : NO_FIRST_AS_IS) : null,
    embedDim: config.embedDim,
    imageSize: config.imageSize,
    contextLength: config.contextLength,
    hasPatches: has(METHODS.encodeImagePatches),
    hasText: has(METHODS.encodeTextYes),
    hasNo: has(METHODS.encodeTextNo),
    rewritten: native.rewritten,
    config,
  });
  assertMethods(info);
  return info;
}

/** What clipn.json promises, the methods must keep: whether a bank has a "no" side hangs on it. */
function assertMethods({ path, config, hasText, hasNo }: ModelInfo): void {
  const promisesText = !config.imageOnly;
  const promisesNo = promisesText && config.kind === 'clipn';
  if (promisesText === hasText && promisesNo === hasNo) return;
  throw new ClipnError(
    'ERR_CLIPN_MODEL_FORMAT',
    `${path}: clipn.json promises ${towers(promisesText, promisesNo)}, the methods are those of ${towers(hasText, hasNo)}`,
  );
}

function towers(text: boolean, no: boolean): string {
  if (!text) return 'no text tower';
  return no ? 'both text towers' : 'the yes tower';
}
