"""Compares `clipn-native teach` with PyTorch: 50 steps from one start, its checkpoint, its model file, and a resumed run.

    python test/reference/check_teach.py [--count 160] [--seed N]

--count images are drawn, with captions, from --seed. Exits 1 when a loss differs by more than 1e-4 of its value.

The learning rate is a tenth of the paper's: with untrained weights and a scale of 100, 50 steps at 3e-4 magnify rounding until
PyTorch's own fp32 differs from its fp64 by up to 5e-3. What these two differ by here is printed beside.
"""

import json
import os
import random as random_module
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from clipn_reference import encode_text, seeded_state_dict, unit
from fresh_arguments import fresh_arguments
from product import ROOT
from teach_reference import below, encode_no, initial_no_side, PROMPT, read_safetensors, shuffled, train

STEPS, BATCH, RATE = 50, 16, 3e-5
NET = dict(embed_dim=32, image_size=32, patch_size=16, vision_width=64, vision_layers=2, vision_heads=1,
           context_length=48, vocab_size=3114, text_width=128, text_layers=2, text_heads=2)
TOKENIZER = ROOT / "models" / "small" / "tokenizer.json"
WORDS = "dog cat bird fish boat house tree green red small large old in on under with a the photo of".split()


def teach(folder: Path, out: str, seed: int, *more: object, kill_after: int | None = None) -> list[dict]:
    """Runs the command line; returns its JSON lines. `kill_after`: SIGKILL when that many steps have been reported."""
    command = ["node", ROOT / "dist" / "cli" / "main.js", "teach", "--base", folder / "base.pt", "--data", folder / "data.csv",
               "--out", folder / out, "--steps", STEPS, "--batch", BATCH, "--lr", RATE, "--seed", seed, "--precision", "fp32",
               "--negatives", "paper", "--act", "gelu", "--tokenizer", TOKENIZER, "--json", *more]
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env={**os.environ, "OMP_NUM_THREADS": "1"})  # so small a network gains nothing by more
    lines = []
    for line in process.stdout:
        lines.append(json.loads(line))
        if kill_after is not None and len(lines) == kill_after:
            process.send_signal(signal.SIGKILL)
    error = process.stderr.read()
    if process.wait() != (0 if kill_after is None else -signal.SIGKILL):
        raise SystemExit(f"teach ended with {process.returncode}: {error}")
    return lines


def draw_data(folder: Path, random: random_module.Random, count: int) -> None:
    rows = ["filepath,title"]
    for i in range(count):
        pixels = np.frombuffer(random.randbytes(5 * 6 * 3), np.uint8).reshape(5, 6, 3)
        Image.fromarray(pixels).resize((40, 50)).save(folder / f"{i}.png")
        rows.append(f'{i}.png,"{" ".join(random.choices(WORDS, k=random.randint(1, 12)))}"')
    (folder / "data.csv").write_text("\n".join(rows))


