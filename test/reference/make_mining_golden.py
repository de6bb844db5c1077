"""Writes test/golden/mining.json: which words NegLabel and the static part of InterNeg keep, by NumPy in double.

    python test/reference/make_mining_golden.py

NegLabel (Jiang et al., ICLR 2024): the 95th percentile of a word's cosines to the labels; the lowest 15 % are kept.
InterNeg: a word is kept when the mean image of every class is nearer to its own label; the largest mean gap first.
"""

import json
from pathlib import Path

import numpy as np

WORDS, LABELS, DIM = 120, 7, 12
SHARE, PERCENTILE = 0.15, 95


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def main() -> None:
    random = np.random.default_rng(16)
    labels = unit(random.normal(size=(LABELS, DIM)))
    # Images lean to their label, so that some words are further from every class than the label, and some are not.
    images = unit(labels + 0.4 * random.normal(size=labels.shape))
    words = unit(random.normal(size=(WORDS, DIM)))
    # Numbers that survive fp32 and JSON as they are.
    to_labels = (words @ labels.T).astype(np.float32)
    to_images = (words @ images.T).astype(np.float32)
    own = np.sum(images * labels, axis=1).astype(np.float32)

    nearness = np.percentile(to_labels.astype(np.float64), PERCENTILE, axis=1)
    far = np.argsort(nearness, kind="stable")[: int(SHARE * WORDS)]
    gaps = own.astype(np.float64) - to_images.astype(np.float64)
    outside = np.flatnonzero((gaps > 0).all(axis=1))
    ranked = outside[np.argsort(-gaps[outside].mean(axis=1), kind="stable")]
    assert 10 < len(ranked) < WORDS - 10

    golden = {
        "labels": LABELS,
        "cosines_to_labels": to_labels.ravel().tolist(),
        "cosines_to_images": to_images.ravel().tolist(),
        "own": own.tolist(),
        "neg_label": {"nearness": nearness.tolist(), "kept": far.tolist()},
        "inter_neg": {"gap": [gaps[i].mean() for i in ranked], "kept": ranked.tolist()},
    }
    path = Path(__file__).resolve().parent.parent / "golden" / "mining.json"
    path.write_text(json.dumps(golden) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
