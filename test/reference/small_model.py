"""The shipped small model for the comparisons: its weights in float64, its labels and templates, and its text features."""

import json
import sys

import torch

from clipn_reference import encode_text, unit
from product import ROOT

FOLDER = ROOT / "models" / "small"
sys.path.insert(0, str(FOLDER / "recipe"))
from tokenizer import Tokenizer  # noqa: E402  (the recipe's)

FILE = FOLDER / "model.pt"
LABELS_FILE = FOLDER / "photos" / "labels.txt"
LABELS = LABELS_FILE.read_text().split("\n")[:-1]
TEMPLATES = json.loads((ROOT / "lib" / "data" / "templates" / "clipn.json").read_text())


def load() -> tuple[dict, dict]:
    """(state dict in float64, sizes as in clipn_reference.NETWORKS)"""
    extra = {"clipn.json": ""}
    model = torch.jit.load(FILE, map_location="cpu", _extra_files=extra)
    a = json.loads(extra["clipn.json"])["architecture"]
    names = {"embed_dim": "embedDim", "image_size": "imageSize", "patch_size": "patchSize", "vision_width": "visionWidth",
             "vision_layers": "visionLayers", "vision_heads": "visionHeads", "context_length": "contextLength",
             "vocab_size": "vocabSize", "text_width": "textWidth", "text_layers": "textLayers", "text_heads": "textHeads"}
    net = {ours: a[theirs] for ours, theirs in names.items()}
    state = {name: value.double() for name, value in model.named_parameters()}
    # The model file holds the mean prompt inside positional_embedding_no (docs/model-file.md).
    state["prompt_no"] = torch.zeros(1, net["context_length"], net["text_width"], dtype=torch.float64)
    return state, net


def banks(state: dict, net: dict, labels: list = LABELS, templates: list = TEMPLATES) -> tuple[torch.Tensor, torch.Tensor]:
    """Spec 2.1: unit vectors of every template, summed, unit again; [C, D] of the yes and of the no tower."""
    tokenize = Tokenizer(FOLDER / "tokenizer.json", net["context_length"])
    rows = {"": [], "_no": []}
    for label in labels:
        ids = tokenize([template.replace("{}", label) for template in templates])
        for no, out in rows.items():
            out.append(unit(unit(encode_text(ids, state, net, no)).sum(0)))
    return torch.stack(rows[""]), torch.stack(rows["_no"])
