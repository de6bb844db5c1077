"""The comparison with PyTorch and Pillow that `npm test` runs: every stage below, one line each.

    python test/reference/check.py CHECKPOINT      (the seeded ViT-B/16 that the TypeScript tests write)
"""

import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def run(name: str, *command: object) -> bool:
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    print(f"{'ok    ' if result.returncode == 0 else 'FAILED'} {name}")
    for line in (result.stdout + (result.stderr if result.returncode else "")).splitlines():
        print(f"         {line}")
    return result.returncode == 0


def main() -> int:
    checkpoint = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "vit-b16.pt"
        results = [
            run("the stored golden values are the reference's", sys.executable, HERE / "make_golden.py", "--check"),
            run("`export` writes a ViT-B/16", "node", ROOT / "dist" / "cli.js", "export", checkpoint, model),
            run("torch.jit.load gives the reference's features", sys.executable, HERE / "check_torchscript.py", model,
                checkpoint, "ViT-B-16"),
            run("`check` on the sample photos agrees with Pillow and the reference", sys.executable, HERE / "check_photos.py"),
        ]
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
