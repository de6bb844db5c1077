"""Compares every stage with the reference, on seeded weights of full size: one table of largest differences.

    python test/reference/check_stages.py [--networks ViT-B-16,ViT-B-32,ViT-L-14] [--model FILE] [--seed N]

Pixels by Pillow, ids by open_clip's tokenizer, towers and scores by clipn_reference.py in float64; the product computes in fp32.
Patch tokens come from the model file through torch.jit.load, for the API has no call for them. --model names a ViT-B/16 that
`export` has written already. L/14 needs 8 GB of memory and 5 GB of disk. Exits 1 when a difference is above its tolerance.
"""

import argparse
import hashlib
import secrets
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import openclip_tokenizer
from clipn_reference import NETWORKS, encode_image, encode_text, load_state_dict, normalise, scores, unit
from draw_images import draw_files
from preprocess import preprocess
from product import ROOT, ask_product

IMAGES = 4
LABELS = ["cat", "Siamese cat", "espresso machine", "brick wall", "spiral galaxy", "pickup truck"]
TEMPLATE = "a photo of a {}."

# Stage → what is counted or measured, and the most that is allowed. Features are unit rows in fp32 against float64; a logit is
# 100 times the product of two of them.
TOLERANCES = {
    "pixels (images that differ)": 0, "ids (texts that differ)": 0, "image features": 2e-6, "patch tokens": 2e-6,
    "text features, yes": 2e-6, "text features, no": 2e-6, "logits": 2e-4, "scores": 2e-4, "verdicts (that differ)": 0,
}


def part(state: dict, wanted) -> dict:
    """The weights of one tower in float64: all of ViT-L/14 at once would need 7 GB."""
    return {key: value.double() for key, value in state.items() if wanted(key)}


def reference(checkpoint: str, net: dict, pixels: torch.Tensor, ids: torch.Tensor) -> dict:
    state = load_state_dict(checkpoint)
    tokens = unit(encode_image(normalise(pixels), part(state, lambda key: key.startswith("visual.")), net))
    yes = encode_text(ids, part(state, lambda key: "_no" not in key and not key.startswith("visual.")), net)
    no = encode_text(ids, part(state, lambda key: "_no" in key), net, "_no")
    return {"image": tokens[:, 0], "patches": tokens[:, 1:], "yes": unit(yes), "no": unit(no)}


def largest(got: object, want: torch.Tensor) -> float:
    return (torch.as_tensor(got, dtype=torch.float64).reshape(want.shape) - want).abs().max().item()


def measure(name: str, model: Path, folder: Path, seed: int) -> dict:
    net = NETWORKS[name]
    checkpoint = ask_product("checkpoint", name)
    if not model.exists():
        subprocess.run(["node", ROOT / "dist" / "cli" / "main.js", "export", checkpoint, model], check=True, capture_output=True)
    paths = [path for _, path in draw_files(IMAGES, seed, folder)]
    templates = folder / "templates.txt"
    templates.write_text(f"{TEMPLATE}\n")
    question = {"model": str(model), "labels": LABELS, "templates": str(templates), "images": [str(path) for path in paths]}
    found = ask_product("stages", question)
    results = found["results"]

    texts = [TEMPLATE.replace("{}", label) for label in LABELS]
    ids = openclip_tokenizer.load()(texts)
    seen = [preprocess(path, net["image_size"]) for path in paths]
    pixels = torch.stack([torch.tensor(each) for each in seen])
    expected = reference(checkpoint, net, pixels, ids)
    a, b = (100 * expected["image"] @ expected[tower].T for tower in ("yes", "no"))
    judged = [scores(*row) for row in zip(a, b)]

    exported = torch.jit.load(model, map_location="cpu")
    _, patches = exported.encode_image_patches(normalise(pixels).float())
    product_ids = ask_product("ids", texts)
    return {
        "pixels (images that differ)": sum(
            hashlib.sha256(each.tobytes()).hexdigest() != result["pixelsSha256"] for each, result in zip(seen, results)),
        "ids (texts that differ)": sum(row[row != 0].tolist() != ours for row, ours in zip(ids, product_ids)),
        "image features": largest([result["feature"] for result in results], expected["image"]),
        "patch tokens": largest(patches, expected["patches"]),
        "text features, yes": largest(found["yes"], expected["yes"]),
        "text features, no": largest(found["no"], expected["no"]),
        "logits": max(largest([result["logits"][k] for result in results], want) for k, want in {"yes": a, "no": b}.items()),
        "scores": max(abs(result["scores"][k] - v) for result, (want, _) in zip(results, judged) for k, v in want.items()),
        "verdicts (that differ)": sum(
            (result["label"], result["verdict"]) != (LABELS[row.argmax()], verdict)
            for result, row, (_, verdict) in zip(results, a, judged)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="ViT-B-16,ViT-B-32,ViT-L-14")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32))
    args = parser.parse_args()
    print(f"--seed {args.seed}", flush=True)
    torch.set_grad_enabled(False)
    names = args.networks.split(",")
    columns = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            model = args.model if args.model and name == "ViT-B-16" else Path(folder) / "model.pt"
            columns.append(measure(name, model, Path(folder), args.seed))
    print(f"{'largest difference':30}", *(f"{name:>10}" for name in names), "  allowed")
    for stage, allowed in TOLERANCES.items():
        figures = (f"{column[stage]:10.1e}" if allowed else f"{column[stage]:10}" for column in columns)
        print(f"{stage:30}", *figures, f"  {allowed:.0e}" if allowed else "  0")
    print(f"{IMAGES} images, {len(LABELS)} labels")
    # A NaN is within no tolerance.
    good = all(column[stage] <= allowed for column in columns for stage, allowed in TOLERANCES.items())
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
