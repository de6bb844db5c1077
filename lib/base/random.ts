/** Seeded pseudo-random numbers: the same seed gives the same sequence on every machine. Not for secrets. */

/** Uniform in [0, 1) with 32 bits, by the public-domain generator sfc32. */
export function uniformSource(seed: number): () => number {
  let [a, b, c, counter] = [0, seed | 0, (seed / 2 ** 32) | 0, 1];
  const next = () => {
    const sum = (a + b + counter++) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + sum) | 0;
    return (sum >>> 0) / 2 ** 32;
  };
  // The first outputs still resemble the seed.
  for (let i = 0; i < 15; i++) next();
  return next;
}

/** A copy in random order (Fisher and Yates). */
export function shuffled<T>(items: Iterable<T>, uniform: () => number): T[] {
  const out = [...items];
  for (let i = out.length - 1; i > 0; i--) {
    const j = Math.floor(uniform() * (i + 1));
    [out[i], out[j]] = [out[j]!, out[i]!];
  }
  return out;
}

/** Standard normal (Box and Muller). */
export function normal(uniform: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/** Gamma of the given shape > 0 and scale 1 (Marsaglia and Tsang, 2000). */
export function gamma(shape: number, uniform: () => number): number {
  if (shape < 1) return gamma(shape + 1, uniform) * (1 - uniform()) ** (1 / shape);
  const d = shape - 1 / 3;
  while (true) {
    const x = normal(uniform);
    const v = (1 + x / Math.sqrt(9 * d)) ** 3;
    if (v > 0 && Math.log(1 - uniform()) < x ** 2 / 2 + d * (1 - v + Math.log(v))) return d * v;
  }
}

/** Beta(a, b) in [0, 1]. */
export function beta(a: number, b: number, uniform: () => number): number {
  const x = gamma(a, uniform);
  return x / (x + gamma(b, uniform));
}
