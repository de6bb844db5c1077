"""PyTorch and Pillow as contenders: says that it is ready, then answers one JSON line for each on stdin (serve.ts has the protocol).

    python bench/peers/torch_worker.py --engine eager|compile|linears|scores|pixels|matrix --precision fp32|tf32|bf16 \\
        --device cpu|cuda --threads N --checkpoint FILE --files DIR PHOTO...
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

# Only answers go to stdout, whatever the libraries print.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "test" / "reference"))
WARM_UP, BATCH, SIDE = 2, 8, 224


def say(message: dict) -> None:
    print(json.dumps(message), file=ANSWERS, flush=True)


try:
    import numpy as np
    import PIL
    import torch
    from PIL import Image
except ImportError as error:
    say({"missing": f"not installed ({error.name})"})
    sys.exit(0)

import clipn_reference as reference  # noqa: E402
import vit  # noqa: E402
from preprocess import preprocess, resize_and_crop  # noqa: E402

DTYPES = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
NET = reference.NETWORKS["ViT-B-16"]


def cycled(items: list, n: int) -> list:
    return [items[i % len(items)] for i in range(n)]


def normalised(images: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
    mean, std = (torch.tensor(each).view(3, 1, 1) for each in (reference.MEAN, reference.STD))
    return ((torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - mean) / std).to(dtype)


def gpu_tower_worker(args):
    """From bytes in pinned host memory to features there: copy, normalise, tower, copy; what computes is compiled as one."""
    dtype = DTYPES[args.precision]
    start = time.perf_counter()
    tower = vit.load(reference.load_state_dict(args.checkpoint), NET).to(args.device, dtype)
    load_ms = 1000 * (time.perf_counter() - start)
    mean, std = (torch.tensor(each, device=args.device).view(3, 1, 1) for each in (reference.MEAN, reference.STD))

    def forward(images: torch.Tensor) -> torch.Tensor:
        return tower(((images.permute(0, 3, 1, 2).float() / 255 - mean) / std).to(dtype)).float()

    if args.engine == "compile":
        forward = torch.compile(forward, mode="max-autotune", dynamic=False)

    def make(case: dict):
        if case["kind"] != "tower":
            raise ValueError(f"no {case['kind']} here")
        pixels = np.fromfile(args.files / "pixels.u8", np.uint8).reshape(-1, SIDE, SIDE, 3)
        batch = torch.from_numpy(np.stack(cycled(list(pixels), case["batch"])))
        batch = batch.pin_memory() if args.device == "cuda" else batch
        return lambda: forward(batch.to(args.device, non_blocking=True)).cpu()
    return {"versions": {"torch": torch.__version__}, "loadMs": load_ms}, make


def matrix_worker(args):
    """One square product, the measure of what the matrix units reach."""
    def make(case: dict):
        a, b = (torch.randn(case["side"], case["side"], device=args.device, dtype=DTYPES[args.precision]) for _ in range(2))
        out = torch.empty_like(a)

        def run():
            torch.mm(a, b, out=out)
        return run
    return {"versions": {"torch": torch.__version__}}, make


def tower_worker(args):
    """The image tower, eager or compiled with frozen weights, and image files through Pillow."""
    if args.device == "cuda":
        return gpu_tower_worker(args)
    dtype = DTYPES[args.precision]
    start = time.perf_counter()
    tower = vit.load(reference.load_state_dict(args.checkpoint), NET).to(dtype)
    load_ms = 1000 * (time.perf_counter() - start)
    if args.engine == "compile":
        from torch._inductor import config
        config.freezing = True
        # Compiled anew for each batch size, as if it were the only one: the third size would get code for all sizes.
        tower = torch.compile(tower, dynamic=False)

    def make(case: dict):
        if case["kind"] == "tower":
            pixels = np.fromfile(args.files / "pixels.u8", np.uint8).reshape(-1, SIDE, SIDE, 3)
            batch = normalised(np.stack(cycled(list(pixels), case["batch"])), dtype)
            return lambda: tower(batch)
        if case["kind"] == "files":
            paths = cycled([Path(photo) for photo in args.photos], case["count"])

            def run():
                for i in range(0, len(paths), BATCH):
                    tower(normalised(np.stack([preprocess(path, SIDE) for path in paths[i : i + BATCH]]), dtype))
            return run
        raise ValueError(f"no {case['kind']} here")
    return {"versions": {"torch": torch.__version__}, "loadMs": load_ms}, make


def linears_worker(args):
    """The four linears of each image block with their own weights and nothing else, in the ways that PyTorch offers."""
    dtype, width = DTYPES[args.precision], NET["vision_width"]
    shapes = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
    weights = [[torch.randn(n, k).mul_(k**-0.5).to(dtype) for k, n in shapes] for _ in range(NET["vision_layers"])]
    biases = [torch.randn(n).to(dtype) for _, n in shapes]

    def make(case: dict):
        rows = case["batch"] * (1 + (SIDE // NET["patch_size"]) ** 2)
        inputs = {k: torch.randn(rows, k).to(dtype) for k in (width, 4 * width)}
        plan = [(inputs[k], i, layer[i]) for layer in weights for i, (k, _) in enumerate(shapes)]
        if case["variant"] == "packed":
            packed = [(x, torch.ops.mkldnn._reorder_linear_weight(w, rows), biases[i]) for x, i, w in plan]
            linear = torch.ops.mkldnn._linear_pointwise
            return lambda: [linear(x, w, b, "none", [], "") for x, w, b in packed] and None
        if case["variant"] == "mkl":
            packed = [(x, torch.ops.mkl._mkl_reorder_linear_weight(w, rows), w, biases[i]) for x, i, w in plan]
            return lambda: [torch.ops.mkl._mkl_linear(x, p, w, b, rows) for x, p, w, b in packed] and None
        outs = [torch.empty(rows, n, dtype=dtype) for _, n in shapes]
        return lambda: [torch.mm(x, w.T, out=outs[i]) for x, i, w in plan] and None
    return {"versions": {"torch": torch.__version__}}, make


def scores_worker(args):
    """All scores and the top 5 as the reference computes them, in eager fp32; or the two matrix products alone."""
    def unit_rows(n: int, d: int) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.randn(n, d), dim=-1)

    def make(case: dict):
        rows, yes, no = unit_rows(case["n"], case["d"]), unit_rows(case["c"], case["d"]), unit_rows(case["c"], case["d"])
        if case["variant"] == "products":
            outs = [torch.empty(case["n"], case["c"]) for _ in range(2)]
            return lambda: [torch.mm(rows, bank.T, out=out) for bank, out in zip((yes, no), outs)] and None

        def run():
            a, b = 100 * rows @ yes.T, 100 * rows @ no.T
            p, p_yes = a.softmax(-1), torch.sigmoid(a - b)
            top, at = p.topk(5)
            out = (p * (1 - p_yes)).sum(-1)
            return (p_yes.gather(1, at[:, :1]), (p * p_yes).sum(-1), top[:, 0], a.amax(-1), a.logsumexp(-1),
                    (a / 100).softmax(-1).amax(-1), (a - b).gather(1, at[:, :1]), out.log(), p_yes.gather(1, at)) and None
        return run
    return {"versions": {"torch": torch.__version__}}, make


def pixels_worker(args):
    """Decoded noise to 224 x 224: the core's resize through its C ABI, and Pillow's."""
    import ctypes
    from compare_resize_with_pillow import ClipnImage
    libraries = list((ROOT / "build" / "Release").glob("libclipn_core-*"))
    core = ctypes.CDLL(str(libraries[0])) if libraries else None

    def make(case: dict):
        width, height = case["width"], case["height"]
        pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        if case["variant"] == "pillow":
            whole = Image.fromarray(pixels)
            return lambda: resize_and_crop(whole, SIDE).load() and None
        if core is None:
            raise FileNotFoundError("no core library in build/Release")
        out = np.empty((SIDE, SIDE, 3), np.uint8)
        image = ClipnImage(pixels.ctypes.data, width, height, 3, width * 3)

        def run():
            status = core.clipn_preprocess(ctypes.byref(image), SIDE, ctypes.c_void_p(out.ctypes.data), None)
            if status != 0 or not out.any():
                raise RuntimeError(f"clipn_preprocess: status {status}")
        return run
    return {"versions": {"pillow": PIL.__version__}}, make


WORKERS = {"eager": tower_worker, "compile": tower_worker, "linears": linears_worker, "scores": scores_worker,
           "pixels": pixels_worker, "matrix": matrix_worker}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", choices=WORKERS, required=True)
    parser.add_argument("--precision", choices=DTYPES, default="fp32")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--files", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("photos", nargs="*")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        say({"missing": f"PyTorch {torch.__version__} sees no GPU"})
        return
    wait = torch.cuda.synchronize if args.device == "cuda" else lambda: None
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    if args.precision == "tf32":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    # Not inference_mode: torch.compile freezes weights only under no_grad.
    with torch.no_grad():
        ready, make = WORKERS[args.engine](args)
        say({"ready": ready})
        calls = {}
        for line in sys.stdin:
            request = json.loads(line)
            key = json.dumps(request["case"], sort_keys=True)
            try:
                if request["op"] == "prepare":
                    calls[key] = make(request["case"])
                    results = [calls[key]() for _ in range(WARM_UP)]
                    found = results[-1]
                    say({} if found is None else {"features": found.float().flatten().tolist()})
                else:
                    start = time.perf_counter()
                    calls[key]()
                    wait()
                    say({"ms": 1000 * (time.perf_counter() - start)})
            except Exception as error:  # the suite shows it in the table
                say({"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]})


if __name__ == "__main__":
    main()
