/** Who is compared on what. Runs of a block take turns; within a block the work of one precision class is equal. */
import { availableParallelism } from 'node:os';
import path from 'node:path';
import type { Case } from './peers/serve';

export interface ContenderSpec {
  name: string;
  /** `guarded`: verdicts as of fp32, most of them from int8 (what has no verdicts has no such precision). */
  precision: 'fp32' | 'tf32' | 'bf16' | 'int8' | 'guarded';
  device: 'cpu' | 'cuda';
  /** A program of peers/ and its arguments. */
  program: string;
  engine?: string;
}

/** ViT-B/16 at 224: what one image takes in matrix products. */
const TOKENS = 197;
const WIDTH = 768;
const LINEARS_FLOP = 12 * TOKENS * 12 * WIDTH * WIDTH * 2;
const ATTENTION_FLOP = 12 * 2 * TOKENS * TOKENS * WIDTH * 2;
const TOWER_FLOP = (TOKENS - 1) * (3 * 16 * 16) * WIDTH * 2 + LINEARS_FLOP + ATTENTION_FLOP;
/** Of the square product that rates the GPU. */
const MATRIX_SIDE = 8192;

const contender = (name: string, precision: ContenderSpec['precision'], program: string, engine?: string) => ({
  name,
  precision,
  program,
  device: 'cpu' as ContenderSpec['device'],
  ...(engine !== undefined && { engine }),
});

const onGpu = (name: string, precision: ContenderSpec['precision'], engine?: string) => ({
  ...contender(name, precision, engine === undefined ? 'clipn.ts' : 'torch_worker.py', engine),
  device: 'cuda' as const,
});

export const CONTENDERS = {
  fp32: contender('clipn-native', 'fp32', 'clipn.ts'),
  bf16: contender('clipn-native', 'bf16', 'clipn.ts'),
  int8: contender('clipn-native', 'int8', 'clipn.ts'),
  guarded: contender('clipn-native', 'guarded', 'clipn.ts'),
  ortFp32: contender('onnxruntime-node', 'fp32', 'onnxruntime.ts'),
  ortInt8: contender('onnxruntime-node', 'int8', 'onnxruntime.ts'),
  hfFp32: contender('transformers.js', 'fp32', 'transformers.ts'),
  hfInt8: contender('transformers.js', 'int8', 'transformers.ts'),
  eagerFp32: contender('PyTorch eager', 'fp32', 'torch_worker.py', 'eager'),
  eagerBf16: contender('PyTorch eager', 'bf16', 'torch_worker.py', 'eager'),
  compileBf16: contender('torch.compile, frozen', 'bf16', 'torch_worker.py', 'compile'),
  linearsFp32: contender('PyTorch', 'fp32', 'torch_worker.py', 'linears'),
  linearsBf16: contender('PyTorch', 'bf16', 'torch_worker.py', 'linears'),
  torchScores: contender('PyTorch', 'fp32', 'torch_worker.py', 'scores'),
  sharp: contender('sharp', 'fp32', 'sharp.ts'),
  pillow: contender('Pillow', 'fp32', 'torch_worker.py', 'pixels'),
  gpuBf16: onGpu('clipn-native', 'bf16'),
  gpuFp32: onGpu('clipn-native', 'fp32'),
  gpuCompileBf16: onGpu('torch.compile, max-autotune', 'bf16', 'compile'),
  gpuEagerBf16: onGpu('PyTorch eager', 'bf16', 'eager'),
  // What CLIPN's users run: a plain script in fp32, with TF32 switched on and as PyTorch comes.
  gpuEagerTf32: onGpu('PyTorch eager', 'tf32', 'eager'),
  gpuEagerFp32: onGpu('PyTorch eager', 'fp32', 'eager'),
  gpuMatrix: onGpu('PyTorch', 'bf16', 'matrix'),
} satisfies Record<string, ContenderSpec>;

export type ContenderKey = keyof typeof CONTENDERS;

