/** What an evaluation found: the one object that its report, JSON and CSV are made of. Plain data, JSON-safe. */
import type { Interval } from '../metrics/intervals';
import type { OodMetrics, SetMetrics } from '../metrics/metrics';

/** Densities of one score: shared bin edges, a count per bin for ID and each OOD set. */
export interface Histogram {
  /** [bins + 1], rising. */
  edges: number[];
  id: number[];
  ood: Record<string, number[]>;
}

/** One score over all sets. */
export interface ScoreResults {
  /** Formula, one line, as in the scorer's docstring. Every score of an evaluation is higher = more in-distribution. */
  formula: string;
  /** Where the formula comes from: spec section or paper. */
  source: string;
  sets: Record<string, SetMetrics>;
  /** Plain means over the OOD sets (spec 4.3). */
  average: OodMetrics;
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
  score: number;
  /** By falling p; `pYes` is null for a plain CLIP. */
  top: { label: string; p: number; pYes: number | null }[];
  /** data: URI of a small JPEG, or null when the image is no longer there. */
  thumbnail: string | null;
}

/** One per label, in label order. Shares are null for a label without images, and all are when the ID folder is flat. */
export interface ClassResult {
  label: string;
  images: number;
  /** Share of its images whose top label it is. */
  accuracy: number | null;
  /** Share of its images accepted at the 95 % ID recall threshold of the deciding score. */
  accepted: number | null;
  /** OOD images accepted at that threshold whose top label it is. */
  falseAccepts: number;
}

export interface ImageSet {
  folder: string;
  /** Images scored: those found less the unreadable ones. */
  images: number;
  /** Files that are no images by their extension: left alone. */
  otherFiles: number;
  /** `image` is relative to the folder. */
  unreadable: { image: string; code: string; message: string }[];
}

/** In 2 the hashes of labels and negative words are those of their JSON, as a calibration's are; in 1 of lines. */
export const EVAL_FORMAT = 'clipn-native eval 2';

export interface EvalResult {
  format: typeof EVAL_FORMAT;
  /** ISO 8601; of SOURCE_DATE_EPOCH where that is set, so that two runs can be compared byte for byte. */
  created: string;
  provenance: {
    model: { path: string; contentId: string; precision: string; kind: string };
    preprocessing: string;
    /** `sha256` as in a calibration's `fittedFor.labels`. */
    labels: { count: number; sha256: string };
    templates: { name: string; count: number; sha256: string };
    /** Negative words, when there were any: `dropped` equalled a label; `sha256` as in a calibration's `fittedFor.negatives`. */
    negatives: { count: number; dropped: number; groups: number; sha256: string } | null;
    versions: Record<string, string>;
    command: string;
  };
  /** Accuracy is null when the ID folder has no class folders. */
  id: ImageSet & { accuracy: number | null; accuracyInterval: Interval | null };
  ood: Record<string, ImageSet>;
  /** The score that examples and classes are judged by. */
  decidingScore: string;
  /** Of the deciding score: the highest threshold with ID recall >= 0.95. */
  threshold: number;
  scores: Record<string, ScoreResults>;
  /** Scores that were not computed, and why: a plain CLIP, no word list, … */
  skipped: { score: string; why: string }[];
  /** What a reader should know: labels given twice, labels without images, … */
  warnings: string[];
  classes: ClassResult[];
  worst: { falseAccepts: Example[]; falseRejects: Example[] };
  /** When the evaluation was given a calibration: what it does with the images of these sets. */
  calibration: {
    /** Null when the file does not tell them. `images`: that it was fitted on. */
    target: number | null;
    confidence: number | null;
    images: number | null;
    score: string;
    /** `in` from this on; `review` from `reviewFrom` on, null without. */
    threshold: number;
    reviewFrom: number | null;
    /** Whether thresholds are for scores less the offset of the class, rather than for scores. */
    byClass: boolean;
    /** Shares that are `in`. */
    idAccepted: number;
    oodAccepted: Record<string, number>;
    /** Shares that are `in` or `review`. */
    idNotOut: number;
    oodNotOut: Record<string, number>;
    /** Of other targets, by the calibration's own scores: the share of these ID images that would be kept. */
    curve: { target: number; threshold: number; kept: number; interval: Interval }[];
  } | null;
  /** Published numbers (spec 6) as fractions, only where ID set, OOD set and score match the paper's protocol. */
  published: { source: string; score: string; set: string; auroc: number; fpr95: number }[];
}
