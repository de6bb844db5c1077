"""Compares the core's resize with Pillow's on random samples, byte for byte, for every CPU target of this machine.

    python test/reference/compare_resize_with_pillow.py [--core LIBRARY] [--count 300] [--seed N] [--bench]

Sizes are 1..2000 a side, a third of them extreme (1 x n, n x 1, 30:1 and more), with 1, 3 or 4 channels. --bench also measures
both in turn, on one thread. Exits with 1 when a byte differs.
"""

import argparse
import ctypes
import os
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch  # noqa: F401  (the core needs libtorch in the process)
from PIL import Image

from preprocess import resize_and_crop

ROOT = Path(__file__).resolve().parents[2]
TARGETS = ("base", "avx2", "avx512", "avx512bf16")
LACKING = 3  # exit code of a target that this CPU lacks
# What is measured: photos to CLIP's side; rounds until the median is steady.
PHOTOS, SIDE, ROUNDS = ((500, 375), (640, 480), (1920, 1080), (4000, 3000)), 224, 15


class ClipnImage(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("channels", ctypes.c_uint32),
        ("stride", ctypes.c_uint64),
    ]


class CoreInfo(ctypes.Structure):
    _fields_ = [
        ("size", ctypes.c_uint32),
        ("torch_version", ctypes.c_char_p),
        ("cpu_target", ctypes.c_char_p),
        ("cpu_capability", ctypes.c_char_p),
        ("cpu_bf16", ctypes.c_uint32),
        ("cpu_int8", ctypes.c_uint32),
    ]


def load(library: Path, target: str):
    """The core with this target's kernels; None where the CPU lacks them."""
    core = ctypes.CDLL(str(library))
    info, error = CoreInfo(ctypes.sizeof(CoreInfo)), ctypes.create_string_buffer(2048)
    if core.clipn_core_describe(ctypes.byref(info), error) != 0:
        if b"is not available" in error.value:
            return None
        sys.exit(error.value.decode())
    if info.cpu_target != target.encode():
        sys.exit(f"the core took {info.cpu_target}, not {target}")
    core.clipn_preprocess.argtypes = [ctypes.POINTER(ClipnImage), ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p]
    return core


def samples(count: int, seed: int):
    """(side, pixels, rows that may be longer than a picture's) of each image to resize."""
    random = np.random.default_rng(seed)
    for done in range(count):
        side = int(random.choice([224, 224, 336, 32, 7, 1]))
        width, height = (int(2000 ** random.random()) for _ in range(2))
        if done % 3 == 0:
            short, long = int(random.integers(1, 4)), int(random.integers(30, 120))
            width, height = (short, long) if random.random() < 0.5 else (long, short)
        channels = int(random.choice([1, 3, 4]))
        kind = random.random()
        if kind < 0.5:
            pixels = random.integers(0, 256, (height, width, channels), dtype=np.uint8)
        else:  # only black and white: the clamp is reached
            pixels = (random.integers(0, 2, (height, width, channels)) * 255).astype(np.uint8)
        stride = width * channels + int(random.integers(0, 9))
        rows = np.zeros((height, stride), np.uint8)
        rows[:, : width * channels] = pixels.reshape(height, -1)
        yield side, pixels, rows


def resize_all(core, count: int, seed: int, out: Path) -> None:
    """Writes what the core makes of the samples, one after the other."""
    with out.open("wb") as file:
        for side, pixels, rows in samples(count, seed):
            height, width, channels = pixels.shape
            result = np.empty((side, side, 3), np.uint8)
            image = ClipnImage(rows.ctypes.data, width, height, channels, rows.shape[1])
            status = core.clipn_preprocess(ctypes.byref(image), side, result.ctypes.data, None)
            if status != 0:
                sys.exit(f"{width} x {height} x {channels} to {side}: status {status}")
            file.write(result.tobytes())


def compare(count: int, seed: int, results: dict[str, Path]) -> int:
    """Bytes of all targets that are not Pillow's, which is asked once for each sample."""
    found = {target: path.open("rb") for target, path in results.items()}
    wrong = 0
    for side, pixels, _ in samples(count, seed):
        height, width, channels = pixels.shape
        whole = Image.fromarray(pixels if channels > 1 else pixels[:, :, 0]).convert("RGB")
        expected = np.asarray(resize_and_crop(whole, side)).reshape(-1)
        for target, file in found.items():
            differing = int((np.frombuffer(file.read(expected.size), np.uint8) != expected).sum())
            if differing:
                print(f"WRONG {target}: {width} x {height} x {channels} to {side}: {differing} of {expected.size} bytes")
            wrong += differing
    for target, file in found.items():
        assert not file.read(), f"{target} wrote more than was asked for"
        file.close()
    print(f"{', '.join(found)}: {count} images each, {wrong} bytes unlike Pillow {Image.__version__}")
    return wrong


def bench(core) -> None:
    noise = np.random.default_rng(0)
    for width, height in PHOTOS:
        pixels = noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
        whole, out = Image.fromarray(pixels), np.empty((SIDE, SIDE, 3), np.uint8)
        image = ClipnImage(pixels.ctypes.data, width, height, 3, width * 3)
        ours, pillows = [], []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            core.clipn_preprocess(ctypes.byref(image), SIDE, out.ctypes.data, None)
            middle = time.perf_counter()
            resize_and_crop(whole, SIDE).load()
            ours.append(middle - start)
            pillows.append(time.perf_counter() - middle)
        a, b = (1000 * statistics.median(times) for times in (ours, pillows))
        print(f"  {width:4} x {height:4}  {a:6.2f} ms   Pillow {b:6.2f} ms   {b / a:.1f} times as fast")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", type=Path, default=next((ROOT / "build" / "Release").glob("libclipn_core-*"), None))
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    parser.add_argument("--bench", action="store_true")
    parser.add_argument("--target", choices=TARGETS, help="resize with this one alone, into --out: CLIPN_CPU is read once in a process")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.core is None:
        sys.exit("no core library in build/Release: build it, or name one with --core")
    if args.target is not None:
        core = load(args.core, args.target)
        if core is None:
            return LACKING
        resize_all(core, args.count, args.seed, args.out)
        if args.bench:
            print(args.target, flush=True)
            bench(core)
        return 0
    print(f"--seed {args.seed}", flush=True)
    own = [sys.executable, __file__, "--core", args.core, "--count", str(args.count), "--seed", str(args.seed)]
    own += ["--bench"] if args.bench else []
    with tempfile.TemporaryDirectory() as folder:
        results = {}
        for target in TARGETS:
            out = Path(folder) / target
            status = subprocess.run([*own, "--target", target, "--out", out], env=os.environ | {"CLIPN_CPU": target}).returncode
            if status == LACKING:
                print(f"{target}: this CPU lacks it")
            elif status != 0:
                return 1
            else:
                results[target] = out
        return 1 if compare(args.count, args.seed, results) else 0


if __name__ == "__main__":
    sys.exit(main())
