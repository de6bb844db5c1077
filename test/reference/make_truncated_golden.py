"""Golden file test/golden/truncated.json: JPEGs cut short, and the RGB bytes that Pillow gives with LOAD_TRUNCATED_IMAGES.

    python test/reference/make_truncated_golden.py        (Pillow 12.3, numpy)
"""
import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

ImageFile.LOAD_TRUNCATED_IMAGES = True
WIDTH, HEIGHT = 24, 40
y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
drawn = np.stack([(x * 11) % 256, (y * 6) % 256, (x * y) % 256], axis=2).astype(np.uint8)

cases = []
for name, options in [("baseline", {}), ("progressive", {"progressive": True}), ("4:4:4", {"subsampling": 0})]:
    out = io.BytesIO()
    Image.fromarray(drawn).save(out, "JPEG", quality=80, **options)
    whole = out.getvalue()
    scan = whole.rindex(b"\xff\xda") + 14  # a cut inside a header or table is refused here
    cut = whole[: (scan + 3 * len(whole)) // 4]
    rgb = np.asarray(Image.open(io.BytesIO(cut)).convert("RGB")).ravel().tolist()
    cases.append({"name": name, "file": base64.b64encode(cut).decode(), "rgb": rgb})

target = Path(__file__).parents[1] / "golden" / "truncated.json"
lines = ",\n".join(json.dumps(case) for case in cases)
target.write_text(f'{{"width": {WIDTH}, "height": {HEIGHT}, "cases": [\n{lines}\n]}}\n')