def batches(features: dict, yes: torch.Tensor, seed: int):
    """The batches that the run must have drawn."""
    ids = torch.from_numpy(features["ids"].astype(np.int64))
    image = torch.from_numpy(features["image"][features["sample_image"], 0]).to(yes.dtype)
    samples = len(ids)
    per_epoch = -(-samples // BATCH)
    others = ~torch.eye(BATCH, dtype=torch.bool)
    for step in range(STEPS):
        order = shuffled(samples, seed, step // per_epoch)
        rows = [order[(step % per_epoch * BATCH + i) % samples] for i in range(BATCH)]
        maps = torch.tensor([below(17, PROMPT, seed, step, i) for i in range(BATCH)])
        yield image[rows], yes[rows], ids[rows], maps, others


def relative(found: float, expected: float) -> float:
    return abs(found - expected) / abs(expected)


def main() -> int:
    args = fresh_arguments(__doc__, 160)
    random = random_module.Random(args.seed)
    failures = []

    def expect(condition: bool, what: str) -> None:
        if not condition:
            failures.append(what)
            print(f"WRONG {what}")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_data(folder, random, args.count)
        base = {key: value for key, value in seeded_state_dict(NET, "fan-in").items() if "_no" not in key}
        torch.save(base, folder / "base.pt")
        seed = random.randrange(2**32)
        found = teach(folder, "whole", seed)

        [path] = (folder / "whole" / "features").iterdir()
        features = read_safetensors(path)
        ids = torch.from_numpy(features["ids"].astype(np.int64))
        with torch.no_grad():
            yes = unit(encode_text(ids, base, NET))
        difference = (yes - torch.from_numpy(features["yes"])).abs().max().item()
        print(f"cached yes features: at most {difference:.1e} from the reference's")
        expect(difference < 1e-5, "the cached yes features")
        state = initial_no_side(base)
        expected = train(state, NET, batches(features, yes, seed), STEPS, RATE, 100.0)
        double = initial_no_side({key: value.double() for key, value in base.items()})
        exact = train(double, NET, batches(features, yes.double(), seed), STEPS, RATE, 100.0)
        names = ["lossYes", "lossNo", "lossText", "total"]
        expect([line["step"] for line in found] == list(range(1, STEPS + 1)), "the steps are not 1 to 50")
        first = [round(found[0][name], 4) for name in names]
        print(f"first step: yes {first[0]}, no {first[1]}, text {first[2]}, total {first[3]}")
        expect(max(abs(a - b) for a, b in zip(first, [0.6931, 0.6931, 1.99, 1.6881])) < 1e-3, "the start values")
        for name in names:
            worst, own = (max(relative(a[name], b[name]) for a, b in zip(run, expected)) for run in (found, exact))
            print(f"{name}: {expected[0][name]:.4f} to {expected[-1][name]:.4f} in {STEPS} steps, at most {worst:.1e} of its "
                  f"value from PyTorch (PyTorch in fp64: {own:.1e})")
            expect(worst < 1e-4, name)
        expect(max(abs(a["lr"] - b["lr"]) for a, b in zip(found, expected)) < 1e-12, "the learning rate")

        epochs = -(-STEPS // -(-args.count // BATCH))
        file = folder / "whole" / f"epoch_{epochs}.pt"
        checkpoint = torch.load(file, weights_only=True)
        stored = {key.removeprefix("module."): value for key, value in checkpoint["state_dict"].items()}
        expect(all(key.startswith("module.") for key in checkpoint["state_dict"]), "a key without module.")
        expect(set(stored) == set(base) | set(state), "the keys of the checkpoint")
        expect(all(torch.equal(stored[key], base[key]) for key in base), "a frozen tensor changed")
        start = initial_no_side(base)
        way = sum((state[key] - start[key]).square().sum() for key in state).sqrt()
        apart = sum((state[key] - stored[key]).square().sum() for key in state).sqrt()
        print(f"weights: {apart / way:.1e} of the way they went from the reference's")
        expect(apart / way < 1e-2, "the weights")
        prompts = stored["prompt_no"].flatten(1)
        expect(torch.unique(prompts, dim=0).shape[0] == 16, "prompt maps that are equal")

        # PyTorch's own AdamW takes the optimizer's state, in the order that param_names tells.
        order = [name for group in checkpoint["optimizer"]["param_groups"] for name in group["param_names"]]
        parameters = [torch.nn.Parameter(checkpoint["state_dict"][name]) for name in order]
        sizes = [len(group["params"]) for group in checkpoint["optimizer"]["param_groups"]]
        adamw = torch.optim.AdamW([{"params": parameters[:sizes[0]]}, {"params": parameters[sizes[0]:]}])
        adamw.load_state_dict(checkpoint["optimizer"])
        moments = [adamw.state[p]["exp_avg"].shape == p.shape and adamw.state[p]["step"] == STEPS for p in parameters]
        expect(all(moments) and adamw.param_groups[1]["weight_decay"] == 0.2, "the optimizer's state")

        model = torch.jit.load(folder / "whole" / "model.pt")
        with torch.no_grad():
            mean = torch.full((len(ids),), 16)
            reference = encode_no(ids, mean, {key: value.float() for key, value in stored.items()}, NET)
            difference = (model.encode_text_no(ids) - reference).abs().max().item()
        print(f"model.pt: no features at most {difference:.1e} from the reference's")
        expect(difference < 1e-5, "model.pt")

        killed = teach(folder, "killed", seed, "--save-every", 7, kill_after=17)
        resumed = teach(folder, "killed", seed, "--save-every", 7)
        again = torch.load(folder / "killed" / file.name, weights_only=True)
        same = all(torch.equal(again["state_dict"][key], value) for key, value in checkpoint["state_dict"].items())
        print(f"killed after step {killed[-1]['step']}, resumed at step {resumed[0]['step']}: "
              f"{'the same weights, bit for bit' if same else 'other weights'}")
        expect(same and 1 < resumed[0]["step"] <= killed[-1]["step"] + 1 and resumed[-1]["step"] == STEPS, "the resumed run")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
