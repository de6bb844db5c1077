"""Writes test/golden/negative-words.json: NegLabel, OLE and the nearest word of four images, in numpy's float64.

    python test/reference/make_words_golden.py

NegLabel: equation 3 of Jiang et al. (ICLR 2024) for each group of words, and the mean of the groups, as the paper's grouping
strategy has it. OLE: arXiv 2406.01170, the outlier labels joining the softmax of ATD. Both are written here as the papers
have them, on softmax outputs; rows are float32 values. The first image is near a label, the second near a word.
"""

import json
from pathlib import Path

import numpy as np

IMAGES, LABELS, GROUPS, WIDTH = 4, 5, [4, 1, 18], 8


def unit_rows(random: np.random.Generator, count: int) -> np.ndarray:
    rows = random.normal(size=(count, WIDTH)) * 0.35 + 1
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def expected(scale: float, images: np.ndarray, yes: np.ndarray, no: np.ndarray, words: np.ndarray) -> dict:
    f, g, h, u = (rows.astype(np.float64) for rows in (images, yes, no, words))
    a, b, of_words = scale * f @ g.T, scale * f @ h.T, scale * f @ u.T
    groups = np.split(of_words, np.cumsum(GROUPS)[:-1], axis=1)
    of_groups = [softmax(np.concatenate([a, group], axis=1))[:, :LABELS].sum(axis=1) for group in groups]
    p_yes = np.stack([softmax(np.stack([a[:, j], b[:, j]], axis=1))[:, 0] for j in range(LABELS)], axis=1)
    p = softmax(np.concatenate([a, of_words], axis=1))[:, :LABELS]
    return {
        "scale": scale,
        "negLabel": np.mean(of_groups, axis=0).tolist(),
        "ole": (p * p_yes).sum(axis=1).tolist(),
        "wordMax": of_words.max(axis=1).tolist(),
        "wordIndex": of_words.argmax(axis=1).tolist(),
    }


def main() -> None:
    random = np.random.default_rng(2406)
    yes, no, words, images = (unit_rows(random, count) for count in (LABELS, LABELS, sum(GROUPS), IMAGES))
    images[0], images[1] = yes[2], words[3]
    images[:2] += random.normal(size=(2, WIDTH)).astype(np.float32) * np.float32(0.02)
    images[:2] /= np.linalg.norm(images[:2], axis=1, keepdims=True)
    rows = {"features": images, "yes": yes, "no": no, "words": words}
    golden = {
        "source": "test/reference/make_words_golden.py",
        "dim": WIDTH,
        "groupEnds": np.cumsum(GROUPS).tolist(),
        **{name: [float(value) for value in array.ravel()] for name, array in rows.items()},
        "expected": [expected(scale, images, yes, no, words) for scale in (100.0, 10.0)],
    }
    target = Path(__file__).resolve().parent.parent / "golden" / "negative-words.json"
    target.write_text(json.dumps(golden) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
