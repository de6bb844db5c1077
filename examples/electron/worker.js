/** The work: a model, labels and photos; no word of Electron, so that it runs in any process of Node. */
const { readdir, readFile, stat } = require('node:fs/promises');
const path = require('node:path');
const { loadModel, overlay } = require('clipn-native');

/** @import { Failure, Event, Open, Request } from './messages' */
/** @typedef {{ id: number, path: string, state: 'waiting' | 'answered' | 'failed' }} Photo */

/** As `clipn-native check FOLDER` knows images by their names. */
const IMAGE = /\.(jpe?g|jpe|jif|jfif|png|webp|gif|tiff?|avif|bmp|dib)$/i;

/**
 * @param {(event: Event) => void} send
 * @returns {(request: Request | Open) => Promise<void>} what takes a message; resolves when it is dealt with
 */
function createWorker(send) {
  /** @type {Promise<import('clipn-native').Model>} */
  let loading;
  /** @type {import('clipn-native').Detector | undefined} */
  let detector;
  /** @type {Map<number, Photo>} */
  const photos = new Map();
  let nextId = 0;
  /** The judging under way, one after the other. */
  let judging = Promise.resolve();
  let judgingStop = new AbortController();
  let labelsStop = new AbortController();
  let explainStop = new AbortController();

  /** @param {Open} message */
  async function open({ model, libtorch }) {
    loading = loadModel(model, libtorch === undefined ? {} : { libtorch });
    await loading.catch(() => {}); // told to whoever sends labels
  }

  /** @param {Request & { type: 'labels' }} request */
  async function labels({ labels: names }) {
    stop();
    labelsStop.abort();
    labelsStop = new AbortController();
    const { signal } = labelsStop;
    const model = await loading;
    await judging;
    detector = undefined;
    const wanted = await model.createDetector(names, { labelBank: { signal } });
    signal.throwIfAborted();
    detector = wanted;
    for (const photo of photos.values()) photo.state = 'waiting';
    send({ type: 'labels', warnings: [...detector.warnings] });
    go();
  }

  /** @param {Request & { type: 'add' }} request */
  async function add({ paths }) {
    const files = (await Promise.all(paths.map(imagesIn))).flat();
    /** @type {Photo[]} */
    const added = files.map((file) => ({ id: nextId++, path: file, state: 'waiting' }));
    for (const photo of added) photos.set(photo.id, photo);
    send({ type: 'photos', photos: added.map(({ id, path: file }) => ({ id, name: path.basename(file) })) });
    go();
  }

  function stop() {
    judgingStop.abort();
    judgingStop = new AbortController();
  }

  function go() {
    const { signal } = judgingStop;
    judging = judging.then(() => judgeWaiting(signal)).catch(told);
  }

  /** @param {AbortSignal} signal */
  async function judgeWaiting(signal) {
    const isLeft = [...photos.values()].some(({ state }) => state === 'waiting');
    if (signal.aborted || detector === undefined || !isLeft) return;
    /** Read by the model and not answered yet, in order. @type {Photo[]} */
    const asked = [];
    function* waiting() {
      for (const photo of photos.values()) {
        if (photo.state !== 'waiting') continue;
        asked.push(photo);
        yield photo.path;
      }
    }
    send({ type: 'judging', now: true });
    try {
      for await (const result of detector.stream(waiting(), { signal })) {
        const photo = /** @type {Photo} */ (asked.shift());
        if ('error' in result) {
          photo.state = 'failed';
          send({ type: 'failed', id: photo.id, ...failure(result.error) });
        } else {
          photo.state = 'answered';
          const verdict = result.verdict === 'in' ? 'in' : 'out';
          send({ type: 'answer', id: photo.id, verdict, label: result.label, score: result.scores.atd });
        }
      }
    } finally {
      send({ type: 'judging', now: false });
    }
  }

  function clear() {
    stop();
    photos.clear();
  }

  /** @param {Request & { type: 'picture' }} request */
  async function picture({ id }) {
    const photo = photos.get(id);
    if (photo?.state === 'answered') send({ type: 'picture', id, bytes: await readFile(photo.path) });
  }

  /**
   * Of the last photo asked about alone: who leafs through many does not wait for each.
   *
   * @param {Request & { type: 'explain' }} request
   */
  async function explain({ id, threshold }) {
    explainStop.abort();
    explainStop = new AbortController();
    const { signal } = explainStop;
    const photo = photos.get(id);
    if (photo?.state !== 'answered' || detector === undefined) return;
    const judge = threshold === null ? detector : await (await loading).createDetector(detector.bank, { threshold });
    const { why } = await judge.check(photo.path, { why: true, signal });
    if (why === undefined) return;
    const map = why.map ? await overlay(photo.path, why.map) : null;
    signal.throwIfAborted();
    send({
      type: 'reasons',
      id,
      sentence: why.sentence,
      labels: why.labels.map(({ label, p, share = p }) => ({ label, share })),
      others: why.otherLabels ?? 0,
      map,
      ...(why.mapAbsent !== undefined && { mapAbsent: why.mapAbsent }),
    });
  }

  /** An interruption is nobody's mistake. @param {unknown} error */
  function told(error) {
    if (/** @type {Error} */ (error).name !== 'AbortError') send({ type: 'error', ...failure(error) });
  }

  /** @type {Record<string, (message: any) => Promise<void> | void>} */
  const actions = { open, labels, add, stop, go, clear, picture, explain };
  return async (message) => {
    try {
      await actions[message.type]?.(message);
    } catch (error) {
      told(error);
    }
  };
}

/** A file as it is: what it holds is found out when it is read. @param {string} given */
async function imagesIn(given) {
  const isFolder = await stat(given).then(
    (info) => info.isDirectory(),
    () => false,
  );
  if (!isFolder) return [given];
  const entries = await readdir(given, { recursive: true, withFileTypes: true });
  const images = entries.filter((entry) => entry.isFile() && IMAGE.test(entry.name));
  return images.map((entry) => path.join(entry.parentPath, entry.name)).sort();
}

/** @param {unknown} error @returns {Failure} */
function failure(error) {
  const { code = 'ERROR', message, hint = '' } = /** @type {Error & Partial<Failure>} */ (error);
  return { code, message, hint };
}

module.exports = { createWorker };
