"""Accuracy and OOD detection of a checkpoint, as markdown tables.

ID: the validation images of Tiny-ImageNet's 100 ID classes. OOD sets: --ood NAME=FOLDER, the 53
near-OOD classes of Tiny-ImageNet and the held-out Caltech-101 folders.
"""
import argparse

import torch

from checkpoint import build, load_published
from data import (cached, caltech_items, concepts, folder_images, read_splits, tin_items)
from scores import auroc, classifier, decisions, features, fpr95, id_scores
from templates import read_templates
from tokenizer import Tokenizer


def main():
    p = argparse.ArgumentParser(description=__doc__)
    for name in ("tin", "caltech", "splits", "cache", "clipn-templates", "openai-templates",
                 "config", "tokenizer", "checkpoint"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--ood", action="append", default=[], metavar="NAME=FOLDER")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)

    model = load_published(args.checkpoint, build(args.config)).eval()
    tokenize = Tokenizer(args.tokenizer, model.context_length)
    templates, _ = read_templates(args.clipn_templates, args.openai_templates)
    splits = read_splits(args.splits)
    table = concepts(splits, args.caltech)

    images, y = cached(args.cache, "tin-val", tin_items(args.tin, splits, "val",
                                                        classes=table.classes))
    f = features(model, images)
    yes, no = classifier(model, tokenize, splits["id100"].values(), templates)
    order = (f @ yes.T).argsort(1, descending=True)
    _, ctw_in, atd_in = decisions(f, yes, no)
    print(f"| zero-shot accuracy | classes | images | top-1 % | top-5 % |\n|---|---|---|---|---|\n"
          f"| Tiny-ImageNet ID val | 100 | {len(y)} | {100 * (order[:, 0] == y).float().mean():.1f} "
          f"| {100 * (order[:, :5] == y[:, None]).any(1).float().mean():.1f} |")

    items = [(path, c) for path, c in caltech_items(args.caltech, "test", table.classes)
             if c < table.own]
    cx, cy = cached(args.cache, "caltech-test", items)
    present = sorted(set(cy.tolist()))
    cyes, _ = classifier(model, tokenize, [table.names[c][0] for c in present], templates)
    ctop = torch.tensor(present)[(features(model, cx) @ cyes.T).argsort(1, descending=True)]
    hit = ctop == cy[:, None]
    per_class = torch.stack([hit[cy == c, 0].float().mean() for c in present]).mean()
    print(f"| Caltech-101 test | {len(present)} | {len(cy)} | {100 * hit[:, 0].float().mean():.1f} "
          f"| {100 * hit[:, :5].any(1).float().mean():.1f} |\n"
          f"\nCaltech-101, mean over classes of top-1: {100 * per_class:.1f} %\n")

    scores = id_scores(f, yes, no)
    sets = [("Tiny-ImageNet near-OOD", tin_items(args.tin, splits, "val", "near_ood")),
            ("Caltech held-out", [item for part in ("train", "test")
                                  for item in caltech_items(args.caltech, part)])]
    sets = [(n, folder_images(path)) for n, path in (o.split("=", 1) for o in args.ood)] + sets
    print("| OOD set | images | " + " | ".join(scores) + " |\n|---|---|" + "---|" * len(scores))
    rows, shares = [], [("Tiny-ImageNet ID val", ctw_in, atd_in)]
    for name, items in sets:
        g = features(model, cached(args.cache, "ood-" + name.replace(" ", "-"), items)[0])
        other = id_scores(g, yes, no)
        cells = [(100 * auroc(scores[s].numpy(), other[s].numpy()),
                  100 * fpr95(scores[s].numpy(), other[s].numpy())) for s in scores]
        rows.append(cells)
        shares.append((name, *decisions(g, yes, no)[1:]))
        print(f"| {name} | {len(items)} | " + " | ".join(f"{a:.1f} / {b:.1f}" for a, b in cells) + " |")
    mean = torch.tensor(rows).mean(0)
    print("| mean | | " + " | ".join(f"{a:.1f} / {b:.1f}" for a, b in mean.tolist()) + " |")
    print("\nAUROC / FPR95 in %, ID positive.\n\n| set | CTW rule says ID % | ATD rule says ID % |\n"
          "|---|---|---|")
    for name, *both in shares:
        print(f"| {name} | " + " | ".join(f"{100 * d.float().mean():.1f}" for d in both) + " |")


if __name__ == "__main__":
    main()
