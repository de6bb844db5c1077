/** Why an image got its verdict: what each label, each patch and the threshold had to do with it. docs/reasons.md */
import { type Margin, marginOf } from '../decide/margin';
import type { Decision, Verdict } from '../decide/rule';
import { sentenceOf } from '../decide/sentence';
import type { Region } from '../images/image-input';
import type { PatchMap } from '../images/overlay';
import type { Quality } from '../images/quality';
import { seenSquare } from '../images/seen-square';
import type { LabelBank } from '../labels/bank';
import type { Scores } from '../scores/names';
import type { ModelConfig } from '../weights/model-config';
import type { ModelInfo } from './info';

/** A label of the top list, and its part in the scores. */
export interface LabelReason {
  /** Its name. */
  label: string;
  /** Share among the labels. */
  p: number;
  /** Yes against no for this label alone. Absent for a plain CLIP, as the next two. */
  pYes?: number;
  /** Logit of yes minus logit of no: above 0, yes is likelier. */
  gap?: number;
  /** p · p_yes, this label's summand in the score `atd`. */
  share?: number;
}

/** Where in the image yes is ahead of no for the nearest label. */
export interface GapMap extends PatchMap {
  /** The nearest label. */
  label: string;
  /**
   * What no patch contributed: `values` and `rest` sum to the label's gap. All are logits, as the gap.
   */
  rest: number;
}

/** What a verdict rests on. docs/reasons.md */
export interface Why {
  /** In plain English. */
  sentence: string;
  /** Those of `top`, in its order. */
  labels: LabelReason[];
  /** Share in `atd` of all other labels together: with those of `labels` it sums to the score. Absent for a plain CLIP. */
  otherLabels?: number;
  /** Absent for the rules without a threshold. */
  margin?: Margin;
  /** With negatives: the nearest word, and by how much it is nearer than the nearest label, in logits: negative if it is not. */
  nearestWord?: { word: string; by: number };
  /** Absent where `mapAbsent` says why. */
  map?: GapMap;
  /** Why there is no map. */
  mapAbsent?: string;
}

/** One image as it was judged. */
export interface JudgedImage {
  verdict: Verdict;
  decision: Decision;
  scores: Scores;
  top: readonly { label: string; p: number; pYes: number }[];
  /** Of the labels of `top`. */
  indices: readonly number[];
  /** Log of the largest p_j · p_yes,j; the largest logit of a word. */
  logQMax: number;
  wordMax: number;
  nearestWord?: string | undefined;
  /** [D] */
  feature: Float32Array;
  /** [P, D] */
  contributions?: Float32Array | undefined;
}

/** What the queue no longer has when an image is judged. */
export interface SeenImage {
  /** Of the decoded image, or of its region. */
  width: number;
  height: number;
  region?: Region | undefined;
  quality?: Quality | undefined;
}

const REMARK: Record<Quality, string> = {
  tiny: 'the image is tiny',
  transparent: 'the image is transparent',
  flat: 'the image is of one colour',
  nearlyFlat: 'the image is of nearly one colour',
};

/** Why a model cannot say what its patches contribute; undefined when it can. */
export function mapAbsence({ rewritten, device }: ModelInfo, bank: LabelBank): string | undefined {
  if (bank.no === null) return 'a plain CLIP has no "no" side that a patch could be held against';
  if (device === 'cuda') return 'on a GPU the patches are not looked into: load the model with device cpu';
  if (!rewritten) {
    return 'the program of this model file is not known, or this CPU lacks AVX2: export the checkpoint with clipn-native';
  }
  return undefined;
}

export function whyOf(image: JudgedImage, bank: LabelBank, info: ModelInfo, seen: SeenImage): Why {
  const { decision, scores, top, nearestWord, verdict } = image;
  const labels = labelReasons(image, bank, info.config.scale);
  const margin = marginOf(decision, scores, image.indices[0]!);
  const [first] = top;
  const absent = mapAbsence(info, bank);
  return {
    sentence: sentenceOf({
      verdict,
      rule: decision.rule,
      label: first!.label,
      p: first!.p,
      pYes: first!.pYes,
      none: Math.exp(scores.logPOut),
      bestLabel: Math.exp(image.logQMax),
      nearestWord,
      margin,
      remark: seen.quality && REMARK[seen.quality],
    }),
    labels,
    ...(bank.no && { otherLabels: otherLabels(scores.atd, labels, bank) }),
    ...(margin && { margin }),
    ...(nearestWord !== undefined && { nearestWord: { word: nearestWord, by: image.wordMax - scores.maxLogit } }),
    ...(absent === undefined ? { map: gapMap(image, bank, info.config, seen) } : { mapAbsent: absent }),
  };
}

/** What the labels that are not listed add to ATD; no less than nothing, whatever the rounding. */
function otherLabels(atd: number, listed: readonly LabelReason[], bank: LabelBank): number {
  if (listed.length === bank.labels.length) return 0;
  return Math.max(0, atd - listed.reduce((sum, { share }) => sum + share!, 0));
}

function labelReasons({ top, indices, feature, scores }: JudgedImage, bank: LabelBank, scale: number): LabelReason[] {
  return top.map(({ label, p, pYes }, k) => {
    if (bank.no === null) return { label, p };
    // Of the nearest label the score itself: the two must not differ in a last digit.
    const gap = k === 0 ? scores.gap : dot(feature, 0, direction(bank, indices[k]!, scale));
    return { label, p, pYes, gap, share: p * pYes };
  });
}

/** s · (g_j − h_j) of label j: its product with a feature is the label's gap. */
function direction({ yes, no, dim }: LabelBank, j: number, scale: number): Float64Array {
  const out = new Float64Array(dim);
  for (let d = 0; d < dim; d++) out[d] = scale * (yes[j * dim + d]! - no![j * dim + d]!);
  return out;
}

function dot(rows: Float32Array, first: number, vector: Float64Array): number {
  let sum = 0;
  for (let d = 0; d < vector.length; d++) sum += rows[first + d]! * vector[d]!;
  return sum;
}

function gapMap(image: JudgedImage, bank: LabelBank, config: ModelConfig, seen: SeenImage): GapMap {
  const { imageSize, scale, architecture } = config;
  const grid = Math.floor(imageSize / architecture.patchSize);
  const along = direction(bank, image.indices[0]!, scale);
  const values: number[] = [];
  for (let r = 0; r < grid ** 2; r++) values.push(dot(image.contributions!, r * bank.dim, along));
  const { left, top, width, height } = seenSquare(seen, imageSize, grid * architecture.patchSize);
  const [x, y] = [left + (seen.region?.x ?? 0), top + (seen.region?.y ?? 0)];
  return {
    label: image.top[0]!.label,
    width: grid,
    height: grid,
    values,
    rest: image.scores.gap - values.reduce((sum, value) => sum + value, 0),
    covers: { x, y, width, height },
  };
}
