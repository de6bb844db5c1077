"""open_clip's own tokenizer, with ftfy's fix_encoding off: repairing mojibake is out of the product's scope."""

import functools
import importlib.util
import sys

import ftfy


@functools.cache
def load():
    """open_clip.tokenizer.SimpleTokenizer(); the module by its path, for the package would need torchvision and timm."""
    spec = importlib.util.find_spec("open_clip")
    path = f"{spec.submodule_search_locations[0]}/tokenizer.py"
    module_spec = importlib.util.spec_from_file_location("open_clip_tokenizer", path)
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[module_spec.name] = module
    module_spec.loader.exec_module(module)
    fix_text = ftfy.fix_text
    config = ftfy.TextFixerConfig(fix_encoding=False, explain=False)
    module.ftfy.fix_text = lambda text: fix_text(text, config)
    return module.SimpleTokenizer()
