"""Weights as people have them, written by PyTorch, transformers and open_clip with seeded numbers: `export` reads each, and its
features of images and texts are those of the network that wrote it, in float64; its token ids are CLIPTokenizer's.

    python test/reference/check_weights.py

- transformers' folders (CLIPModel): both activations, in shards, fp16, bf16, heads 80 wide, pytorch_model.bin; tokenizer.json,
  or vocab.json and merges.txt.
- OpenCLIP's folder (open_clip's own CLIP), and its state dict in every wrapping: keys of DistributedDataParallel and
  torch.compile, nested dicts, torch.save's format from before 1.6, beside an optimizer and options.
- OpenAI's archive: TorchScript with fp16 products, QuickGELU.
"""

import argparse
import collections
import json
import pathlib
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

import openclip_model
from check_archive import is_half, modules
from clipn_reference import MEAN, STD, formula_images, unit
from make_hugging_face_golden import weights as seeded
from make_bpe_golden import TEXTS, tokens, write_bpe
from product import ask_product

TOLERANCE = 1e-5
IMAGES = 2
SIDE, PATCH, CONTEXT, DIM = 48, 16, 32, 24
WORDS = [text for text in TEXTS if len(text) < 20]
HALVES = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.5, 0.5]}
USUAL = {"mean": list(MEAN), "std": list(STD)}


def pixels(mean: list, std: list) -> torch.Tensor:
    x = formula_images(IMAGES, SIDE).double() / 255
    return ((x - torch.tensor(mean, dtype=torch.float64)) / torch.tensor(std, dtype=torch.float64)).permute(0, 3, 1, 2)


class Cases:
    """What the product is asked, and what it should answer."""

    def __init__(self, tokenizer: CLIPTokenizer):
        self.tokenizer, self.questions, self.expected = tokenizer, [], []
        self.ids = [tokenizer(text)["input_ids"] for text in WORDS]
        self.padded = torch.tensor([row + [0] * (CONTEXT - len(row)) for row in self.ids])

    def add(self, name: str, path: Path, options: dict, image: torch.Tensor, text: torch.Tensor) -> None:
        self.questions.append({"from": str(path), "options": options, "images": IMAGES, "texts": WORDS})
        self.expected.append((name, unit(image), unit(text)))


# ---- transformers ------------------------------------------------------------------------------------------------


def hugging_face(activation: str, head: int = 32) -> CLIPModel:
    tower = {"num_hidden_layers": 2, "hidden_act": activation}
    vision = {**tower, "hidden_size": 2 * head, "intermediate_size": 8 * head, "num_attention_heads": 2, "image_size": SIDE, "patch_size": PATCH}
    text = {**tower, "hidden_size": 3 * head, "intermediate_size": 12 * head, "num_attention_heads": 3, "max_position_embeddings": CONTEXT,
            "vocab_size": len(tokens()), "bos_token_id": len(tokens()) - 2, "eos_token_id": len(tokens()) - 1, "pad_token_id": 0}
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=DIM, attn_implementation="eager")
    model = CLIPModel(config).eval()
    model.load_state_dict(seeded(model.state_dict()), strict=False)
    return model


def add_hugging_face(cases: Cases, folder: Path, name: str, model: CLIPModel, save: str, preparation: dict = USUAL) -> None:
    """`save`: how the weights are written: whole, shards or bin."""
    path = folder / name.replace(" ", "-")
    path.mkdir()
    model.config.save_pretrained(path)
    if save == "bin":
        torch.save(model.state_dict(), path / "pytorch_model.bin")
        write_bpe(path)
    else:
        model.save_pretrained(path, max_shard_size="60KB" if save == "shards" else "1GB")
        assert (save == "shards") == (path / "model.safetensors.index.json").exists()
        cases.tokenizer.save_pretrained(path)
    processor = {"do_resize": True, "size": {"shortest_edge": SIDE}, "resample": 3, "do_center_crop": True, "crop_size": SIDE,
                 "image_mean": preparation["mean"], "image_std": preparation["std"]}
    (path / "preprocessor_config.json").write_text(json.dumps(processor))
    exact = model.double()
    out = exact(input_ids=cases.padded, attention_mask=torch.ones_like(cases.padded), pixel_values=pixels(**preparation))
    cases.add(f"transformers, {name}", path, {}, out.image_embeds, out.text_embeds)


# ---- open_clip ---------------------------------------------------------------------------------------------------


def open_clip(quick: bool) -> tuple[torch.nn.Module, dict]:
    vision = {"image_size": SIDE, "layers": 2, "width": 64, "head_width": 32, "patch_size": PATCH}
    text = {"context_length": CONTEXT, "vocab_size": len(tokens()), "width": 48, "heads": 3, "layers": 2}
    config = {"embed_dim": DIM, "vision_cfg": vision, "text_cfg": text, "quick_gelu": quick}
    model = openclip_model.load()(**config).eval()
    generator = torch.Generator().manual_seed(16)
    for key, parameter in model.named_parameters():
        noise = torch.rand(parameter.shape, generator=generator) * 2 - 1
        norm = "ln_" in key
        parameter.copy_(1 + 0.1 * noise if norm and key.endswith("weight") else (0.05 if norm or key.endswith("bias") else 0.25) * noise)
    model.logit_scale.fill_(4.0)
    return model, config


