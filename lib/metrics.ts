/** OOD metrics (spec 4.3). */
export interface OodMetrics {
  /** P(id > ood) + P(tie) / 2. */
  auroc: number;
  /** Average precision, ID positive. */
  auprIn: number;
  /** Average precision, OOD positive, on negated scores. */
  auprOut: number;
  /** False-positive rate at ID recall 0.95, ID positive: the paper's interpolated rule (spec 4.3). */
  fprAtIdTpr95: number;
  /** Smallest false-positive rate at which OOD recall is at least 0.95, OOD positive. */
  fprAtOodTpr95: number;
}
