"""Pillow's and torchvision's preprocessing, what every comparison of pixels is made with."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps


def resize_and_crop(image: Image.Image, side: int) -> Image.Image:
    """Spec 4.2: shorter side bicubic, longer side truncated, centre crop."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    scaled = int(side * long / short)
    size = (side, scaled) if width <= height else (scaled, side)
    if (width, height) != size:
        image = image.resize(size, Image.Resampling.BICUBIC)
    left, top = int(round((size[0] - side) / 2)), int(round((size[1] - side) / 2))
    return image.crop((left, top, left + side, top + side))


def preprocess(path: Path, side: int, exif: bool = True) -> np.ndarray:
    """A file to uint8 [side, side, 3]: the first frame, turned as its EXIF says, without alpha and colour profile."""
    # From memory: Pillow 12 garbles uncompressed TIFFs of orientation 5 to 8 when it maps their files.
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        turned = ImageOps.exif_transpose(image) if exif else image
        return np.asarray(resize_and_crop(turned.convert("RGB"), side))
