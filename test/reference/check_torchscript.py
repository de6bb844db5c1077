"""Compares an exported model file with the reference on the same checkpoint.

    python test/reference/check_torchscript.py MODEL CHECKPOINT NETWORK [--tolerance 1e-5]

Exits 1 when a feature differs by more than the tolerance, relative to the largest entry of its row.
"""

import argparse
import json
import sys

import torch

from clipn_reference import (NETWORKS, encode_image, features, formula_images, formula_texts, load_state_dict,
                             normalise, unit)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("checkpoint")
    parser.add_argument("network", choices=NETWORKS)
    parser.add_argument("--tolerance", type=float, default=1e-5)
    args = parser.parse_args()
    torch.set_grad_enabled(False)

    net = NETWORKS[args.network]
    extra = {"clipn.json": "", "tokenizer.json": ""}
    model = torch.jit.load(args.model, map_location="cpu", _extra_files=extra)
    config = json.loads(extra["clipn.json"])
    quick = config["architecture"]["activation"] == "quickgelu"
    state = load_state_dict(args.checkpoint)
    images, ids = formula_images(3, net["image_size"]), formula_texts(2, net)
    pixels = normalise(images)
    names = ("encode_image", "encode_image_patches", "encode_text_yes", "encode_text_no")
    methods = [name for name in names if hasattr(model, name)]
    print("methods", *methods, "stored", {p.dtype for p in model.parameters()})

    if "prompt_no" not in state:  # a plain CLIP: its text tower stands in for the missing one
        state |= {key.replace("transformer", "transformer_no"): value for key, value in state.items()
                  if key.startswith("transformer")}
        for name in ("token_embedding.weight", "positional_embedding", "text_projection", "ln_final.weight",
                     "ln_final.bias"):
            first, dot, rest = name.partition(".")
            state[f"{first}_no{dot}{rest}"] = state[name]
        state["prompt_no"] = torch.zeros(1, net["context_length"], net["text_width"])
    expected = features(state, net, images, ids, quick)
    tokens = unit(encode_image(pixels, {k: v.double() for k, v in state.items()}, net, quick))
    image, patches = model.encode_image_patches(pixels.float())
    pairs = {
        "encode_image": (model.encode_image(pixels.float()), expected["image"]),
        "encode_image_patches[0]": (image, expected["image"]),
        "encode_image_patches[1]": (patches, tokens[:, 1:]),
    }
    longest = int((ids != 0).sum(1).max())
    for tower in ("yes", "no"):
        if f"encode_text_{tower}" in methods:
            encode = getattr(model, f"encode_text_{tower}")
            pairs[f"encode_text_{tower}, L = {ids.shape[1]}"] = (encode(ids), expected[tower])
            pairs[f"encode_text_{tower}, L = {longest}"] = (encode(ids[:, :longest]), expected[tower])
    worst = 0.0
    for name, (got, want) in pairs.items():
        error = ((got.double() - want).abs() / want.abs().amax(-1, keepdim=True)).max().item()
        worst = max(worst, error)
        print(f"{name}: largest difference {(got.double() - want).abs().max():.2e}, relative to its row {error:.2e}")
    return 0 if worst <= args.tolerance else 1


if __name__ == "__main__":
    sys.exit(main())
