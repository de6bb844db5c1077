"""The CLIPN network at any size, with the key names of the published checkpoints.

Two text towers (yes and no) and one ViT image tower. Plain GELU, LayerNorm eps 1e-5,
heads = width / 64 in both towers, causal text transformer read out at the end-of-text token.
"""
from collections import OrderedDict

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

K = 16  # number of learnable no prompts
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)


class Attention(nn.Module):
    """Multi-head self-attention, parameters laid out as torch.nn.MultiheadAttention."""

    def __init__(self, width):
        super().__init__()
        self.heads = width // 64
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x, causal):
        n, t, w = x.shape
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).view(
            n, t, 3, self.heads, 64).permute(2, 0, 3, 1, 4)
        # Written out: on a CPU faster to train than the fused kernel at these lengths.
        scores = (q * 0.125) @ k.transpose(-1, -2)
        if causal:
            scores = scores + torch.full((t, t), float("-inf"), dtype=x.dtype).triu(1)
        x = scores.softmax(-1).to(v.dtype) @ v
        return self.out_proj(x.transpose(1, 2).reshape(n, t, w))


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = Attention(width)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(OrderedDict(
            c_fc=nn.Linear(width, 4 * width), gelu=nn.GELU(), c_proj=nn.Linear(4 * width, width)))

    def forward(self, x, causal):
        x = x + self.attn(self.ln_1(x), causal)
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self, width, layers, causal):
        super().__init__()
        self.causal = causal
        self.resblocks = nn.ModuleList(Block(width) for _ in range(layers))
        for block in self.resblocks:
            nn.init.normal_(block.attn.in_proj_weight, std=width ** -0.5)
            nn.init.normal_(block.attn.out_proj.weight, std=width ** -0.5 * (2 * layers) ** -0.5)
            nn.init.zeros_(block.attn.out_proj.bias)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * width) ** -0.5)
            nn.init.normal_(block.mlp.c_proj.weight, std=width ** -0.5 * (2 * layers) ** -0.5)

    def forward(self, x):
        for block in self.resblocks:
            x = block(x, self.causal)
        return x


class Vision(nn.Module):
    """ViT image tower; the output is not normalised."""

    def __init__(self, image_size, patch_size, width, layers, embed_dim):
        super().__init__()
        self.grid = image_size // patch_size
        scale = width ** -0.5
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(self.grid ** 2 + 1, width))
        self.proj = nn.Parameter(scale * torch.randn(width, embed_dim))
        self.conv1 = nn.Conv2d(3, width, patch_size, patch_size, bias=False)
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, layers, causal=False)
        self.ln_post = nn.LayerNorm(width)

    def forward(self, images, keep=1.0):
        """keep: share of the patches that are looked at, drawn anew for each image."""
        x = self.conv1(images).flatten(2).transpose(1, 2) + self.positional_embedding[1:]
        if keep < 1:
            kept = torch.rand(x.shape[:2]).topk(round(keep * x.shape[1]), 1).indices
            x = x.gather(1, kept[..., None].expand(-1, -1, x.shape[2]))
        cls = (self.class_embedding + self.positional_embedding[0]).to(x.dtype)
        x = torch.cat([cls.expand(len(x), 1, -1), x], 1)
        x = self.transformer(self.ln_pre(x))
        return self.ln_post(x[:, 0]) @ self.proj


class CLIPN(nn.Module):
    def __init__(self, embed_dim, vision_cfg, text_cfg):
        super().__init__()
        t, width = text_cfg, text_cfg["width"]
        assert t["heads"] * 64 == width and vision_cfg["width"] % 64 == 0
        self.context_length = t["context_length"]
        # In this order the keys stand in the published files.
        for no in ("", "_no"):
            setattr(self, "positional_embedding" + no,
                    nn.Parameter(0.01 * torch.randn(t["context_length"], width)))
        for no in ("", "_no"):
            setattr(self, "text_projection" + no,
                    nn.Parameter(width ** -0.5 * torch.randn(width, embed_dim)))
        self.prompt_no = nn.Parameter(torch.zeros(K, t["context_length"], width))
        self.logit_scale = nn.Parameter(torch.tensor(float(np.log(1 / 0.07))))
        self.visual = Vision(vision_cfg["image_size"], vision_cfg["patch_size"],
                             vision_cfg["width"], vision_cfg["layers"], embed_dim)
        for no in ("", "_no"):
            setattr(self, "transformer" + no, Transformer(width, t["layers"], causal=True))
            setattr(self, "token_embedding" + no, nn.Embedding(t["vocab_size"], width))
            nn.init.normal_(getattr(self, "token_embedding" + no).weight, std=0.02)
            setattr(self, "ln_final" + no, nn.LayerNorm(width))

    def encode_image(self, images, keep=1.0):
        return F.normalize(self.visual(images, keep).float(), dim=-1)

    def encode_text(self, ids, no="", prompt=None):
        """ids [N, T], T <= context length. prompt: map added to the no tower's input."""
        length = ids.shape[1]
        x = getattr(self, "token_embedding" + no)(ids) \
            + getattr(self, "positional_embedding" + no)[:length]
        if prompt is not None:
            x = x + prompt[..., :length, :]
        x = getattr(self, "ln_final" + no)(getattr(self, "transformer" + no)(x))
        x = x[torch.arange(len(x)), ids.argmax(1)] @ getattr(self, "text_projection" + no)
        return F.normalize(x.float(), dim=-1)

    def encode_yes(self, ids):
        return self.encode_text(ids)

    def encode_no(self, ids):
        """With the mean of the K prompts, as CLIPN infers."""
        return self.encode_text(ids, "_no", self.prompt_no.mean(0, keepdim=True))
