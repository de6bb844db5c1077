"""Score single photos with a list of labels: photos.py ... --labels cat cup dog --photos *.png"""
import argparse
import os

import torch

from checkpoint import build, load_published
from data import load_image
from scores import classifier, decisions, features, id_scores
from templates import read_templates
from tokenizer import Tokenizer


def main():
    p = argparse.ArgumentParser(description=__doc__)
    for name in ("clipn-templates", "openai-templates", "config", "tokenizer", "checkpoint"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--labels", nargs="+", required=True)
    p.add_argument("--photos", nargs="+", required=True)
    args = p.parse_args()
    model = load_published(args.checkpoint, build(args.config)).eval()
    tokenize = Tokenizer(args.tokenizer, model.context_length)
    templates, _ = read_templates(args.clipn_templates, args.openai_templates)
    images = torch.stack([torch.tensor(load_image(path)).permute(2, 0, 1) for path in args.photos])
    f = features(model, images)
    yes, no = classifier(model, tokenize, args.labels, templates)
    scores = id_scores(f, yes, no)
    top, ctw_in, atd_in = decisions(f, yes, no)
    print("| photo | top label | p | CTW | ATD | CTW rule | ATD rule |\n|---|---|---|---|---|---|---|")
    for i, path in enumerate(args.photos):
        print(f"| {os.path.basename(path)} | {args.labels[top[i]]} | {scores['msp'][i]:.2f} "
              f"| {scores['ctw'][i]:.3f} | {scores['atd'][i]:.3f} "
              f"| {'ID' if ctw_in[i] else 'OOD'} | {'ID' if atd_in[i] else 'OOD'} |")


if __name__ == "__main__":
    main()
