/** What a detector needs of its model; declared here, so that a detector knows no model and a model may make detectors. */
import type { LabelBank } from '../labels/bank';
import type { NativeScores } from '../native/addon';
import type { ScoreOptions, ScoreResult } from '../scores/score';
import type { DrawnFeatures } from './drawn';
import type { ImageQueue } from './image-queue';
import type { ModelInfo } from './info';
import type { CloseOptions } from './options';

export interface DetectorHost {
  readonly info: ModelInfo;
  readonly queue: ImageQueue;
  /** Scores rows that the queue's batches brought, on the model's own lane and device. */
  scoreFeatures(
    features: Float32Array,
    bank: LabelBank,
    options: ScoreOptions & { logits: boolean },
  ): Promise<ScoreResult & Pick<NativeScores, 'logitsYes' | 'logitsNo'>>;
  /** Of a guarded model: images drawn for it, encoded by both towers once. */
  drawn(): Promise<DrawnFeatures>;
  close(options?: CloseOptions): Promise<void>;
}
