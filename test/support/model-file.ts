/** Opens exported model files and compares what they compute with golden rows. For tests. */
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import type { NativeLane } from '../../lib/native/addon';
import { openEngine } from '../../lib/native/engine';
import { runTask } from '../../lib/native/lane';
import { type ModelConfig, parseModelConfig } from '../../lib/weights/model-config';
import { goldenFile } from './paths';

/** What test/reference/make_golden.py writes. */
export interface Golden {
  images: number;
  weight_check: Record<string, number[]>;
  token_ids: number[][];
  image_features: number[][];
  text_yes: number[][];
  text_no: number[][];
  logits_yes: number[][];
  logits_no: number[][];
  top_label: number[];
}

export async function readGolden<T>(name: string): Promise<T> {
  return JSON.parse(await readFile(goldenFile(name), 'utf8'));
}

export interface Loaded {
  lane: NativeLane;
  handle: unknown;
  methods: number;
  config: ModelConfig;
  tokenizerJson: string;
}

/** Opens a model file in fp32 and closes it after `use`. For CUDA the plugin must be open (`openCuda`). */
export async function withModel<T>(
  file: string,
  use: (model: Loaded) => Promise<T>,
  device: 'cpu' | 'cuda' = 'cpu',
): Promise<T> {
  const { addon } = await openEngine();
  const lane = new addon.Lane(1);
  try {
    const { handle, methods, clipnJson, tokenizerJson } = await runTask(lane, undefined, () =>
      lane.openModel(file, 'fp32', device, false),
    );
    try {
      return await use({ lane, handle, methods, config: parseModelConfig(clipnJson, file), tokenizerJson });
    } finally {
      addon.closeModel(handle);
    }
  } finally {
    await lane.close();
  }
}

export async function encodeText(
  { lane, handle, config }: Loaded,
  tower: 'yes' | 'no',
  ids: number[][],
): Promise<number[][]> {
  const flat = BigInt64Array.from(ids.flat().map(BigInt));
  const [n, l] = [ids.length, ids[0]!.length];
  return rows(await runTask(lane, undefined, () => lane.encodeText(handle, tower, flat, n, l, config.embedDim)), n);
}

export async function encodeImages({ lane, handle, config }: Loaded, count: number): Promise<number[][]> {
  const { imageSize: side, mean, std, embedDim: dim } = config;
  const images = Array.from({ length: count }, (_, k) => formulaImage(k, side));
  const task = { side, mean, std, dim, pixels: false };
  return rows((await runTask(lane, undefined, () => lane.encodeImages(handle, images, task))).features, count);
}

/** Image k of the golden files, by the formula they state. */
export function formulaImage(k: number, side: number) {
  const data = new Uint8Array(side * side * 3);
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      for (let c = 0; c < 3; c++) {
        data[(y * side + x) * 3 + c] = (x * (2 * k + 3) + y * (5 * k + 1) + 60 * c) ^ ((x * y) >> (k + 3));
      }
    }
  }
  return { data, width: side, height: side, channels: 3 as const };
}

function rows(flat: Float32Array, n: number): number[][] {
  const width = flat.length / n;
  return Array.from({ length: n }, (_, i) => [...flat.subarray(i * width, (i + 1) * width)]);
}

export const unit = (row: number[]): number[] => row.map((value) => value / Math.hypot(...row));

/** Every row within `tolerance` of the expected one, relative to that row's largest entry. */
export function assertRows(found: number[][], expected: number[][], tolerance: number): void {
  assert.equal(found.length, expected.length);
  for (const [i, row] of expected.entries()) {
    const largest = Math.max(...row.map(Math.abs));
    assert.equal(found[i]!.length, row.length);
    for (const [j, value] of row.entries()) {
      const difference = Math.abs(found[i]![j]! - value) / largest;
      assert.ok(
        difference <= tolerance,
        `row ${i}, column ${j}: ${found[i]![j]} is not ${value} (off by ${difference})`,
      );
    }
  }
}

// fp32 against float64 values: 1e-5 is what spec 8.2 asks for.
export const FP32 = 1e-5;
