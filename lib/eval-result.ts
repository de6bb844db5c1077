/** What an evaluation found: the one object that its report, JSON and CSV are made of. Plain data, JSON-safe. */
import type { OodMetrics } from './metrics';

/** 95 % confidence interval. */
export interface Interval {
  low: number;
  high: number;
}

/** One score on one OOD set, against all ID images. */
export interface SetMetrics extends OodMetrics {
  intervals: { auroc: Interval; fprAtIdTpr95: Interval };
  /** ROC, ID positive: at most a few hundred vertices, the corners kept. */
  roc: { fpr: number[]; tpr: number[] };
}

/** Densities of one score: shared bin edges, a count per bin for ID and each OOD set. */
export interface Histogram {
  /** [bins + 1], rising. */
  edges: number[];
  id: number[];
  ood: Record<string, number[]>;
}

/** One score over all sets. */
export interface ScoreResults {
  /** Formula and source, one line, as in the scorer's docstring. */
  formula: string;
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
  top: { label: string; p: number; pYes: number }[];
  /** data: URI of a small JPEG, or null when the image is no longer there. */
  thumbnail: string | null;
}

export interface ClassResult {
  label: string;
  images: number;
  /** Share of its images whose top label it is. */
  accuracy: number;
  /** Share of its images accepted at the 95 % ID recall threshold of the deciding score. */
  accepted: number;
  /** OOD images accepted at that threshold whose top label it is. */
  falseAccepts: number;
}

export interface ImageSet {
  folder: string;
  images: number;
  unreadable: { image: string; code: string; message: string }[];
}

export interface EvalResult {
  format: 'clipn-native eval 1';
  /** ISO 8601. */
  created: string;
  provenance: {
    model: { path: string; contentId: string; precision: string; kind: string };
    preprocessing: string;
    labels: { count: number; sha256: string };
    templates: { name: string; count: number; sha256: string };
    versions: Record<string, string>;
    command: string;
  };
  id: ImageSet & { accuracy: number; accuracyInterval: Interval };
  ood: Record<string, ImageSet>;
  /** The score that examples and classes are judged by. */
  decidingScore: string;
  /** Of the deciding score: the highest threshold with ID recall >= 0.95. */
  threshold: number;
  scores: Record<string, ScoreResults>;
  classes: ClassResult[];
  worst: { falseAccepts: Example[]; falseRejects: Example[] };
  /** When the evaluation was given a calibration: its target, threshold and what it does on these sets. */
  calibration: {
    target: number;
    score: string;
    threshold: number;
    images: number;
    idAccepted: number;
    oodAccepted: Record<string, number>;
  } | null;
  /** Published numbers (spec 6), only where ID set, OOD set and score match the paper's protocol. */
  published: { source: string; score: string; set: string; auroc: number; fpr95: number }[];
}
