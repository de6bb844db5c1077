/** The addon's calls and the plain data that they take and return, as binding/ has them; core.h says what each means. */

/** The sizes of a network (spec 1.1). */
export interface Architecture {
  /** D */
  embedDim: number;
  imageSize: number;
  patchSize: number;
  visionWidth: number;
  visionHeads: number;
  visionLayers: number;
  /** Width of a block's hidden layer; of most networks four times the tower's. */
  visionMlp: number;
  contextLength: number;
  vocabSize: number;
  textWidth: number;
  textHeads: number;
  textLayers: number;
  textMlp: number;
  /** x·σ(1.702x), as in OpenAI's own weights, instead of the exact GELU. */
  quickGelu: boolean;
}

/** The GPU and what keeps it from being used, as the core sees it. */
export interface NativeCuda {
  missing: 'driver' | 'device' | 'architecture' | 'plugin' | null;
  /** What was found instead of the missing piece; '' when nothing is missing. */
  reason: string;
  /** CUDA version that the driver supports, e.g. 13000; 0 without a driver. */
  driver: number;
  devices: number;
  /** Compute capability of device 0, e.g. 90; 0 without one. */
  capability: number;
  /** Bytes of device 0. */
  memory: number;
  /** Name of device 0. */
  name: string;
}

/** What the core says of itself. */
export interface CoreInfo {
  /** libtorch the core was compiled against, e.g. `2.13.0`. */
  torchVersion: string;
  /** Kernels chosen for this CPU: `base`, `avx2`, `avx512` or `avx512bf16` (`CLIPN_CPU` forces one). */
  cpuTarget: string;
  /** libtorch's own choice, e.g. `AVX512`. */
  cpuCapability: string;
  /** The CPU multiplies bf16 matrices natively. */
  cpuBf16: boolean;
  /** The CPU multiplies bytes natively: AVX-512-VNNI, AVX-VNNI or AMX. int8 runs without, at less of a gain. */
  cpuInt8: boolean;
}

/** Arithmetic of an image tower. */
export type Arithmetic = 'fp32' | 'bf16' | 'fp16' | 'int8';

/** 8-bit samples, rows without gaps: 1 channel grey, 3 RGB, 4 RGBA (alpha ignored). */
export interface NativeImage {
  data: Uint8Array;
  width: number;
  height: number;
  channels: 1 | 3 | 4;
}

/** Bits of `NativeModel.methods`, as the enum at `clipn_model_info` in core.h has them. */
export const METHODS = { encodeImage: 1, encodeImagePatches: 2, encodeTextYes: 4, encodeTextNo: 8 } as const;

export interface NativeModel {
  handle: unknown;
  /** Of `METHODS`. */
  methods: number;
  clipnJson: string;
  tokenizerJson: string;
  /** Whether the towers run with weights packed for this machine. */
  rewritten: boolean;
}

export interface NativeScoreInput {
  features: Float32Array;
  yes: Float32Array;
  no: Float32Array | undefined;
  n: number;
  c: number;
  d: number;
  k: number;
  scale: number;
  logits: boolean;
  device: 'cpu' | 'cuda';
  /** Not 0: names the bank's numbers, which a GPU keeps under it. */
  bankId: number;
  /** [w, d], group after group. */
  words?: Float32Array | undefined;
  /** The word after each group's last; the last of them is w. */
  groupEnds?: readonly number[] | undefined;
}

/** One entry per image in each; `top*` are [n, k], `logits*` [n, c]. Meanings: `clipn_score_output` in core.h. */
export interface NativeScores {
  /** p_yes at the top class, in [0, 1]; NaN for a plain CLIP. */
  ctw: Float32Array;
  /** 1 − p(C+1), in [0, 1]; NaN for a plain CLIP. */
  atd: Float32Array;
  /** Largest share among the labels, in [1/C, 1]. */
  msp: Float32Array;
  /** Largest logit of yes. */
  maxLogit: Float32Array;
  /** Log of the sum of all exp(a), a logit. */
  energy: Float32Array;
  /** Largest share at temperature 1, of the raw cosines, in [1/C, 1]. */
  mcm: Float32Array;
  /** Logit of yes minus logit of no at the top class; NaN for a plain CLIP. */
  gap: Float32Array;
  /** log p(C+1): higher = more OUT-of-distribution; NaN for a plain CLIP. */
  logPOut: Float32Array;
  /** Log of the largest p · p_yes: the rule of `atd` says out when `logPOut` exceeds it. NaN for a plain CLIP. */
  logQMax: Float32Array;
  /** The labels' share against the words, mean over groups, in (0, 1); NaN without words. */
  negLabel: Float32Array;
  /** `atd` with the words in the softmax, in [0, 1]; NaN without words and for a plain CLIP. */
  ole: Float32Array;
  /** Largest logit of a word; NaN without words. */
  wordMax: Float32Array;
  /** The word of `wordMax`; -1 without words, and for a feature with NaN. */
  wordIndex: Int32Array;
  /** Labels by falling logit; of equal ones the lower index first. */
  topIndex: Int32Array;
  /** Their shares. */
  topP: Float32Array;
  /** Yes against no for each; NaN for a plain CLIP. */
  topPYes: Float32Array;
  logitsYes?: Float32Array;
  logitsNo?: Float32Array;
}

