/** Times of repeated work: contenders take turns, so that a machine that slows down slows all of them. */

/** Milliseconds a call. */
export interface Times {
  samples: number;
  median: number;
  /** A tenth of the samples is faster. */
  p10: number;
  /** A tenth of the samples is slower. */
  p90: number;
}

/** Median and spread of at least one sample; between samples, linear interpolation. */
export function timesOf(samples: readonly number[]): Times {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (q: number) => {
    const place = q * (sorted.length - 1);
    const low = Math.floor(place);
    return sorted[low]! + (place - low) * (sorted[Math.ceil(place)]! - sorted[low]!);
  };
  return { samples: sorted.length, median: at(0.5), p10: at(0.1), p90: at(0.9) };
}

export interface TurnOptions {
  /** Rounds; without it, until `seconds` are over, but at least three. */
  repeat?: number | undefined;
  seconds: number;
  signal?: AbortSignal | undefined;
  onRound?: (() => void) | undefined;
}

/** Least time a contender's turn takes: calls of less than this are repeated, and each is a sample. */
const TURN_MS = 20;

/** Runs each contender twice to warm up, then all of them in turn, round after round. */
export async function inTurns(
  contenders: Record<string, () => Promise<unknown>>,
  { repeat, seconds, signal, onRound }: TurnOptions,
): Promise<Record<string, Times>> {
  const all = Object.entries(contenders).map(([name, call]) => ({ name, call, samples: [] as number[] }));
  for (const { call } of [...all, ...all]) {
    signal?.throwIfAborted();
    await call();
  }
  const end = performance.now() + 1000 * seconds;
  for (let round = 0; repeat === undefined ? round < 3 || performance.now() < end : round < repeat; round++) {
    onRound?.();
    for (const { call, samples } of all) {
      const turn = performance.now();
      do {
        signal?.throwIfAborted();
        const start = performance.now();
        await call();
        samples.push(performance.now() - start);
      } while (performance.now() - turn < TURN_MS);
    }
  }
  return Object.fromEntries(all.map(({ name, samples }) => [name, timesOf(samples)]));
}
