"""Writes test/golden/bpe-files.json: a small vocabulary with merges, and the ids that transformers' CLIPTokenizer gives for texts.

    python test/reference/make_bpe_golden.py

Needs transformers 5. The tokenizer is made of vocab.json and merges.txt as they stand in a folder without tokenizer.json.
"""

import json
import tempfile
from pathlib import Path

from transformers import CLIPTokenizer

GOLDEN = Path(__file__).parent.parent / "golden" / "bpe-files.json"
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789!',.-?#"
# How byte-level BPE writes the bytes of é, ß, 猫 and 🐈.
BYTES = "Ã©ŁçĮ«ðĲĪ"
MERGES = """t h|i n|a n|th e</w>|o g</w>|d og</w>|c a|ca t</w>|ca t|cat s</w>|p h|o t|ph ot|phot o</w>|a t|' s</w>|. .|.. .</w>|Ã ©</w>
# #|## #</w>|1 2</w>|ç Į|çĮ «</w>|ð Ł|ðŁ Ĳ|ðŁĲ Ī</w>""".replace("\n", "|").split("|")
TEXTS = [
    "a photo of a cat", "The DOG's cats", "  many\t spaces \n in   there ", "12 34 2024", "it's, isn't, they're we'll I'd I'm",
    "wait... what?!", "### #hash", "café", "cafe\u0301", "straße", "猫", "🐈", "th the thin an in photo photos", "cat-dog", "",
]


def tokens() -> list[str]:
    """In the order of their ids."""
    symbols = dict.fromkeys(LETTERS + BYTES)
    all_tokens = [*symbols, *(f"{symbol}</w>" for symbol in symbols)]
    for merge in MERGES:
        token = merge.replace(" ", "")
        if token not in all_tokens:
            all_tokens.append(token)
    return [*all_tokens, "<|startoftext|>", "<|endoftext|>"]


def write_bpe(folder: Path) -> None:
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens())}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        write_bpe(Path(name))
        tokenizer = CLIPTokenizer.from_pretrained(name)
        cases = [{"text": text, "ids": tokenizer(text)["input_ids"]} for text in TEXTS]
    end = len(tokens()) - 1
    for case in cases:
        assert case["ids"].count(end) == 1 and case["ids"][0] == end - 1, case
    golden = {"description": "Ids of transformers' CLIPTokenizer, by test/reference/make_bpe_golden.py",
              "tokens": tokens(), "merges": MERGES}
    lines = [f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in golden.items()]
    rows = ",\n  ".join(json.dumps(case, ensure_ascii=False) for case in cases)
    GOLDEN.write_text("{\n" + ",\n".join(lines) + ',\n"cases": [\n  ' + rows + "\n]\n}\n")
    print(f"{GOLDEN.name}: {GOLDEN.stat().st_size} bytes, {len(tokens())} tokens")


if __name__ == "__main__":
    main()
