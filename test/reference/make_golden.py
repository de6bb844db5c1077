"""Writes test/golden/vit-b16.json, tiny-rgb.json and odd-mlp.json: features and logits of seeded models, in float64.

First the reference itself must reproduce test/golden/tiny-forward.json, which came from the original network class.

    python test/reference/make_golden.py [--check CHECKPOINT]

--check writes nothing and fails when a stored number is not what is computed now. It takes the ViT-B/16 from the checkpoint that
test/support/checkpoint-writer.ts wrote by the same formula, and looks at one image and two texts.
Needs PyTorch and 4 GB of memory.
"""

import argparse
import json
from pathlib import Path

import torch

from clipn_reference import (NETWORKS, encode_image, encode_text, features, formula_images, formula_texts,
                             load_state_dict, seeded_state_dict)

IMAGES, SCALE = 4, 100.0
GOLDEN = Path(__file__).parent.parent / "golden"


def rounded(rows: torch.Tensor) -> list:
    return [[float(f"{value:.8g}") for value in row] for row in rows.tolist()]


def check_against_original() -> None:
    """Spec 8.2: the raw features of the original class, to 1e-12 in float64."""
    golden = json.loads((GOLDEN / "tiny-forward.json").read_text())
    net = NETWORKS["tiny"]
    # The golden values were computed with weights that were never rounded to float32.
    state = seeded_state_dict(net, "flat", torch.float64)
    i = torch.arange(3 * 32 * 32, dtype=torch.float64)
    images = torch.stack([torch.cos(0.05 * i), torch.sin(0.03 * i + 0.2)]).reshape(2, 3, 32, 32)
    ids = torch.tensor(golden["inputs"]["token_ids"])
    for key, got in {
        "image_features_raw": encode_image(images, state, net)[:, 0],
        "text_yes_raw": encode_text(ids, state, net),
        "text_no_raw_mean_prompt": encode_text(ids, state, net, "_no"),
    }.items():
        difference = (got - torch.tensor(golden["expected"][key], dtype=torch.float64)).abs().max().item()
        print(f"tiny-forward.json {key}: largest difference {difference:.1e}")
        assert difference < 1e-12, key


def compare(file: str, name: str, state: dict, images: int, texts: int) -> None:
    """The first rows. The stored numbers are rounded to 8 digits: 1e-6 is far below what fp32 is judged by."""
    stored = json.loads((GOLDEN / file).read_text())
    net = NETWORKS[name]
    for key, values in stored["weight_check"].items():
        assert torch.equal(state[key].flatten()[:3], torch.tensor(values)), key
    out = features(state, net, formula_images(images, net["image_size"]), formula_texts(texts, net))
    got = {"image_features": out["image"], "text_yes": out["yes"], "text_no": out["no"],
           "logits_yes": SCALE * out["image"] @ out["yes"].T, "logits_no": SCALE * out["image"] @ out["no"].T}
    for key, rows in got.items():
        want = torch.tensor(stored[key], dtype=torch.float64)[:rows.shape[0], :rows.shape[1]]
        difference = (rows - want).abs().max().item()
        print(f"{name} {key}: largest difference {difference:.1e}")
        assert difference < 1e-6, key


def make(file: str, name: str, scheme: str, texts: int) -> None:
    net = NETWORKS[name]
    state = seeded_state_dict(net, scheme)
    ids = formula_texts(texts, net)
    out = features(state, net, formula_images(IMAGES, net["image_size"]), ids)
    logits_yes = SCALE * out["image"] @ out["yes"].T
    logits_no = SCALE * out["image"] @ out["no"].T
    checked = ("prompt_no", "visual.conv1.weight", "transformer_no.resblocks.1.attn.in_proj_weight")
    golden = {
        "description": f"Seeded {name} CLIPN by test/reference/make_golden.py in float64, eval mode; unit features. "
        f"Weights: test/support/seeded-weights.ts, scheme {scheme}. Images: uint8 [y][x][c] = "
        "((x (2k+3) + y (5k+1) + 60c) xor (x y >> (k+3))) mod 256, image k, then normalised with OpenAI's constants.",
        "network": name,
        "images": IMAGES,
        "scale": SCALE,
        "weight_check": {key: [float(f"{v:.9g}") for v in state[key].flatten()[:3].tolist()] for key in checked},
        "token_ids": ids.tolist(),
        "image_features": rounded(out["image"]),
        "text_yes": rounded(out["yes"]),
        "text_no": rounded(out["no"]),
        "logits_yes": rounded(logits_yes),
        "logits_no": rounded(logits_no),
        "top_label": logits_yes.argmax(-1).tolist(),
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in golden.items()]
    target = GOLDEN / file
    target.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    alike = {key: (rows @ rows.T).fill_diagonal_(-1).max().item() for key, rows in out.items()}
    print(f"{target.name}: {target.stat().st_size} bytes; largest cosine between two rows",
          {key: round(value, 3) for key, value in alike.items()})
    print("top labels", golden["top_label"], "yes logits", logits_yes.round(decimals=1).tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", metavar="CHECKPOINT")
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    check_against_original()
    if args.check:
        for file, name in {"tiny-rgb.json": "tiny", "odd-mlp.json": "odd-mlp"}.items():
            compare(file, name, seeded_state_dict(NETWORKS[name], "flat"), IMAGES, 2)
        compare("vit-b16.json", "ViT-B-16", load_state_dict(args.check), 1, 2)
        return
    make("tiny-rgb.json", "tiny", "flat", 2)
    make("odd-mlp.json", "odd-mlp", "flat", 2)
    make("vit-b16.json", "ViT-B-16", "fan-in", 6)


if __name__ == "__main__":
    main()
