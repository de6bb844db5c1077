"""Accuracy and OOD detection of one base with no towers of several seeds, as markdown tables.

ID: the validation images of Tiny-ImageNet's 100 ID classes. OOD sets: --ood NAME=FOLDER, the 53
near-OOD classes of Tiny-ImageNet and the held-out Caltech-101 folders. With several checkpoints a
score that uses the no tower is given as its mean and the half width of the 95 % t-interval over
them; the other scores are those of the base, which all share.
"""
import argparse

import torch

from checkpoint import build, load_published
from data import (cached, caltech_items, concepts, folder_images, read_splits, tin_items)
from scores import auroc, classifier, decisions, features, fpr95, id_scores
from templates import read_templates
from tokenizer import Tokenizer

STUDENT_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # 97.5 % quantile, by the number of seeds
OF_NO_TOWER = ("ctw", "atd")


def load_all(args):
    """One model per checkpoint; all that CLIPN's training leaves alone must be equal."""
    models = [load_published(path, build(args.config)).eval() for path in args.checkpoint]
    base = models[0].state_dict()
    for model, path in zip(models[1:], args.checkpoint[1:]):
        other = [k for k, v in model.state_dict().items() if "_no" not in k and not v.equal(base[k])]
        assert not other, f"{path} has another base: {other[0]} differs"
    return models


def spread(values):
    """'mean', or 'mean ± half width' where the values are several."""
    v = torch.tensor(values, dtype=torch.float64)
    if len(v) == 1:
        return f"{v[0]:.1f}"
    return f"{v.mean():.1f} ± {STUDENT_T[len(v)] * v.std() / len(v) ** 0.5:.1f}"


def accuracy_tables(args, model, tokenize, templates, f, y, yes, table):
    order = (f @ yes.T).argsort(1, descending=True)
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


def ood_sets(args, splits):
    """[(name, items)]"""
    sets = [("Tiny-ImageNet near-OOD", tin_items(args.tin, splits, "val", "near_ood")),
            ("Caltech held-out", [item for part in ("train", "test")
                                  for item in caltech_items(args.caltech, part)])]
    return [(n, folder_images(path)) for n, path in (o.split("=", 1) for o in args.ood)] + sets


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tin", "caltech", "splits", "cache", "clipn-templates", "openai-templates",
                 "config", "tokenizer"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--checkpoint", action="append", required=True, help="once for each seed")
    p.add_argument("--ood", action="append", default=[], metavar="NAME=FOLDER")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)

    models = load_all(args)
    tokenize = Tokenizer(args.tokenizer, models[0].context_length)
    templates, _ = read_templates(args.clipn_templates, args.openai_templates)
    splits = read_splits(args.splits)
    table = concepts(splits, args.caltech)
    banks = [classifier(model, tokenize, splits["id100"].values(), templates) for model in models]

    images, y = cached(args.cache, "tin-val", tin_items(args.tin, splits, "val",
                                                        classes=table.classes))
    f = features(models[0], images)
    accuracy_tables(args, models[0], tokenize, templates, f, y, banks[0][0], table)

    scores = [id_scores(f, *bank) for bank in banks]
    print("| OOD set | images | " + " | ".join(scores[0]) + " |\n|---|---|" + "---|" * len(scores[0]))
    cells, rules = [], [("Tiny-ImageNet ID val", f)]
    for name, items in ood_sets(args, splits):
        g = features(models[0], cached(args.cache, "ood-" + name.replace(" ", "-"), items)[0])
        rules.append((name, g))
        others = [id_scores(g, *bank) for bank in banks]
        # [score][seed] -> (AUROC, FPR95)
        row = [[(100 * auroc(mine[s].numpy(), other[s].numpy()), 100 * fpr95(mine[s].numpy(), other[s].numpy()))
                for mine, other in zip(scores, others)] for s in scores[0]]
        cells.append(row)
        print_row(name, len(items), row, scores[0])
    mean = torch.tensor(cells, dtype=torch.float64).mean(0).tolist()
    print_row("mean", "", mean, scores[0])
    print("\nAUROC / FPR95 in %, ID positive.\n\n| set | CTW rule says ID % | ATD rule says ID % |\n"
          "|---|---|---|")
    for name, g in rules:
        shares = [[100 * d.float().mean().item() for d in decisions(g, *bank)[1:]] for bank in banks]
        print(f"| {name} | " + " | ".join(spread(each) for each in zip(*shares)) + " |")


def print_row(name, count, row, names):
    seeds = [each if s in OF_NO_TOWER else each[:1] for s, each in zip(names, row)]
    print(f"| {name} | {count} | "
          + " | ".join(" / ".join(spread(v) for v in zip(*each)) for each in seeds) + " |")


if __name__ == "__main__":
    main()
