"""CLIPN's forward pass in plain PyTorch, written from the specification: the independent reference of the tests.

Nothing here is shared with the product. `seeded_state_dict` makes the weights that test/support/seeded-weights.ts
describes; `load_state_dict` reads a checkpoint as the published ones are.
"""

import math

import torch
from torch import Tensor

NETWORKS = {
    "tiny": dict(embed_dim=8, image_size=32, patch_size=16, vision_width=64, vision_layers=2, vision_heads=4,
                 context_length=12, vocab_size=40, text_width=16, text_layers=2, text_heads=4),
    "ViT-B-16": dict(embed_dim=512, image_size=224, patch_size=16, vision_width=768, vision_layers=12, vision_heads=12,
                     context_length=77, vocab_size=49408, text_width=512, text_layers=12, text_heads=8),
    "ViT-B-32": dict(embed_dim=512, image_size=224, patch_size=32, vision_width=768, vision_layers=12, vision_heads=12,
                     context_length=77, vocab_size=49408, text_width=512, text_layers=12, text_heads=8),
    "ViT-L-14": dict(embed_dim=768, image_size=224, patch_size=14, vision_width=1024, vision_layers=24, vision_heads=16,
                     context_length=77, vocab_size=49408, text_width=768, text_layers=12, text_heads=12),
}
# MLPs of another width than 4 times their tower's, as OpenCLIP rounds it: int(width * mlp_ratio), of 2.7 and 3.3.
NETWORKS["odd-mlp"] = dict(NETWORKS["tiny"], vision_mlp=172, text_mlp=52)
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


# ---- weights -----------------------------------------------------------------------------------------------------


def seeded_integers(count: int, start: int) -> Tensor:
    x = torch.arange(start, start + count, dtype=torch.int64)
    for _ in range(3):
        x = (1103515245 * x + 12345) % 2**31
        x = x ^ (x >> 15)
    return x


def block_shapes(tower: str, layers: int, width: int, mlp: int) -> dict:
    shapes = {}
    for i in range(layers):
        for name, shape in {
            "ln_1.weight": [width], "ln_1.bias": [width], "ln_2.weight": [width], "ln_2.bias": [width],
            "attn.in_proj_weight": [3 * width, width], "attn.in_proj_bias": [3 * width],
            "attn.out_proj.weight": [width, width], "attn.out_proj.bias": [width],
            "mlp.c_fc.weight": [mlp, width], "mlp.c_fc.bias": [mlp],
            "mlp.c_proj.weight": [width, mlp], "mlp.c_proj.bias": [width],
        }.items():
            shapes[f"{tower}.resblocks.{i}.{name}"] = shape
    return shapes


