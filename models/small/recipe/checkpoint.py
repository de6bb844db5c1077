"""Progress files, to resume by, and checkpoints in the published layout."""
import json
import os

import torch

from clip import CLIPN


def build(config):
    with open(config) as file:
        return CLIPN(**json.load(file))


def save_atomically(content, path):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    torch.save(content, path + ".part")
    os.replace(path + ".part", path)


def save_progress(path, model, opts, **state):
    save_atomically({"model": model.state_dict(), "opts": [o.state_dict() for o in opts], **state},
                    path)


def load_progress(path, model, opts=()):
    """Fill model and optimizers from path when it exists; returns the rest of its content."""
    if not os.path.exists(path):
        return {}
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for opt, content in zip(opts, state["opts"]):
        opt.load_state_dict(content)
    return state


def load_published(path, model):
    state = torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
    model.load_state_dict({key.removeprefix("module."): v for key, v in state.items()})
    return model
