"""A TorchScript archive that PyTorch wrote, in the layout and the mixed precision of OpenAI's own files, exports to a model
with the reference's image features, in QuickGELU without being told.

    python test/reference/check_archive.py
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from clipn_reference import NETWORKS, encode_image, formula_images, normalise, seeded_state_dict, unit

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-5


class Module(torch.nn.Module):
    """Nothing but parameters, buffers and other modules."""


def modules(state: dict) -> Module:
    root = Module()
    for key, value in state.items():
        *path, name = key.split(".")
        at = root
        for part in path:
            if part not in dict(at.named_children()):
                at.add_module(part, Module())
            at = at.get_submodule(part)
        if value.is_floating_point():
            at.register_parameter(name, torch.nn.Parameter(value, requires_grad=False))
        else:
            at.register_buffer(name, value)
    return root


def is_half(key: str) -> bool:
    """As OpenAI converts them: products, convolution and projections."""
    return key.endswith("proj") or "conv1" in key or any(part in key for part in ("attn.", "mlp.")) or key == "text_projection"


def main() -> int:
    torch.set_grad_enabled(False)
    net = NETWORKS["tiny"]
    full = seeded_state_dict(net, "flat")
    state = {key: value for key, value in full.items() if "_no" not in key}
    state = {key: value.half() if is_half(key) else value for key, value in state.items()}
    sizes = {"input_resolution": net["image_size"], "context_length": net["context_length"], "vocab_size": net["vocab_size"]}
    stored = state | {key: torch.tensor(value) for key, value in sizes.items()}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        torch.jit.script(modules(stored)).save(str(folder / "archive.pt"))
        config = {"embed_dim": net["embed_dim"], "vision_cfg": {"head_width": 16}, "text_cfg": {"heads": 4}}
        (folder / "config.json").write_text(json.dumps(config))
        command = ["node", ROOT / "dist" / "cli" / "main.js", "export", folder / "archive.pt", folder / "model.pt", "--image-only",
                   "--config", folder / "config.json"]
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
        model = torch.jit.load(str(folder / "model.pt"))
        pixels = normalise(formula_images(3, net["image_size"]))
        got = model.encode_image(pixels.float()).double()
        want = unit(encode_image(pixels, {key: value.double() for key, value in state.items()}, net, quick=True)[:, 0])
    error = ((got - want).abs() / want.abs().amax(-1, keepdim=True)).max().item()
    halves = sum(value.dtype == torch.float16 for value in state.values())
    print(f"{len(state)} tensors, {halves} of them fp16: largest difference of a feature, relative to its row, {error:.1e}")
    return 0 if error <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main())
