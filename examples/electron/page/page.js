/** The page: shows what the worker tells, and tells the worker what the user does. */

/** @import { Answer, Bridge, Event as WorkerEvent, Failure, Reasons } from '../messages' */
/** @typedef {{ id: number, name: string, card: HTMLElement, answer?: Answer, failure?: Failure, thumbnail?: true }} Photo */

const bridge = /** @type {{ clipn: Bridge }} */ (/** @type {unknown} */ (window)).clipn;

const FIRST_LABELS = 'ferry car airplane piano guitar dalmatian laptop koala strawberry'
  .split(' ')
  .concat('brown bear');
const BINS = 25;
const THUMBNAIL_SIDE = 360;

/** @type {Map<number, Photo>} In the order in which they came. */
const photos = new Map();
/** @type {string[]} */
let labels = JSON.parse(localStorage.getItem('labels') ?? 'null') ?? FIRST_LABELS;
let isReady = false;
let isJudging = false;
/** Judging has ended, and nothing has come since that starts it. */
let hasStopped = false;
/** Held against scores; null: the model's own rule decides. @type {number | null} */
let threshold = null;
/** @type {Photo | undefined} */
let chosen;
/** Of the chosen photo. @type {{ picture?: string, map?: string }} */
let shown = {};

/** @param {string} id */
const element = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
/** @param {string} id */
const input = (id) => /** @type {HTMLInputElement} */ (element(id));

/**
 * @param {string} name
 * @param {string} className
 * @param {...(Node | string)} children
 */
function make(name, className, ...children) {
  const made = document.createElement(name);
  made.className = className;
  made.append(...children);
  return made;
}

/** @param {number} share */
const percent = (share) => (share > 0 && share < 0.005 ? '< 1 %' : `${(100 * share).toFixed(0)} %`);

/** @param {string} message */
const asSentence = (message) => message.replace(/[^.]$/, '$&.');

/** @param {Answer} answer */
const verdictOf = ({ verdict, score }) => (threshold === null ? verdict : score >= threshold ? 'in' : 'out');

/** @type {{ [Type in WorkerEvent['type']]: (event: WorkerEvent & { type: Type }) => void }} */
const heard = {
  labels({ warnings }) {
    isReady = true;
    hasStopped = false;
    for (const photo of photos.values()) {
      photo.answer = undefined;
      photo.failure = undefined;
      drawCard(photo);
    }
    element('error').hidden = true;
    drawWarnings(warnings);
    drawDetails();
  },
  photos({ photos: added }) {
    hasStopped = false;
    for (const { id, name } of added) {
      const photo = { id, name, card: makeCard(id, name) };
      photos.set(id, photo);
      drawCard(photo);
    }
    element('photos').append(...added.map(({ id }) => /** @type {Photo} */ (photos.get(id)).card));
    if (added.length === 0) drawError({ message: 'There is no image in that folder.', hint: '' });
    else if (chosen === undefined) choose(photos.get(added[0].id));
  },
  answer({ id, ...answer }) {
    const photo = photos.get(id);
    if (photo === undefined) return;
    photo.answer = answer;
    drawCard(photo);
    if (photo === chosen) {
      if (shown.picture === undefined) bridge.send({ type: 'picture', id });
      drawDetails();
      ask();
    } else if (photo.thumbnail === undefined) whenSeen.observe(photo.card);
  },
  failed({ id, ...failure }) {
    const photo = photos.get(id);
    if (photo === undefined) return;
    photo.failure = failure;
    drawCard(photo);
    if (photo === chosen) drawDetails();
  },
  judging({ now }) {
    isJudging = now;
    hasStopped = !now;
  },
  picture({ id, bytes }) {
    const photo = photos.get(id);
    if (photo === undefined) return;
    const file = new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (bytes)]);
    if (photo === chosen) show('picture', file);
    if (photo.thumbnail === undefined) drawThumbnail(photo, file);
  },
  reasons(reasons) {
    if (reasons.id === chosen?.id) drawReasons(reasons);
  },
  error: drawError,
};

bridge.onEvent((event) => {
  /** @type {(event: WorkerEvent) => void} */ (heard[event.type])(event);
  drawSoon();
});

