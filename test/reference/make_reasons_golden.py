"""Writes test/golden/reasons.json: why seeded images get the scores that they get, in float64.

    python test/reference/make_reasons_golden.py

Of the network and images of tiny-rgb.json (make_golden.py), with five texts as labels: p, p_yes, gap, and the share
p * p_yes of each label in ATD; and what each patch adds to the image's feature through the attention of the last block
(docs/reasons.md). That these are parts of one sum is checked here: with the class token's own value, the residual, the MLP
and the biases they make up the feature to 1e-12.
"""

import json
import math
from pathlib import Path

import torch

from clipn_reference import (NETWORKS, encode_image, formula_images, gelu, layer_norm, normalise, features,
                             seeded_state_dict, transformer)

IMAGES, LABELS, SCALE = 4, 5, 100.0
NET = NETWORKS["tiny"]


def tokens_before_last_block(pixels: torch.Tensor, state: dict) -> torch.Tensor:
    patch, width, (n, _, side, _) = NET["patch_size"], NET["vision_width"], pixels.shape
    grid = side // patch
    tiles = pixels.reshape(n, 3, grid, patch, grid, patch).permute(0, 2, 4, 1, 3, 5).reshape(n, grid * grid, -1)
    x = tiles @ state["visual.conv1.weight"].reshape(width, -1).T
    x = torch.cat([state["visual.class_embedding"].expand(n, 1, width), x], 1) + state["visual.positional_embedding"]
    x = layer_norm(x, state, "visual.ln_pre")
    return transformer(x, state, "visual.transformer", NET["vision_layers"] - 1, NET["vision_heads"], False, False)


def parts_of_feature(pixels: torch.Tensor, state: dict) -> tuple[torch.Tensor, torch.Tensor]:
    """What each token gives the unit feature by the last attention [N, 1 + P, D], and what everything else does [N, D]."""
    name = f"visual.transformer.resblocks.{NET['vision_layers'] - 1}"
    x = tokens_before_last_block(pixels, state)
    n, tokens, width = x.shape
    heads, size = NET["vision_heads"], width // NET["vision_heads"]
    normed = layer_norm(x, state, f"{name}.ln_1")
    q, k, v = (normed @ state[f"{name}.attn.in_proj_weight"].T + state[f"{name}.attn.in_proj_bias"]).chunk(3, -1)
    given = torch.zeros(n, tokens, width, dtype=x.dtype)
    for head in range(heads):  # its columns of q, k, v and of out_proj
        at = slice(head * size, (head + 1) * size)
        weights = torch.einsum("nd,ntd->nt", q[:, 0, at], k[:, :, at]).div(math.sqrt(size)).softmax(-1)
        given += weights[..., None] * v[:, :, at] @ state[f"{name}.attn.out_proj.weight"][:, at].T
    attended = x[:, 0] + given.sum(1) + state[f"{name}.attn.out_proj.bias"]
    hidden = gelu(layer_norm(attended, state, f"{name}.ln_2") @ state[f"{name}.mlp.c_fc.weight"].T
                  + state[f"{name}.mlp.c_fc.bias"], False)
    mlp = hidden @ state[f"{name}.mlp.c_proj.weight"].T + state[f"{name}.mlp.c_proj.bias"]
    token = attended + mlp
    deviation = (token.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()

    def projected(part: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
        return (part - part.mean(-1, keepdim=True)) / by * state["visual.ln_post.weight"] @ state["visual.proj"]

    others = x[:, 0] + state[f"{name}.attn.out_proj.bias"] + mlp
    rest = projected(others, deviation) + state["visual.ln_post.bias"] @ state["visual.proj"]
    length = encode_image(pixels, state, NET)[:, 0].norm(dim=-1, keepdim=True)
    return projected(given, deviation[:, None]) / length[:, None], rest / length


def rounded(values: torch.Tensor) -> list:
    return [float(f"{value:.10g}") for value in values.flatten().tolist()]


def main() -> None:
    torch.set_grad_enabled(False)
    state = {key: value.double() for key, value in seeded_state_dict(NET, "flat").items()}
    images = formula_images(IMAGES, NET["image_size"])
    ids = torch.zeros(LABELS, NET["context_length"], dtype=torch.int64)
    for label in range(LABELS):
        ids[label, :4] = torch.tensor([38, 3 + label, (7 * label + 1) % 38, 39])  # start, two tokens, end
    out = features(state, NET, images, ids)
    f, g, h = out["image"], out["yes"], out["no"]
    tokens, rest = parts_of_feature(normalise(images), state)
    assert (tokens.sum(1) + rest - f).abs().max() < 1e-12
    a, b = SCALE * f @ g.T, SCALE * f @ h.T
    p, p_yes, top = a.softmax(-1), torch.sigmoid(a - b), a.argmax(-1)
    direction = SCALE * (g - h)[top]
    golden = {
        "source": "test/reference/make_reasons_golden.py",
        "labels": LABELS, "patches": tokens.shape[1] - 1, "dim": f.shape[1], "scale": SCALE,
        "features": rounded(f), "yes": rounded(g), "no": rounded(h),
        "p": rounded(p), "pYes": rounded(p_yes), "gap": rounded(a - b), "share": rounded(p * p_yes),
        "atd": rounded((p * p_yes).sum(-1)),
        "contributions": rounded(tokens[:, 1:]),
        "ofGap": rounded(torch.einsum("npd,nd->np", tokens[:, 1:], direction)),
    }
    lines = [f"{json.dumps(key)}: {json.dumps(value, separators=(',', ':'))}" for key, value in golden.items()]
    (Path(__file__).parent.parent / "golden" / "reasons.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print("gaps", (a - b).gather(1, top[:, None]).flatten().tolist(), "of patches", golden["ofGap"])


if __name__ == "__main__":
    main()
