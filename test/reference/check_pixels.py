"""Compares what the image tower sees with Pillow, byte for byte, on freshly drawn image files of every kind.

    python test/reference/check_pixels.py [--count 1000] [--seed N]

The seed is printed, so that a failure can be repeated; files that differ are kept in a folder that is printed too.
Sizes and kinds: draw_images.py. Exits 1 when a byte differs.
"""

import hashlib
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from draw_images import draw_files
from fresh_arguments import fresh_arguments
from preprocess import preprocess
from product import ask_product

# CLIP's side, and a small odd one.
SIDES = (224, 63)


def main() -> int:
    args = fresh_arguments(__doc__, 1000)
    wrong: list[tuple[str, Path, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        drawn = draw_files(args.count, args.seed, Path(folder))
        for turn, side in enumerate(SIDES):
            files = drawn[turn::len(SIDES)]
            # Every third image as the paper's loader reads it, which does not look at EXIF.
            asked = [{"path": str(path), "exif": i % 3 != 0} for i, (_, path) in enumerate(files)]
            found = ask_product("pixels", {"side": side, "files": asked})
            for (kind, path), question, hash in zip(files, asked, found, strict=True):
                expected = hashlib.sha256(preprocess(path, side, question["exif"]).tobytes()).hexdigest()
                if hash != expected:
                    wrong.append((kind, path, f"side {side}, exif {question['exif']}: {hash[:80]}"))
        if wrong:
            kept = Path(tempfile.gettempdir()) / f"clipn-pixels-{args.seed}"
            kept.mkdir(exist_ok=True)
            for kind, path, what in wrong:
                shutil.copy(path, kept)
                print(f"WRONG {kept / path.name} {kind}, {what}")
    kinds = Counter(kind for kind, _ in drawn)
    print(f"{len(drawn)} files of {len(kinds)} kinds, {len(wrong)} differ from Pillow")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
