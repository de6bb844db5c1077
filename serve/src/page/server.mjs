/** Asks the server; waits where it says to. */

/** @import { Answer, Drift, LabelList, ModelInfo } from './types' */

/** What the server said was wrong. */
export class Problem extends Error {
  /** @param {{ status: number, detail: string, hint: string, code: string }} body */
  constructor({ status, detail, hint, code }) {
    super(detail);
    this.status = status;
    this.hint = hint;
    this.code = code;
  }
}

const UNREACHED = {
  status: 0,
  code: 'UNREACHED',
  detail: 'The server does not answer.',
  hint: 'Is it still running?',
};
/** As long as a tab lives. */
const KEY = 'clipn-api-key';

export const setKey = (/** @type {string} */ key) => sessionStorage.setItem(KEY, key);

/**
 * @param {string} path
 * @param {RequestInit} [init]
 * @returns {Promise<any>}
 */
async function ask(path, init = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...init.headers, ...(key && { authorization: `Bearer ${key}` }) };
  for (;;) {
    /** @type {Response} */
    let response;
    try {
      response = await fetch(path, { ...init, headers });
    } catch (error) {
      init.signal?.throwIfAborted();
      throw new Problem({ ...UNREACHED, detail: `${UNREACHED.detail} (${/** @type {Error} */ (error).message})` });
    }
    const body = await bodyOf(response, init.signal);
    if (response.ok) return body;
    const wait = Number(response.headers.get('retry-after'));
    if (response.status !== 429 || !wait) throw new Problem(body);
    await new Promise((resolve) => setTimeout(resolve, 1000 * wait));
    init.signal?.throwIfAborted();
  }
}

/**
 * A proxy before the server answers in HTML.
 *
 * @param {Response} response
 * @param {AbortSignal | null | undefined} signal
 */
async function bodyOf(response, signal) {
  try {
    return await response.json();
  } catch {
    signal?.throwIfAborted();
    const { status } = response;
    throw new Problem({
      status,
      code: 'NO_JSON',
      detail: `What came with status ${status} is no answer of the server.`,
      hint: 'Ask whoever runs the proxy before it.',
    });
  }
}

/** @returns {Promise<ModelInfo>} */
export const askModel = () => ask('v1/model');
/** @returns {Promise<LabelList>} */
export const askLabels = () => ask('v1/labels');
/** @returns {Promise<Drift>} */
export const askDrift = () => ask('v1/drift');

/** @param {string[]} labels @param {AbortSignal} signal @returns {Promise<LabelList>} */
export const makeLabels = (labels, signal) =>
  ask('v1/labels', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ labels }),
    signal,
  });

/**
 * @param {Blob} photo
 * @param {{ labels: string, observe: boolean, signal?: AbortSignal }} options
 * @returns {Promise<Answer>}
 */
export async function check(photo, { labels, observe, signal }) {
  const query = new URLSearchParams({ labels, why: 'true', observe: String(observe) });
  const headers = { 'content-type': photo.type.startsWith('image/') ? photo.type : 'application/octet-stream' };
  const init = { method: 'POST', headers, body: photo, ...(signal && { signal }) };
  return (await ask(`v1/check?${query}`, init)).results[0];
}
