"""open_clip's own CLIP. The module by its path, for the package would need torchvision and timm; of torchvision its module names
one class, for frozen batch norms, which a CLIP of vision transformers has none of."""

import importlib
import importlib.util
import sys
import types

import torch


class FrozenBatchNorm2d(torch.nn.Module):
    """In the place of torchvision's, and used by nothing."""


def load():
    """open_clip.model.CLIP."""
    package = types.ModuleType("open_clip")
    package.__path__ = list(importlib.util.find_spec("open_clip").submodule_search_locations)
    misc = types.ModuleType("torchvision.ops.misc")
    misc.FrozenBatchNorm2d = FrozenBatchNorm2d
    stand_ins = {"open_clip": package, "torchvision": types.ModuleType("torchvision"),
                 "torchvision.ops": types.ModuleType("torchvision.ops"), "torchvision.ops.misc": misc}
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module("open_clip.model").CLIP
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
