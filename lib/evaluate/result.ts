/** What an evaluation found: the one object that its report, JSON and CSV are made of. Plain data, JSON-safe. */
import type { Interval } from '../metrics/intervals';
import type { OodMetrics, SetMetrics } from '../metrics/metrics';

/** Densities of one score: shared bin edges, a count per bin for ID and each OOD set. */
export interface Histogram {
  /** [bins + 1], rising. */
  edges: number[];
  /** How many ID images are in each bin. */
  id: number[];
  /** The same, by OOD set. */
  ood: Record<string, number[]>;
}

/** One score over all sets. */
export interface ScoreResults {
  /** Formula, one line, as in the scorer's docstring. Every score of an evaluation is higher = more in-distribution. */
  formula: string;
  /** Where the formula comes from: spec section or paper. */
  source: string;
  /** By name of the OOD set. */
  sets: Record<string, SetMetrics>;
  /** Plain means over the OOD sets (spec 4.3). */
  average: OodMetrics;
  /** How the score is distributed. */
  histogram: Histogram;
}

/** An image worth looking at: among the worst false accepts or rejects under the deciding score. */
export interface Example {
  /** 'id' or the name of an OOD set. */
  set: string;
  /** Relative to the set's folder. */
  image: string;
  /** True class, for ID images. */
  truth: string | null;
  /** Its deciding score. */
  score: number;
  /** By falling p; `pYes` is null for a plain CLIP. */
  top: { label: string; p: number; pYes: number | null }[];
  /** data: URI of a small JPEG, or null when the image is no longer there. */
  thumbnail: string | null;
}

/** One per label, in label order. Shares are null for a label without images, and all are when the ID folder is flat. */
export interface ClassResult {
  /** Its name. */
  label: string;
  /** ID images of the class. */
  images: number;
  /** Share of its images whose top label it is. */
  accuracy: number | null;
  /** Share of its images accepted at the 95 % ID recall threshold of the deciding score. */
  accepted: number | null;
  /** OOD images accepted at that threshold whose top label it is. */
  falseAccepts: number;
}

/** One folder of images. */
export interface ImageSet {
  /** As given. */
  folder: string;
  /** Images scored: those found less the unreadable ones. */
  images: number;
  /** Files that are no images: left alone. */
  otherFiles: number;
  /** `image` is relative to the folder. */
  unreadable: { image: string; code: string; message: string }[];
}

/** In 2 the hashes of labels and negative words are those of their JSON, as a calibration's are; in 1 of lines. */
export const EVAL_FORMAT = 'clipn-native eval 2';

/** What an evaluation found: plain data, JSON-safe. `writeReport` makes a page of it. */
export interface EvalResult {
  /** Name of this format. */
  format: typeof EVAL_FORMAT;
  /** ISO 8601; of SOURCE_DATE_EPOCH where that is set, so that two runs can be compared byte for byte. */
  created: string;
  /** Where all of it comes from. */
  provenance: {
    /** The model; `path` of the file that was read. */
    model: { path: string; contentId: string; precision: string; kind: string };
    /** Resize rule, size, EXIF, mean and standard deviation, in words. */
    preprocessing: string;
    /** `sha256` as in a calibration's `fittedFor.labels`. */
    labels: { count: number; sha256: string };
    /** The sentences that the labels were put into. */
    templates: { name: string; count: number; sha256: string };
    /** Negative words, when there were any: `dropped` equalled a label; `sha256` as in a calibration's `fittedFor.negatives`. */
    negatives: { count: number; dropped: number; groups: number; sha256: string } | null;
    /** Of this package, libtorch and Node, and the kernels' CPU target. */
    versions: Record<string, string>;
    /** What was run. */
    command: string;
  };
  /** Accuracy is null when the ID folder has no class folders. */
  id: ImageSet & { accuracy: number | null; accuracyInterval: Interval | null };
  /** By name of the OOD set. */
  ood: Record<string, ImageSet>;
  /** The score that examples and classes are judged by. */
  decidingScore: string;
  /** Of the deciding score: the highest threshold with ID recall >= 0.95. */
  threshold: number;
  /** By name of the score. */
  scores: Record<string, ScoreResults>;
  /** Scores that were not computed, and why: a plain CLIP, no word list, … */
  skipped: { score: string; why: string }[];
  /** What a reader should know: labels given twice, labels without images, … */
  warnings: string[];
  /** How each class fares. */
  classes: ClassResult[];
  /** The worst mistakes under the deciding score. */
  worst: { falseAccepts: Example[]; falseRejects: Example[] };
  /** When the evaluation was given a calibration: what it does with the images of these sets. */
  calibration: {
    /** Share of ID images that it is to keep; null when the file does not tell it, as the next two. */
    target: number | null;
    /** How sure it is. */
    confidence: number | null;
    /** ID images that it was fitted on. */
    images: number | null;
    /** The score that it compares. */
    score: string;
    /** `in` from this on. */
    threshold: number;
    /** `review` from this on; null without. */
    reviewFrom: number | null;
    /** Whether thresholds are for scores less the offset of the class, rather than for scores. */
    byClass: boolean;
    /** Share of these ID images that are `in`. */
    idAccepted: number;
    /** The same, by OOD set. */
    oodAccepted: Record<string, number>;
    /** Share of these ID images that are `in` or `review`. */
    idNotOut: number;
    /** The same, by OOD set. */
    oodNotOut: Record<string, number>;
    /** Of other targets, by the calibration's own scores: the share of these ID images that would be kept. */
    curve: { target: number; threshold: number; kept: number; interval: Interval }[];
  } | null;
  /** Published numbers (spec 6) as fractions, only where ID set, OOD set and score match the paper's protocol. */
  published: { source: string; score: string; set: string; auroc: number; fpr95: number }[];
}