/** Large and far files are not read before somebody looks at their cards. */
const whenSeen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    whenSeen.unobserve(target);
    bridge.send({ type: 'picture', id: idOf(target) });
  }
});

/** @param {Element} card */
const idOf = (card) => Number(/** @type {HTMLElement} */ (card).dataset.id);

/**
 * @param {number} id
 * @param {string} name
 */
function makeCard(id, name) {
  const words = make('span', 'words', make('span', 'chip'), make('span', 'label'));
  const card = make('div', 'card', make('span', 'thumbnail'), words, make('span', 'name', name));
  card.role = 'option';
  card.tabIndex = -1;
  card.dataset.id = String(id);
  card.ariaSelected = 'false';
  return card;
}

/** @param {Photo} photo */
function drawCard({ card, answer, failure }) {
  const [chip, label] = card.querySelectorAll('.chip, .label');
  const verdict = answer ? verdictOf(answer) : failure ? 'error' : 'waiting';
  card.dataset.verdict = verdict;
  chip.textContent = verdict === 'waiting' ? '…' : verdict;
  label.textContent = answer ? `${answer.label}${verdict === 'out' ? '?' : ''}` : failure ? 'unreadable' : '';
  if (failure) card.classList.add('unseeable');
}

/** @param {Photo} photo @param {Blob} file */
async function drawThumbnail(photo, file) {
  photo.thumbnail = true;
  try {
    const picture = await createImageBitmap(file);
    const scale = Math.min(1, THUMBNAIL_SIDE / Math.min(picture.width, picture.height));
    const canvas = new OffscreenCanvas(Math.ceil(picture.width * scale), Math.ceil(picture.height * scale));
    canvas.getContext('2d')?.drawImage(picture, 0, 0, canvas.width, canvas.height);
    picture.close();
    const image = document.createElement('img');
    image.alt = '';
    image.src = URL.createObjectURL(await canvas.convertToBlob({ type: 'image/webp' }));
    photo.card.querySelector('.thumbnail')?.replaceChildren(image);
  } catch {
    photo.card.classList.add('unseeable'); // Chromium does not show all that the worker reads, as TIFF
  }
}

let isDrawing = false;
/** What hangs on all photos together is drawn once a frame. */
function drawSoon() {
  if (isDrawing) return;
  isDrawing = true;
  requestAnimationFrame(() => {
    isDrawing = false;
    drawAll();
  });
}

function drawAll() {
  const answers = [...photos.values()].flatMap(({ answer }) => answer ?? []);
  const failed = [...photos.values()].filter(({ failure }) => failure).length;
  const accepted = answers.filter((answer) => verdictOf(answer) === 'in').length;
  const [all, judged] = [photos.size, answers.length + failed];

  element('status').textContent = statusText({ all, judged, failed });
  element('count-all').textContent = String(all);
  element('count-in').textContent = String(accepted);
  element('count-out').textContent = String(answers.length - accepted);
  for (const id of ['toolbar', 'photos', 'clear']) element(id).hidden = all === 0;
  element('empty').hidden = all > 0;
  const progress = /** @type {HTMLProgressElement} */ (element('progress'));
  progress.max = Math.max(1, all);
  progress.value = judged;
  progress.hidden = judged === all;
  element('stop').hidden = !isJudging;
  element('go').hidden = !hasStopped || judged === all;
  drawHistogram(answers);
  drawThreshold();
}

/** @param {{ all: number, judged: number, failed: number }} counts */
function statusText({ all, judged, failed }) {
  if (!isReady) return element('error').hidden ? 'Loading the model…' : '';
  if (all === 0) return 'Ready';
  const unread = failed === 0 ? '' : `, ${failed} could not be read`;
  return judged < all ? `${judged} of ${all} photos${unread}` : `${all} photo${all === 1 ? '' : 's'}${unread}`;
}

/** @param {Answer[]} answers */
function drawHistogram(answers) {
  const bins = Array.from({ length: BINS }, () => 0);
  for (const { score } of answers) bins[Math.min(BINS - 1, Math.floor(score * BINS))] += 1;
  const most = Math.max(1, ...bins);
  const bars = bins.map((count, bin) => {
    const bar = make('i', threshold === null ? '' : (bin + 0.5) / BINS < threshold ? 'out' : 'in');
    bar.style.height = `${(100 * count) / most}%`;
    return bar;
  });
  element('histogram').replaceChildren(...bars);
}

