"""Runs what `clipn-native-serve triton` writes as Triton's PyTorch backend would, and compares it with `clipn-native check`.

    python test/reference/check_triton.py

The small model on its sample photos, with negative words, for both kinds of input. Pixels come from the repository's own
pixels.py, types, shapes and the order of outputs from its config.pbtxt, answers from torch.jit.load of its model.pt. Exits 1
when a type, a shape or a label is another, or a number differs by more than its tolerance.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

import small_model
from product import ROOT

WORDS = ["fork", "cloud", "guitar", "river", "hat", "moon", "rope", "candle", "violin", "mud", "brick"]
TYPES = {"TYPE_UINT8": torch.uint8, "TYPE_FP32": torch.float32, "TYPE_INT64": torch.int64}
# Two programs in fp32; logits are 100 times a cosine.
TOLERANCES = {"features": 1e-5, "maxLogit": 2e-4, "energy": 2e-4, "gap": 5e-4, "logPOut": 5e-4, "logQMax": 5e-4}
PROBABILITY = 1e-4


def tensors(config: str, kind: str) -> dict[str, tuple]:
    """(type, dims) of the inputs or outputs by name, as they stand in config.pbtxt."""
    blocks = re.findall(rf"^{kind} {{\n(.*?)^}}", config, re.M | re.S)
    fields = [dict(re.findall(r"(\w+): (.*)", block)) for block in blocks]
    return {json.loads(each["name"]): (TYPES[each["data_type"]], json.loads(each["dims"])) for each in fields}


def answers(folder: Path, photos: list) -> dict[str, torch.Tensor]:
    config = (folder / "small" / "config.pbtxt").read_text()
    ((name, (dtype, dims)),) = tensors(config, "input").items()
    images = []
    for photo in photos:
        raw = subprocess.run([sys.executable, folder / "pixels.py", photo], check=True, capture_output=True).stdout
        images.append(np.frombuffer(raw, np.uint8 if dtype == torch.uint8 else np.float32).reshape(dims))
    module = torch.jit.load(folder / "small" / "1" / "model.pt", map_location="cpu").eval()
    assert name in [argument.name for argument in module.forward.schema.arguments], f"forward has no argument {name}"
    with torch.inference_mode():
        given = module(torch.from_numpy(np.stack(images)))
        alone = module(torch.from_numpy(np.stack(images[:1])))
    outputs = {}
    declared = tensors(config, "output")
    assert len(declared) == len(given), f"{len(declared)} outputs declared, {len(given)} given"
    for output, (dtype, dims) in declared.items():
        base, _, index = output.partition("__")
        value = given[int(index)]
        assert value.dtype == dtype and list(value.shape) == [len(photos), *dims], f"{output}: {value.dtype} {value.shape}"
        assert torch.allclose(value[:1].double(), alone[int(index)].double(), atol=5e-4), f"{output} depends on the batch"
        outputs[base] = value
    return outputs


def compare(outputs: dict, found: list, labels: list, words: list) -> dict[str, float]:
    """The largest difference of each output from what `check` says."""
    gaps = dict.fromkeys(outputs, 0.0)
    for i, answer in enumerate(found):
        a, b = (torch.tensor(answer["logits"][tower], dtype=torch.float64) for tower in ("yes", "no"))
        expected = {**answer["scores"], "features": answer["feature"], "p": a.softmax(0), "pYes": (a - b).sigmoid(),
                    "logQMax": (a.log_softmax(0) + torch.nn.functional.logsigmoid(a - b)).max()}
        assert labels[outputs["label"][i, 0]] == answer["label"], f"photo {i}: another label"
        assert words[outputs["word"][i, 0]] == answer["nearestWord"], f"photo {i}: another word"
        for name in outputs.keys() - {"label", "word", "wordMax"}:
            want = torch.as_tensor(expected[name], dtype=torch.float64).reshape(-1)
            gaps[name] = max(gaps[name], (outputs[name][i].double() - want).abs().max().item())
    return gaps


def main() -> int:
    photos = sorted(small_model.LABELS_FILE.parent.glob("*.jpg"))
    wrong = []
    with tempfile.TemporaryDirectory() as temporary:
        list_of_words = Path(temporary) / "words.txt"
        list_of_words.write_text("".join(f"{word}\n" for word in WORDS))
        classes = ["--labels-file", small_model.LABELS_FILE, "--negatives", list_of_words]
        command = ["node", ROOT / "dist" / "cli" / "main.js", "check", *photos, *classes, "--trace"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        found = [json.loads(line) for line in lines]
        for kind in ("pixels", "normalised"):
            folder = Path(temporary) / kind
            command = ["node", ROOT / "serve" / "dist" / "main.js", "triton", "--model", small_model.FILE, *classes,
                       "--out", folder, "--name", "small", "--input", kind]
            subprocess.run(command, check=True, capture_output=True)
            labels, words = ((folder / "small" / name).read_text().split("\n")[:-1] for name in ("labels.txt", "words.txt"))
            gaps = compare(answers(folder, photos), found, labels, words)
            print(f"{kind}, {len(photos)} photos, largest differences:", ", ".join(f"{k} {v:.1e}" for k, v in gaps.items() if v))
            wrong += [f"{kind}: {k} {v:.1e}" for k, v in gaps.items() if not v <= TOLERANCES.get(k, PROBABILITY)]
    for line in wrong:
        print("WRONG", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
