/** The figures of an `EvalResult`, from the scores of every image. Pure: no model, no file. */
import type { Calibration } from '../decide/calibration';
import { type ClassLabels, isImagenet } from '../labels/class-names';
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
    calibration: calibration ? calibratedShares(calibration, idValues, oodValues) : null,
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

/** The shares of these sets that reach the calibration's threshold for `in`. */
function calibratedShares(
  calibration: Calibration,
  idValues: (score: string) => Float64Array,
  oodValues: (score: string) => Record<string, Float64Array>,
): EvalResult['calibration'] {
  const { score, in: threshold } = calibration;
  const fitted = calibration.formatVersion === 2 ? calibration : null;
  const oodShares = Object.entries(oodValues(score)).map(
    ([name, values]) => [name, acceptedShare(values, threshold)] as const,
  );
  return {
    target: fitted?.target ?? null,
    images: fitted?.images ?? null,
    score,
    threshold,
    idAccepted: acceptedShare(idValues(score), threshold),
    oodAccepted: Object.fromEntries(oodShares),
  };
}

function classWarnings({ labels, labelOf, labelled }: KnownClasses): string[] {
  const without = labels.length - new Set(labelOf).size;
  return labelled && without > 0 ? [`${without} of ${labels.length} labels have no class folder`] : [];
}
