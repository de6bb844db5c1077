/** The page: photos that are dropped, pasted, chosen or seen by the camera, and what the server says of them. */
import { hasCamera, startCamera } from './camera.mjs';
import { driftSoon } from './drift-chart.mjs';
import { onFiles } from './drops.mjs';
import { asSentence, element, input } from './elements.mjs';
import { drawLabels } from './labels.mjs';
import { askLabels, askModel, check, makeLabels, Problem, setKey } from './server.mjs';
import { drawVerdict, drawWhere } from './stage.mjs';
import { addCard, cardTo, drawCard, KEPT } from './strip.mjs';
import { decideBy, drawThreshold, setThreshold, valueAt } from './threshold.mjs';

/** @import { Answer, LabelList, ModelInfo, Photo } from './types' */

const AT_ONCE = 4;

/** The newest first. @type {Photo[]} */
let photos = [];
/** @type {Photo | undefined} */
let chosen;
/** @type {ModelInfo | undefined} */
let model;
/** The server's own, and those in use. @type {{ own: LabelList, used: LabelList } | undefined} */
let labels;
/** Of the photo on the stage. */
let pictureUrl = '';
/** @type {Awaited<ReturnType<typeof startCamera>> | undefined} */
let camera;
/** What the camera's last picture is. @type {Answer | undefined} */
let live;

const large = /** @type {HTMLImageElement} */ (element('large'));
const video = /** @type {HTMLVideoElement} */ (element('video'));

// Judging

/** Photos that wait for an answer, with whether it is the first. @type {{ photo: Photo, isFirst: boolean }[]} */
let waiting = [];
let running = 0;

/** @param {Iterable<File | Blob>} files */
function add(files) {
  const images = [...files].filter((file) => file.type === '' || file.type.startsWith('image/'));
  if (images.length === 0) return;
  stopCamera();
  for (const file of images) keep(addCard('name' in file ? file.name : 'picture', file));
  choose(photos[0]);
}

/** @param {Photo} photo */
function keep(photo) {
  photos.unshift(photo);
  for (const { card } of photos.splice(KEPT)) card.remove();
  element('last').hidden = false;
  judge(photo, true);
}

/** @param {Photo} photo @param {boolean} isFirst */
function judge(photo, isFirst) {
  waiting.push({ photo, isFirst });
  next();
}

async function next() {
  if (running >= AT_ONCE || labels === undefined) return;
  const turn = waiting.shift();
  if (turn === undefined) return;
  const { photo, isFirst } = turn;
  if (!photos.includes(photo)) return next();
  running++;
  drawStatus();
  const { id } = labels.used;
  try {
    const answer = await check(photo.blob, { labels: id, observe: isFirst });
    if (labels.used.id === id) Object.assign(photo, { answer, failure: undefined });
  } catch (error) {
    fail(error, photo, isFirst);
  } finally {
    running--;
    next();
  }
  drawCard(photo);
  if (photo === chosen) drawAnswer();
  drawThreshold(photos, chosen);
  drawStatus();
  if (model?.drift) driftSoon();
}

/** @param {unknown} error @param {Photo} photo @param {boolean} isFirst */
function fail(error, photo, isFirst) {
  if (!(error instanceof Problem)) throw error;
  if (error.code === 'ERR_SERVE_LABELS_UNKNOWN' && labels) {
    // The server forgot them, for others gave theirs.
    waiting.push({ photo, isFirst });
    useLabels(labels.used.labels);
    return;
  }
  photo.failure = { message: error.message, hint: error.hint };
  delete photo.answer;
  if (error.status === 0 || error.status === 401 || error.status >= 500) tell(error);
}

/** Everything that is shown, under other labels. */
function judgeAgain() {
  waiting = [];
  for (const photo of chosen ? [chosen, ...photos.filter((each) => each !== chosen)] : photos) {
    judge(photo, photo.answer === undefined && photo.failure === undefined);
  }
}

