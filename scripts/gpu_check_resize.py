"""The resize kernel for gpu-check.py: packs images as clipn_cuda_resize reads them (cpp/cuda/launch.h), compares with Pillow."""

import ctypes
import math

SHAPES = [(640, 480, 3), (480, 640, 3), (225, 224, 3), (224, 224, 1), (32, 32, 4), (1, 7, 3), (50, 1, 1), (1600, 37, 3),
          (7, 1501, 3), (3000, 2000, 3)]


class Axis(ctypes.Structure):
    _fields_ = [("first", ctypes.c_int64), ("taps", ctypes.c_int64), ("weights", ctypes.c_int64), ("capacity", ctypes.c_int32)]


class Job(ctypes.Structure):
    _fields_ = [("x", Axis), ("y", Axis), ("window", ctypes.c_int64), ("between", ctypes.c_int64)] + [
        (name, ctypes.c_int32) for name in ("width", "height", "channels", "vertical_first")
    ]


def bicubic(u):
    u = abs(u)
    if u < 1:
        return (1.5 * u - 2.5) * u * u + 1
    return (((u - 5) * u + 8) * u - 4) * -0.5 if u < 2 else 0.0


def axis(np, length, size, side):
    """First input, number of inputs and 22-bit weights of each output of the crop, and the inputs that the crop needs."""
    half = (size - side) // 2
    offset = half + (half % 2 if (size - side) % 2 else 0)  # round half to even
    if length == size:
        first, taps, weights = np.arange(offset, offset + side), np.ones(side), np.full((side, 1), 1 << 22)
    else:
        scale = length / size
        stretch = max(scale, 1.0)
        support = 2 * stretch
        first, taps = np.zeros(side), np.zeros(side)
        weights = np.zeros((side, 2 * math.ceil(support) + 1))
        for i in range(side):
            centre = (offset + i + 0.5) * scale
            begin, end = max(0, int(centre - support + 0.5)), min(length, int(centre + support + 0.5))
            w = np.array([bicubic((t - centre + 0.5) / stretch) for t in range(begin, end)])
            w = w / w.sum() * (1 << 22)
            first[i], taps[i] = begin, end - begin
            weights[i, : end - begin] = np.trunc(w + np.where(w < 0, -0.5, 0.5))
    begin, end = int(first.min()), int((first + taps).max())
    return [(array.astype(np.int32)) for array in (first - begin, taps, weights)], begin, end


class Packed:
    """`block` goes to the device as it is; `between` bytes of scratch; `most` pixels of the largest first pass."""

    def __init__(self, np, images, side):
        self.np, self.parts, self.end = np, [], (len(images) * ctypes.sizeof(Job) + 15) // 16 * 16
        self.jobs, self.between, self.most = [], 0, 0
        known = {}
        for image in images:
            height, width, channels = image.shape
            if (width, height) not in known:
                short = min(width, height)
                known[width, height] = [self._axis(length, side * length // short, side) for length in (width, height)]
            (x, left, right), (y, top, bottom) = known[width, height]
            vertical_first = height > 100 * width and side * height // min(width, height) < height
            pixels = side * ((right - left) if vertical_first else (bottom - top))
            window = self._put(np.ascontiguousarray(image[top:bottom, left:right]))
            self.jobs.append(Job(x, y, window, self.between, right - left, bottom - top, channels, vertical_first))
            self.between += (pixels * 3 + 15) // 16 * 16
            self.most = max(self.most, pixels)
        self.block = np.zeros(self.end, np.uint8)
        for at, data in [(0, np.frombuffer(b"".join(map(bytes, self.jobs)), np.uint8)), *self.parts]:
            self.block[at : at + len(data)] = data

    def _put(self, array):
        at = self.end
        self.parts.append((at, array.view(self.np.uint8).reshape(-1)))
        self.end = (at + array.nbytes + 15) // 16 * 16
        return at

    def _axis(self, length, size, side):
        (first, taps, weights), begin, end = axis(self.np, length, size, side)
        return Axis(self._put(first), self._put(taps), self._put(weights), weights.shape[1]), begin, end


def declare(library):
    library.clipn_cuda_resize.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64,
                                          ctypes.c_void_p, ctypes.c_void_p]


def with_pillow(np, image, side):
    """Shorter side to `side`, bicubic, centre crop: uint8 [side, side, 3]."""
    from PIL import Image

    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image[:, :, :3])
    width, height = picture.size
    short = min(width, height)
    picture = picture.resize((side * width // short, side * height // short), Image.BICUBIC)
    left, top = (round((length - side) / 2) for length in picture.size)
    return np.asarray(picture.crop((left, top, left + side, top + side)).convert("RGB"))


def images(np, seed):
    random = np.random.default_rng(seed)
    return [random.integers(0, 256, (height, width, channels), np.uint8) for width, height, channels in SHAPES]