export interface Run {
  contender: ContenderKey;
  case: Case;
  /** Name in the table, when it is not the contender's. */
  name?: string;
  /** What the others are compared with. */
  ours?: true;
}

export interface Block {
  /** `gpu` runs only where it is named. */
  group: 'tower' | 'files' | 'scores' | 'pixels' | 'gpu';
  title: string;
  /** What one call handles, for rates. */
  items: number;
  unit: 'images' | 'calls';
  rounds: number;
  runs: Run[];
}

const run = (contender: ContenderKey, work: Case): Run => ({
  contender,
  case: work,
  ...(CONTENDERS[contender].name === 'clipn-native' && { ours: true }),
});

/** What the table of all precisions compares at every batch. */
const TOWERS = ['fp32', 'bf16', 'int8', 'ortFp32', 'ortInt8', 'hfInt8', 'compileBf16'] as const;

/** Towers, and the bare linears in every way there is: the bound is the fastest of them. Guarded images go to verdicts. */
function towers(batch: number, rounds: number, more: readonly ContenderKey[], variants: readonly string[]): Block {
  const linears = (contender: ContenderKey, variant?: string): Run => ({
    contender,
    case: { kind: 'linears', batch, ...(variant !== undefined && { variant }) },
    name: variant === undefined ? 'linears alone, clipn-native' : `linears alone, ${variant}`,
  });
  const other = variants.flatMap((variant) => [
    linears('linearsFp32', variant),
    ...(variant === 'mkl' ? [] : [linears('linearsBf16', variant)]),
  ]);
  return {
    group: 'tower',
    title: `ViT-B/16 image tower, batch ${batch}`,
    items: batch,
    unit: 'images',
    rounds,
    runs: [
      ...[...TOWERS, ...more].map((key) => run(key, { kind: 'tower', batch })),
      { ...run('guarded', { kind: 'raw', count: batch }), name: 'clipn-native, RGB to verdicts' },
      ...(['fp32', 'bf16', 'int8'] as const).map((key) => linears(key)),
      ...other,
    ],
  };
}

function scores(n: number, c: number, rounds: number): Block {
  const work = { kind: 'scores', n, c, d: 512 } as const;
  return {
    group: 'scores',
    title: `Score pass, N = ${n}, C = ${c}, D = 512`,
    items: n,
    unit: 'images',
    rounds,
    runs: [
      { contender: 'fp32', case: work, ours: true },
      { contender: 'torchScores', case: { ...work, variant: 'eager' }, name: 'PyTorch eager, the same scores' },
      { contender: 'torchScores', case: { ...work, variant: 'products' }, name: 'the two matrix products alone' },
    ],
  };
}

function pixels(width: number, height: number): Block {
  const work = { kind: 'pixels', width, height } as const;
  return {
    group: 'pixels',
    title: `Resize and crop to 224 × 224, one thread, from ${width} × ${height}`,
    items: 1,
    unit: 'images',
    rounds: 15,
    runs: [
      { contender: 'pillow', case: { ...work, variant: 'clipn' }, name: 'clipn-native', ours: true },
      { contender: 'pillow', case: { ...work, variant: 'pillow' }, name: 'Pillow (equal bytes)' },
      { contender: 'sharp', case: work, name: "sharp's own resize (other bytes)" },
    ],
  };
}

/** From bytes in the host's memory to features there; the square product is what the GPU's matrix units reach. */
function gpuTower(batch: number, rounds: number): Block {
  const who = ['gpuBf16', 'gpuFp32', 'gpuCompileBf16', 'gpuEagerBf16', 'gpuEagerTf32', 'gpuEagerFp32'] as const;
  const product = { kind: 'matrix', side: MATRIX_SIDE } as const;
  return {
    group: 'gpu',
    title: `On the GPU: ViT-B/16 image tower, bytes to features, batch ${batch}`,
    items: batch,
    unit: 'images',
    rounds,
    runs: [
      ...who.map((key) => run(key, { kind: 'tower', batch })),
      { contender: 'gpuMatrix', case: product, name: `${MATRIX_SIDE}³ matrix product` },
    ],
  };
}

