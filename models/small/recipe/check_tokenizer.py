"""Compare the recipe's tokenizer with @huggingface/tokenizers on the strings of a file.

usage: check_tokenizer.py tokenizer.json strings.txt folder-with-node_modules

One string per line. CLIP's cleaning runs first for both: the library reads tokenizer.json only.
"""
import json
import os
import subprocess
import sys

from tokenizer import Tokenizer, clean

SCRIPT = """
import { Tokenizer } from '@huggingface/tokenizers'
import fs from 'node:fs'
const input = JSON.parse(fs.readFileSync(0))
const tokenizer = new Tokenizer(JSON.parse(fs.readFileSync(input.path)), {})
const ids = input.texts.map(t => tokenizer.encode(t, { add_special_tokens: false }).ids)
console.log(JSON.stringify(ids))
"""

if __name__ == "__main__":
    path, strings, folder = sys.argv[1:]
    with open(strings, encoding="utf-8") as file:
        texts = [clean(line) for line in file if line.strip()]
    own = Tokenizer(path, 77)
    answer = subprocess.run(
        ["node", "--input-type=module", "-e", SCRIPT], cwd=folder, check=True, text=True,
        stdout=subprocess.PIPE, input=json.dumps({"path": os.path.abspath(path), "texts": texts}))
    other = json.loads(answer.stdout)
    wrong = [(t, own.encode(t), o) for t, o in zip(texts, other) if own.encode(t) != o]
    for row in wrong[:10]:
        print(*row, sep="\n  ")
    print(f"{len(texts) - len(wrong)} of {len(texts)} strings agree")
    sys.exit(bool(wrong))
