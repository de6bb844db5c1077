/** The drift monitor's course: how strong the evidence is that the images have changed. */
import { draw, element } from './elements.mjs';
import { askDrift } from './server.mjs';

/** @import { Drift } from './types' */

const LEFT = 30;
const RIGHT = 252;
const TOP = 10;
const BOTTOM = 92;

/** After an answer, and for those of other clients. */
const SOON_MS = 300;
const OFTEN_MS = 5000;

let timer = 0;
let isSoon = false;

/** Asks soon, and from then on now and again. */
export function driftSoon() {
  if (isSoon) return;
  isSoon = true;
  clearTimeout(timer);
  timer = setTimeout(show, SOON_MS);
}

async function show() {
  isSoon = false;
  timer = setTimeout(show, OFTEN_MS);
  if (document.hidden) return;
  try {
    drawDrift(await askDrift());
  } catch {
    // It is asked again; that the server is gone, photos will tell.
  }
}

/** @param {Drift} drift */
function drawDrift({ standing, points }) {
  const { images, out, villeThreshold, alarms } = standing;
  const limit = Math.log10(villeThreshold);
  const values = points.map(({ logMartingale }) => logMartingale / Math.LN10);
  const high = Math.max(limit * 1.25, ...values);
  const low = Math.min(-0.5, ...values);
  const x = (/** @type {number} */ n) => LEFT + ((RIGHT - LEFT) * n) / Math.max(images, 1);
  const y = (/** @type {number} */ value) => BOTTOM - ((BOTTOM - TOP) * (value - low)) / (high - low);
  const level = (/** @type {number} */ value, /** @type {string} */ name, /** @type {string} */ text) => [
    draw('line', { x1: LEFT, x2: RIGHT, y1: y(value), y2: y(value), class: name }),
    draw('text', { x: LEFT - 4, y: y(value) + 3, 'text-anchor': 'end' }, text),
  ];
  const course = points.map((point, i) => `${x(point.images)},${y(values[i] ?? 0)}`).join(' ');
  const chart = element('drift');
  const [alarm] = alarms;
  chart.toggleAttribute('hidden', false);
  chart.classList.toggle('alarmed', alarm !== undefined);
  chart.replaceChildren(
    ...level(0, 'axis', '1'),
    ...level(limit, 'limit', String(villeThreshold)),
    draw('polyline', { points: `${x(0)},${y(0)} ${course}`, class: 'course' }),
    draw('text', { x: LEFT, y: BOTTOM + 12 }, '0'),
    draw('text', { x: RIGHT, y: BOTTOM + 12, 'text-anchor': 'end' }, `${images} images`),
  );
  const odds = 10 ** (values.at(-1) ?? 0);
  const text =
    alarm === undefined
      ? `Evidence that the images have changed: ${shown(odds)}; an alarm is raised at ${villeThreshold}. Seen: ${images}, of them ${out} out.`
      : `Alarm at image ${alarm.images}: the images no longer look like those of the calibration. Seen: ${images}, of them ${out} out.`;
  element('drift-text').textContent = text;
  element('drift-text').classList.toggle('alarmed', alarm !== undefined);
}

/** @param {number} odds */
const shown = (odds) =>
  odds >= 1e6 ? 'over a million' : odds < 0.01 ? 'under 0.01' : String(Number(odds.toPrecision(2)));
