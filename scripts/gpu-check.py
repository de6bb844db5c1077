#!/usr/bin/env python3
"""Builds, checks and times all that runs on a GPU, in one call: kernels, then the package with its towers and whole checks.

    python3 scripts/gpu-check.py [--quick] [--sanitizer] [--kernels-only]
    exit 0: all checks hold; 1: one does not, or the package fails; 2: cannot run here

Needs a GPU, nvcc 13 and a PyTorch with CUDA. Kernels: scores against float64, the resize against Pillow (needs NumPy and Pillow);
timed beside PyTorch eager and torch.compile (max-autotune) of the same formulas and the measured device-to-device copy. Inputs are
fresh random numbers, outputs are poisoned before each check. --sanitizer runs the checks again, with small shapes, under
compute-sanitizer. The package is built for this PyTorch's own libtorch, tested (test/native/gpu.test.ts) and timed beside this PyTorch
(`npm run bench -- gpu`): needs Node and the packages of package-lock.json, from npm or in node_modules/. What cannot run is named.
"""

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
import time

import gpu_check_resize

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LIBRARY = os.path.join(ROOT, "build", "gpu-check", "libclipn_kernels.so")
SCORES = ["ctw", "atd", "msp", "max_logit", "energy", "mcm", "gap", "log_p_out", "log_q_max"]
SCALE = 100.0


def cannot(why):
    print(f"gpu-check cannot run here: {why}")
    sys.exit(2)


class Scores(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("scores", "top_index", "top_p", "top_p_yes", "workspace")] + [
        ("workspace_bytes", ctypes.c_int64)
    ]


class Features(ctypes.Structure):
    _fields_ = (
        [(name, ctypes.c_void_p) for name in ("features", "yes", "no")]
        + [(name, ctypes.c_int64) for name in ("n", "c", "d")]
        + [("type", ctypes.c_int32), ("k", ctypes.c_int32), ("scale", ctypes.c_float)]
    )


class Logits(ctypes.Structure):
    _fields_ = (
        [(name, ctypes.c_void_p) for name in ("yes", "no")]
        + [(name, ctypes.c_int64) for name in ("n", "c")]
        + [("k", ctypes.c_int32), ("scale", ctypes.c_float)]
    )


def build(capability):
    """The kernels alone as a shared library for this GPU; prints nothing unless nvcc fails."""
    nvcc = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
    if not os.path.exists(nvcc):
        cannot("there is no nvcc on PATH or in /usr/local/cuda/bin")
    os.makedirs(os.path.dirname(LIBRARY), exist_ok=True)
    name = f"{capability[0]}{capability[1]}" + ("a" if capability == (9, 0) else "")
    sources = [f"cpp/cuda/{kernel}.cu" for kernel in ("normalise", "resize", "score_features", "score_fold", "score_logits")]
    command = [nvcc, "-std=c++20", "-O3", "-fmad=false", "-lineinfo", "-shared", "-Xcompiler=-fPIC", "-Icpp", "-Icpp/include",
               f"-gencode=arch=compute_{name},code=sm_{name}", "-o", LIBRARY, *sources]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stdout + done.stderr)
        sys.exit(1)
    library = ctypes.CDLL(LIBRARY)
    for kind in ("features", "logits"):
        getattr(library, f"clipn_cuda_{kind}_workspace").restype = ctypes.c_int64
        getattr(library, f"clipn_cuda_{kind}_workspace").argtypes = [ctypes.c_int64, ctypes.c_int64, ctypes.c_int32]
        getattr(library, f"clipn_cuda_score_{kind}").argtypes = [ctypes.c_void_p] * 3
    gpu_check_resize.declare(library)
    return library


def launch(torch, call, *arguments):
    """Calls one of launch.h's functions on PyTorch's stream."""
    error = call(*arguments, torch.cuda.current_stream().cuda_stream)
    if error != 0:
        raise RuntimeError(f"{call.__name__} returned CUDA error {error}")


class Resize:
    """Images resized together; calling it launches the kernels on PyTorch's stream."""

    def __init__(self, torch, library, np, images, side):
        packed = gpu_check_resize.Packed(np, images, side)
        self.torch, self.call = torch, library.clipn_cuda_resize
        self.n, self.most, self.side = len(images), packed.most, side
        self.block = torch.from_numpy(packed.block).cuda()
        self.between = torch.full((packed.between,), 170, dtype=torch.uint8, device="cuda")
        self.pixels = torch.full((self.n, side, side, 3), 170, dtype=torch.uint8, device="cuda")

    def __call__(self):
        launch(self.torch, self.call, self.block.data_ptr(), self.n, self.most, self.between.data_ptr(), self.side,
               self.pixels.data_ptr())
        return self.pixels


