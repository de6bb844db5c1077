/** The binomial distribution, summed from its own terms. Pure. */

/** P(X ≤ k) for X ~ Binomial(n, p), 0 < p < 1; in logarithms, so that no term is lost for large n. O(k). */
export function binomialCdf(k: number, n: number, p: number): number {
  if (k < 0) return 0;
  if (k >= n) return 1;
  const odds = Math.log(p) - Math.log1p(-p);
  let term = n * Math.log1p(-p);
  let [largest, sum] = [term, 1];
  for (let i = 0; i < k; i++) {
    term += Math.log((n - i) / (i + 1)) + odds;
    if (term <= largest) sum += Math.exp(term - largest);
    else [largest, sum] = [term, sum * Math.exp(largest - term) + 1];
  }
  return Math.min(1, Math.exp(largest) * sum);
}

/** Probabilities of first, first + 1, … successes; those below `negligible` times the largest are left out. */
export function binomialMass(n: number, p: number, negligible = 1e-12): { first: number; mass: number[] } {
  const mode = Math.min(n, Math.floor((n + 1) * p));
  const below: number[] = [];
  for (let [j, weight] = [mode, 1]; j > 0; j--) {
    weight *= (j * (1 - p)) / ((n - j + 1) * p);
    if (weight < negligible) break;
    below.push(weight);
  }
  const mass = [...below.reverse(), 1];
  for (let [j, weight] = [mode, 1]; j < n; j++) {
    weight *= ((n - j) * p) / ((j + 1) * (1 - p));
    if (weight < negligible) break;
    mass.push(weight);
  }
  const sum = mass.reduce((total, weight) => total + weight, 0);
  return { first: mode - below.length, mass: mass.map((weight) => weight / sum) };
}