// Labels

let changing = new AbortController();

/** @param {string[]} wanted */
async function useLabels(wanted) {
  if (labels === undefined) return;
  changing.abort();
  changing = new AbortController();
  const { signal } = changing;
  const { own } = labels;
  const isTheServers = wanted.length === own.labels.length && wanted.every((label) => own.labels.includes(label));
  // At once, before the server has them.
  drawLabels({ ...labels.used, labels: wanted }, isTheServers, useLabels);
  element('status').textContent = 'The server learns the classes…';
  try {
    const used = isTheServers ? own : await makeLabels(wanted, signal);
    labels = { own, used: { ...used, labels: isTheServers ? own.labels : wanted } };
    decideBy(used.decides);
  } catch (error) {
    if (signal.aborted) return;
    tell(error);
  }
  drawLabels(labels.used, labels.used.id === own.id, useLabels);
  drawThreshold(photos, chosen);
  drawStatus();
  judgeAgain();
}

// What is shown

function drawStatus() {
  const left = waiting.length + running;
  const count = `${photos.length} photo${photos.length === 1 ? '' : 's'}`;
  const ready = photos.length === 0 ? 'Ready' : count;
  element('status').textContent = left > 0 ? `Judging, ${left} to go` : camera ? 'Looking through the camera' : ready;
}

/** @param {Photo | undefined} photo */
function choose(photo) {
  chosen = photo;
  for (const { card } of photos) {
    card.ariaSelected = String(card === photo?.card);
    card.tabIndex = card === photo?.card ? 0 : -1;
  }
  URL.revokeObjectURL(pictureUrl);
  pictureUrl = '';
  large.hidden = true;
  if (photo) {
    pictureUrl = URL.createObjectURL(photo.blob);
    large.src = pictureUrl;
    large.alt = photo.name;
    photo.card.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }
  element('name').textContent = photo?.name ?? '';
  drawStage();
  drawAnswer();
  drawThreshold(photos, chosen);
}

/** @param {number} width @param {number} height */
const shape = (width, height) => element('figure').style.setProperty('--ratio', String(width / height));

large.onload = () => {
  if (camera) return;
  large.hidden = false;
  shape(large.naturalWidth, large.naturalHeight);
  drawPatches();
};
large.onerror = () => {
  large.hidden = true;
  if (chosen) element('name').textContent = `${chosen.name} (no preview)`;
};

function drawStage() {
  const isEmpty = chosen === undefined && camera === undefined;
  element('empty').hidden = !isEmpty;
  element('figure').hidden = isEmpty;
  video.hidden = camera === undefined;
  element('shoot').hidden = camera === undefined;
  element('answer').hidden = isEmpty;
  document.querySelector('main')?.classList.toggle('judged', !isEmpty);
}

const shownAnswer = () => (camera ? live : chosen?.answer);

function drawAnswer() {
  drawVerdict(shownAnswer(), camera ? undefined : chosen?.failure);
  drawPatches();
}

function drawPatches() {
  const size = camera ? pictureSize : { width: large.naturalWidth, height: large.naturalHeight };
  drawWhere(shownAnswer(), camera || !large.hidden ? size : undefined);
}

/** @param {unknown} error */
function tell(error) {
  if (error instanceof Problem && error.status === 401) {
    element('key-form').hidden = false;
    element('key').focus();
    return;
  }
  const { message, hint = '' } = /** @type {Error & { hint?: string }} */ (error);
  element('error-message').textContent = asSentence(message);
  element('error-hint').textContent = hint;
  element('error').hidden = false;
}

// Camera

/** Of the pictures that it gives. */
let pictureSize = { width: 0, height: 0 };