def numpy_and_pillow():
    try:
        import numpy
        import PIL  # noqa: F401
    except ImportError:
        return None
    return numpy


class Run:
    """One problem with its buffers; calling it launches the kernels on PyTorch's stream."""

    def __init__(self, torch, library, kind, inputs, k, workspace=None):
        self.torch, self.kind, self.inputs = torch, kind, inputs
        n = inputs[0].shape[0]
        c = inputs[1].shape[0] if kind == "features" else inputs[0].shape[1]
        self.call = getattr(library, f"clipn_cuda_score_{kind}")
        bytes_ = workspace or getattr(library, f"clipn_cuda_{kind}_workspace")(n, c, k)
        self.scores = torch.empty(9, n, device="cuda")
        self.top_index = torch.empty(n, k, dtype=torch.int32, device="cuda")
        self.top_p, self.top_p_yes = torch.empty(n, k, device="cuda"), torch.empty(n, k, device="cuda")
        self.workspace = torch.empty(bytes_, dtype=torch.uint8, device="cuda")
        self.output = Scores(*(t.data_ptr() for t in (self.scores, self.top_index, self.top_p, self.top_p_yes)),
                             self.workspace.data_ptr(), bytes_)
        pointers = [t.data_ptr() if t is not None else None for t in inputs]
        if kind == "features":
            kind_of_number = 1 if inputs[0].dtype == torch.bfloat16 else 0
            self.input = Features(*pointers, n, c, inputs[0].shape[1], kind_of_number, k, SCALE)
        else:
            self.input = Logits(*pointers, n, c, k, SCALE)

    def poison(self):
        for tensor in (self.scores, self.top_p, self.top_p_yes):
            tensor.fill_(float("nan"))
        self.top_index.fill_(-1)
        self.workspace.fill_(255)
        return self

    def __call__(self):
        launch(self.torch, self.call, ctypes.byref(self.input), ctypes.byref(self.output))
        return self

    def row(self, i):
        parts = (self.scores[:, i], self.top_p[i], self.top_p_yes[i], self.top_index[i].float())
        return self.torch.cat(parts)


def formulas(torch, a, b, scale=SCALE, k=5):
    """Spec 3 in PyTorch, in the type of the logits: the reference in float64, the contender in float32."""
    p = torch.softmax(a, 1)
    log_p = torch.log_softmax(a, 1)
    log_yes = torch.nn.functional.logsigmoid(a - b)
    log_no = torch.nn.functional.logsigmoid(b - a)
    top = a.topk(k, 1)
    gap = top.values[:, 0] - b.gather(1, top.indices[:, :1])[:, 0]
    log_q = log_p + log_yes
    scores = torch.stack([
        torch.sigmoid(gap), torch.logsumexp(log_q, 1).exp(), p.amax(1), a.amax(1), torch.logsumexp(a, 1),
        torch.softmax(a / scale, 1).amax(1), gap, torch.logsumexp(log_p + log_no, 1), log_q.amax(1),
    ])
    return scores, top.indices, p.gather(1, top.indices), torch.sigmoid(a - b).gather(1, top.indices)


def unit(torch, rows, d, dtype):
    common = torch.zeros(d, device="cuda", dtype=torch.float64)
    common[::7] = 2.0
    values = torch.randn(rows, d, device="cuda", dtype=torch.float64) + common
    return (values / values.norm(dim=1, keepdim=True)).to(dtype)


def worst(torch, run, a, b):
    """Largest norm-wise relative error of any score against float64 on the same inputs."""
    expected, order, _, _ = formulas(torch, a, b, k=max(1, run.top_index.shape[1]))
    got = run.scores.double()
    errors = (got - expected).norm(dim=1) / (expected.norm(dim=1) + 1e-36)
    # Equal logits may come in either order in PyTorch's top list: compare the values.
    if run.top_index.shape[1] > 0:
        mine = a.gather(1, run.top_index.long())
        theirs = a.gather(1, order)
        if not torch.allclose(mine, theirs, rtol=0, atol=2e-3 if run.kind == "features" else 0):
            return float("inf"), "top list"
    if torch.isnan(errors).any():
        return float("nan"), "nan"
    at = int(errors.argmax())
    return float(errors[at]), SCORES[at]


