/** The diagnosis of a detector in words. */
import { printable } from '../base/wording';
import type { DetectorDiagnosis } from './diagnose-detector';

/** Labels that are told of. */
const TOLD = 5;

/** For people. */
export function formatDetectorDiagnosis({ finding, next, byKind, byLabel, review }: DetectorDiagnosis): string {
  const kinds = byKind.map(({ kind, asked, accepted }) => `${kind} ${accepted}/${asked}`).join(', ');
  const labels = byLabel.slice(0, TOLD).map(({ label, accepted }) => `${printable(label)} ${accepted}`);
  const more = byLabel.length > TOLD ? ` and ${byLabel.length - TOLD} more` : '';
  return [
    printable(finding),
    '',
    `accepted      ${kinds}`,
    ...(labels.length === 0 ? [] : [`taken for     ${labels.join(', ')}${more}`]),
    ...(review === 0 ? [] : [`in review     ${review}`]),
    '',
    printable(next),
  ].join('\n');
}
