"""Writes test/golden/cmyk.json: CMYK files made by Pillow and the RGB bytes that Pillow decodes them to.

    python test/reference/make_image_golden.py
"""

import base64
import io
import json
from pathlib import Path

from PIL import Image


def main() -> None:
    width, height = 4, 2
    samples = bytes((37 * i + 11) % 256 for i in range(width * height * 4))
    image = Image.frombytes("CMYK", (width, height), samples)
    cases = []
    for name, options in [("tiff", {"compression": "raw"}), ("jpeg", {"quality": 95})]:
        file = io.BytesIO()
        image.save(file, name, **options)
        file.seek(0)
        rgb = Image.open(file).convert("RGB").tobytes()
        cases.append({"format": name, "file": base64.b64encode(file.getvalue()).decode(), "rgb": list(rgb)})
    target = Path(__file__).parent.parent / "golden" / "cmyk.json"
    target.write_text(json.dumps({"width": width, "height": height, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
