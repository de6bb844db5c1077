/** The threshold: the server's rule, or a score that the reader moves; verdicts and sentences that follow from it. */
import { draw, element, input, percent, short } from './elements.mjs';

/** @import { Answer, Decides, Photo, Verdict } from './types' */

/** Scores whose range is known. */
const SHARES = ['atd', 'ctw', 'msp', 'mcm', 'negLabel', 'ole'];
const STEPS = 200;

/** @type {Decides} */
let decides = { rule: 'atd', score: 'atd', threshold: null, outBelow: null };
/** The reader's; null: the server's rule decides. @type {number | null} */
let chosen = null;
let range = { low: 0, high: 1 };

/** @param {Answer} answer */
export const scoreOf = ({ scores }) => scores[decides.score] ?? Number.NaN;

/** @param {Answer} answer @returns {Verdict} */
export function verdictOf(answer) {
  if (chosen === null) return answer.verdict;
  return scoreOf(answer) >= chosen ? 'in' : 'out';
}

/** @param {Answer} answer */
export function sentenceOf(answer) {
  if (chosen === null) return answer.why.sentence;
  const [first] = answer.top;
  const known = first?.pYes == null ? `p ${percent(first?.p ?? 0)}` : `p_yes ${percent(first.pYes)}`;
  const isIn = verdictOf(answer) === 'in';
  const reached = isIn ? 'and its score reaches' : 'but its score is below';
  const [score, limit] = apart(scoreOf(answer), chosen);
  return `Looks most like “${answer.label}” (${known}), ${reached} your threshold (${decides.score} ${score}, threshold ${limit}).`;
}

/** With as many digits as tell the two apart. @param {number} a @param {number} b */
function apart(a, b) {
  let digits = 3;
  while (digits < 15 && a !== b && a.toPrecision(digits) === b.toPrecision(digits)) digits++;
  return [a, b].map((value) => String(Number(value.toPrecision(digits))));
}

/** @param {Decides} by */
export function decideBy(by) {
  if (by.score !== decides.score) chosen = null;
  decides = by;
}

/** @param {number | null} value */
export function setThreshold(value) {
  chosen = value;
}

/** Of a position of the slider. @param {number} position */
export const valueAt = (position) => Number((range.low + position * (range.high - range.low)).toPrecision(12));

/** @param {Iterable<Photo>} photos @param {Photo | undefined} current */
export function drawThreshold(photos, current) {
  const judged = [...photos].flatMap(({ answer, ...rest }) => (answer ? [{ ...rest, answer }] : []));
  range = rangeOf(judged.map(({ answer }) => scoreOf(answer)));
  const slider = input('threshold');
  slider.step = String(1 / STEPS);
  const at = chosen ?? decides.threshold ?? (range.low + range.high) / 2;
  slider.value = String((at - range.low) / (range.high - range.low));
  slider.setAttribute('aria-valuetext', chosen === null ? 'the server’s rule' : short(at));
  slider.classList.toggle('unset', chosen === null);
  const text = textOf(judged.length);
  element('threshold-text').textContent = text;
  element('own-rule').hidden = chosen === null;
  const marks = judged.map(({ answer, card }) => {
    const x = (200 * (scoreOf(answer) - range.low)) / (range.high - range.low);
    const isCurrent = card === current?.card;
    return draw('line', {
      ...{ x1: x, x2: x, y1: isCurrent ? 2 : 10, y2: 28, 'data-verdict': verdictOf(answer) },
      class: isCurrent ? 'chosen' : '',
    });
  });
  element('dots').replaceChildren(...marks);
}

/** @param {number} count */
function textOf(count) {
  const bars = count === 0 ? '' : ` Each bar is the score (${decides.score}) of a photo.`;
  if (chosen !== null) return `In from a score of ${short(chosen)} on.${bars}`;
  const { rule, threshold, outBelow } = decides;
  if (threshold !== null && outBelow !== null) {
    return `The server’s rule: in from ${short(threshold)} on, out below ${short(outBelow)}.${bars}`;
  }
  if (threshold !== null) return `The server’s rule: in from ${short(threshold)} on.${bars}`;
  const paper =
    rule === 'atd'
      ? 'out when “none of your classes” is likeliest'
      : 'out when another word is nearer than your classes';
  return `The model’s own rule decides: ${paper}. Move to set a threshold.${bars}`;
}

/** @param {number[]} scores */
function rangeOf(scores) {
  if (SHARES.includes(decides.score)) return { low: 0, high: 1 };
  const all = [...scores, decides.threshold ?? Number.NaN, chosen ?? Number.NaN].filter(Number.isFinite);
  if (all.length === 0) return { low: 0, high: 1 };
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const room = (high - low || 1) / 10;
  return { low: low - room, high: high + room };
}
