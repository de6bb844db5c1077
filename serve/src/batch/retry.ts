/** Trying again what a network or a store refused for now. */
import { setTimeout as sleep } from 'node:timers/promises';

/** A failure that may be gone a moment later: a dropped connection, a store that is busy. */
export class Unavailable extends Error {
  override readonly name = 'Unavailable';
}

const TRIES = 5;
const FIRST_MS = 400;

/**
 * Runs `task` until it ends otherwise than by `Unavailable`, at most five times; between them it waits a random time below
 * 0.4, 0.8, 1.6 and 3.2 s, so that many workers do not come back at once.
 *
 * @throws Unavailable of the last try; `signal.reason`
 */
export async function withBackOff<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await task();
    } catch (error) {
      if (!(error instanceof Unavailable) || tried === TRIES) throw error;
    }
    await sleep(Math.random() * FIRST_MS * 2 ** (tried - 1), undefined, { signal }).catch(() => {
      throw signal?.reason;
    });
  }
}
