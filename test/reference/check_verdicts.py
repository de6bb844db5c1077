"""Counts the verdicts of the small model in fp32 that change between one by one, as a list, streamed, and the reference.

    python test/reference/check_verdicts.py [--count 1000] [--seed N]

Images are drawn freshly (draw_images.py). The seed is printed, so that a failure can be repeated. Exits 1 when a verdict or
nearest label changes.
"""

import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

import small_model
from clipn_reference import encode_image, normalise, scores, unit
from draw_images import draw_files
from fresh_arguments import fresh_arguments
from preprocess import preprocess
from product import ask_product

BATCH = 50


def reference(paths: list[Path]) -> list[tuple[str, str, float]]:
    """(nearest label, verdict, ATD) by Pillow and PyTorch in float64."""
    state, net = small_model.load()
    yes, no = small_model.banks(state, net)
    answers = []
    for start in range(0, len(paths), BATCH):
        pixels = [torch.tensor(preprocess(path, net["image_size"])) for path in paths[start:start + BATCH]]
        for feature in unit(encode_image(normalise(torch.stack(pixels)), state, net))[:, 0]:
            a, b = 100 * yes @ feature, 100 * no @ feature
            values, verdict = scores(a, b)
            answers.append((small_model.LABELS[a.argmax()], verdict, values["atd"]))
    return answers


def main() -> int:
    args = fresh_arguments(__doc__, 1000)
    torch.set_grad_enabled(False)
    with tempfile.TemporaryDirectory() as folder:
        paths = [path for _, path in draw_files(args.count, args.seed, Path(folder))]
        question = {"model": str(small_model.FILE), "labels": small_model.LABELS, "templates": "clipn",
                    "images": [str(path) for path in paths]}
        runs = {name: [(result["label"], result["verdict"], result["scores"]["atd"]) for result in results]
                for name, results in ask_product("verdicts", question).items()}
        runs["reference"] = reference(paths)
    single = runs.pop("single")
    changed = 0
    for name, answers in runs.items():
        differing = sum(one[:2] != other[:2] for one, other in zip(single, answers, strict=True))
        gap = max(abs(one[2] - other[2]) for one, other in zip(single, answers))
        print(f"one by one against {name}: {differing} of {len(single)} verdicts change; largest difference of ATD {gap:.1e}")
        changed += differing
    print("verdicts", dict(Counter(verdict for _, verdict, _ in single)), "labels", dict(Counter(label for label, _, _ in single)))
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
