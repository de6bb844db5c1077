/** The photo that is looked at: its verdict, what it rests on, and where in the picture. */
import { asSentence, element, input, make, percent } from './elements.mjs';
import { drawMap } from './patch-map.mjs';
import { sentenceOf, verdictOf } from './threshold.mjs';

/** @import { Answer, Photo } from './types' */

/** @param {Answer | undefined} answer @param {Photo['failure']} failure */
export function drawVerdict(answer, failure) {
  const verdict = answer ? verdictOf(answer) : failure ? 'error' : undefined;
  const line = element('verdict');
  if (verdict) line.dataset['verdict'] = verdict;
  else delete line.dataset['verdict'];
  const said = {
    in: `In: ${answer?.label}`,
    out: 'Out: none of your classes',
    review: `Review: ${answer?.label}?`,
    error: 'Could not be judged',
  };
  line.textContent = verdict ? said[verdict] : 'Looking…';
  const why = failure ? `${asSentence(failure.message)} ${failure.hint}` : '';
  element('sentence').textContent = answer ? sentenceOf(answer) : why;
  drawShares(answer);
}

/** @param {Answer | undefined} answer */
function drawShares(answer) {
  const table = element('shares');
  table.hidden = answer === undefined;
  if (answer === undefined) return;
  const { labels: parts, otherLabels } = answer.why;
  const isSummed = parts[0]?.share !== undefined;
  const rows = parts.map(({ label, p, share }) => ({ label, value: share ?? p, kind: '' }));
  if (isSummed) rows.push({ label: 'all others', value: otherLabels ?? 0, kind: 'others' });
  const atd = answer.scores['atd'] ?? 0;
  table
    .querySelector('caption')
    ?.replaceChildren(
      isSummed ? `Score atd ${atd.toFixed(3)}, the sum of its classes’ parts` : 'Share among your classes',
    );
  table.querySelector('tbody')?.replaceChildren(
    ...rows.map(({ label, value, kind }) => {
      const bar = make('span', 'bar');
      bar.style.width = `${100 * value}%`;
      const head = /** @type {HTMLTableCellElement} */ (make('th', '', label));
      head.scope = 'row';
      return make('tr', kind, head, make('td', 'track', bar), make('td', '', percent(value)));
    }),
  );
}

/**
 * @param {Answer | undefined} answer
 * @param {{ width: number, height: number } | undefined} picture its size in pixels; undefined while there is none to see
 */
export function drawWhere(answer, picture) {
  const { map: patches, mapAbsent } = answer?.why ?? {};
  element('where').hidden = patches === undefined;
  element('note').hidden = mapAbsent === undefined;
  element('note').textContent = mapAbsent === undefined ? '' : `Where it was seen cannot be shown: ${mapAbsent}.`;
  const canvas = /** @type {HTMLCanvasElement} */ (element('map'));
  const isShown = patches !== undefined && picture !== undefined && picture.width > 0 && input('show-map').checked;
  canvas.hidden = !isShown;
  element('legend').hidden = !isShown;
  element('picture').classList.toggle('mapped', isShown);
  if (isShown) drawMap(canvas, patches, picture);
}
