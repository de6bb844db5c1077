"""Training the no tower in plain PyTorch, written from the specification (1.4, 1.9, 5.2, 5.3): autograd and torch.optim.

Nothing here is shared with the product, except the draw function, which is stated twice so that both draw the same.
"""

import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from clipn_reference import layer_norm, transformer, unit

PROMPTS = 16
ORDER, CAPTION, PROMPT = 1, 2, 3
MASK = 0xFFFFFFFF


# ---- draws (lib/teach/draw.ts) ----------------------------------------------------------------------------------


def bits(*words: int) -> int:
    x = 0
    for word in words:
        x = ((x ^ word) + 0x9E3779B9) & MASK
        x = ((x ^ (x >> 16)) * 0x7FEB352D) & MASK
        x = ((x ^ (x >> 15)) * 0x846CA68B) & MASK
        x ^= x >> 16
    return x


def below(n: int, *words: int) -> int:
    return bits(*words) * n >> 32


def shuffled(n: int, seed: int, epoch: int) -> list[int]:
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = below(i + 1, ORDER, seed, epoch, i)
        order[i], order[j] = order[j], order[i]
    return order


# ---- the network in training ------------------------------------------------------------------------------------


def initial_no_side(base: dict) -> dict:
    """Spec 1.9: a copy of the yes tower, and prompts of zero."""
    state = {}
    for key, value in base.items():
        first, dot, rest = key.partition(".")
        if first in ("transformer", "token_embedding", "positional_embedding", "ln_final", "text_projection"):
            state[f"{first}_no{dot}{rest}"] = value.clone()
    context, width = base["positional_embedding"].shape
    state["prompt_no"] = torch.zeros(PROMPTS, context, width, dtype=base["positional_embedding"].dtype)
    return state


def encode_no(ids: Tensor, maps: Tensor, state: dict, net: dict) -> Tensor:
    """Spec 1.4: every text with its own prompt map; map 16 is the mean of all."""
    length = ids.shape[1]
    choices = torch.cat([state["prompt_no"], state["prompt_no"].mean(0, keepdim=True)])
    x = state["token_embedding_no.weight"][ids] + state["positional_embedding_no"][:length] + choices[maps][:, :length]
    x = transformer(x, state, "transformer_no", net["text_layers"], net["text_heads"], True, False)
    x = layer_norm(x, state, "ln_final_no")
    return unit(x[torch.arange(len(ids)), ids.argmax(-1)] @ state["text_projection_no"])


def losses(f: Tensor, g: Tensor, h: Tensor, scale: float, negative: Tensor) -> dict[str, Tensor]:
    """Spec 5.2 in its stable form. negative [N, N]: True where caption j is a negative of image i."""
    z = scale * (f @ g.T) - scale * (f @ h.T)
    yes = torch.nn.functional.softplus(-z.diagonal()).mean()
    no = torch.nn.functional.softplus(z[negative]).mean()
    text = (2 - torch.sqrt(2 - 2 * (g * h).sum(-1) + 1e-4)).mean()
    return {"lossYes": yes, "lossNo": no, "lossText": text, "total": 0.5 * (yes + no + text)}


def optimizer(state: dict, lr: float) -> torch.optim.Optimizer:
    """Spec 5.3: matrices decay, vectors do not."""
    flat = [value for value in state.values() if value.ndim < 2]
    matrices = [value for value in state.values() if value.ndim >= 2]
    groups = [{"params": flat, "weight_decay": 0.0}, {"params": matrices, "weight_decay": 0.2}]
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), eps=1e-6)


def train(state: dict, net: dict, batches, steps: int, lr: float, scale: float) -> list[dict]:
    """Trains `state` in place on batches (f, g, ids, maps, negative); returns what each step reports."""
    for value in state.values():
        value.requires_grad_(True)
    adamw = optimizer(state, lr)
    report = []
    for step, (f, g, ids, maps, negative) in enumerate(batches):
        rate = 0.5 * (1 + math.cos(math.pi * step / steps)) * lr
        for group in adamw.param_groups:
            group["lr"] = rate
        parts = losses(f, g, encode_no(ids, maps, state, net), scale, negative)
        adamw.zero_grad()
        parts["total"].backward()
        adamw.step()
        report.append({"step": step + 1, "lr": rate, **{name: loss.item() for name, loss in parts.items()}})
    return report


# ---- cached features (docs/teach.md) ----------------------------------------------------------------------------


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    data = path.read_bytes()
    end = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:end])
    types = {"F32": np.float32, "I32": np.int32}
    return {
        name: np.frombuffer(data[end:][slice(*entry["data_offsets"])], types[entry["dtype"]]).reshape(entry["shape"]).copy()
        for name, entry in header.items()
        if name != "__metadata__"
    }
