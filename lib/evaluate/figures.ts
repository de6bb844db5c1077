/** The figures of an `EvalResult`, from the scores of every image. Pure: no model, no file. */
import { type Calibration, calibratedScore } from '../decide/calibration';
import { conformalRank, scoresNeeded } from '../decide/conformal';
import { type ClassLabels, isImagenet } from '../labels/class-names';
import { wilsonInterval } from '../metrics/intervals';
import { idAccuracy } from '../metrics/metrics';
import { publishedNumbers } from './published';
import type { EvalResult } from './result';
import { acceptedShare, classResults, recallThreshold, scoreResults } from './score-figures';
import type { Scored } from './score-pass';
import { type IdAndOod, type ReadableSet, setSummary } from './sets';
import type { UsableScorers } from './usable';

/** Labels, and whether the ID images lie in folders of their classes. */
export interface KnownClasses extends ClassLabels {
  labelled: boolean;
}

export interface Evidence {
  classes: KnownClasses;
  /** From `trueLabels`. */
  truth: Int32Array;
  /** Name of the score that classes and examples are judged by. */
  deciding: string;
  calibration: Calibration | undefined;
  scorers: UsableScorers;
  readable: IdAndOod<ReadableSet>;
  /** Of the same sets. */
  scored: IdAndOod<Scored>;
}

/** The label of each readable ID image, by its class folder; -1 where that is not known. */
export function trueLabels(id: ReadableSet, classes: KnownClasses): Int32Array {
  return Int32Array.from(id.kept, (image) => classes.labelOf[id.set.classOf[image]!] ?? -1);
}

type Figures = Omit<EvalResult, 'format' | 'created' | 'provenance' | 'worst'>;

export function figuresOf(evidence: Evidence): Figures {
  const { classes, truth, deciding, calibration, scorers, readable, scored } = evidence;
  const [id, ...ood] = readable;
  const [idScored, ...oodScored] = scored;
  const perOodSet = <T>(make: (set: number) => T) =>
    Object.fromEntries(ood.map(({ set }, index) => [set.name, make(index)]));
  const oodValues = (score: string) => perOodSet((set) => oodScored[set]!.scores[score]!);
  const idValues = (score: string) => idScored.scores[score]!;

  const threshold = recallThreshold(idValues(deciding));
  const results = scorers.usable.map(
    (scorer) => [scorer.name, scoreResults(scorer, idValues(scorer.name), oodValues(scorer.name))] as const,
  );
  return {
    id: { ...setSummary(id), ...accuracyOf(truth, idScored.top, classes.labelled) },
    ood: perOodSet((set) => setSummary(ood[set]!)),
    decidingScore: deciding,
    threshold,
    scores: Object.fromEntries(results),
    skipped: scorers.skipped,
    warnings: classWarnings(classes),
    classes: classResults(classes.labels, truth, idScored, oodScored, deciding, threshold),
    calibration: calibration
      ? calibratedShares(
          calibration,
          idScored,
          perOodSet((set) => oodScored[set]!),
        )
      : null,
    published: publishedNumbers(isImagenet(classes.labels), {
      id: id.set.images.length,
      ood: perOodSet((set) => ood[set]!.set.images.length),
    }),
  };
}

function accuracyOf(truth: Int32Array, top: Int32Array, labelled: boolean) {
  if (!labelled) return { accuracy: null, accuracyInterval: null };
  const { accuracy, interval } = idAccuracy(top, truth);
  return { accuracy, accuracyInterval: interval };
}

/** Targets of the curve that shows what a calibration keeps: 0.5 to 0.99. */
const CURVE = Array.from({ length: 50 }, (_, i) => (50 + i) / 100);

/** What a calibration does with the images of these sets. */
function calibratedShares(
  calibration: Calibration,
  id: Scored,
  ood: Record<string, Scored>,
): EvalResult['calibration'] {
  const { score, in: threshold, out } = calibration;
  const values = ({ scores, top }: Scored) =>
    scores[score]!.map((value, i) => calibratedScore(calibration, { [score]: value }, top[i]!));
  const idValues = values(id);
  const oodValues = Object.entries(ood).map(([name, of]) => [name, values(of)] as const);
  const oodShares = (from: number) =>
    Object.fromEntries(oodValues.map(([name, of]) => [name, acceptedShare(of, from)] as const));
  const fitted = calibration.formatVersion === 1 ? null : calibration;
  const ranked = calibration.formatVersion === 3 ? calibration.scores : [];
  return {
    target: fitted?.target ?? null,
    confidence: (calibration.formatVersion === 3 ? calibration.confidence : null) ?? null,
    images: fitted?.images ?? null,
    score,
    threshold,
    byClass: calibration.formatVersion === 3 && calibration.offsets !== undefined,
    reviewFrom: out < threshold ? out : null,
    idAccepted: acceptedShare(idValues, threshold),
    oodAccepted: oodShares(threshold),
    idNotOut: acceptedShare(idValues, out),
    oodNotOut: oodShares(out),
    curve: CURVE.filter((target) => ranked.length >= scoresNeeded({ target })).map((target) => {
      const from = ranked[conformalRank(ranked.length, { target }) - 1]!;
      const accepted = idValues.filter((value) => value >= from).length;
      const interval = wilsonInterval(accepted, idValues.length);
      return { target, threshold: from, kept: accepted / idValues.length, interval };
    }),
  };
}

function classWarnings({ labels, labelOf, labelled }: KnownClasses): string[] {
  const without = labels.length - new Set(labelOf).size;
  return labelled && without > 0 ? [`${without} of ${labels.length} labels have no class folder`] : [];
}
