"""Writes test/golden/hugging-face.json and hugging-face-mlp.json: features of a small CLIP that Hugging Face's transformers
computes, in float64.

    python test/reference/make_hugging_face_golden.py

Needs PyTorch and transformers 5. Two models, with exact GELU and with QuickGELU; heads are 32 wide, not 64. The second file
has a third model, whose MLPs (intermediate_size) are not 4 times as wide as their towers. The weights
follow from the names of transformers' own state dict, so that a reader must map them rightly to get the same features:
keys sorted, t the number of the key, s in [-1, 1) by seeded_integers(count, 7919 t); norms' weights 1 + 0.1 s, biases
0.05 s, logit_scale ln 100, all else 0.25 s; rounded to float32. test/support/hugging-face.ts writes the same.
"""

import json
import math
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel

from clipn_reference import formula_images, formula_texts, normalise, seeded_integers, unit

IMAGES, TEXTS = 3, 2
GOLDEN = Path(__file__).parent.parent / "golden"
NET = {"context_length": 12, "vocab_size": 40}
LAYERS = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**LAYERS, "max_position_embeddings": 12, "vocab_size": 40, "bos_token_id": 38, "eos_token_id": 39, "pad_token_id": 0}
VISION = {**LAYERS, "image_size": 32, "patch_size": 16}


def weights(state: dict) -> dict:
    out = {}
    for t, key in enumerate(sorted(key for key, value in state.items() if value.is_floating_point())):
        shape = state[key].shape
        s = (2 * seeded_integers(math.prod(shape), 7919 * t).double() / 2**31 - 1).reshape(shape)
        if key == "logit_scale":
            value = torch.full(shape, math.log(100), dtype=torch.float64)
        elif "norm" in key or "layrnorm" in key:
            value = 1 + 0.1 * s if key.endswith("weight") else 0.05 * s
        else:
            value = (0.05 if key.endswith("bias") else 0.25) * s
        out[key] = value.float()
    return out


def rounded(rows: torch.Tensor) -> list:
    return [[float(f"{value:.8g}") for value in row] for row in rows.tolist()]


def features(activation: str, text_mlp: int, vision_mlp: int) -> dict:
    config = CLIPConfig(text_config={**TEXT, "hidden_act": activation, "intermediate_size": text_mlp},
                        vision_config={**VISION, "hidden_act": activation, "intermediate_size": vision_mlp},
                        projection_dim=24, attn_implementation="eager")
    model = CLIPModel(config).double().eval()
    state = weights(model.state_dict())
    missing, unexpected = model.load_state_dict({key: value.double() for key, value in state.items()}, strict=False)
    assert not unexpected and all("position_ids" in key for key in missing), (missing, unexpected)
    ids = formula_texts(TEXTS, NET)
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=normalise(formula_images(IMAGES, 32)))
    return {"keys": sorted(state), "shapes": {key: list(value.shape) for key, value in state.items()}, "ids": ids.tolist(),
            "image_features": rounded(unit(out.image_embeds)), "text_yes": rounded(unit(out.text_embeds))}


def write(name: str, activations: tuple, text_mlp: int, vision_mlp: int) -> None:
    made = {activation: features(activation, text_mlp, vision_mlp) for activation in activations}
    first = made["gelu"]
    golden = {"description": "A seeded CLIPModel of transformers, by test/reference/make_hugging_face_golden.py",
              "images": IMAGES, "token_ids": first["ids"], "shapes": first["shapes"]}
    for activation, each in made.items():
        golden[activation] = {name: each[name] for name in ("image_features", "text_yes")}
    lines = [f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in golden.items()]
    file = GOLDEN / name
    file.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{name}: {file.stat().st_size} bytes, {len(first['keys'])} tensors")


def main() -> None:
    torch.set_default_dtype(torch.float64)
    write("hugging-face.json", ("gelu", "quick_gelu"), 256, 256)
    write("hugging-face-mlp.json", ("gelu",), 150, 173)


if __name__ == "__main__":
    main()
