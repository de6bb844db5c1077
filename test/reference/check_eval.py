"""Compares `eval` with the reference from the image files on: pixels, features, scores of every image, metrics, accuracy.

    python test/reference/check_eval.py [--count 64] [--seed N]

Images are freshly drawn (pieces of photos, noise, black and white; files of every size). Pixels by Pillow, towers and scores in
float64 by clipn_reference.py on the small model's weights, metrics by scikit-learn and SciPy on these scores. Scores may differ by
what fp32 costs; a metric then may differ by the pairs of images whose order that can change. Exits 1 when one differs by more.
"""

import hashlib
import math
import random as random_module
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import small_model
from check_metrics import metrics
from clipn_reference import encode_image, normalise, unit
from draw_images import load_photos, picture
from fresh_arguments import fresh_arguments
from preprocess import preprocess
from product import ask_product

CLASSES = ["tabby", "food", "car", "piano"]
LABELS = [*CLASSES, "starfish", "horse"]  # two without a folder
TEMPLATES = ["a photo of a {}.", "'a bad photo of the {}.'", "{}"]
NEGATIVES = [f"{colour} {thing}" for colour in ("red", "blue", "old") for thing in ("house", "river", "stone", "road", "cup", "lamp", "tree")]
SCORES = ["ctw", "atd", "gap", "msp", "maxLogit", "energy", "mcm", "glMcm", "negLabel", "ole"]
LAMBDA = 0.5
# fp32 against float64: logits are 100 times a product of unit vectors.
TOLERANCE = {"maxLogit": 2e-4, "energy": 2e-4, "gap": 4e-4}
PROBABILITY = 1e-4
METRICS = ["auroc", "auprIn", "auprOut", "fprAtIdTpr95", "fprAtOodTpr95"]


def draw(folder: Path, count: int, random: random_module.Random, photos: list) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        image = Image.fromarray(picture(random, photos))
        if i % 3 == 0:
            image.save(folder / f"{i:03}.JPEG", quality=90)
        else:
            (image if i % 3 == 1 else image.convert("L")).save(folder / f"{i:03}.png")