def state_shapes(net: dict) -> dict:
    width, d = net["vision_width"], net["embed_dim"]
    patch = net["patch_size"]
    shapes = {
        "logit_scale": [], "prompt_no": [16, net["context_length"], net["text_width"]],
        "visual.class_embedding": [width], "visual.proj": [width, d],
        "visual.positional_embedding": [(net["image_size"] // patch) ** 2 + 1, width],
        "visual.conv1.weight": [width, 3, patch, patch],
        "visual.ln_pre.weight": [width], "visual.ln_pre.bias": [width],
        "visual.ln_post.weight": [width], "visual.ln_post.bias": [width],
        **block_shapes("visual.transformer", net["vision_layers"], width, net.get("vision_mlp", 4 * width)),
    }
    width = net["text_width"]
    for no in ("", "_no"):
        shapes |= {
            f"positional_embedding{no}": [net["context_length"], width], f"text_projection{no}": [width, d],
            f"token_embedding{no}.weight": [net["vocab_size"], width],
            f"ln_final{no}.weight": [width], f"ln_final{no}.bias": [width],
            **block_shapes(f"transformer{no}", net["text_layers"], width, net.get("text_mlp", 4 * width)),
        }
    return shapes


def seeded_state_dict(net: dict, scheme: str, dtype: torch.dtype = torch.float32) -> dict:
    """Scheme 'flat' or 'fan-in', as test/support/seeded-weights.ts states them."""
    state = {}
    for t, (key, shape) in enumerate(sorted(state_shapes(net).items())):
        s = 2.0 * seeded_integers(math.prod(shape), 7919 * t).double() / 2**31 - 1
        module = key.rsplit(".", 2)[-2] if key.count(".") else ""
        if key == "logit_scale":
            value = torch.full_like(s, math.log(100))
        elif module.startswith("ln_") and key.endswith("weight"):
            value = 1 + 0.1 * s
        elif key.endswith("bias"):
            value = 0.05 * s
        elif scheme == "fan-in" and ("resblocks" in key or module == "conv1"):
            gain = 1.5 if key.endswith("in_proj_weight") else 1
            value = gain * math.sqrt(3 / math.prod(shape[1:])) * s
        else:
            value = 0.25 * s
        state[key] = value.to(dtype).reshape(shape)
    return state


def load_state_dict(path: str) -> dict:
    checkpoint = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    state = checkpoint.get("state_dict", checkpoint)
    return {key.removeprefix("module."): value for key, value in state.items()}


# ---- network (spec 1.2 to 1.5) -----------------------------------------------------------------------------------


def layer_norm(x: Tensor, state: dict, name: str) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    variance = (centred * centred).mean(-1, keepdim=True)
    return centred / torch.sqrt(variance + 1e-5) * state[f"{name}.weight"] + state[f"{name}.bias"]


def gelu(x: Tensor, quick: bool) -> Tensor:
    return x * torch.sigmoid(1.702 * x) if quick else 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def attention(x: Tensor, state: dict, name: str, heads: int, causal: bool) -> Tensor:
    n, l, width = x.shape
    q, k, v = (x @ state[f"{name}.in_proj_weight"].T + state[f"{name}.in_proj_bias"]).chunk(3, -1)
    split = lambda y: y.reshape(n, l, heads, width // heads).transpose(1, 2)
    logits = split(q) @ split(k).transpose(-1, -2) / math.sqrt(width // heads)
    if causal:
        logits = logits + torch.full((l, l), float("-inf"), dtype=x.dtype).triu(1)
    mixed = (logits.softmax(-1) @ split(v)).transpose(1, 2).reshape(n, l, width)
    return mixed @ state[f"{name}.out_proj.weight"].T + state[f"{name}.out_proj.bias"]


def transformer(x: Tensor, state: dict, tower: str, layers: int, heads: int, causal: bool, quick: bool) -> Tensor:
    for i in range(layers):
        block = f"{tower}.resblocks.{i}"
        x = x + attention(layer_norm(x, state, f"{block}.ln_1"), state, f"{block}.attn", heads, causal)
        hidden = layer_norm(x, state, f"{block}.ln_2") @ state[f"{block}.mlp.c_fc.weight"].T
        hidden = gelu(hidden + state[f"{block}.mlp.c_fc.bias"], quick)
        x = x + hidden @ state[f"{block}.mlp.c_proj.weight"].T + state[f"{block}.mlp.c_proj.bias"]
    return x


def encode_image(pixels: Tensor, state: dict, net: dict, quick: bool = False) -> Tensor:
    """Normalised pixels [N, 3, S, S] to raw features of all tokens [N, 1 + P, D]; token 0 is the image's."""
    patch, width = net["patch_size"], net["vision_width"]
    n, _, side, _ = pixels.shape
    grid = side // patch
    tiles = pixels.reshape(n, 3, grid, patch, grid, patch).permute(0, 2, 4, 1, 3, 5).reshape(n, grid * grid, -1)
    x = tiles @ state["visual.conv1.weight"].reshape(width, -1).T
    x = torch.cat([state["visual.class_embedding"].expand(n, 1, width), x], 1) + state["visual.positional_embedding"]
    x = layer_norm(x, state, "visual.ln_pre")
    x = transformer(x, state, "visual.transformer", net["vision_layers"], net["vision_heads"], False, quick)
    return layer_norm(x, state, "visual.ln_post") @ state["visual.proj"]


def encode_text(ids: Tensor, state: dict, net: dict, no: str = "", quick: bool = False) -> Tensor:
    """Token ids [N, L], L the context or as much of it as the ids need, to raw features [N, D]; `no` is '' or '_no'."""
    length = ids.shape[1]
    x = state[f"token_embedding{no}.weight"][ids] + state[f"positional_embedding{no}"][:length]
    if no:
        x = x + state["prompt_no"].mean(0)[:length]
    x = transformer(x, state, f"transformer{no}", net["text_layers"], net["text_heads"], True, quick)
    x = layer_norm(x, state, f"ln_final{no}")
    return x[torch.arange(len(ids)), ids.argmax(-1)] @ state[f"text_projection{no}"]


def unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-12)


def normalise(rgb: Tensor) -> Tensor:
    """uint8 [N, S, S, 3] to float64 [N, 3, S, S] (spec 4.2)."""
    x = rgb.double() / 255
    return ((x - torch.tensor(MEAN, dtype=torch.float64)) / torch.tensor(STD, dtype=torch.float64)).permute(0, 3, 1, 2)


# ---- scores ------------------------------------------------------------------------------------------------------


def scores(a: torch.Tensor, b: torch.Tensor, scale: float = 100.0) -> tuple[dict, str]:
    """Spec 3 for one image's logits [C] of both towers: all scores, and the ATD rule's verdict."""
    p, p_yes = a.softmax(0), torch.sigmoid(a - b)
    top = a.argmax()
    out = (p * (1 - p_yes)).sum()
    values = {"ctw": p_yes[top], "atd": (p * p_yes).sum(), "msp": p.max(), "maxLogit": a.max(), "energy": a.logsumexp(0),
              "mcm": (a / scale).softmax(0).max(), "gap": a[top] - b[top], "logPOut": out.log()}
    return {k: v.item() for k, v in values.items()}, "out" if out > (p * p_yes).max() else "in"


# ---- inputs ------------------------------------------------------------------------------------------------------


def formula_images(count: int, side: int) -> Tensor:
    """uint8 [count, side, side, 3]; sample(k, y, x, c) = ((x (2k+3) + y (5k+1) + 60c) xor (x y >> (k+3))) mod 256."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    images = [
        torch.stack([((x * (2 * k + 3) + y * (5 * k + 1) + 60 * c) ^ ((x * y) >> (k + 3))) % 256 for c in range(3)], -1)
        for k in range(count)
    ]
    return torch.stack(images).to(torch.uint8)


def formula_texts(count: int, net: dict) -> Tensor:
    """Ids [count, context]: SOT, 3 + 4k ordinary tokens (7 + 1009 (j + 1) (k + 1)) mod (vocab - 2), EOT, zeros."""
    vocab = net["vocab_size"]
    ids = torch.zeros(count, net["context_length"], dtype=torch.int64)
    for k in range(count):
        words = [(7 + 1009 * (j + 1) * (k + 1)) % (vocab - 2) for j in range(3 + 4 * k)]
        row = [vocab - 2, *words, vocab - 1]
        ids[k, : len(row)] = torch.tensor(row)
    return ids


def features(state: dict, net: dict, images: Tensor, ids: Tensor, quick: bool = False) -> dict:
    """Unit features of uint8 images and ids in float64."""
    state = {key: value.double() for key, value in state.items() if key != "logit_scale"}
    with torch.no_grad():
        return {
            "image": unit(encode_image(normalise(images), state, net, quick))[:, 0],
            "yes": unit(encode_text(ids, state, net, "", quick)),
            "no": unit(encode_text(ids, state, net, "_no", quick)),
        }