export interface NativeExportOptions {
  checkpoint: string;
  target: string;
  tensors: { name: string; dtype: string; shape: number[]; stride: number[]; offset: number }[];
  architecture: Architecture;
  dtype: 'fp32' | 'fp16' | 'bf16';
  imageOnly: boolean;
  clipnJson: string;
  tokenizerJson: string;
}

/** core.h `clipn_torchscript_options`. */
export interface NativeTorchScriptOptions {
  model: string;
  target: string;
  /** Of no image. */
  bank: NativeScoreInput;
  side: number;
  normalised: boolean;
  mean: readonly number[];
  std: readonly number[];
  json: string;
}

/** core.h `clipn_teacher_options`. */
export interface NativeTeacherOptions {
  checkpoint: string;
  tensors: NativeExportOptions['tensors'];
  architecture: Architecture;
  precision: 'fp32' | 'bf16';
  device: 'cpu' | 'cuda';
  prompts: number;
  microBatch: number;
  stepsTaken: number;
  scale: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  weightDecay: number;
}

/** core.h `clipn_teacher_batch`: features [n, d], ids [n, l], maps and groups [n]. */
export interface NativeTeacherBatch {
  n: number;
  l: number;
  d: number;
  image: Float32Array;
  yes: Float32Array;
  ids: BigInt64Array;
  maps: BigInt64Array;
  groups: BigInt64Array | undefined;
  learningRate: number;
}

/** core.h `clipn_teacher_losses`. */
export interface NativeTeacherLosses {
  finite: boolean;
  yes: number;
  no: number;
  text: number;
  total: number;
}

export interface Task<T> {
  ticket: number;
  promise: Promise<T>;
}

/** One core thread with a first-in-first-out queue. Tasks run there, never on libuv's pool or the JS thread. */
export interface NativeLane {
  /** `imageOnly`: without text towers; else they are fp32, whatever the precision of the image tower. */
  openModel(path: string, precision: Arithmetic, device: 'cpu' | 'cuda', imageOnly: boolean): Task<NativeModel>;
  encodeImages(
    handle: unknown,
    images: NativeImage[],
    options: {
      side: number;
      mean: readonly number[];
      std: readonly number[];
      dim: number;
      pixels: boolean;
      /** P, to get the patches' features too. */
      patches?: number;
      /** P, to get what each patch contributes to the feature; not together with `patches`. */
      contributions?: number;
    },
  ): Task<{
    features: Float32Array;
    pixels?: Uint8Array;
    patches?: Float32Array;
    contributions?: Float32Array;
  }>;
  encodeText(
    handle: unknown,
    tower: 'yes' | 'no',
    ids: BigInt64Array,
    n: number,
    l: number,
    d: number,
  ): Task<Float32Array>;
  runImageLinears(handle: unknown, n: number): Task<void>;
  score(input: NativeScoreInput): Task<NativeScores>;
  exportModel(options: NativeExportOptions): Task<void>;
  exportTorchScript(options: NativeTorchScriptOptions): Task<void>;
  openTeacher(options: NativeTeacherOptions): Task<unknown>;
  teach(teacher: unknown, batch: NativeTeacherBatch): Task<NativeTeacherLosses>;
  readTeacher(teacher: unknown, part: number, name: string, count: number): Task<Float32Array>;
  cancel(ticket: number): boolean;
  close(): Promise<void>;
  shutDownNow(): void;
}

export interface Addon {
  openCore(preload: string[], core: string): Promise<void>;
  describeCore(): CoreInfo;
  /** Why int8 is refused on this CPU; empty when it is not. Tried at the first call, which takes milliseconds. */
  int8Absence(): string;
  /** Looks at the GPU; with the path of a plugin also opens it, for the whole process. */
  openCuda(plugin: string): Promise<NativeCuda>;
  closeModel(handle: unknown): void;
  closeTeacher(handle: unknown): void;
  Lane: new (threads: number) => NativeLane;
}
