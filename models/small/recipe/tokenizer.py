"""CLIP's byte-pair encoding, read from a tokenizer.json."""
import html
import json
import unicodedata

import numpy as np
import regex
import torch

PATTERN = regex.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", regex.IGNORECASE)


def clean(text):
    """CLIP's cleaning; of ftfy only NFC. Then HTML unescaped twice, white space, lower case."""
    text = unicodedata.normalize("NFC", text)
    return " ".join(html.unescape(html.unescape(text)).split()).lower()


def byte_map(vocab):
    """byte -> symbol; the vocabulary's first 256 entries are the bytes in CLIP's order."""
    plain = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    order = plain + [b for b in range(256) if b not in plain]
    symbols = sorted(vocab, key=vocab.get)[:256]
    return dict(zip(order, symbols))


class Tokenizer:
    def __init__(self, path, context_length):
        with open(path, encoding="utf-8") as file:
            model = json.load(file)["model"]
        self.vocab = model["vocab"]
        self.rank = {tuple(m.split()): i for i, m in enumerate(model["merges"])}
        self.bytes = byte_map(self.vocab)
        self.length = context_length
        self.sot, self.eot = self.vocab["<|startoftext|>"], self.vocab["<|endoftext|>"]
        self.cache, self.used = {}, {}

    def word(self, word):
        """Ids of one word. self.used keeps the merges it took, for choosing a subset."""
        if word not in self.cache:
            parts = [self.bytes[b] for b in word.encode()]
            parts[-1] += "</w>"
            used = []
            while len(parts) > 1:
                pair = min(zip(parts, parts[1:]), key=lambda p: self.rank.get(p, 1e9))
                if pair not in self.rank:
                    break
                used.append(pair)
                merged, i = [], 0
                while i < len(parts):
                    if tuple(parts[i:i + 2]) == pair:
                        merged.append("".join(pair))
                        i += 2
                    else:
                        merged.append(parts[i])
                        i += 1
                parts = merged
            self.cache[word] = [self.vocab[p] for p in parts]
            self.used[word] = used
        return self.cache[word]

    def words(self, text):
        return PATTERN.findall(clean(text))

    def encode(self, text):
        return [i for word in self.words(text) for i in self.word(word)]

    def __call__(self, texts):
        """ids [N, T] padded with 0 to the longest text; nothing behind the end of text matters."""
        rows = [[self.sot, *self.encode(t)[:self.length - 2], self.eot] for t in texts]
        ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
        for row, r in zip(ids, rows):
            row[:len(r)] = r
        return torch.from_numpy(ids)
