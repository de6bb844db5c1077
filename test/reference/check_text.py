"""Compares token ids with open_clip's tokenizer: random strings, every ImageNet prompt, and the golden cases.

    python test/reference/check_text.py [--count 10000] [--seed N]

The seed is printed, so that a failure can be repeated. Exits 1 when an id differs.
"""

import json
import random as random_module
import sys

from fresh_arguments import fresh_arguments
import openclip_tokenizer
from product import ROOT, ask_product

DATA = ROOT / "lib" / "data"


def letters(*ranges: tuple[int, int]) -> list[str]:
    return [chr(code) for first, last in ranges for code in range(first, last + 1)]


# Whole blocks of Unicode, unassigned code points included. Surrogates are no text and stay out.
ALPHABETS = {
    "ASCII": letters((0x00, 0x7F)),
    "words": letters((0x61, 0x7A)),
    "Latin-1": letters((0x80, 0xFF)),
    "Greek": letters((0x370, 0x3FF)),
    "Cyrillic": letters((0x400, 0x52F)),
    "CJK": letters((0x3000, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFF00, 0xFFEF)),
    "emoji": letters((0x1F300, 0x1F6FF), (0x1F900, 0x1F9FF), (0x2600, 0x27BF)) + ["\u200d", "\ufe0f", "\U0001f3fd"] * 40,
    "marks": letters((0x2000, 0x206F), (0x20A0, 0x20C0), (0x2100, 0x214F), (0x2190, 0x21FF)),
    "quotes": list("'\"‘’‚‛“”„‟–—…•«»‹›′″"),
    "fragments": ["'s", "'t", "'re", "’s", "&amp;", "&lt;", "&eacute;", "&#39;", "&#x1F600;", "&amp;quot;", "12", "3.5", " ",
                  " a photo of a ", "dog", "Café", "naïve", "\r\n", "\t"],
}


def random_text(random: random_module.Random) -> str:
    parts = []
    for _ in range(random.randint(1, 6)):
        parts += random.choices(random.choice(list(ALPHABETS.values())), k=random.randint(1, 12))
        if random.random() < 0.5:
            parts.append(" ")
    return "".join(parts)


def prompts() -> list[str]:
    names = json.loads((DATA / "imagenet-classnames.json").read_text())
    templates = json.loads((DATA / "templates" / "clipn.json").read_text())
    return [template.replace("{}", name) for name in names for template in templates]


def golden() -> list[str]:
    cases = json.loads((ROOT / "test" / "golden" / "clean-text.json").read_text())["cases"]
    return [case["text"] for case in cases]


def main() -> int:
    args = fresh_arguments(__doc__, 10_000)
    random = random_module.Random(args.seed)
    groups = {
        "random strings": [random_text(random) for _ in range(args.count)],
        "ImageNet prompts": prompts(),
        "golden cases": golden(),
    }
    found = iter(ask_product("ids", [text for texts in groups.values() for text in texts]))
    tokenizer = openclip_tokenizer.load()
    wrong = 0
    for name, texts in groups.items():
        differing = 0
        for text in texts:
            ids = next(found)
            # As its call does: start and end around the text, 77 at most.
            expected = [tokenizer.sot_token_id, *tokenizer.encode(text)[:75], tokenizer.eot_token_id]
            if ids != expected:
                differing += 1
                if differing <= 5:
                    print(f"WRONG {text!r}\n  {ids}, open_clip {expected}")
        print(f"{name}: {differing} of {len(texts):,} differ from open_clip's ids")
        wrong += differing
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