def groups_of(words: list) -> list:
    """The product's fixed grouping: by SHA-256, dealt in turn to a tenth as many groups."""
    order = sorted(words, key=lambda word: hashlib.sha256(word.encode()).hexdigest())
    count = min(100, max(1, len(words) // 10))
    return [order[g::count] for g in range(count)]


class Reference:
    def __init__(self) -> None:
        self.state, self.net = small_model.load()
        self.yes, self.no = small_model.banks(self.state, self.net, LABELS, TEMPLATES)
        self.negatives = [small_model.banks(self.state, self.net, group, TEMPLATES)[0] for group in groups_of(NEGATIVES)]

    def scores(self, path: Path) -> tuple[dict, str]:
        pixels = preprocess(path, self.net["image_size"], exif=False)
        tokens = unit(encode_image(normalise(torch.tensor(pixels)[None]), self.state, self.net))[0]
        f, patches = tokens[0], tokens[1:]
        cosines, a, b = self.yes @ f, 100 * self.yes @ f, 100 * self.no @ f
        p, p_yes, top = a.softmax(0), torch.sigmoid(a - b), a.argmax()
        mcm = cosines.softmax(0).max()
        words = [100 * u @ f for u in self.negatives]
        beside_words = torch.cat([a, *words]).softmax(0)[: len(a)]
        energy = a.logsumexp(0)
        values = {
            "ctw": p_yes[top], "atd": (p * p_yes).sum(), "gap": a[top] - b[top], "msp": p.max(), "maxLogit": a.max(),
            "energy": energy, "mcm": mcm, "glMcm": mcm + LAMBDA * (patches @ self.yes.T).softmax(1).max(),
            "negLabel": torch.stack([torch.sigmoid(energy - group.logsumexp(0)) for group in words]).mean(),
            "ole": (beside_words * p_yes).sum(),
        }
        return {name: value.item() for name, value in values.items()}, LABELS[top]


def uncertain(a: np.ndarray, b: np.ndarray, tolerance: float) -> float:
    """Share of pairs whose order a score error of `tolerance` on each side can change."""
    return float((np.abs(a[:, None] - b[None, :]) <= 2 * tolerance).mean())


def main() -> int:
    args = fresh_arguments(__doc__, 64)
    random = random_module.Random(args.seed)
    torch.set_grad_enabled(False)
    wrong = []
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        photos = load_photos()
        each = max(5, args.count // (2 * len(CLASSES)))
        for name in CLASSES:
            draw(root / "id" / name, each, random, photos)
        draw(root / "near" / "deep" / "er", args.count // 4, random, photos)
        draw(root / "far", args.count // 4, random, photos)
        (root / "templates.txt").write_text("\n".join(TEMPLATES))
        folders = {"id": root / "id", "near": root / "near", "far": root / "far"}
        results = ask_product("evaluations", {
            "model": str(small_model.FILE), "id": str(folders["id"]), "ood": {k: str(folders[k]) for k in ("near", "far")},
            "labels": LABELS, "templates": str(root / "templates.txt"), "negatives": NEGATIVES, "patches": True, "lambda": LAMBDA,
            "store": str(root / "store"), "scores": SCORES,
        })
        reference = Reference()
        files = {name: sorted(path for path in folder.rglob("*") if path.is_file()) for name, folder in folders.items()}
        expected = {name: [reference.scores(path) for path in paths] for name, paths in files.items()}

    worst_score = worst_metric = 0.0
    for score, result in zip(SCORES, results, strict=True):
        found = {(e["set"], e["image"]): e for e in result["worst"]["falseAccepts"] + result["worst"]["falseRejects"]}
        tolerance = TOLERANCE.get(score, PROBABILITY)
        for name, paths in files.items():
            for path, (values, _) in zip(paths, expected[name], strict=True):
                gap = abs(found[name, str(path.relative_to(folders[name]))]["score"] - values[score])
                worst_score = max(worst_score, gap / tolerance)
                if not gap <= tolerance:
                    wrong.append(f"{score} of {name} {path.name}: off by {gap:.1e}, more than {tolerance}")
        values = {name: np.array([v[score] for v, _ in expected[name]]) for name in files}
        sets = {name: metrics(values["id"], values[name]) for name in ("near", "far")}
        sure = {name: uncertain(values["id"], values[name], tolerance) for name in sets}
        for name in sets:
            for metric in METRICS:
                gap = abs(result["scores"][score]["sets"][name][metric] - sets[name][metric])
                # A threshold metric moves by whole images: allow one where a pair is in doubt.
                allowed = 1e-12 + sure[name] * (1 if metric.startswith("au") else len(values["id"]))
                worst_metric = max(worst_metric, gap)
                if gap > allowed:
                    wrong.append(f"{metric} of {score} on {name}: off by {gap:.1e}, at most {allowed:.1e} can be rounding")
        for metric in METRICS:
            own = result["scores"][score]
            if abs(own["average"][metric] - np.mean([own["sets"][name][metric] for name in sets])) > 1e-12:
                wrong.append(f"{metric} of {score}: the average is not the mean of the sets")
        ranked = np.sort(values["id"])[::-1]
        threshold = ranked[math.ceil(0.95 * len(ranked)) - 1]
        if abs(result["threshold"] - threshold) > tolerance:
            wrong.append(f"{score}: threshold {result['threshold']}, the reference says {threshold}")
    right = [label == path.parent.name for path, (_, label) in zip(files["id"], expected["id"], strict=True)]
    if results[0]["id"]["accuracy"] != np.mean(right):
        wrong.append(f"accuracy {results[0]['id']['accuracy']}, the reference says {np.mean(right)}")
    count = sum(len(paths) for paths in files.values())
    print(f"{count} images, {len(SCORES)} scores; largest difference of a score {worst_score:.2f} of its tolerance, "
          f"of a metric {worst_metric:.1e}; accuracy {np.mean(right):.3f}; seed {args.seed}")
    for line in wrong[:20]:
        print("WRONG", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
