"""Writes test/golden/clean-text.json: what ftfy and open_clip's tokenizer make of random strings.

    pip install ftfy regex open_clip_torch
    python test/reference/make_text_golden.py [--count 400] [--seed 7] [--out test/golden/clean-text.json]

ftfy runs with fix_encoding off (repairing mojibake is out of the product's scope). Each case holds the string, the
cleaned text and the token ids without start and end.
"""

import argparse
import json
import random

import ftfy

import openclip_tokenizer

ALPHABETS = [
    [chr(c) for c in range(0x20, 0x7F)],
    [chr(c) for c in range(0x61, 0x7B)],
    [chr(c) for c in range(0xA0, 0x100)],
    [chr(c) for c in range(0x100, 0x250)],
    [chr(c) for c in range(0x391, 0x3CA) if c != 0x3A2],
    ["Σ", "σ", "ς", "Α", "a", ".", "'", " ", "\u0301", "\u00ad", "İ", "ı", "ẞ", "ß", "\u0307", "\u212a"],
    [chr(c) for c in range(0x400, 0x460)],
    [chr(c) for c in range(0x4E00, 0x4E80)] + [chr(c) for c in range(0x3041, 0x3097)],
    [chr(c) for c in range(0xAC00, 0xAC40)] + [chr(c) for c in range(0x1100, 0x1113)] + [chr(c) for c in range(0x1161, 0x1176)],
    list("😀🐶🏴🇫🇷👩") + ["\u200d", "\ufe0f", "\U0001f3fd", "\U000e0067", "\u20e3"],
    list("‘’‚‛“”„‟–—―…•·«»‹›′″¿¡") + ["\u02bc"],
    ["\t", "\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1f", "\x85", "\xa0", "\u1680", "\u2003", "\u2028", "\u2029", "\u202f", "\u3000", " "],
    [chr(c) for c in [0, 1, 7, 8, 0xE, 0x1A, 0x1B, 0x7F, 0x80, 0x81, 0x85, 0x92, 0x9F, 0x200B, 0x200E, 0x206A, 0xFEFF, 0xFFF9, 0xFFFC, 0xFFFD]],
    list("ĲĳŉǱǲǳǄǅǆǇǈǉǊǋǌﬀﬁﬂﬃﬄﬅﬆſ"),
    [chr(c) for c in range(0xFF01, 0xFFEF)],
    [chr(c) for c in range(0x300, 0x330)] + list("aeiouncAEIOUNC"),
    ["\ud83d", "\ude00", "\udc00", "a"],
    ["\x1b[31m", "\x1b[0m", "\x1b[1;32mx", "\x1b[", "\x1b"],
    ["&amp;", "&amp;amp;", "&lt;", "&gt;", "&quot;", "&eacute;", "&EACUTE;", "&NTILDE", "&SZLIG;", "&hellip;", "&notit;", "&not", "&semi;"],
    ["&ampx;", "&#65;", "&#x1F600;", "&#x1f600", "&#0;", "&#1;", "&#128;", "&#x81;", "&#xD83D;", "&#x110000;", "&#xFFFE;", "&#39;", "&#59;", "&#x;"],
    ["&nbsp;", "&NewLine;", "&Tab;", "&#13;", "&#x2028;", "&#xfeff;", "&nLl;", "&NotEqualTilde;", "&copy2", "&", "#", ";", "x", "<", ">"],
    ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "’s", "dog", "it", "12", "3.5", "½", "²", "Ⅷ", "٣"],
]


def random_text(rng):
    parts = []
    for _ in range(rng.randint(1, 6)):
        alphabet = rng.choice(ALPHABETS)
        parts += rng.choices(alphabet, k=rng.randint(1, 6))
        if rng.random() < 0.4:
            parts.append(" ")
    return "".join(parts)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", default="test/golden/clean-text.json")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    tokenizer = openclip_tokenizer.load()
    cases = []
    for _ in range(args.count):
        text = random_text(rng)
        cases.append({"text": text, "clean": tokenizer.clean_fn(text), "ids": tokenizer.encode(text)})
    made_by = {"ftfy": ftfy.__version__, "fix_encoding": False, "seed": args.seed}
    with open(args.out, "w", encoding="ascii") as file:
        file.write('{"madeBy": ' + json.dumps(made_by) + ', "cases": [\n')
        file.write(",\n".join(json.dumps(case) for case in cases))
        file.write("\n]}\n")


if __name__ == "__main__":
    main()
