"""The comparison with PyTorch, Pillow, open_clip, transformers and scikit-learn that `npm test` runs: every check below, one line each.

    python test/reference/check.py CHECKPOINT [--full]

CHECKPOINT is the seeded ViT-B/16 that the TypeScript tests write. --full compares the stages of ViT-B/32 and ViT-L/14 too; it takes
four minutes and 3 GB in build/.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
IMAGES = 1000


def run(name: str, *command: object) -> tuple[bool, str]:
    """Whether it passed, and its line with what it said."""
    start = time.monotonic()
    env = {"OMP_NUM_THREADS": "1", **os.environ}  # the checks share the cores
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=env)
    said = [f"{'ok    ' if result.returncode == 0 else 'FAILED'} {name} ({time.monotonic() - start:.0f} s)"]
    for line in (result.stdout + (result.stderr if result.returncode else "")).splitlines():
        said.append(f"         {line}")
    return result.returncode == 0, "\n".join(said)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--full", action="store_true")
    args = parser.parse_args()
    networks = "ViT-B-16,ViT-B-32,ViT-L-14" if args.full else "ViT-B-16"

    def script(name: str, *arguments: object) -> tuple:
        return (sys.executable, "-W", "ignore", HERE / f"{name}.py", *arguments)

    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "vit-b16.pt"
        # Others read what this one writes.
        export = run("`export` writes a ViT-B/16", "node", ROOT / "dist" / "cli" / "main.js", "export", args.checkpoint, model)
        print(export[1], flush=True)
        checks = [  # the longest first, lest it run alone in the end
            ("no verdict changes between single, list, stream and reference", script("check_verdicts", "--count", IMAGES)),
            ("pixels are Pillow's", script("check_pixels", "--count", IMAGES)),
            ("the resize is Pillow's on every CPU target", script("compare_resize_with_pillow", "--count", 300)),
            ("ids are open_clip's", script("check_text")),
            ("the stored golden values are the reference's", script("make_golden", "--check", args.checkpoint)),
            ("torch.jit.load gives the reference's features", script("check_torchscript", model, args.checkpoint, "ViT-B-16")),
            ("an archive as OpenAI's gives the reference's image features", script("check_archive")),
            ("weights as people have them give transformers' and open_clip's features and ids", script("check_weights")),
            ("every stage is the reference's", script("check_stages", "--networks", networks, "--model", model)),
            ("`check` on the sample photos agrees with Pillow and the reference", script("check_photos")),
            ("Triton's `forward` of the small model answers as `check` does", script("check_triton")),
            ("50 steps of `teach`, its checkpoint and a resumed run are PyTorch's", script("check_teach")),
            ("metrics are scikit-learn's, intervals as defined", script("check_metrics")),
            ("`eval` gives the reference's scores and scikit-learn's metrics", script("check_eval")),
        ]
        results = [export[0]]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for passed, said in pool.map(lambda check: run(check[0], *check[1]), checks):
                print(said, flush=True)
                results.append(passed)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
