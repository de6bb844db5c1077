"""Golden file test/golden/bmp.json: BMP files of every kind that Pillow reads, and the RGB bytes that it gives.

    python test/reference/make_bmp_golden.py        (Pillow 12.3, numpy)
"""
import base64
import io
import json
import struct
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 5, 4
rng = np.random.default_rng(0)


def drawn(mode):
    """A file that Pillow itself writes."""
    noise = lambda *shape: rng.integers(0, 256, (HEIGHT, WIDTH, *shape), dtype=np.uint8)
    image = {
        "1": lambda: Image.fromarray(noise() // 128 * 255).convert("1"),
        "L": lambda: Image.fromarray(noise()),
        "P": lambda: Image.fromarray(noise(3)).quantize(16),
        "RGB": lambda: Image.fromarray(noise(3)),
        "RGBA": lambda: Image.fromarray(noise(4)),
    }[mode]()
    out = io.BytesIO()
    image.save(out, "BMP")
    return out.getvalue()


def file(bits, data, compression=0, palette=b"", masks=b"", height=HEIGHT, header=40):
    """A file put together by hand: what Pillow reads but does not write."""
    if header == 12:
        info = struct.pack("<IHHHH", 12, WIDTH, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", header, WIDTH, height, 1, bits, compression, len(data), 2835, 2835, 0, 0)
        if header > 40:
            info += masks.ljust(header - 40, b"\0")
            masks = b""
    start = 14 + len(info) + len(masks) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + masks + palette + data


def rows(bits):
    return rng.integers(0, 256, HEIGHT * ((WIDTH * bits + 31) // 32 * 4), dtype=np.uint8).tobytes()


def palette(count, step=4):
    colours = rng.integers(0, 256, (count, step), dtype=np.uint8)
    if step == 4:
        colours[:, 3] = 0
    return colours.tobytes()


MASKS_565 = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
MASKS_888 = struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
MASKS_BGR = struct.pack("<IIII", 0xFF, 0xFF00, 0xFF0000, 0xFF000000)
RUNS_8 = bytes([3, 7, 2, 200, 0, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0, 1, 9, 0, 2, 1, 0, 3, 8, 0, 0, 5, 6, 0, 1])
RUNS_4 = bytes([5, 0x12, 0, 0, 3, 0x34, 2, 0x56, 0, 0, 0, 4, 0x78, 0x9A, 1, 0xB0, 0, 0, 5, 0xCD, 0, 1])

FILES = {
    "1 bit": drawn("1"),
    "8 bits, grey": drawn("L"),
    "8 bits, palette of 16": drawn("P"),
    "24 bits": drawn("RGB"),
    "32 bits with alpha": drawn("RGBA"),
    "4 bits": file(4, rows(4), palette=palette(16)),
    "16 bits (555)": file(16, rows(16)),
    "16 bits (565)": file(16, rows(16), compression=3, masks=MASKS_565),
    "24 bits, top-down": file(24, rows(24), height=-HEIGHT),
    "32 bits": file(32, rows(32)),
    "32 bits, bit fields": file(32, rows(32), compression=3, masks=MASKS_888),
    "32 bits, fields of a V4 header, blue first": file(32, rows(32), compression=3, masks=MASKS_BGR, header=108),
    "8 bits, run lengths": file(8, RUNS_8, compression=1, palette=palette(256)),
    "4 bits, run lengths": file(4, RUNS_4, compression=2, palette=palette(16)),
    "8 bits of OS/2": file(8, rows(8), palette=palette(256, 3), header=12),
}

cases = []
for name, content in FILES.items():
    image = Image.open(io.BytesIO(content))
    image.load()
    assert image.size == (WIDTH, HEIGHT), name
    rgb = np.asarray(image.convert("RGB")).ravel().tolist()
    cases.append({"name": name, "file": base64.b64encode(content).decode(), "rgb": rgb})

target = Path(__file__).parents[1] / "golden" / "bmp.json"
lines = ",\n".join(json.dumps(case) for case in cases)
target.write_text(f'{{"width": {WIDTH}, "height": {HEIGHT}, "cases": [\n{lines}\n]}}\n')