async function toggleCamera() {
  if (camera) {
    stopCamera();
    choose(photos[0]);
    return;
  }
  const button = /** @type {HTMLButtonElement} */ (element('camera'));
  button.disabled = true; // while the browser asks
  try {
    camera = await startCamera(video, judgeLive);
  } catch (error) {
    const { message } = /** @type {Error} */ (error);
    tell({ message: `The camera cannot be used: ${message}`, hint: 'Allow it for this page in the browser.' });
    return;
  } finally {
    button.disabled = false;
  }
  live = undefined;
  large.hidden = true;
  shape(video.videoWidth, video.videoHeight);
  element('camera').ariaPressed = 'true';
  element('camera').textContent = 'Stop the camera';
  element('name').textContent = '';
  drawStage();
  drawAnswer();
  drawStatus();
}

function stopCamera() {
  camera?.stop();
  camera = undefined;
  element('camera').ariaPressed = 'false';
  element('camera').textContent = 'Camera';
  drawStatus();
}

/** @param {Blob} picture @param {AbortSignal} signal */
async function judgeLive(picture, signal) {
  if (labels === undefined) return;
  try {
    const bitmap = await createImageBitmap(picture);
    const answer = await check(picture, { labels: labels.used.id, observe: false, signal });
    if (signal.aborted) return;
    pictureSize = { width: bitmap.width, height: bitmap.height };
    bitmap.close();
    live = answer;
    drawAnswer();
  } catch (error) {
    if (signal.aborted) return;
    stopCamera();
    choose(photos[0]);
    tell(error);
  }
}

// What the reader does

element('threshold').oninput = () => moveThreshold(valueAt(input('threshold').valueAsNumber));
element('own-rule').onclick = () => {
  moveThreshold(null);
  element('threshold').focus();
};

/** @param {number | null} value */
function moveThreshold(value) {
  setThreshold(value);
  for (const photo of photos) drawCard(photo);
  drawAnswer();
  drawThreshold(photos, chosen);
}

element('own-labels').onclick = () => {
  if (labels) useLabels(labels.own.labels);
  input('label').focus();
};
element('show-map').onchange = drawPatches;
element('choose').onclick = () => input('files').click();
element('files').onchange = () => {
  add(input('files').files ?? []);
  input('files').value = '';
};
element('camera').onclick = toggleCamera;
element('shoot').onclick = async () => {
  if (!camera) return;
  const picture = await camera.picture();
  keep(addCard('camera', picture));
};
element('clear').onclick = () => {
  waiting = [];
  for (const { card } of photos) card.remove();
  photos = [];
  element('last').hidden = true;
  choose(undefined);
  drawStatus();
  element('choose').focus();
};
element('error-close').onclick = () => {
  element('error').hidden = true;
};
element('key-form').onsubmit = (event) => {
  event.preventDefault();
  setKey(input('key').value.trim());
  input('key').value = '';
  element('key-form').hidden = true;
  start();
};

element('strip').onclick = ({ target }) => {
  const card = /** @type {Element} */ (target).closest('.card');
  if (card) focus(card);
};
element('strip').onkeydown = (event) => {
  const card = cardTo(
    event,
    photos.map((photo) => photo.card),
    chosen ? photos.indexOf(chosen) : -1,
  );
  if (card === undefined) return;
  event.preventDefault();
  focus(card);
};

/** @param {Element} card */
function focus(card) {
  if (camera) stopCamera();
  choose(photos.find((photo) => photo.card === card));
  /** @type {HTMLElement} */ (card).focus();
}

onFiles(add);

async function start() {
  element('camera').hidden = !hasCamera();
  try {
    const [info, own] = await Promise.all([askModel(), askLabels()]);
    model = info;
    labels = { own, used: own };
    decideBy(own.decides);
    drawLabels(own, true, model.liveLabels ? useLabels : undefined);
    element('drift-text').textContent = model.drift ? '' : 'Not watched: the server has no calibration with scores.';
    drawThreshold(photos, chosen);
    drawStatus();
    if (model.drift) driftSoon();
    judgeAgain();
  } catch (error) {
    element('status').textContent = '';
    tell(error);
  }
}

start();
