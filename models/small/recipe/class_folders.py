"""What `clipn-native teach` takes: the base as a plain CLIP, and the training images as class folders of links with names.

Writes OUT/clip.pt (no "no" keys), OUT/classes/NNN/ (links) and OUT/names.json: a class's own name four times, so that it is
drawn more often, its other names and the wider words above it once each.
"""
import argparse
import json
import os

import torch

from checkpoint import save_atomically
from data import caltech_items, concepts, read_splits, tin_items


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tin", "caltech", "splits", "base", "out"):
        p.add_argument("--" + name, required=True)
    args = p.parse_args()
    os.makedirs(args.out, exist_ok=True)
    state = torch.load(args.base, weights_only=True)["model"]
    save_atomically({key: value for key, value in state.items() if "_no" not in key}, os.path.join(args.out, "clip.pt"))

    splits = read_splits(args.splits)
    table = concepts(splits, args.caltech)
    names = {}
    for name, i in table.classes.items():
        wider = [table.names[j][0] for j in range(table.own, len(table.names)) if table.positive[i, j]]
        own = table.names[i] if i < table.own else []
        names[f"{i:03d}"] = own[:1] * 4 + own[1:] + wider
    with open(os.path.join(args.out, "names.json"), "w") as file:
        json.dump(names, file, indent=1)

    for path, i in (tin_items(args.tin, splits, "train", classes=table.classes)
                    + caltech_items(args.caltech, "train", table.classes)):
        folder = os.path.join(args.out, "classes", f"{i:03d}")
        os.makedirs(folder, exist_ok=True)
        link = os.path.join(folder, f"{os.path.basename(os.path.dirname(path))}_{os.path.basename(path)}")
        if not os.path.lexists(link):
            os.symlink(os.path.abspath(path), link)


if __name__ == "__main__":
    main()