function drawThreshold() {
  const text =
    threshold === null
      ? 'The model’s own rule decides: a photo is out when “none of your classes” is likeliest. Move to set a threshold.'
      : `In from a score of ${threshold.toFixed(2)} on. The bars show the scores of your photos.`;
  element('threshold-text').textContent = text;
  element('threshold').classList.toggle('unset', threshold === null);
  element('own-rule').hidden = threshold === null;
}

/** @param {string[]} warnings */
function drawWarnings(warnings) {
  const box = element('warnings');
  box.hidden = warnings.length === 0;
  const title = warnings.length === 1 ? 'One note on these classes' : `${warnings.length} notes on these classes`;
  box.querySelector('summary')?.replaceChildren(title);
  box.querySelector('ul')?.replaceChildren(...warnings.map((warning) => make('li', '', warning)));
}

/** @param {{ message: string, hint: string }} failure */
function drawError({ message, hint }) {
  element('error-message').textContent = asSentence(message);
  element('error-hint').textContent = hint;
  element('error').hidden = false;
}

/** @param {Photo | undefined} photo */
function choose(photo) {
  if (chosen) chosen.card.ariaSelected = 'false';
  chosen = photo;
  for (const url of Object.values(shown)) URL.revokeObjectURL(url);
  shown = {};
  for (const card of element('photos').querySelectorAll('[tabindex="0"]')) card.setAttribute('tabindex', '-1');
  if (photo) {
    photo.card.ariaSelected = 'true';
    photo.card.tabIndex = 0;
    if (photo.answer) bridge.send({ type: 'picture', id: photo.id });
  }
  drawDetails();
  ask();
}

/** Asks why the chosen photo got its verdict. */
function ask() {
  if (chosen?.answer) bridge.send({ type: 'explain', id: chosen.id, threshold });
}

function drawVerdict() {
  if (chosen === undefined) return;
  const { answer, failure } = chosen;
  const verdict = answer ? verdictOf(answer) : failure ? 'error' : 'waiting';
  element('verdict').dataset.verdict = verdict;
  const said = {
    in: `In: ${answer?.label}`,
    out: 'Out: none of your classes',
    error: 'Could not be read',
    waiting: 'Not judged yet',
  };
  element('verdict').textContent = said[verdict];
}

/** All that is known of the chosen photo before its reasons are. */
function drawDetails() {
  element('details').hidden = chosen === undefined;
  if (chosen === undefined) return;
  const { name, failure } = chosen;
  element('large-name').textContent = name;
  drawVerdict();
  element('sentence').textContent = failure ? `${asSentence(failure.message)} ${failure.hint}` : '';
  element('shares').replaceChildren();
  element('map-choice').hidden = true;
  element('map-note').hidden = true;
  drawPicture();
}

/** @param {Reasons} reasons */
function drawReasons({ sentence, labels: parts, others, map, mapAbsent }) {
  element('sentence').textContent = sentence;
  const rows = [...parts, { label: 'all others', share: others }].map(({ label, share }) => {
    const bar = make('span', 'bar');
    bar.style.width = `${100 * share}%`;
    return make('tr', '', make('th', '', label), make('td', 'track', bar), make('td', '', percent(share)));
  });
  const score = chosen?.answer?.score ?? 0;
  const caption = make('caption', '', `Score ${score.toFixed(3)}, the sum of its classes’ parts`);
  element('shares').replaceChildren(make('table', '', caption, make('tbody', '', ...rows)));
  for (const heading of element('shares').querySelectorAll('th')) heading.scope = 'row';
  element('map-choice').hidden = map === null;
  element('map-note').hidden = mapAbsent === undefined;
  element('map-note').textContent = mapAbsent === undefined ? '' : `Where it was seen cannot be shown: ${mapAbsent}.`;
  if (map) show('map', new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (map)]));
}

/** @param {'picture' | 'map'} what @param {Blob} file */
function show(what, file) {
  const before = shown[what];
  if (before) URL.revokeObjectURL(before);
  shown[what] = URL.createObjectURL(file);
  drawPicture();
}

