"""Writes a model file of ours as the folder that transformers.js's zero-shot-image-classification pipeline takes.

    python bench/peers/export_transformers_js.py MODEL OUT

Image tower and yes tower alone, as a plain CLIP. OUT gets onnx/model.onnx (fp32) with the inputs and outputs of the CLIPs
on the hub, config.json, preprocessor_config.json, tokenizer.json and tokenizer_config.json. The towers are PyTorch's
(vit.py): of the model file the weights are taken, its program is not run.
"""

import json
import math
import sys
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

import vit

START, END = "<|startoftext|>", "<|endoftext|>"


class Clip(nn.Module):
    def __init__(self, image: vit.ImageTower, text: vit.TextTower, scale: float):
        super().__init__()
        self.image, self.text, self.scale = image, text, scale

    def forward(self, input_ids: Tensor, pixel_values: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        text, image = self.text(input_ids, attention_mask), self.image(pixel_values)
        per_image = self.scale * image @ text.T
        return per_image, per_image.T, text, image


def read(path: str) -> tuple[dict, dict, dict]:
    """(state dict, clipn.json, tokenizer.json); docs/model-file.md says what these are."""
    extra = {"clipn.json": "", "tokenizer.json": ""}
    model = torch.jit.load(path, map_location="cpu", _extra_files=extra)
    return dict(model.named_parameters()), json.loads(extra["clipn.json"]), json.loads(extra["tokenizer.json"])


def sizes(config: dict) -> dict:
    """As clipn_reference.NETWORKS has them."""
    names = {"embed_dim": "embedDim", "image_size": "imageSize", "patch_size": "patchSize", "vision_width": "visionWidth",
             "vision_layers": "visionLayers", "vision_heads": "visionHeads", "context_length": "contextLength",
             "vocab_size": "vocabSize", "text_width": "textWidth", "text_layers": "textLayers", "text_heads": "textHeads"}
    return {ours: config["architecture"][theirs] for ours, theirs in names.items()}


def export(clip: Clip, net: dict, path: Path) -> None:
    side, length = net["image_size"], 7
    ids = torch.full((3, length), net["vocab_size"] - 1, dtype=torch.int64)
    example = (ids, torch.zeros(2, 3, side, side), torch.ones_like(ids))
    text = {0: "text_batch_size", 1: "sequence_length"}
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(clip, example, str(path), opset_version=17, dynamo=False,
                          input_names=["input_ids", "pixel_values", "attention_mask"],
                          output_names=["logits_per_image", "logits_per_text", "text_embeds", "image_embeds"],
                          dynamic_axes={"input_ids": text, "attention_mask": text,
                                        "pixel_values": {0: "image_batch_size"},
                                        "logits_per_image": {0: "image_batch_size", 1: "text_batch_size"},
                                        "logits_per_text": {0: "text_batch_size", 1: "image_batch_size"},
                                        "text_embeds": {0: "text_batch_size"}, "image_embeds": {0: "image_batch_size"}})


def main() -> None:
    path, out = sys.argv[1], Path(sys.argv[2])
    state, config, tokenizer = read(path)
    if config["architecture"]["activation"] != "gelu":
        sys.exit("only towers with the exact GELU are written here")
    net, scale = sizes(config), float(config["scale"])
    (out / "onnx").mkdir(parents=True, exist_ok=True)
    export(Clip(vit.load(state, net), vit.load_text(state, net), scale), net, out / "onnx" / "model.onnx")

    # CLIP's tokenizer.json on the hub adds the two tokens around a text itself; ours leaves that to its reader.
    tokenizer["post_processor"] = {"type": "RobertaProcessing", "sep": [END, config["eot"]], "cls": [START, config["sot"]],
                                   "trim_offsets": False, "add_prefix_space": False}
    side = net["image_size"]
    for name, value in {
        "config.json": {"model_type": "clip", "projection_dim": net["embed_dim"],
                        "logit_scale_init_value": math.log(scale)},
        "preprocessor_config.json": {
            "feature_extractor_type": "CLIPFeatureExtractor", "image_processor_type": "CLIPImageProcessor",
            "do_resize": True, "size": {"shortest_edge": side}, "resample": 3, "do_center_crop": True,
            "crop_size": {"height": side, "width": side}, "do_convert_rgb": True, "do_rescale": True,
            "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": config["mean"], "image_std": config["std"]},
        "tokenizer.json": tokenizer,
        "tokenizer_config.json": {"tokenizer_class": "CLIPTokenizer", "model_max_length": net["context_length"],
                                  "bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END},
    }.items():
        (out / name).write_text(json.dumps(value))


if __name__ == "__main__":
    main()
