"""Runs the product for the comparisons: one Node process a call, JSON in and out (product.ts says what)."""

import json
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def ask_product(mode: str, question: Any) -> Any:
    command = ["node", "--import", "tsx", ROOT / "test" / "reference" / "product.ts", mode]
    result = subprocess.run(command, cwd=ROOT, input=json.dumps(question), check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(result.stdout)
