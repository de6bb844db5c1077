#!/usr/bin/env python3
"""Write CLIP's byte-pair tokenizer as a Hugging Face tokenizer.json.

usage: make-clip-tokenizer.py bpe_simple_vocab_16e6.txt.gz tokenizer.json

The layout is CLIP's: 256 byte symbols, the same with </w>, the merges, then
<|startoftext|> and <|endoftext|>. Only Python's standard library is needed.
"""
import gzip
import hashlib
import json
import sys

GZ_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
MERGES = 49152 - 256 - 2  # the file holds more lines than CLIP uses
SOT, EOT = "<|startoftext|>", "<|endoftext|>"
# \p{N} without a quantifier: every digit is a token of its own.
PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def byte_symbols():
    """The printable character standing for each byte, in CLIP's vocabulary order."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [b for b in range(256) if b not in plain]
    return [(b, chr(b)) for b in plain] + [(b, chr(256 + i)) for i, b in enumerate(rest)]


def read_merges(path):
    """All of CLIP's merges as pairs, in rank order."""
    with open(path, "rb") as file:
        packed = file.read()
    if hashlib.sha256(packed).hexdigest() != GZ_SHA256:
        raise SystemExit(f"{path} is not CLIP's vocabulary file (sha256 differs)")
    lines = gzip.decompress(packed).decode().split("\n")
    return [tuple(line.split()) for line in lines[1:1 + MERGES]]


def tokenizer_json(merges):
    symbols = [symbol for _, symbol in byte_symbols()]
    entries = symbols + [s + "</w>" for s in symbols] + ["".join(m) for m in merges] + [SOT, EOT]
    vocab = {entry: i for i, entry in enumerate(entries)}
    assert len(vocab) == len(entries)
    special = [{"id": vocab[t], "content": t, "single_word": False, "lstrip": False,
                "rstrip": False, "normalized": False, "special": True} for t in (SOT, EOT)]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
            {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Removed",
             "invert": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
             "use_regex": False}]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": EOT,
                  "continuing_subword_prefix": "", "end_of_word_suffix": "</w>",
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocab, "merges": [" ".join(m) for m in merges]},
    }


def write(path, merges):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(tokenizer_json(merges), file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    write(sys.argv[2], read_merges(sys.argv[1]))
