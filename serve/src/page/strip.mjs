/** The last photos, the newest first: a list to walk through with the arrow keys. */
import { element, make } from './elements.mjs';
import { scoreOf, verdictOf } from './threshold.mjs';

/** @import { Photo } from './types' */

/** Photos that are kept; each holds its file. */
export const KEPT = 24;
const WIDTH = 224;

/** @param {string} name @param {Blob} blob @returns {Photo} */
export function addCard(name, blob) {
  const card = make('div', 'card');
  card.role = 'option';
  card.tabIndex = -1;
  card.ariaSelected = 'false';
  const thumbnail = make('div', 'thumbnail');
  const words = make('div', 'words', make('span', 'chip', '…'), ' ', make('span', 'label', ''));
  card.append(thumbnail, words, make('span', 'unseen', `, ${name}`));
  element('strip').prepend(card);
  drawThumbnail(thumbnail, blob);
  const photo = { name, blob, card };
  drawCard(photo);
  return photo;
}

/** @param {HTMLElement} box @param {Blob} blob */
async function drawThumbnail(box, blob) {
  try {
    const bitmap = await createImageBitmap(blob, { resizeWidth: WIDTH, resizeQuality: 'medium' });
    const canvas = document.createElement('canvas');
    canvas.width = bitmap.width;
    canvas.height = bitmap.height;
    canvas.getContext('2d')?.drawImage(bitmap, 0, 0);
    bitmap.close();
    box.replaceChildren(canvas);
  } catch {
    box.replaceChildren('no preview');
  }
}

/** @param {Photo} photo */
export function drawCard({ card, answer, failure }) {
  const verdict = answer ? verdictOf(answer) : failure ? 'error' : undefined;
  if (verdict) card.dataset['verdict'] = verdict;
  else delete card.dataset['verdict'];
  const [chip, label] = card.querySelectorAll('.words span');
  chip?.replaceChildren(verdict ?? '…');
  const said = answer ? (verdict === 'in' ? answer.label : scoreOf(answer).toFixed(3)) : failure ? 'unread' : '';
  label?.replaceChildren(said);
}

/** Where an arrow key leads, or undefined. @param {KeyboardEvent} event @param {Element[]} cards @param {number} at */
export function cardTo({ key }, cards, at) {
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: cards.length - 1 }[key];
  return to === undefined ? undefined : cards[to];
}
