"""Write a small tokenizer.json: CLIP's byte-pair merges that the training words need.

Every merge used for a class name, a template or a wider word is kept, then those of ImageNet's
class names and of further words from --words files, most frequent first, up to --merges. Kept
words are split exactly as CLIP splits them; only the ids differ.
"""
import argparse
import collections
import importlib.util
import json
import os

from data import concepts, read_splits
from templates import read_templates
from tokenizer import Tokenizer

here = os.path.dirname(os.path.abspath(__file__))
spec = importlib.util.spec_from_file_location(
    "clip_tokenizer", os.path.join(here, "../../../scripts/make-clip-tokenizer.py"))
clip_tokenizer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(clip_tokenizer)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--vocabulary", required=True, help="bpe_simple_vocab_16e6.txt.gz")
    p.add_argument("--splits", required=True)
    p.add_argument("--caltech", required=True)
    p.add_argument("--clipn-templates", required=True)
    p.add_argument("--openai-templates", required=True)
    p.add_argument("--imagenet-names", required=True)
    p.add_argument("--words", nargs="*", default=[], help="text files with further words")
    p.add_argument("--merges", type=int, default=2600)
    p.add_argument("--out", required=True)
    args = p.parse_args()

    merges = clip_tokenizer.read_merges(args.vocabulary)
    clip_tokenizer.write(args.out, merges)
    full = Tokenizer(args.out, 77)

    table = concepts(read_splits(args.splits), args.caltech)
    quoted, plain = read_templates(args.clipn_templates, args.openai_templates)
    must = [name for entry in table.names for name in entry] \
        + [t.replace("{}", " ") for t in quoted + plain]
    # A template's closing quote after the name is a token of its own, alone or with a stop.
    must += [t.replace("{}", name) for name in ("dog", "cat's") for t in quoted + plain]
    with open(args.imagenet_names) as file:
        more = json.load(file)["classes"]
    counts = collections.Counter()
    for path in args.words:
        with open(path, encoding="utf-8") as file:
            for line in file:
                counts.update(full.words(line))
    order = [w for text in must for w in full.words(text)]
    needed = len(order)
    order += [w for w, n in counts.most_common(600)]
    order += [w for text in more for w in full.words(text)]
    order += [w for w, n in counts.most_common()]
    kept = set()
    for i, word in enumerate(dict.fromkeys(order)):
        full.word(word)
        wanted = kept | set(full.used[word])
        if len(wanted) > args.merges:
            if word in order[:needed]:
                raise SystemExit(f"--merges {args.merges} is too few for the training words")
            continue
        kept = wanted
    clip_tokenizer.write(args.out, [m for m in merges if m in kept])
    print(f"{args.out}: {len(kept)} merges, {len(kept) + 514} entries")


if __name__ == "__main__":
    main()
