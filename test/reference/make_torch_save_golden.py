"""Writes test/golden/torch-save.json: files that torch.save wrote, with all that a training keeps beside its weights, and what
is in their tensors.

    python test/reference/make_torch_save_golden.py

Needs PyTorch and numpy. `zip` is the format since PyTorch 1.6, `legacy` the one before, by torch.save itself on demand.
"""

import argparse
import base64
import collections
import datetime
import io
import json
import pathlib
import types
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parent.parent / "golden" / "torch-save.json"


def state_dict() -> collections.OrderedDict:
    numbers = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 8
    state = collections.OrderedDict(
        whole=numbers, part=numbers[1:, 1:], transposed=numbers.T, parameter=torch.nn.Parameter(torch.tensor([0.5, -2.0])),
        half=torch.tensor([1.5, -0.25, 3.0], dtype=torch.float16), bfloat16=torch.tensor([[2.0], [-0.5]], dtype=torch.bfloat16),
        double=torch.tensor([1 / 3], dtype=torch.float64), integers=torch.tensor([1, -2, 2**40]), scalar=torch.tensor(4.5),
        nothing=torch.zeros(0, 3), flags=torch.tensor([True, False]))
    state._metadata = collections.OrderedDict(version=1)
    return state


def beside() -> dict:
    return {
        "args": argparse.Namespace(lr=0.1, nested=argparse.Namespace(names=["a", "b"]), device=torch.device("cuda", 1)),
        "simple": types.SimpleNamespace(a=1),
        "scalar": np.float64(0.25), "flag": np.bool_(True), "kind": np.dtype("float32"), "array": np.arange(6.0).reshape(2, 3),
        "words": np.array(["a", "b"]), "size": torch.Size([2, 3]), "dtype": torch.bfloat16, "layout": torch.strided,
        "path": pathlib.Path("runs/1"), "pure": pathlib.PurePosixPath("/a/b"), "windows": pathlib.PureWindowsPath("c:/a"),
        "ordered": collections.OrderedDict(a=1), "default": collections.defaultdict(list, {"a": [1]}),
        "typed": collections.defaultdict(int, {"a": 1}), "counter": collections.Counter("abca"), "deque": collections.deque([1, 2], 3),
        "datetime": datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.timezone.utc), "date": datetime.date(2024, 2, 29),
        "time": datetime.time(1, 2), "span": datetime.timedelta(1, 2, 3), "set": {1, 2}, "frozen": frozenset({"a"}),
        "complex": 1 + 2j, "slice": slice(1, 2), "range": range(3), "bytes": b"ab", "bytearray": bytearray(b"ab"), "dots": ...,
        "large": 2**70, "none": None, "tuple": (1, "a"), "class": dict,
    }


def saved(of: object, **options: object) -> str:
    file = io.BytesIO()
    torch.save(of, file, **options)
    return base64.b64encode(file.getvalue()).decode()


def main() -> None:
    state = state_dict()
    training = {"state_dict": state, "epoch": 3, **beside()}
    files = {
        "zip": saved(training), "zip, protocol 4": saved(training, pickle_protocol=4),
        "legacy": saved(training, _use_new_zipfile_serialization=False),
        "legacy, the state dict alone": saved(state, _use_new_zipfile_serialization=False),
    }
    golden = {"description": "Files of torch.save, by test/reference/make_torch_save_golden.py",
              "tensors": {key: {"dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape),
                                "values": value.flatten().tolist()} for key, value in state.items()},
              "files": files}
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{GOLDEN.name}: {GOLDEN.stat().st_size} bytes")


if __name__ == "__main__":
    main()
