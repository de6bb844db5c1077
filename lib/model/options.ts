/** What a caller may say of a model: how it is loaded, closed, given labels and images. */
import type { OptionNames } from '../base/arguments';
import { ClipnError } from '../base/errors';
import { DECODE_OPTIONS, type DecodeOptions } from '../images/decode';
import { ENCODING_OPTIONS, type EncodingOptions } from '../labels/build-bank';
import type { Device, Precision } from '../native/placement';
import type { BatchOptions, QueueOptions } from './queue-options';

/** How a model is loaded, where it computes, and how many images it takes at once. */
export interface LoadModelOptions {
  /** Where to compute. `cuda` is strict; `auto` takes the CPU where CUDA lacks a piece (`info.deviceReason`). Default `auto`. */
  device?: Device;
  /**
   * Arithmetic of the image tower: `fp32` gives the same verdict everywhere; `auto` is bf16 where the CPU or GPU has it, on an
   * older GPU fp16. `fp16` needs CUDA, `int8` a CPU that has it. `guarded`, on a CPU: int8 or bf16 first, and fp32 for images
   * whose verdict or label that might change (docs/precision.md). Default `fp32`.
   */
  precision?: Precision | 'auto';
  /** Threads of the model's lane, at most 1024. Default 0: libtorch's own choice, one per physical core. */
  threads?: number;
  /** Folder of libtorch; found by itself when absent (docs/libtorch.md). One per process. */
  libtorch?: string;
  /**
   * SHA-256 of the file in hex: a file with another one is refused, with ERR_CLIPN_MODEL_UNTRUSTED, before any of it is
   * used. Takes as much room in the temporary folder as the file has (docs/security.md). Default: any file is loaded.
   */
  trustedSha256?: string;
  /** How images of all callers are gathered into batches. Default up to 8, without waiting. */
  batch?: BatchOptions;
  /** How many images the model takes at once, and what happens to more. Default 64; more wait. */
  queue?: QueueOptions;
  /** Aborts: the call rejects with `signal.reason`. */
  signal?: AbortSignal;
}

export const LOAD_MODEL_OPTIONS: OptionNames<LoadModelOptions> = {
  device: true,
  precision: true,
  threads: true,
  libtorch: true,
  trustedSha256: true,
  batch: true,
  queue: true,
  signal: true,
};

/** Options of `model.close` and `detector.close`. */
export interface CloseOptions {
  /** Answer the images that were taken before (default); else those that are in no batch yet reject with ERR_CLIPN_CLOSED. */
  drain?: boolean;
}

export const CLOSE_OPTIONS: OptionNames<CloseOptions> = { drain: true };

/** How names are encoded. */
export interface LabelBankOptions extends EncodingOptions {
  /** Keep and reuse the bank on disk, in the cache folder. Default true. */
  cache?: boolean;
  /** Leave out the no tower: enough for `msp`, `maxLogit`, `energy` and `mcm`, in half the time. Default false. */
  yesOnly?: boolean;
}

export const LABEL_BANK_OPTIONS: OptionNames<LabelBankOptions> = { ...ENCODING_OPTIONS, cache: true, yesOnly: true };

/** For options beside a bank that is there. @throws ERR_CLIPN_INVALID_ARG for what says how one is encoded */
export function assertNothingToEncode({ templates, yesOnly }: LabelBankOptions = {}): void {
  if (templates === undefined && yesOnly === undefined) return;
  throw new ClipnError('ERR_CLIPN_INVALID_ARG', 'labelBank: a bank has its templates and towers already', {
    hint: 'Leave out `templates` and `yesOnly`, or give the labels instead of a bank.',
  });
}

/** Options of `model.encodeImages`. */
export interface EncodeOptions extends DecodeOptions {
  /** Aborts: the call rejects with `signal.reason`. */
  signal?: AbortSignal;
}

export const ENCODE_OPTIONS: OptionNames<EncodeOptions> = { ...DECODE_OPTIONS, signal: true };
