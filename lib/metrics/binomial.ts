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
