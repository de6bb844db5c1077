"""Caption templates around a class name."""
import json


def read_templates(clipn, openai):
    """clipn: CLIPN's 128 quoted lines. openai: JSON with lists openai_80 and simple_7."""
    with open(clipn, encoding="utf-8", newline="") as file:
        quoted = [line.strip("\r") for line in file.read().split("\n") if line.strip()]
    assert len(quoted) == 128
    with open(openai) as file:
        lists = json.load(file)
    return quoted, lists["openai_80"] + lists["simple_7"]


class RandomCaption:
    """Draws a caption: half quoted CLIPN templates, half plain ones or the bare name."""

    def __init__(self, quoted, plain, rng):
        self.quoted, self.rng = quoted, rng
        self.plain = plain + ["{}", "a {}", "a photo of a {}", "a photo of a {}."] * 8

    def __call__(self, name):
        pool = self.quoted if self.rng.random() < 0.5 else self.plain
        return self.rng.choice(pool).replace("{}", name)
