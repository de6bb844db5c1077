"""Writes test/golden/decide.json: false-discovery control, exact bounds, a conformal martingale and CUSUM run times.

    python test/reference/make_decide_golden.py

Adjusted p-values and beta quantiles are SciPy's. Flagged sets are those of the step-up procedure in exact fractions. The
martingales are the simple jumper of Vovk et al. (2021) as the paper has it, with capitals and not their logarithms, and a
jumper with power bets beside it whose jumps become rarer, on p-values counted over lists. Run times of the CUSUM solve the equations of its states as a dense matrix, in NumPy.
"""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.stats import beta, false_discovery_control


def harmonic(m: int) -> Fraction:
    return sum((Fraction(1, i) for i in range(1, m + 1)), Fraction(0))


def flagged(p: list[Fraction], alpha: Fraction, method: str) -> list[int]:
    """The step-up procedure: the largest k whose k-th smallest p is at most alpha k / m flags all up to it."""
    m = len(p)
    factor = harmonic(m) if method == "by" else 1
    ordered = sorted(p)
    cut = max((ordered[k - 1] for k in range(1, m + 1) if ordered[k - 1] * m * factor <= alpha * k), default=-1)
    return [i for i, value in enumerate(p) if value <= cut]


def selections(random: np.random.Generator) -> list[dict]:
    cases = []
    for n, m, ood in [(19, 10, 4), (199, 60, 20), (999, 300, 30), (19999, 200, 1), (99, 50, 0), (199, 100, 100)]:
        # Ranks among n calibration scores, as conformal p-values are; those of OOD images are low, many equal.
        ranks = np.concatenate([random.integers(1, n + 2, m - ood), random.integers(1, 2 + n // 50, ood)])
        random.shuffle(ranks)
        p = [Fraction(int(rank), n + 1) for rank in ranks]
        for method in ("bh", "by"):
            adjusted = false_discovery_control([float(value) for value in p], method=method)
            sets = {str(alpha): flagged(p, Fraction(alpha).limit_denominator(1000), method) for alpha in (0.05, 0.1, 0.2)}
            cases.append(
                {
                    "calibrated": n,
                    "method": method,
                    "p": [float(value) for value in p],
                    "adjusted": adjusted.tolist(),
                    "flagged": sets,
                }
            )
    return cases


def images_needed() -> list[dict]:
    """The least n for which k p-values of 1 / (n + 1) among m are flagged, by trying."""
    cases = []
    for m, k, alpha in [(1000, 1, 0.05), (1000, 100, 0.05), (100, 10, 0.1), (10, 10, 0.2), (7, 3, 0.15), (1, 1, 0.05)]:
        for method in ("bh", "by"):
            q = Fraction(alpha).limit_denominator(1000)
            factor = harmonic(m) if method == "by" else 1
            n = 1
            while Fraction(1, n + 1) * m * factor > q * k:
                n += 1
            cases.append({"images": m, "flagged": k, "alpha": alpha, "method": method, "needed": n})
    return cases


def bounds() -> list[dict]:
    cases = []
    for successes, total in [(0, 59), (59, 59), (1, 1), (3, 10), (20, 1000), (999, 1000), (1, 100_000), (50_321, 100_000)]:
        for confidence in (0.5, 0.95, 0.999):
            found = {"successes": successes, "total": total, "confidence": confidence}
            for side, tail in (("both", (1 - confidence) / 2), ("one", 1 - confidence)):
                low = beta.ppf(tail, successes, total - successes + 1) if successes > 0 else 0.0
                high = beta.isf(tail, successes + 1, total - successes) if successes < total else 1.0
                found[side] = [float(low), float(high)]
            cases.append(found)
    return cases


def uniform(seed: int, index: int) -> float:
    """sfc32 by Chris Doty-Humphrey, 16th output: what lib/base/random.ts gives first."""
    mask = 2**32 - 1
    a, b, c, counter = 0, index & mask, seed & mask, 1
    out = 0
    for _ in range(16):
        out = (a + b + counter) & mask
        counter += 1
        a = b ^ (b >> 9)
        b = (c + (c << 3)) & mask
        c = (((c << 21) | (c >> 11)) + out) & mask
    return out / 2**32


def rounded(scores: np.ndarray) -> np.ndarray:
    """float32 without the 12 lowest bits of the fraction."""
    return (scores.astype(np.float32).view(np.uint32) & np.uint32(0xFFFFF000)).view(np.float32)


def martingale(random: np.random.Generator) -> dict:
    calibration = random.normal(2, 1, 150)
    stream = np.concatenate([random.normal(2, 1, 100), random.normal(0, 1, 150)])
    # Equal scores, of both signs and zero, so that chance settles many.
    calibration[:40] = np.round(calibration[:40])
    stream[::5] = np.round(stream[::5])
    seed = 7
    before = list(rounded(calibration))
    values = []
    for index, score in enumerate(rounded(stream)):
        below = sum(1 for other in before if other < score)
        equal = sum(1 for other in before if other == score)
        u = uniform(seed, index) + 2**-33
        values.append((below + u * (equal + 1)) / (len(before) + 1))
        before.append(score)
    linear = [lambda p, e=e: 1 + e * (p - 0.5) for e in (-1, 0, 1)]
    power = [lambda p, e=e: e * p ** (e - 1) for e in (0.5, 0.75)]
    wealths = {
        "simple": wealth(values, linear, lambda t: 0.01),
        "ours": wealth(values, linear + power, lambda t: 1 / (100 + t)),
    }
    assert all(100 < max(of) for of in wealths.values())
    return {"seed": seed, "calibration": calibration.tolist(), "stream": stream.tolist(), "p": values, **wealths}


def wealth(values: list[float], bets: list, jump_of) -> list[float]:
    """Total capital after each p-value; at time t, from 0, a part of each capital is spread evenly before the bets."""
    capital = np.full(len(bets), 1 / len(bets))
    totals = []
    for t, p in enumerate(values):
        jump = jump_of(t)
        capital = (1 - jump) * capital + jump * capital.mean()
        capital = capital * np.array([of(p) for of in bets])
        totals.append(float(capital.sum()))
    return totals


def run_time(up: int, down: int, threshold: int, rate: float) -> float:
    """Expected images until the sum, from zero, reaches the threshold: (I - Q) E = 1."""
    q = np.zeros((threshold, threshold))
    for i in range(threshold):
        q[i, max(0, i - down)] += 1 - rate
        if i + up < threshold:
            q[i, i + up] += rate
    return float(np.linalg.solve(np.eye(threshold) - q, np.ones(threshold))[0])


def cusums() -> dict:
    charts = [(13, 1, 95), (13, 1, 14), (7, 2, 23), (9, 4, 60), (3, 8, 40), (69, 4, 948), (1, 1, 1)]
    times = [
        {"up": up, "down": down, "threshold": threshold, "rate": rate, "runTime": run_time(up, down, threshold, rate)}
        for up, down, threshold in charts
        for rate in (0.05, 0.1, 0.3)
        if run_time(up, down, threshold, rate) < 1e8
    ]
    # The best step: where a Bernoulli likelihood ratio of the two rates stays as it is on average.
    steps = []
    for rate, to_detect in [(0.05, 0.1), (0.05, 0.5), (0.01, 0.02), (0.2, 0.3)]:
        down = np.log((1 - rate) / (1 - to_detect))
        steps.append({"rate": rate, "rateToDetect": to_detect, "step": down / (down + np.log(to_detect / rate))})
    return {"runTimes": times, "steps": steps}


def main() -> None:
    random = np.random.default_rng(18)
    golden = {
        "source": "test/reference/make_decide_golden.py",
        "select": selections(random),
        "imagesNeeded": images_needed(),
        "bounds": bounds(),
        "martingale": martingale(random),
        "cusum": cusums(),
    }
    path = Path(__file__).resolve().parent.parent / "golden" / "decide.json"
    path.write_text(json.dumps(golden) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