const EVERYONE = [
  ...(['fp32', 'bf16', 'int8', 'guarded'] as const),
  ...(['ortFp32', 'ortInt8', 'hfFp32', 'hfInt8', 'eagerFp32', 'eagerBf16'] as const),
];
const FILES = 32;
const GPU_FILES = 1024;

export const BLOCKS: Block[] = [
  towers(8, 7, ['hfFp32', 'eagerFp32', 'eagerBf16'], ['packed', 'mm', 'mkl']),
  towers(1, 9, ['eagerFp32', 'eagerBf16'], ['packed', 'mm']),
  towers(32, 5, [], ['packed']),
  {
    group: 'files',
    title: `End to end: ${FILES} JPEG files, about 500 × 400, to features (clipn-native: to verdicts, 1000 labels)`,
    items: FILES,
    unit: 'images',
    rounds: 3,
    runs: EVERYONE.map((key) => run(key, { kind: 'files', count: FILES })),
  },
  scores(1, 1000, 15),
  scores(8, 1000, 15),
  scores(64, 1000, 15),
  scores(1024, 1000, 9),
  scores(64, 21841, 9),
  scores(1024, 21841, 3),
  scores(64, 100000, 5),
  pixels(500, 375),
  pixels(1920, 1080),
  pixels(4000, 3000),
  gpuTower(256, 15),
  gpuTower(1, 30),
  {
    group: 'gpu',
    title: `On the GPU, end to end: ${GPU_FILES} images of about 500 × 400 to verdicts, 1000 labels; the tower alone stands above`,
    items: GPU_FILES,
    unit: 'images',
    rounds: 5,
    runs: [
      { ...run('gpuBf16', { kind: 'files', count: GPU_FILES }), name: 'JPEG files' },
      { ...run('gpuBf16', { kind: 'raw', count: GPU_FILES }), name: 'RGB in memory' },
      { ...run('gpuBf16', { kind: 'decode', count: GPU_FILES }), name: 'JPEG files, decoded and no more' },
    ],
  },
];

/** Operations of one call of the case in matrix products; undefined where they are not what it is about. */
export function flopOf(work: Case): number | undefined {
  if (work.kind === 'tower') return work.batch * TOWER_FLOP;
  if (work.kind === 'linears') return work.batch * LINEARS_FLOP;
  return work.kind === 'matrix' ? 2 * work.side ** 3 : undefined;
}

/** Towers whose process is started alone, for load time and memory, and what it then runs. */
export const PROCESSES: { contender: ContenderKey; case: Case }[] = BLOCKS[0]!.runs
  .filter(({ case: work }) => work.kind !== 'linears')
  .map(({ contender, case: work }) => ({ contender, case: work }));

/**
 * Peers keep the memory of large results instead of mapping it anew at each call, which would slow them at large batches;
 * clipn-native runs as its users run it, on a GPU as docs/cuda.md tells them to.
 */
export function envOf(spec: ContenderSpec): Record<string, string> {
  if (spec.program !== 'clipn.ts') return { MALLOC_MMAP_MAX_: '0', MALLOC_TRIM_THRESHOLD_: '4294967295' };
  return spec.device === 'cuda' ? { UV_THREADPOOL_SIZE: String(availableParallelism()) } : {};
}

/** The contender's command line. */
export function commandOf(
  spec: ContenderSpec,
  given: { files: string; checkpoint: string; threads: number; python: string; photos: readonly string[] },
): string[] {
  const program = path.join(__dirname, 'peers', spec.program);
  const how = ['--precision', spec.precision, '--device', spec.device, '--threads', String(given.threads)];
  const common = [...how, '--files', given.files];
  return spec.engine === undefined
    ? [process.execPath, '--import', 'tsx', program, ...common, ...given.photos]
    : [given.python, program, '--engine', spec.engine, '--checkpoint', given.checkpoint, ...common, ...given.photos];
}