def checks(torch, library, quick):
    rows = []

    def record(name, error, score, bound):
        rows.append((name, error, score, bound, error <= bound))

    shapes = [(1, 1, 32), (1, 7, 512), (33, 63, 512), (64, 1000, 512), (1000, 1001, 768), (17, 2049, 512)]
    if not quick:
        shapes += [(8192, 1000, 512), (64, 21841, 512), (16, 100000, 512)]
    for n, c, d in shapes:
        k = min(c, 5)
        for dtype, bound in ((torch.float32, 1e-5), (torch.bfloat16, 2e-3)):
            x, yes, no = (unit(torch, count, d, dtype) for count in (n, c, c))
            run = Run(torch, library, "features", (x, yes, no), k).poison()()
            a, b = (SCALE * (x.double() @ w.double().T) for w in (yes, no))
            record(f"features {str(dtype)[6:]} {n}x{c}x{d}", *worst(torch, run, a, b), bound)
        for name in ("random", "ties", "gaps"):
            a, b = (100 * (2 * torch.rand(n, c, device="cuda") - 1) for _ in range(2))
            if name == "ties":
                a, b = (torch.round(t / 25) * 25 for t in (a, b))
            if name == "gaps":
                sign = torch.where(torch.arange(n, device="cuda") % 2 == 0, -1.0, 1.0)[:, None]
                b = a + sign * (17 + 0.59 * (100 + b))
            run = Run(torch, library, "logits", (a.contiguous(), b.contiguous()), k).poison()()
            record(f"logits {name} {n}x{c}", *worst(torch, run, a.double(), b.double()), 1e-5)

    for dtype in (torch.float32, torch.bfloat16):
        x, yes, no = (unit(torch, count, 512, dtype) for count in (200, 1000, 1000))
        whole = Run(torch, library, "features", (x, yes, no), 5).poison()()
        same = all(
            torch.equal(Run(torch, library, "features", (x[first:first + n].contiguous(), yes, no), 5).poison()().row(i),
                        whole.row(first + i))
            for first, n in ((0, 1), (7, 1), (100, 64), (130, 70)) for i in range(n)
        )
        record(f"bits independent of the batch, {str(dtype)[6:]}", 0.0 if same else 1.0, "bits", 0.0)
    np = numpy_and_pillow()
    if np is None:
        print("SKIPPED: the resize, for NumPy or Pillow is missing")
    else:
        images = gpu_check_resize.images(np, time.time_ns())
        for side in (64, 224, 336):
            out = Resize(torch, library, np, images, side)().cpu().numpy()
            differing = sum(int((o != gpu_check_resize.with_pillow(np, image, side)).sum()) for o, image in zip(out, images))
            record(f"resize to {side}, bytes unlike Pillow's", float(differing), "bytes", 0.0)

    print("\n| check | worst error | of | bound | |\n|---|---|---|---|---|")
    for name, error, score, bound, good in rows:
        print(f"| {name} | {error:.1e} | {score} | {bound:.0e} | {'ok' if good else 'FAILS'} |")
    return all(good for *_, good in rows)


