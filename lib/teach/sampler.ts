/** The batch of each step, as a function of the step's number: which samples, captions, views and prompt maps. */
import type { NativeTeacherBatch } from '../native/addon';
import { padIds } from '../text/tokenizer';
import { below, DRAW, shuffled } from './draw';
import type { FeatureReader } from './feature-reader';
import type { TeachNegatives } from './options';

/** B samples: features [B, D], token ids [B, l], prompt maps and groups [B]. */
export type TeachBatch = Omit<NativeTeacherBatch, 'learningRate'>;

export interface SamplerOptions {
  batch: number;
  seed: number;
  negatives: TeachNegatives;
  contextLength: number;
  /** K */
  prompts: number;
}

export class Sampler {
  readonly stepsPerEpoch: number;
  #order: { epoch: number; samples: Uint32Array } | undefined;

  constructor(
    private readonly store: FeatureReader,
    private readonly options: SamplerOptions,
  ) {
    this.stepsPerEpoch = Math.ceil(store.samples / options.batch);
  }

  /** @param step from 0. The last batch of an epoch is filled up with the epoch's first samples. */
  batch(step: number): TeachBatch {
    const { store } = this;
    const { batch: n, seed, negatives, contextLength, prompts } = this.options;
    const epoch = Math.floor(step / this.stepsPerEpoch);
    if (this.#order?.epoch !== epoch) this.#order = { epoch, samples: shuffled(store.samples, seed, epoch) };
    const first = (step % this.stepsPerEpoch) * n;
    const d = store.dim;
    const image = new Float32Array(n * d);
    const yes = new Float32Array(n * d);
    const maps = new BigInt64Array(n);
    const groups = negatives === 'distinct' ? new BigInt64Array(n) : undefined;
    const rows: number[][] = [];
    const groupOf = new Map<string, number>();
    for (let i = 0; i < n; i++) {
      const sample = this.#order.samples[(first + i) % store.samples]!;
      const view = below(store.views, DRAW.view, seed, epoch, sample);
      const caption = below(store.captionsOf(sample), DRAW.caption, seed, epoch, sample);
      store.image(sample, view, image.subarray(i * d, (i + 1) * d));
      const ids = store.text(sample, caption, yes.subarray(i * d, (i + 1) * d));
      rows.push([...ids]);
      maps[i] = BigInt(below(prompts + 1, DRAW.prompt, seed, step, i));
      if (groups) {
        const index = store.classOf(sample);
        const same = index === undefined ? ids.join() : `class ${index}`;
        if (!groupOf.has(same)) groupOf.set(same, groupOf.size);
        groups[i] = BigInt(groupOf.get(same)!);
      }
    }
    return { n, d, ...padIds(rows, contextLength), image, yes, maps, groups };
  }
}

/** Half a cosine from `lr` at step 0 to 0 after `steps` (spec 5.3). */
export function learningRate(step: number, steps: number, lr: number): number {
  return 0.5 * (1 + Math.cos((Math.PI * step) / steps)) * lr;
}
