/** Work on a stream in batches: reads ahead and prepares items while a batch runs, keeps the order, bounds memory. */

export interface BatchOptions {
  /** Largest batch. */
  size: number;
  /** Items read and not yet answered, at most. */
  window: number;
  signal?: AbortSignal | undefined;
}

interface Waiting<In, Ready> {
  item: In;
  ready?: Ready;
  settled: Promise<void>;
}

/**
 * Yields one result per item, in order. `prepare` and `run` must not reject: failures are results.
 *
 * A batch starts as soon as the previous one is done, with whatever is prepared by then, so a slow source is answered
 * item by item and a fast one in full batches.
 */
export async function* inBatches<In, Ready, Out>(
  source: Iterable<In> | AsyncIterable<In>,
  prepare: (item: In) => Promise<Ready>,
  run: (batch: { item: In; ready: Ready }[]) => Promise<Out[]>,
  { size, window, signal }: BatchOptions,
): AsyncGenerator<Out, void, undefined> {
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  const waiting: Waiting<In, Ready>[] = [];
  let reading: Promise<void> | undefined;
  let running: Promise<void> | undefined;
  let ended = false;
  let inBatch = 0;
  let results: Out[] = [];
  let failure: { error: unknown } | undefined;
  const fail = (error: unknown) => {
    failure ??= { error };
  };

  const read = async () => {
    const next = await iterator.next();
    if (next.done) {
      ended = true;
      return;
    }
    const entry: Waiting<In, Ready> = { item: next.value, settled: Promise.resolve() };
    entry.settled = prepare(next.value).then((ready) => {
      entry.ready = ready;
    }, fail);
    waiting.push(entry);
  };
  const runBatch = async () => {
    let count = 0;
    while (count < Math.min(size, waiting.length) && waiting[count]!.ready !== undefined) count++;
    const batch = waiting.splice(0, count).map(({ item, ready }) => ({ item, ready: ready as Ready }));
    inBatch = count;
    results = await run(batch);
    inBatch = 0;
  };

  const aborted = new Promise<void>((resolve) => signal?.addEventListener('abort', () => resolve(), { once: true }));
  try {
    while (true) {
      signal?.throwIfAborted();
      if (failure) throw failure.error;
      if (results.length > 0) {
        const done = results;
        results = [];
        yield* done;
        continue;
      }
      if (!reading && !ended && waiting.length + inBatch < window) {
        reading = read()
          .catch(fail)
          .finally(() => {
            reading = undefined;
          });
      }
      if (!running && waiting[0]?.ready !== undefined) {
        running = runBatch()
          .catch(fail)
          .finally(() => {
            running = undefined;
          });
      }
      const events = [reading, running, running ? undefined : waiting[0]?.settled].filter((e) => e !== undefined);
      if (events.length === 0) return;
      await Promise.race([...events, aborted]);
    }
  } finally {
    const closed = iterator.return?.();
    // A generator answers return() only after its pending next(): a stuck source must not hold up an abort.
    if (!reading) await closed;
  }
}
