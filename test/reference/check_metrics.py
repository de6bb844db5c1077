"""Compares metrics and intervals with scikit-learn, SciPy and the definitions, on freshly drawn scores.

    python test/reference/check_metrics.py [--count 2000] [--seed N]

Most cases are full of ties, plateaus or very small. The seed is printed, so that a failure can be repeated. Exits 1 when a metric is
more than 1e-12 from scikit-learn's, or an interval from its definition.
"""

import sys
from collections import Counter

import numpy as np
from scipy.interpolate import interp1d
from scipy.optimize import brentq
from scipy.stats import binomtest, norm
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from fresh_arguments import fresh_arguments
from product import ask_product

TOLERANCE = 1e-12
RECALL = 0.95
Z = norm.ppf(0.975)
# The product's intervals of the FPR are percentiles of 10,000 draws: their level has this standard deviation.
LEVEL_SD = np.sqrt(0.025 * 0.975 / 10_000)


def scores_of_kind(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    n, m = rng.integers(1, 400, 2)
    if kind == "tiny":
        n, m = rng.integers(1, 6, 2)
    if kind == "multiple of 20":
        n, m = 20 * rng.integers(1, 20, 2)
    a, b = rng.normal(rng.uniform(-1, 3), 1, n), rng.normal(0, 1, m)
    if kind in ("tiny", "grid", "multiple of 20"):
        step = rng.choice([0.25, 1, 3])
        a, b = np.round(a / step) * step, np.round(b / step) * step
    if kind == "plateaus":
        # Long runs of one set, broken by a few values that both share.
        a, b = np.floor(a) + rng.choice([0, 0.5]), np.floor(b)
    if kind == "all equal":
        a, b = np.full(n, 0.5), np.full(m, 0.5)
    if kind == "separated":
        a, b = (np.abs(a) + 1, -np.abs(b)) if rng.random() < 0.5 else (-np.abs(a), np.abs(b) + 1)
    if kind == "saturated":
        # p_yes in float32: many are 1 to the last bit.
        a, b = (1 / (1 + np.exp(-12 * x.astype(np.float32))) for x in (a, b))
    if kind == "extreme":
        a, b = a * 10.0 ** rng.integers(-300, 300, n), b * 10.0 ** rng.integers(-300, 300, m)
    if kind == "zeros":
        a, b = rng.choice([-0.0, 0.0, 1e-310], n), rng.choice([-0.0, 0.0, -1e-310], m)
    return np.asarray(a, np.float64), np.asarray(b, np.float64)


KINDS = ["continuous", "tiny", "grid", "multiple of 20", "plateaus", "all equal", "separated", "saturated", "extreme", "zeros"]


def nearest_recall(tpr: np.ndarray, fpr: np.ndarray) -> float:
    """MCM's convention: thresholds from the lowest at which all ID images are in, upwards; the first that is nearest."""
    last = np.searchsorted(tpr, 1.0)
    return fpr[last - np.argmin(np.abs(tpr[last:0:-1] - RECALL))]


def metrics(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    truth, scores = np.r_[np.ones(len(a)), np.zeros(len(b))], np.r_[a, b]
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    fpr_ood, tpr_ood, _ = roc_curve(1 - truth, -scores, drop_intermediate=False)
    return {
        "auroc": roc_auc_score(truth, scores),
        "auprIn": average_precision_score(truth, scores),
        "auprOut": average_precision_score(1 - truth, -scores),
        "fprAtIdTpr95": float(interp1d(tpr, fpr)(RECALL)),
        "fprAtOodTpr95": fpr_ood[tpr_ood >= RECALL].min(),
        "reached": fpr[tpr >= RECALL].min(),
        "nearest": nearest_recall(tpr, fpr),
    }


def auroc_interval(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """DeLong's by its definition over all pairs, on the logit scale; Newcombe's method 5 where that has no variance."""
    n, m = len(a), len(b)
    kernel = (a[:, None] > b) + 0.5 * (a[:, None] == b)
    auroc = kernel.mean()
    if n > 1 and m > 1:
        variance = kernel.mean(1).var(ddof=1) / n + kernel.mean(0).var(ddof=1) / m
        if variance > 1e-20:
            half = Z * np.sqrt(variance) / (auroc * (1 - auroc))
            return tuple(1 / (1 + np.exp(-np.log(auroc / (1 - auroc)) - sign * half)) for sign in (-1, 1))

    def distance(t: float) -> float:
        shape = 1 + ((n + m) / 2 - 1) * ((1 - t) / (2 - t) + t / (1 + t))
        return abs(auroc - t) - Z * np.sqrt(t * (1 - t) / (m * n) * shape)

    inner = min(max(auroc, 1e-9), 1 - 1e-9)
    return (0.0 if auroc == 0 else brentq(distance, 0, inner, xtol=1e-14),
            1.0 if auroc == 1 else brentq(distance, inner, 1, xtol=1e-14))


def fpr_levels(a: np.ndarray, b: np.ndarray, found: dict, rng: np.random.Generator) -> tuple[float, float]:
    """The shares of the interval's defining distribution below its two ends."""
    truth, scores = np.r_[np.ones(len(a)), np.zeros(len(b))], np.r_[a, b]
    fpr, tpr, _ = roc_curve(truth, scores, drop_intermediate=False)
    above = rng.binomial(len(a), RECALL, 100_000) / len(a)
    # The lowest and the highest FPR at a TPR: np.interp takes the last of equal ones.
    high = np.interp(above, tpr, fpr)
    low = 1 - np.interp(1 - above, 1 - tpr[::-1], 1 - fpr[::-1])
    x = (low + rng.random(len(above)) * (high - low)) * len(b)
    rates = rng.beta(x + 0.5, len(b) - x + 0.5)
    return (rates < found["low"]).mean(), (rates < found["high"]).mean()


def main() -> int:
    args = fresh_arguments(__doc__, 2000)
    rng = np.random.default_rng(args.seed)
    kinds = [KINDS[i % len(KINDS)] for i in range(args.count)]
    cases = [scores_of_kind(kind, rng) for kind in kinds]
    shares = [(int(rng.integers(0, n + 1)), int(n)) for n in rng.integers(1, 10_000, 200)]
    answers = ask_product("metrics", {"shares": shares, "cases": [
        {"id": a.tolist(), "ood": b.tolist(), "intervals": i % 7 == 0} for i, (a, b) in enumerate(cases)]})
    failures, worst, measured, ties = [], Counter(), 0, 0
    for i, ((a, b), found) in enumerate(zip(cases, answers["cases"], strict=True)):
        ties += len(np.unique(np.r_[a, b])) < len(a) + len(b)
        for name, expected in metrics(a, b).items():
            gap = abs(found[name] - expected)
            worst[name] = max(worst[name], gap)
            if not gap <= TOLERANCE:
                failures.append(f"case {i} ({kinds[i]}): {name} {found[name]}, scikit-learn {expected}")
        if i % 7 != 0:
            continue
        measured += 1
        interval = found["intervals"]["auroc"]
        for name, end, expected in zip(("low", "high"), interval.values(), auroc_interval(a, b), strict=True):
            if not abs(end - expected) <= 1e-9:
                failures.append(f"case {i} ({kinds[i]}): AUROC {name} {end}, by definition {expected}")
        interval = found["intervals"]["fprAtIdTpr95"]
        below, upto = fpr_levels(a, b, interval, rng)
        # An end may lie further out, where the estimate is.
        widened = [end == found["fprAtIdTpr95"] for end in interval.values()]
        if below > 0.025 + 6 * LEVEL_SD or upto < 0.975 - 6 * LEVEL_SD:
            failures.append(f"case {i} ({kinds[i]}): FPR interval holds {below:.4f} to {upto:.4f} of its distribution")
        if (below < 0.025 - 6 * LEVEL_SD and not widened[0]) or (upto > 0.975 + 6 * LEVEL_SD and not widened[1]):
            failures.append(f"case {i} ({kinds[i]}): FPR interval is too wide, {below:.4f} to {upto:.4f}")
    for (successes, total), found in zip(shares, answers["shares"], strict=True):
        expected = binomtest(successes, total).proportion_ci(method="wilson")
        if not max(abs(found["low"] - expected.low), abs(found["high"] - expected.high)) <= TOLERANCE:
            failures.append(f"Wilson interval of {successes} in {total}: {found}, SciPy {expected}")
    print(f"{len(cases)} cases, {ties} with ties; largest difference from scikit-learn {max(worst.values()):.1e}")
    print(f"intervals of {measured} AUROCs, {measured} FPRs and {len(shares)} shares compared with their definitions")
    for failure in failures[:20]:
        print(failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
