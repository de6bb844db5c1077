"""Compares `clipn-native check --trace` on the sample photos with Pillow and the reference, stage by stage.

    python test/reference/check_photos.py

Pixels by Pillow, towers and scores in float64 by clipn_reference.py on the weights of the small model's file, token ids by the
tokenizer of that model's recipe. Exits 1 when a stage differs by more than its tolerance or a verdict differs.
"""

import hashlib
import json
import subprocess
import sys

import torch

import small_model
from clipn_reference import encode_image, normalise, scores, unit
from preprocess import preprocess
from product import ROOT

# Features in fp32 against float64; logits are 100 times a product of two of them.
TOLERANCES = {"feature": 1e-5, "logits": 2e-3, "scores": 1e-3}


def main() -> int:
    torch.set_grad_enabled(False)
    state, net = small_model.load()
    labels = small_model.LABELS
    yes, no = small_model.banks(state, net)

    photos = sorted(small_model.LABELS_FILE.parent.glob("*.jpg"))
    command = ["node", ROOT / "dist" / "cli" / "main.js", "check", *photos, "--labels-file", small_model.LABELS_FILE, "--trace"]
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
