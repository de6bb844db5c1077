/** Whether memory grows, told from samples of it. */

/** Of the samples after the first third, which warms up: level in MB, and the slope by Theil and Sen. */
export function memory(samples: readonly (readonly [number, number])[]) {
  const warm = samples.slice(Math.floor(samples.length / 3));
  // Pairs half the time apart (a thinned Theil-Sen): the noise of neighbours says nothing of a slope.
  const half = Math.floor(warm.length / 2);
  const slopes = Array.from({ length: half }, (_, i) => {
    const [[t0, b0], [t1, b1]] = [warm[i]!, warm[i + half]!];
    return (b1 - b0) / (t1 - t0);
  }).sort((a, b) => a - b);
  const megabytes = (bytes: number) => Math.round(bytes / 1e4) / 100;
  const levels = warm.map(([, bytes]) => bytes).sort((a, b) => a - b);
  return {
    medianMb: megabytes(levels[Math.floor(levels.length / 2)] ?? 0),
    largestMb: megabytes(levels.at(-1) ?? 0),
    slopeMbPerMinute: megabytes(60 * (slopes[Math.floor(slopes.length / 2)] ?? 0)),
  };
}
