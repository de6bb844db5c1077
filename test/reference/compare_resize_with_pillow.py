"""Compares clipn_preprocess with Pillow on random images, byte for byte.

    python test/reference/compare_resize_with_pillow.py CORE_LIBRARY [COUNT] [SEED]

Sizes are 1..2000 a side, a third of them extreme (1 x n, n x 1, 30:1 and more), with 1, 3 or 4 channels. Needs Pillow and
numpy; CLIPN_CPU chooses the kernels. Exits with 1 at the first difference.
"""

import ctypes
import sys

import numpy as np
from PIL import Image


class ClipnImage(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("width", ctypes.c_uint32),
        ("height", ctypes.c_uint32),
        ("channels", ctypes.c_uint32),
        ("stride", ctypes.c_uint64),
    ]


def expected(pixels: np.ndarray, side: int) -> np.ndarray:
    """torchvision's Resize(side, BICUBIC) and CenterCrop(side) on a Pillow image, then RGB."""
    image = Image.fromarray(pixels if pixels.shape[2] > 1 else pixels[:, :, 0]).convert("RGB")
    width, height = image.size
    shorter = min(width, height)
    size = (int(side * width / shorter), int(side * height / shorter))
    if shorter != side:
        image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = round((size[0] - side) / 2.0), round((size[1] - side) / 2.0)
    return np.asarray(image.crop((left, top, left + side, top + side)))


def main() -> None:
    core = ctypes.CDLL(sys.argv[1])
    core.clipn_preprocess.argtypes = [ctypes.POINTER(ClipnImage), ctypes.c_uint32, ctypes.c_void_p, ctypes.c_void_p]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    random = np.random.default_rng(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
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
        buffer = np.zeros((height, stride), np.uint8)
        buffer[:, : width * channels] = pixels.reshape(height, -1)
        out = np.empty((side, side, 3), np.uint8)
        image = ClipnImage(buffer.ctypes.data, width, height, channels, stride)
        status = core.clipn_preprocess(ctypes.byref(image), side, out.ctypes.data, None)
        what = f"{width} x {height} x {channels} to {side}"
        if status != 0:
            sys.exit(f"{what}: status {status}")
        wrong = int((out != expected(pixels, side)).sum())
        if wrong:
            sys.exit(f"{what}: {wrong} of {out.size} bytes differ from Pillow {Image.__version__}")
    print(f"{count} images equal to Pillow")


if __name__ == "__main__":
    main()
