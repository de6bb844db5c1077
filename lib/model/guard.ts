/** What a guarded model's first tower may decide for a detector: margins, and the images that they come from. docs/precision.md */
import type { Calibration } from '../decide/calibration';
import {
  borderOf,
  type Deciding,
  type Differences,
  differencesOf,
  type LabelSpace,
  type Margins,
  type Measured,
  marginsOf,
} from '../decide/guard';
import type { Decision } from '../decide/rule';
import type { LabelBank } from '../labels/bank';
import type { NativeScores } from '../native/addon';
import type { FirstPrecision } from '../native/placement';
import type { Scores } from '../scores/names';
import type { NegativeBank } from '../scores/negatives';
import type { ScoreResult } from '../scores/score';
import type { DetectorHost } from './detector-host';

/** Which images a detector of a guarded model has encoded again in fp32, and how that is known. */
export interface Guard {
  /** The arithmetic of the first tower. */
  first: FirstPrecision;
  /**
   * An image whose deciding score, nearest label or (with `present`) label by itself lies no farther than this from what would
   * turn it is encoded again: of a share in log-odds, else in the score's unit; of the nearest label a length between features,
   * of labels by themselves in logits.
   */
  margins: Margins;
  /** Where score and label were measured: on the images of the calibration, or on those drawn, where `present` always is. */
  source: 'calibration' | 'drawn images';
  /** How many of those. */
  images: number;
  /** Of drawn images: cosines of features by the first tower with those in fp32. */
  cosine?: { least: number; median: number };
}

/**
 * Photos differ more than drawings do (root mean square, photos of Caltech 101): in bf16 1.4 times as much on the small model,
 * in int8, whose errors come from its codes whatever they stand for, 1.1 times there and 1.25 times on a ViT-B/16. Of 5,000
 * photos these factors leave 0.08 and 0.02 % beyond the margins at most (bench/RESULTS.md).
 */
const FOR_PHOTOS: Record<FirstPrecision, number> = { bf16: 2, int8: 1.5 };

/** The margins for photos from differences on drawn images. */
export function drawnMargins(
  first: FirstPrecision,
  differences: readonly Differences[],
  withPresent: boolean,
): Margins {
  const { score, label, present } = marginsOf(differences, withPresent);
  const factor = FOR_PHOTOS[first];
  return {
    score: factor * score,
    label: factor * label,
    ...(present !== undefined && { present: factor * present }),
  };
}

/** What is guarded. */
export interface Guarded {
  host: DetectorHost;
  bank: LabelBank;
  negatives: NegativeBank | undefined;
  decision: Decision;
  /** Whether labels are told by themselves too. */
  present: boolean;
}

/** The guard of a detector; undefined for a model that has no first tower. Measures where the calibration does not tell. */
export async function guardOf({ host, bank, negatives, decision, present }: Guarded): Promise<Guard | undefined> {
  const { first } = host.info;
  if (first === null) return undefined;
  const fitted = decision.rule === 'calibrated' ? fittedGuard(decision.calibration) : undefined;
  if (fitted?.first === first && !present) {
    const { score, label, images } = fitted;
    return { first, margins: { score, label }, source: 'calibration', images };
  }
  const drawn = await host.drawn();
  const scored = (features: Float32Array) =>
    host
      .scoreFeatures(features, bank, { topK: 1, logits: true, negatives })
      .then((all) => measuredRows(all, drawn.images));
  const [ofFirst, ofOwn] = await Promise.all([scored(drawn.first), scored(drawn.own)]);
  const space = labelSpaceOf(host, bank);
  const differences = ofFirst.map((row, i) => differencesOf(decision, space, row, ofOwn[i]!));
  const margins = drawnMargins(first, differences, present);
  const { images, cosine } = drawn;
  if (fitted?.first !== first) return { first, margins, source: 'drawn images', images, cosine };
  const { score, label } = fitted;
  return { first, margins: { ...margins, score, label }, source: 'calibration', images: fitted.images, cosine };
}

/** Where the labels of a bank lie for a model. */
export const labelSpaceOf = ({ info }: Pick<DetectorHost, 'info'>, { yes, dim }: LabelBank): LabelSpace => ({
  yes,
  dim,
  scale: info.config.scale,
});

const fittedGuard = (calibration: Calibration) => (calibration.formatVersion === 3 ? calibration.guard : undefined);

type Scored = ScoreResult & Pick<NativeScores, 'logitsYes' | 'logitsNo'>;

/** Every score of image i, NaN where there are no words or no no tower. */
function scoresOf(scored: ScoreResult, i: number): Scores {
  const { ctw, atd, msp, maxLogit, energy, mcm, gap, logPOut, negLabel, ole } = scored;
  return {
    ctw: ctw[i]!,
    atd: atd[i]!,
    msp: msp[i]!,
    maxLogit: maxLogit[i]!,
    energy: energy[i]!,
    mcm: mcm[i]!,
    gap: gap[i]!,
    logPOut: logPOut[i]!,
    negLabel: negLabel[i]!,
    ole: ole[i]!,
  };
}

/** Scores of n images with their logits, for `differencesOf`. */
export function measuredRows(scored: Scored, n: number): Measured[] {
  const rows = (all: Float32Array) =>
    Array.from({ length: n }, (_, i) => all.subarray((i * all.length) / n, ((i + 1) * all.length) / n));
  const yes = rows(scored.logitsYes!);
  const no = scored.logitsNo && scored.logitsNo.length > 0 ? rows(scored.logitsNo) : undefined;
  return yes.map((logits, i) => ({
    scores: scoresOf(scored, i),
    logQMax: scored.logQMax[i]!,
    wordMax: scored.wordMax[i]!,
    yes: logits,
    no: no?.[i],
  }));
}

/**
 * What the answers for n images rest on, from scores with their logits; without `present`.
 *
 * @param within of borders between labels those that are farther may be left out
 */
export function decidingRows(scored: Scored, n: number, space: LabelSpace, within: number): Deciding[] {
  return measuredRows(scored, n).map(({ scores, logQMax, wordMax, yes }, i) => {
    const top = scored.topIndex[i * scored.k]!;
    return { scores, logQMax, wordMax, top, border: borderOf(space, yes, top, within) };
  });
}
