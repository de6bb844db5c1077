"""Writes test/golden/resize.json and test/golden/resize.h: what Pillow makes of images given by an integer formula.

    python test/reference/make_resize_golden.py

Sample c of pixel (x, y) is ((x*x*13 + y*y*7 + x*y*5 + c*91 + x*c*3) >> 3) & 255. Each case holds the 64-bit FNV-1a hash
of the side * side * 3 output bytes, small ones also the bytes. Needs Pillow and numpy.
"""

import json
from pathlib import Path

import numpy as np
import PIL
from PIL import Image

from preprocess import resize_and_crop

# width, height, channels, side. Reasons stand where the sizes are not plain.
CASES = [
    (640, 480, 3, 224),
    (480, 640, 3, 224),
    (333, 500, 3, 224),  # odd remainder of the crop
    (227, 224, 3, 224),  # no resize, crop 1.5 from the left: rounds to 2
    (225, 224, 4, 224),  # no resize, crop 0.5 from the left: rounds to 0
    (224, 224, 1, 224),  # nothing to do
    (32, 32, 3, 224),  # growing
    (1, 1, 3, 224),
    (1, 7, 3, 224),
    (50, 1, 1, 224),
    (301, 200, 1, 64),
    (301, 200, 4, 64),
    (1000, 30, 3, 8),
    (65500, 1, 3, 7),  # a JPEG's longest side
    (1, 65500, 3, 7),
    (226, 22700, 3, 224),  # more than 100 times as high as wide and shrinking: Pillow filters vertically first
    (22700, 226, 3, 224),  # the other way round it does not
    (3, 700, 3, 2),
    (9, 5, 3, 3),
    (2, 3, 4, 4),
]
RAW_LIMIT = 4  # largest side whose bytes are stored


def picture(width: int, height: int, channels: int) -> np.ndarray:
    y, x, c = np.ogrid[:height, :width, :channels]
    x, y, c = x.astype(np.uint64), y.astype(np.uint64), c.astype(np.uint64)
    return (((x * x * 13 + y * y * 7 + x * y * 5 + c * 91 + x * c * 3) >> np.uint64(3)) & np.uint64(255)).astype(np.uint8)


def fnv1a(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def main() -> None:
    cases = []
    for width, height, channels, side in CASES:
        pixels = picture(width, height, channels)
        image = Image.fromarray(pixels if channels > 1 else pixels[:, :, 0]).convert("RGB")
        data = resize_and_crop(image, side).tobytes()
        case = {"width": width, "height": height, "channels": channels, "side": side, "fnv1a": f"{fnv1a(data):016x}"}
        if side <= RAW_LIMIT:
            case["bytes"] = list(data)
        cases.append(case)
    golden = Path(__file__).resolve().parent.parent / "golden"
    origin = f"Pillow {PIL.__version__}"
    formula = "((x*x*13 + y*y*7 + x*y*5 + c*91 + x*c*3) >> 3) & 255"
    text = ",\n".join("  " + json.dumps(case) for case in cases)
    (golden / "resize.json").write_text(
        f'{{"origin": "{origin}", "sample": "{formula}", "cases": [\n{text}\n]}}\n', encoding="utf-8"
    )
    lines = [
        f"// {origin}; written by test/reference/make_resize_golden.py, which also explains the cases.",
        "// clang-format off",
        "#pragma once",
        "#include <cstdint>",
        "#include <vector>",
        "",
        "struct ResizeGolden {",
        "  uint32_t width, height, channels, side;",
        "  uint64_t fnv1a;",
        "  std::vector<uint8_t> bytes;  // empty when only the hash is stored",
        "};",
        "",
        "inline const std::vector<ResizeGolden> kResizeGolden = {",
    ]
    for case in cases:
        raw = ", ".join(str(byte) for byte in case.get("bytes", []))
        head = ", ".join(str(case[key]) for key in ("width", "height", "channels", "side"))
        lines.append(f"    {{{head}, 0x{case['fnv1a']}u, {{{raw}}}}},")
    (golden / "resize.h").write_text("\n".join([*lines, "};", ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
