/** The model at work for all routes: who may ask, with which labels, and what is learnt from the answers. */
import type { CheckFailure, CheckResult, ImageInput, Model } from 'clipn-native';
import type { Admission } from './admission';
import type { DriftWatch } from './drift';
import type { LabelSet, LabelSets } from './label-sets';
import { TOP } from './options';
import type { Visit } from './visit';

export interface Asked {
  set: LabelSet;
  top?: number | undefined;
  why?: boolean | undefined;
  /** Whether the drift monitor sees it. Default true. */
  observe?: boolean | undefined;
  visit: Visit;
}

export type Answer = CheckResult | CheckFailure;

/** Hears of every answer. */
type Listener = (answer: Answer, set: LabelSet) => void;

export class Judge {
  readonly #listeners: Listener[] = [];
  /** The server was told to end: it is not ready any more, but what comes is still answered. */
  isDraining = false;

  constructor(
    readonly model: Model,
    readonly labels: LabelSets,
    readonly admission: Admission,
    /** Undefined where the calibration holds no scores to compare with. */
    readonly drift: DriftWatch | undefined,
  ) {}

  onAnswer(listener: Listener): void {
    this.#listeners.push(listener);
  }

  /** In order; an image that cannot be read is a failure among the answers. @throws what `detector.check` throws */
  async check(
    images: ImageInput[],
    { set, top = TOP.default, why = false, observe = true, visit }: Asked,
  ): Promise<Answer[]> {
    const { signal } = visit;
    const detector = await visit.within(set.detectorFor(top));
    const answers = await detector.check(images, { why, signal });
    for (const answer of answers) {
      if (observe && set === this.labels.own) this.drift?.update(answer);
      for (const listener of this.#listeners) listener(answer, set);
    }
    return answers;
  }
}
