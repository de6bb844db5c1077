/** Reading ahead of who takes the results. */

/** Results in the order of the items, with at most `window` of them begun and not yet taken. Throws the first failure. */
export async function* ahead<T, R>(
  items: Iterable<T>,
  window: number,
  start: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const source = items[Symbol.iterator]();
  const begun: Promise<R>[] = [];
  let ended = false;
  for (;;) {
    while (!ended && begun.length < window) {
      const next = source.next();
      if (next.done) {
        ended = true;
        break;
      }
      const result = start(next.value);
      // It is heard of when its turn comes, or never when an earlier one failed.
      result.catch(() => undefined);
      begun.push(result);
    }
    const first = begun.shift();
    if (first === undefined) return;
    yield await first;
  }
}