function drawPicture() {
  const large = /** @type {HTMLImageElement} */ (element('large'));
  const url = (input('map').checked ? shown.map : undefined) ?? shown.picture;
  large.hidden = url === undefined;
  large.alt = chosen?.name ?? '';
  if (url && large.src !== url) large.src = url;
}

/** @param {string[]} wanted */
function setLabels(wanted) {
  labels = [...new Set(wanted.map((label) => label.trim()).filter(Boolean))];
  localStorage.setItem('labels', JSON.stringify(labels));
  drawLabels();
  bridge.send({ type: 'labels', labels });
}

function drawLabels() {
  const chips = labels.map((label) => {
    const remove = make('button', '', '×');
    remove.setAttribute('type', 'button');
    remove.ariaLabel = `Remove ${label}`;
    remove.onclick = () => {
      setLabels(labels.filter((each) => each !== label));
      element('label').focus();
    };
    return make('li', '', label, remove);
  });
  element('labels').replaceChildren(...chips);
}

/** @param {number | null} value */
function setThreshold(value) {
  threshold = value;
  for (const photo of photos.values()) drawCard(photo);
  drawVerdict();
  ask();
  drawSoon();
}

/** @param {string[]} paths */
function add(paths) {
  if (paths.length > 0) bridge.send({ type: 'add', paths });
}

element('label-form').onsubmit = (event) => {
  event.preventDefault();
  const field = input('label');
  if (field.value.trim()) setLabels([...labels, ...field.value.split(',')]);
  field.value = '';
};
element('threshold').oninput = () => setThreshold(input('threshold').valueAsNumber);
element('own-rule').onclick = () => {
  setThreshold(null);
  element('threshold').focus();
};
element('map').onchange = drawPicture;
element('show').onchange = (event) => {
  element('photos').dataset.show = /** @type {HTMLInputElement} */ (event.target).value;
};
element('add-photos').onclick = async () => add(await bridge.choose('photos'));
element('add-folder').onclick = async () => add(await bridge.choose('folder'));
element('stop').onclick = () => bridge.send({ type: 'stop' });
element('go').onclick = () => bridge.send({ type: 'go' });
element('clear').onclick = () => {
  bridge.send({ type: 'clear' });
  photos.clear();
  element('photos').replaceChildren();
  choose(undefined);
  drawSoon();
  element('add-photos').focus();
};
element('error-close').onclick = () => {
  element('error').hidden = true;
};

element('photos').onclick = ({ target }) => {
  const card = /** @type {Element} */ (target).closest('.card');
  if (card) focus(card);
};
element('photos').onkeydown = (event) => {
  const cards = [...element('photos').querySelectorAll('.card')].filter((card) => card.checkVisibility());
  const at = chosen === undefined ? -1 : cards.indexOf(chosen.card);
  const top = cards.map((card) => /** @type {HTMLElement} */ (card).offsetTop);
  const columns = Math.max(1, top.filter((each) => each === top[0]).length);
  const to = {
    ArrowLeft: at - 1,
    ArrowRight: at + 1,
    ArrowUp: at - columns,
    ArrowDown: at + columns,
    Home: 0,
    End: cards.length - 1,
  }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const card = cards[to];
  if (card) focus(card);
};

/** @param {Element} card */
function focus(card) {
  choose(photos.get(idOf(card)));
  /** @type {HTMLElement} */ (card).focus();
}

/** Files are dropped anywhere; nothing that is dropped is opened instead of the page. */
let depth = 0;
window.addEventListener('dragenter', () => {
  depth += 1;
  document.body.classList.add('dragging');
});
window.addEventListener('dragleave', () => {
  depth -= 1;
  if (depth === 0) document.body.classList.remove('dragging');
});
window.addEventListener('dragover', (event) => event.preventDefault());
window.addEventListener('drop', (event) => {
  event.preventDefault();
  depth = 0;
  document.body.classList.remove('dragging');
  add([...(event.dataTransfer?.files ?? [])].map((file) => bridge.pathOf(file)).filter(Boolean));
});

bridge.send({ type: 'clear' });
setLabels(labels);
drawAll();