def milliseconds(torch, call, repeats=50):
    """Median of event times after warming up."""
    for _ in range(5):
        call()
    times = []
    for _ in range(repeats):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def timings(torch, library, quick):
    size = 1 << 30
    source, target = (torch.empty(size, dtype=torch.uint8, device="cuda") for _ in range(2))
    copy = 2 * size / milliseconds(torch, lambda: target.copy_(source)) / 1e9  # TB/s
    del source, target
    print(f"\ncopy bandwidth {copy:.2f} TB/s (bytes read and written)")
    np = numpy_and_pillow()
    if np is not None:
        print("\n| resize to 224, 256 images | ms | images/s | share of copy bandwidth |\n|---|---|---|---|")
        for width, height in ((640, 480), (2048, 1536)):
            image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
            resize = Resize(torch, library, np, [image] * 256, 224)
            took = milliseconds(torch, resize)
            moved = resize.block.numel() + 2 * resize.between.numel() + resize.pixels.numel()
            print(f"| {width}x{height} | {took:.3f} | {256 / took * 1e3:,.0f} | {moved / took / 1e9 / copy:.0%} |")
            del resize
    compiled = torch.compile(lambda a, b: formulas(torch, a, b), mode="max-autotune-no-cudagraphs")
    print("\n| from logits, fp32 | ms | share of copy bandwidth |\n|---|---|---|")
    for n, c in ((1024, 21841), (1024, 100000)) + (() if quick else ((8192, 100000),)):
        a, b = (100 * torch.rand(n, c, device="cuda") for _ in range(2))
        took = milliseconds(torch, Run(torch, library, "logits", (a, b), 5))
        print(f"| {n}x{c} | {took:.3f} | {8 * n * c / took / 1e9 / copy:.0%} |")
        del a, b
    print("\n| from features | ms | eager ms | compiled ms | eager / ours | compiled / ours | workspace MB |\n|---|---|---|---|---|---|---|")
    for dtype in (torch.bfloat16, torch.float32):
        for n, c, d in ((1024, 1000, 512), (1024, 100000, 512)):
            x, yes, no = (unit(torch, count, d, dtype) for count in (n, c, c))
            run = Run(torch, library, "features", (x, yes, no), 5)
            ours = milliseconds(torch, run)

            def sequence(score):
                return lambda: score((SCALE * (x @ yes.T)).float(), (SCALE * (x @ no.T)).float())

            eager = milliseconds(torch, sequence(lambda a, b: formulas(torch, a, b)), 20)
            fused = milliseconds(torch, sequence(compiled), 20)
            print(f"| {n}x{c}x{d} {str(dtype)[6:]} | {ours:.4f} | {eager:.3f} | {fused:.3f} | {eager / ours:.1f} | "
                  f"{fused / ours:.1f} | {run.workspace.numel() / 1e6:.0f} |")


def package(torch):
    """Builds the addon, core and plugin, tests and times them; whether all went through, or nothing could be tried."""
    node = shutil.which("node")
    if node is None:
        print("\nSKIPPED: the package, towers and whole checks, for there is no Node on PATH")
        return True
    env = {**os.environ, "CLIPN_LIBTORCH": os.path.dirname(torch.__file__), "CLIPN_PYTHON": sys.executable}
    typescript = ["--import", "tsx"]
    for arguments in (["scripts/setup.mjs"], [*typescript, "--test", "test/native/gpu.test.ts"], [*typescript, "bench/suite.ts", "gpu"]):
        print(f"\nnode {' '.join(arguments)}", flush=True)
        if subprocess.run([node, *arguments], cwd=ROOT, env=env).returncode != 0:
            return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small shapes only")
    parser.add_argument("--sanitizer", action="store_true", help="the checks again under compute-sanitizer")
    parser.add_argument("--checks-only", action="store_true", help="no timing")
    parser.add_argument("--kernels-only", action="store_true", help="without the package's towers and whole checks")
    arguments = parser.parse_args()
    try:
        import torch
    except ImportError:
        cannot("there is no PyTorch")
    if not torch.cuda.is_available():
        cannot(f"PyTorch {torch.__version__} sees no GPU")
    torch.manual_seed(time.time_ns())
    torch.backends.cuda.matmul.allow_tf32 = False
    device = torch.cuda.get_device_properties(0)
    driver = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"], capture_output=True, text=True)
    print(f"{device.name}, {device.multi_processor_count} multiprocessors, driver {driver.stdout.strip() or 'unknown'}, "
          f"PyTorch {torch.__version__}, {time.strftime('%Y-%m-%d')}")
    library = build(torch.cuda.get_device_capability(0))
    good = checks(torch, library, arguments.quick)
    if arguments.sanitizer:
        tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
        for kind in ("memcheck", "racecheck"):
            command = [tool, "--tool", kind, "--error-exitcode", "1", sys.executable, __file__, "--quick", "--checks-only"]
            clean = subprocess.run(command, stdout=subprocess.DEVNULL).returncode == 0
            print(f"compute-sanitizer {kind}: {'clean' if clean else 'FAILS'}")
            good = good and clean
    if not arguments.checks_only:
        timings(torch, library, arguments.quick)
        if not arguments.kernels_only and not package(torch):
            print("\nthe package failed: see above")
            good = False
    print("\nall checks hold" if good else "\nA CHECK FAILS")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
