"""Golden numbers for thresholds and p-values of a calibration, by SciPy and NumPy: test/golden/conformal.json.

    python test/reference/make_conformal_golden.py
"""

import json
from pathlib import Path

import numpy as np
from scipy import stats

GOLDEN = Path(__file__).parent.parent / "golden" / "conformal.json"


def pac_rank(n, target, confidence):
    """The largest k for which the share below the k-th smallest of n exceeds 1 - target with chance at most delta."""
    ranks = [k for k in range(1, n + 1) if stats.beta.sf(1 - target, k, n + 1 - k) <= 1 - confidence]
    return max(ranks, default=0)


def cheapest(id_scores, ood_scores, false_accept, false_reject, ood_share):
    """Every ID score tried in turn."""
    costs = [
        ood_share * false_accept * np.mean(ood_scores >= t) + (1 - ood_share) * false_reject * np.mean(id_scores < t)
        for t in np.unique(id_scores)
    ]
    best = int(np.argmin(costs))
    return {"threshold": float(np.unique(id_scores)[best]), "cost": float(costs[best])}


def main():
    rng = np.random.default_rng(18)
    calibration = np.round(rng.normal(size=200), 2)
    scores = np.round(rng.normal(-0.5, 1.5, size=100), 2)
    ood = np.round(rng.normal(-2, 1, size=150), 2)
    costs = [(5, 1, 0.1), (1, 1, 0.5), (1, 20, 0.3), (0.5, 2, 0.02)]
    golden = {
        "pacRanks": [
            {"n": n, "target": target, "confidence": confidence, "rank": pac_rank(n, target, confidence)}
            for n in (19, 58, 59, 60, 93, 100, 299, 1000, 20000)
            for target, confidence in ((0.95, 0.95), (0.9, 0.9), (0.99, 0.95), (0.5, 0.999))
        ],
        "binomial": [
            {"k": k, "n": n, "p": p, "cdf": float(stats.binom.cdf(k, n, p))}
            for k, n, p in ((0, 1, 0.5), (3, 10, 0.2), (30, 1000, 0.05), (990, 20000, 0.05), (700, 20000, 0.05), (9, 9, 0.3))
        ],
        "pValues": {
            "calibration": calibration.tolist(),
            "scores": scores.tolist(),
            "p": [(1 + int(np.sum(calibration <= s))) / (len(calibration) + 1) for s in scores],
        },
        "costs": {
            "id": calibration.tolist(),
            "ood": ood.tolist(),
            "cases": [{"costs": case, **cheapest(calibration, ood, *case)} for case in costs],
        },
    }
    golden["gates"] = [
        {
            "out": out,
            "images": n,
            "maxOut": max_out,
            "confidence": confidence,
            "low": float(stats.binomtest(out, n, alternative="greater").proportion_ci(confidence, "exact").low),
        }
        for out, n, max_out, confidence in ((12, 200, 0.02, 0.95), (1, 3, 0.02, 0.95), (14, 100, 0.05, 0.95), (7, 100, 0.05, 0.99), (0, 10, 0, 0.95), (1, 10, 0, 0.95))
    ]
    GOLDEN.write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()
