"""Compares `clipn-native check --trace` on the sample photos with Pillow and the reference, stage by stage.

    python test/reference/check_photos.py

Pixels by Pillow, towers and scores in float64 by clipn_reference.py on the weights of the small model's file, token ids by the
tokenizer of that model's recipe. Exits 1 when a stage differs by more than its tolerance or a verdict differs.
"""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from clipn_reference import encode_image, encode_text, normalise, unit

ROOT = Path(__file__).resolve().parents[2]
SMALL = ROOT / "models" / "small"
sys.path.insert(0, str(SMALL / "recipe"))
from tokenizer import Tokenizer  # noqa: E402  (the recipe's)

# Features in fp32 against float64; logits are 100 times a product of two of them.
TOLERANCES = {"feature": 1e-5, "logits": 2e-3, "scores": 1e-3}


def preprocess(path: Path, side: int) -> np.ndarray:
    """Spec 4.2: shorter side bicubic, longer side truncated, centre crop; uint8 [side, side, 3]."""
    image = Image.open(path).convert("RGB")
    width, height = image.size
    short, long = min(width, height), max(width, height)
    scaled = int(side * long / short)
    size = (side, scaled) if width <= height else (scaled, side)
    if (width, height) != size:
        image = image.resize(size, Image.BICUBIC)
    left, top = int(round((size[0] - side) / 2)), int(round((size[1] - side) / 2))
    return np.asarray(image.crop((left, top, left + side, top + side)))


def network(config: dict) -> dict:
    a = config["architecture"]
    names = {"embed_dim": "embedDim", "image_size": "imageSize", "patch_size": "patchSize", "vision_width": "visionWidth",
             "vision_layers": "visionLayers", "vision_heads": "visionHeads", "context_length": "contextLength",
             "vocab_size": "vocabSize", "text_width": "textWidth", "text_layers": "textLayers", "text_heads": "textHeads"}
    return {ours: a[theirs] for ours, theirs in names.items()}


def banks(state: dict, net: dict, labels: list[str], templates: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Spec 2.1: unit vectors of every template, summed, unit again."""
    tokenize = Tokenizer(SMALL / "tokenizer.json", net["context_length"])
    rows = {"": [], "_no": []}
    for label in labels:
        ids = tokenize([template.replace("{}", label) for template in templates])
        ids = torch.nn.functional.pad(ids, (0, net["context_length"] - ids.shape[1]))
        for no, out in rows.items():
            out.append(unit(unit(encode_text(ids, state, net, no)).sum(0)))
    return torch.stack(rows[""]), torch.stack(rows["_no"])


def scores(a: torch.Tensor, b: torch.Tensor, scale: float) -> tuple[dict, str]:
    """Spec 3 for one image: all scores, and the ATD rule's verdict."""
    p, p_yes = a.softmax(0), torch.sigmoid(a - b)
    top = a.argmax()
    out = (p * (1 - p_yes)).sum()
    values = {"ctw": p_yes[top], "atd": (p * p_yes).sum(), "msp": p.max(), "maxLogit": a.max(), "energy": a.logsumexp(0),
              "mcm": (a / scale).softmax(0).max(), "gap": a[top] - b[top], "logPOut": out.log()}
    return {k: v.item() for k, v in values.items()}, "out" if out > (p * p_yes).max() else "in"


def main() -> int:
    torch.set_grad_enabled(False)
    extra = {"clipn.json": ""}
    model = torch.jit.load(SMALL / "model.pt", map_location="cpu", _extra_files=extra)
    net = network(json.loads(extra["clipn.json"]))
    state = {name: value.double() for name, value in model.named_parameters()}
    # The model file holds the mean prompt inside positional_embedding_no (docs/model-file.md).
    state["prompt_no"] = torch.zeros(1, net["context_length"], net["text_width"], dtype=torch.float64)
    labels = (SMALL / "photos" / "labels.txt").read_text().split("\n")[:-1]
    templates = json.loads((ROOT / "lib" / "data" / "templates" / "clipn.json").read_text())
    yes, no = banks(state, net, labels, templates)

    photos = sorted((SMALL / "photos").glob("*.jpg"))
    command = ["node", ROOT / "dist" / "cli.js", "check", *photos, "--labels-file", SMALL / "photos" / "labels.txt", "--trace"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    worst = dict.fromkeys(TOLERANCES, 0.0)
    wrong = []
    for photo, line in zip(photos, lines, strict=True):
        found = json.loads(line)
        pixels = preprocess(photo, net["image_size"])
        if hashlib.sha256(pixels.tobytes()).hexdigest() != found["pixelsSha256"]:
            wrong.append(f"{photo.name}: other pixels than Pillow's")
        feature = unit(encode_image(normalise(torch.tensor(pixels)[None]), state, net))[0, 0]
        a, b = 100 * yes @ feature, 100 * no @ feature
        expected, verdict = scores(a, b, 100)
        gaps = {
            "feature": (torch.tensor(found["feature"]) - feature).abs().max().item(),
            "logits": max((torch.tensor(found["logits"][k]) - v).abs().max().item() for k, v in {"yes": a, "no": b}.items()),
            "scores": max(abs(found["scores"][k] - v) for k, v in expected.items()),
        }
        worst = {stage: max(worst[stage], gap) for stage, gap in gaps.items()}
        if (found["label"], found["verdict"]) != (labels[a.argmax()], verdict):
            wrong.append(f"{photo.name}: {found['label']} {found['verdict']}, the reference says {labels[a.argmax()]} {verdict}")
    wrong += [f"{stage}: {gap:.1e} is more than {TOLERANCES[stage]}" for stage, gap in worst.items() if gap > TOLERANCES[stage]]
    print(f"{len(photos)} photos, largest differences:", ", ".join(f"{k} {v:.1e}" for k, v in worst.items()))
    for line in wrong:
        print("WRONG", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
