/** How the page names and explains each metric. */
import type { OodMetrics } from '../metrics/metrics';

export interface MetricName {
  key: keyof OodMetrics;
  name: string;
  higherIsBetter: boolean;
  /** In plain words; spec section 4.3. */
  meaning: string;
}

export const METRIC_NAMES: readonly MetricName[] = [
  {
    key: 'auroc',
    name: 'AUROC',
    higherIsBetter: true,
    meaning:
      'How often a random ID image scores higher than a random OOD image; a tie counts half. 50 % is chance, 100 % is perfect. It needs no threshold.',
  },
  {
    key: 'fprAtIdTpr95',
    name: 'FPR95',
    higherIsBetter: false,
    meaning:
      'The share of OOD images that are accepted when the threshold keeps 95 % of the ID images. ID is the positive class. This is the FPR95 of the CLIPN paper, with its rule: linear interpolation between the two ROC vertices around a recall of 0.95.',
  },
  {
    key: 'fprAtOodTpr95',
    name: 'FPR95, OOD positive',
    higherIsBetter: false,
    meaning:
      'The mirror image, which other papers call FPR95 too: the share of ID images that are rejected when the threshold catches at least 95 % of the OOD images. The two differ, so compare only like with like.',
  },
  {
    key: 'auprIn',
    name: 'AUPR-in',
    higherIsBetter: true,
    meaning:
      'Average precision with ID as the positive class. It depends on how many images each side has: compare it only between equal sets.',
  },
  {
    key: 'auprOut',
    name: 'AUPR-out',
    higherIsBetter: true,
    meaning: 'Average precision with OOD as the positive class, on negated scores. It depends on the image counts too.',
  },
];
