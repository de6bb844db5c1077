"""CLIP's towers as a PyTorch user would write them for speed: fused attention, F.layer_norm, erf GELU.

The suite compares the image tower's features with test/reference/clipn_reference.py in float64.
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

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        n, length, width = x.shape
        q, k, v = self.qkv(self.ln_1(x)).reshape(n, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(mixed.transpose(1, 2).reshape(n, length, width))
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


class TextTower(nn.Module):
    """input_ids and attention_mask [C, L] to text_embeds [C, D], unit rows, read out at the first largest id."""

    def __init__(self, net: dict):
        super().__init__()
        width, context = net["text_width"], net["context_length"]
        self.token_embedding = nn.Embedding(net["vocab_size"], width)
        self.positional_embedding = nn.Parameter(torch.empty(context, width))
        self.blocks = nn.ModuleList(Block(width, net["text_heads"]) for _ in range(net["text_layers"]))
        self.ln_final = nn.LayerNorm(width)
        self.projection = nn.Parameter(torch.empty(width, net["embed_dim"]))
        self.register_buffer("causal", torch.ones(context, context, dtype=torch.bool).tril(), persistent=False)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        length = input_ids.shape[1]
        mask = self.causal[:length, :length] & attention_mask[:, None, None, :].bool()
        x = self.token_embedding(input_ids) + self.positional_embedding[:length]
        for block in self.blocks:
            x = block(x, mask)
        end = input_ids.argmax(-1)[:, None, None].expand(-1, 1, x.shape[2])
        return F.normalize(self.ln_final(x.gather(1, end)[:, 0]) @ self.projection, dim=-1)


TEXT_KEYS = ("positional_embedding", "token_embedding.", "transformer.", "ln_final.", "text_projection")
RENAMED = {"attn.in_proj_": "qkv.", "attn.out_proj": "out", "mlp.c_fc": "fc", "mlp.c_proj": "proj",
           "transformer.resblocks": "blocks", "text_projection": "projection"}


def renamed(key: str) -> str:
    for theirs, ours in RENAMED.items():
        key = key.replace(theirs, ours)
    return "projection" if key == "proj" else key


def load(state: dict, net: dict) -> ImageTower:
    """From a state dict with the published names (`visual.…`)."""
    tower = ImageTower(net)
    visual = {key.removeprefix("visual."): value for key, value in state.items() if key.startswith("visual.")}
    tower.load_state_dict({renamed(key): value.float() for key, value in visual.items()})
    return tower.eval()


def load_text(state: dict, net: dict) -> TextTower:
    """The yes tower of a state dict with the published names; of a plain CLIP its only one."""
    tower = TextTower(net)
    text = {key: value for key, value in state.items() if key.startswith(TEXT_KEYS) and "_no" not in key}
    tower.load_state_dict({renamed(key): value.float() for key, value in text.items()})
    return tower.eval()
