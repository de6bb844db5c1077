"""CLIP's image tower as a PyTorch user would write it for speed: fused attention, F.layer_norm, erf GELU.

The suite compares its features with test/reference/clipn_reference.py in float64.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc, self.proj = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, length, width = x.shape
        q, k, v = self.qkv(self.ln_1(x)).reshape(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, length, width))
        return x + self.proj(F.gelu(self.fc(self.ln_2(x))))


class ImageTower(nn.Module):
    """pixel_values [N, 3, S, S], normalised, to image_embeds [N, D], unit rows."""

    def __init__(self, net: dict):
        super().__init__()
        width, patch = net["vision_width"], net["patch_size"]
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty((net["image_size"] // patch) ** 2 + 1, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, net["vision_heads"]) for _ in range(net["vision_layers"]))
        self.projection = nn.Parameter(torch.empty(width, net["embed_dim"]))

    def forward(self, pixel_values: Tensor) -> Tensor:
        x = self.conv1(pixel_values).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(x.shape[0], 1, -1), x], 1) + self.positional_embedding
        x = self.ln_pre(x)
        for block in self.blocks:
            x = block(x)
        return F.normalize(self.ln_post(x[:, 0]) @ self.projection, dim=-1)


def load(state: dict, net: dict) -> ImageTower:
    """From a state dict with the published names (`visual.…`)."""
    renamed = {"attn.in_proj_": "qkv.", "attn.out_proj": "out", "mlp.c_fc": "fc", "mlp.c_proj": "proj"}
    own = {}
    for key, value in state.items():
        if not key.startswith("visual."):
            continue
        name = key.removeprefix("visual.").replace("transformer.resblocks", "blocks")
        for theirs, ours in renamed.items():
            name = name.replace(theirs, ours)
        own["projection" if name == "proj" else name] = value.float()
    tower = ImageTower(net)
    tower.load_state_dict(own)
    return tower.eval()
