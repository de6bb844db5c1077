/** Answers to a stream, in its order: starts a bounded number of items ahead. */
import { assertSignal } from './arguments';

export interface InOrderOptions {
  /** Items read and not yet answered, at most. */
  window: number;
  signal?: AbortSignal | undefined;
}

interface Started<Out> {
  result?: { answer: Out } | { error: unknown };
}

/**
 * Yields one answer per item, in order. `start` gets a signal that aborts with `signal`, and when the reader leaves or an
 * answer fails: what is under way is then of no use to anyone.
 *
 * @throws `signal.reason` at once; in its turn, what `start` or the source threw. What the source throws as it is closed
 *   is told only where nothing else ended the stream.
 */
export async function* inOrder<In, Out>(
  source: Iterable<In> | AsyncIterable<In>,
  start: (item: In, signal: AbortSignal) => Promise<Out>,
  { window, signal }: InOrderOptions,
): AsyncGenerator<Out, void, undefined> {
  assertSignal(signal);
  signal?.throwIfAborted();
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  const under = new AbortController();
  const started: Started<Out>[] = [];
  let reading = false;
  let ended = false;
  let failed = false;
  let wake = () => {};

  const begin = async (item: In, entry: Started<Out>) => {
    try {
      entry.result = { answer: await start(item, under.signal) };
    } catch (error) {
      entry.result = { error };
    }
    wake();
  };
  const read = async () => {
    reading = true;
    try {
      const next = await iterator.next();
      if (next.done) {
        ended = true;
      } else if (!under.signal.aborted) {
        const entry: Started<Out> = {};
        started.push(entry);
        begin(next.value, entry);
      }
    } catch (error) {
      ended = true;
      started.push({ result: { error } });
    }
    reading = false;
    wake();
  };

  const abort = () => {
    under.abort(signal?.reason);
    wake();
  };
  signal?.addEventListener('abort', abort, { once: true });
  try {
    while (true) {
      signal?.throwIfAborted();
      if (!reading && !ended && started.length < window) read();
      const result = started[0]?.result;
      if (result) {
        started.shift();
        if ('error' in result) throw result.error;
        yield result.answer;
      } else if (started.length > 0 || !ended) {
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      } else {
        return;
      }
    }
  } catch (error) {
    failed = true;
    throw error;
  } finally {
    signal?.removeEventListener('abort', abort);
    under.abort();
    const closing = close(iterator);
    const closed = failed || reading ? closing.catch(() => undefined) : closing;
    // A generator answers return() only after its pending next(): a stuck source must not hold up an abort.
    if (!reading) await closed;
  }
}

/** Tells the source that nobody reads on, so that it cleans up behind itself. */
async function close(iterator: Iterator<unknown> | AsyncIterator<unknown>): Promise<void> {
  await iterator.return?.();
}
