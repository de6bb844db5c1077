"""Accuracy and OOD detection of checkpoints that differ in the seed alone, as markdown tables.

ID: the validation images of Tiny-ImageNet's 100 ID classes. OOD sets: --ood NAME=FOLDER, the 53
near-OOD classes of Tiny-ImageNet and the held-out Caltech-101 folders. With several checkpoints
each figure is their mean and the half width of the 95 % t-interval over them.
"""
import argparse
import statistics
from types import SimpleNamespace

import torch

from checkpoint import build, load_published
from data import (cached, caltech_items, concepts, folder_images, read_splits, tin_items)
from scores import auroc, classifier, decisions, features, fpr95, id_scores
from templates import read_templates
from tokenizer import Tokenizer

STUDENT_T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # 97.5 % quantile, by the number of seeds
ID_SET = "Tiny-ImageNet ID val"


def percent(hits):
    return 100 * hits.float().mean().item()


def load_sets(args):
    """The images of every set, decoded once for all checkpoints, and the names that go with them."""
    splits = read_splits(args.splits)
    table = concepts(splits, args.caltech)
    ood = [(n, folder_images(path)) for n, path in (o.split("=", 1) for o in args.ood)]
    ood += [("Tiny-ImageNet near-OOD", tin_items(args.tin, splits, "val", "near_ood")),
            ("Caltech held-out", [item for part in ("train", "test")
                                  for item in caltech_items(args.caltech, part)])]
    caltech = [(path, c) for path, c in caltech_items(args.caltech, "test", table.classes) if c < table.own]
    return SimpleNamespace(
        labels=list(splits["id100"].values()),
        table=table,
        id=cached(args.cache, "tin-val", tin_items(args.tin, splits, "val", classes=table.classes)),
        caltech=cached(args.cache, "caltech-test", caltech),
        ood={name: cached(args.cache, "ood-" + name.replace(" ", "-"), items)[0] for name, items in ood})


def caltech_accuracy(model, tokenize, templates, sets):
    """(top-1 %, top-5 %, mean over classes of top-1 %) among the Caltech classes that have test images."""
    images, y = sets.caltech
    present = sorted(set(y.tolist()))
    yes, _ = classifier(model, tokenize, [sets.table.names[c][0] for c in present], templates)
    hit = torch.tensor(present)[(features(model, images) @ yes.T).argsort(1, descending=True)] == y[:, None]
    per_class = statistics.fmean(percent(hit[y == c, 0]) for c in present)
    return percent(hit[:, 0]), percent(hit[:, :5].any(1)), per_class


def measure(model, tokenize, templates, sets):
    """All figures of one checkpoint, in %: accuracy, and by OOD set AUROC and FPR95 of each score and both rules."""
    bank = classifier(model, tokenize, sets.labels, templates)
    images, y = sets.id
    f = features(model, images)
    hit = (f @ bank[0].T).argsort(1, descending=True) == y[:, None]
    mine = id_scores(f, *bank)
    result = SimpleNamespace(id=(percent(hit[:, 0]), percent(hit[:, :5].any(1))),
                             caltech=caltech_accuracy(model, tokenize, templates, sets),
                             ood={}, rules={ID_SET: [percent(d) for d in decisions(f, *bank)[1:]]})
    for name, images in sets.ood.items():
        g = features(model, images)
        other = id_scores(g, *bank)
        result.ood[name] = {s: (100 * auroc(mine[s].numpy(), other[s].numpy()),
                                100 * fpr95(mine[s].numpy(), other[s].numpy())) for s in mine}
        result.rules[name] = [percent(d) for d in decisions(g, *bank)[1:]]
    result.ood["mean"] = {s: tuple(statistics.fmean(column) for column in zip(*(row[s] for row in result.ood.values())))
                          for s in mine}
    return result


def spread(values):
    """'mean', or 'mean ± half width' where the values are several."""
    if len(values) == 1:
        return f"{values[0]:.1f}"
    half = STUDENT_T[len(values)] * statistics.stdev(values) / len(values) ** 0.5
    return f"{statistics.fmean(values):.1f} ± {half:.1f}"


def lead(row):
    """AUROC points by which ATD is ahead of the better one of MSP and MCM."""
    return row["atd"][0] - max(row["msp"][0], row["mcm"][0])


def spreads(rows):
    """One cell per column of the rows, which are one per seed."""
    return [spread(column) for column in zip(*rows)]


def print_table(*rows):
    """Markdown; the first row is the header."""
    for row in (rows[0], ["---"] * len(rows[0]), *rows[1:]):
        print("| " + " | ".join(str(cell) for cell in row) + " |")
    print()


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tin", "caltech", "splits", "cache", "clipn-templates", "openai-templates",
                 "config", "tokenizer"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--checkpoint", action="append", required=True, help="once for each seed, the shipped one first")
    p.add_argument("--ood", action="append", default=[], metavar="NAME=FOLDER")
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()
    torch.set_num_threads(args.threads)

    sets = load_sets(args)
    templates, _ = read_templates(args.clipn_templates, args.openai_templates)
    seeds = []
    for path in args.checkpoint:
        model = load_published(path, build(args.config)).eval()
        seeds.append(measure(model, Tokenizer(args.tokenizer, model.context_length), templates, sets))

    caltech_count, caltech_classes = len(sets.caltech[1]), len(set(sets.caltech[1].tolist()))
    first = seeds[0]
    print_table(
        ["zero-shot accuracy", "classes", "images", "top-1 %, first", "top-1 %", "top-5 %"],
        [ID_SET, len(sets.labels), len(sets.id[1]), f"{first.id[0]:.1f}", *spreads([s.id for s in seeds])],
        ["Caltech-101 test", caltech_classes, caltech_count, f"{first.caltech[0]:.1f}",
         *spreads([s.caltech[:2] for s in seeds])],
        ["Caltech-101 test, mean over classes", caltech_classes, caltech_count, f"{first.caltech[2]:.1f}",
         spread([s.caltech[2] for s in seeds]), ""])
    scores = list(first.ood["mean"])
    print_table(
        ["OOD set", "images", *scores],
        *([name, len(sets.ood.get(name, [])) or "",
           *(" / ".join(spreads([s.ood[name][score] for s in seeds])) for score in scores)] for name in first.ood))
    print("AUROC / FPR95 in %, ID positive.\n")
    print_table(
        ["OOD set", "AUROC of ATD less the better one of MSP and MCM, by seed", "mean"],
        *([name, ", ".join(f"{gap:+.1f}" for gap in gaps), spread(gaps)]
          for name, gaps in ((name, [lead(s.ood[name]) for s in seeds]) for name in first.ood)))
    print_table(["set", "CTW rule says ID %", "ATD rule says ID %"],
                *([name, *spreads([s.rules[name] for s in seeds])] for name in first.rules))


if __name__ == "__main__":
    main()