def features(model: torch.nn.Module, cases: Cases, preparation: dict = USUAL) -> tuple[torch.Tensor, torch.Tensor]:
    exact = model.double()
    out = exact.encode_image(pixels(**preparation)), exact.encode_text(cases.padded)
    model.float()
    return out


def training(state: dict) -> dict:
    """What OpenCLIP's training saves, and what others put beside it."""
    parameters = [torch.nn.Parameter(value.clone()) for value in list(state.values())[:4]]
    optimizer = torch.optim.AdamW(parameters, lr=float(np.float64(1e-3)))
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    with torch.enable_grad():
        optimizer.step()
    options = argparse.Namespace(lr=1e-3, output=pathlib.Path("runs/1"), betas=(0.9, 0.98), device=torch.device("cuda"))
    return {"epoch": 10, "name": "seeded", "state_dict": {f"module.{key}": value for key, value in state.items()},
            "optimizer": optimizer.state_dict(), "scaler": {"scale": 65536.0}, "args": options, "best": np.float32(0.5),
            "history": collections.defaultdict(list, loss=[np.arange(3.0)])}


def add_open_clip(cases: Cases, folder: Path) -> None:
    model, config = open_clip(quick=False)
    state = model.state_dict()
    hub = folder / "openclip"
    hub.mkdir()
    save_file(state, hub / "open_clip_model.safetensors")
    (hub / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": HALVES}))
    tokenizer = str(folder / "tokenizer.json")
    cases.add("OpenCLIP, its folder", hub, {"tokenizer": tokenizer}, *features(model, cases, HALVES))

    (folder / "config.json").write_text(json.dumps(config))
    options = {"tokenizer": tokenizer, "config": str(folder / "config.json")}
    keyed = {prefix: {f"{prefix}{key}": value for key, value in state.items()} for prefix in ("module.", "_orig_mod.module._orig_mod.")}
    other = {key: value + 1 for key, value in state.items()}
    expected = features(model, cases)
    for name, content, more in [
        ("the state dict alone", state, {}), ("keys of DistributedDataParallel", keyed["module."], {}),
        ("keys of both wrappers", keyed["_orig_mod.module._orig_mod."], {}), ("under model", {"model": state}, {}),
        ("under model.state_dict", {"model": {"state_dict": keyed["module."]}}, {}), ("a training", training(state), {}),
        ("two models, one of them named", {"state_dict": other, "ema.model": state}, {"key": "ema.model"}),
    ]:
        for version in ("zip", "legacy"):
            path = folder / f"{name} {version}.pt"
            torch.save(content, path, _use_new_zipfile_serialization=version == "zip")
            cases.add(f"OpenCLIP, {name}, {version}", path, {**options, **more}, *expected)


def add_archive(cases: Cases, folder: Path) -> None:
    model, config = open_clip(quick=True)
    state = {key: value.half() if is_half(key) else value for key, value in model.state_dict().items()}
    sizes = {"input_resolution": SIDE, "context_length": CONTEXT, "vocab_size": len(tokens())}
    torch.jit.script(modules(state | {key: torch.tensor(value) for key, value in sizes.items()})).save(str(folder / "archive.pt"))
    model.load_state_dict({key: value.float() for key, value in state.items()})
    (folder / "quick.json").write_text(json.dumps(config))
    options = {"tokenizer": str(folder / "tokenizer.json"), "config": str(folder / "quick.json"), "act": "quickgelu"}
    cases.add("OpenAI's archive", folder / "archive.pt", options, *features(model, cases))


def error_of(got: list, want: torch.Tensor) -> float:
    return ((torch.tensor(got, dtype=torch.float64) - want).abs() / want.abs().amax(-1, keepdim=True)).max().item()


def main() -> int:
    torch.set_grad_enabled(False)
    failed, worst = 0, 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bpe(folder)
        tokenizer = CLIPTokenizer.from_pretrained(folder)
        tokenizer.save_pretrained(folder)
        cases = Cases(tokenizer)
        for name, model, save in [
            ("QuickGELU", hugging_face("quick_gelu"), "whole"), ("GELU", hugging_face("gelu"), "whole"),
            ("in shards", hugging_face("gelu"), "shards"), ("fp16", hugging_face("gelu").half(), "whole"),
            ("bf16", hugging_face("quick_gelu").bfloat16(), "whole"), ("heads 80 wide", hugging_face("gelu", 80), "whole"),
            ("pytorch_model.bin", hugging_face("quick_gelu"), "bin"),
        ]:
            add_hugging_face(cases, folder, name, model, save)
        add_hugging_face(cases, folder, "other mean", hugging_face("gelu"), "whole", HALVES)
        add_open_clip(cases, folder)
        add_archive(cases, folder)
        answers = ask_product("weights", {"cases": cases.questions})
    for answer, (name, image, text) in zip(answers, cases.expected, strict=True):
        if "error" in answer:
            print(f"{name}: {answer['error']}")
            failed += 1
            continue
        errors = error_of(answer["image"], image), error_of(answer["text"], text)
        worst = max(worst, *errors)
        if answer["ids"] != cases.ids or max(errors) > TOLERANCE:
            print(f"{name}: image {errors[0]:.1e}, text {errors[1]:.1e}, ids {'equal' if answer['ids'] == cases.ids else 'differ'}")
            failed += 1
    print(f"{len(answers)} files and folders: largest difference of a feature, relative to its row, {worst:.1e}; {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
