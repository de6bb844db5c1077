"""Images as uint8 arrays through one resize path, cached in a folder outside the work tree."""
import json
import os
from collections import namedtuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

import names
from clip import MEAN, STD

SIZE = 64
Concepts = namedtuple("Concepts", "names classes own positive")
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")


def load_image(path):
    """RGB, shorter side bicubic to SIZE, centre crop: the evaluation preprocessing of CLIPN."""
    image = Image.open(path).convert("RGB")
    w, h = image.size
    short = min(w, h)
    if short != SIZE:
        image = image.resize((SIZE * w // short, SIZE * h // short), Image.BICUBIC)
        w, h = image.size
    left, top = round((w - SIZE) / 2), round((h - SIZE) / 2)
    return np.asarray(image.crop((left, top, left + SIZE, top + SIZE)))


def cached(cache, name, items):
    """items: list of (path, label). Returns uint8 images [N, 3, SIZE, SIZE] and labels [N]."""
    file = os.path.join(cache, f"{name}-{SIZE}.npy")
    if not os.path.exists(file):
        os.makedirs(cache, exist_ok=True)
        images = np.stack([load_image(path) for path, _ in items]).transpose(0, 3, 1, 2)
        np.save(file, images)
    images = torch.from_numpy(np.load(file))
    assert len(images) == len(items), f"{file} was made from another list: remove it"
    return images, torch.tensor([label for _, label in items])


def folder_images(folder, label=-1):
    """Every image below a folder, sorted."""
    return sorted((os.path.join(root, file), label) for root, _, files in os.walk(folder)
                  for file in files if file.lower().endswith(IMAGE_ENDINGS))


def read_splits(path):
    with open(path) as file:
        return json.load(file)


def caltech_name(folder):
    """The first name of a Caltech folder's class."""
    same = names.CALTECH_SAME.get(folder)
    if same:
        return same
    return names.CALTECH_NAMES.get(folder, [folder.replace("_", " ")])[0]


def concepts(splits, caltech):
    """Every class and wider word the model is taught.

    names: list of lists of names, one per concept, the `own` classes' concepts first.
    classes: first name -> index. positive: bool [classes, concepts], which concepts an image of a
    class shows: its own and the wider words over it.
    """
    lists = [[name, *names.TIN_SYNONYMS.get(name, [])] for name in splits["id100"].values()]
    for folder in sorted(os.listdir(os.path.join(caltech, "101_ObjectCategories"))):
        if folder in names.CALTECH_HELD_OUT + names.CALTECH_SKIPPED \
                or folder in names.CALTECH_SAME or folder in names.CALTECH_WIDER_ONLY:
            continue
        own = names.CALTECH_NAMES.get(folder, [folder.replace("_", " ")])
        if own[0] not in [entry[0] for entry in lists]:
            lists.append(list(own))
    wider = {word: below for word, below in names.WIDER.items()}
    classes = {entry[0]: i for i, entry in enumerate(lists)}
    for word in names.CALTECH_WIDER_ONLY.values():  # a class whose only concept is the wider word
        classes[f"any {word}"] = len(classes)
    n_own, n_class = len(lists), len(classes)
    positive = torch.zeros(n_class, n_own + len(wider), dtype=torch.bool)
    positive[torch.arange(n_own), torch.arange(n_own)] = True
    for j, (word, below) in enumerate(wider.items()):
        lists.append([word])
        for name in [*below, f"any {word}"]:
            if name in classes:
                positive[classes[name], n_own + j] = True
            elif not name.startswith("any "):
                print(f"not a class here: {name} (under {word})")
    return Concepts(lists, classes, n_own, positive)


def tin_items(root, splits, part, group="id100", classes=None):
    """Images of Tiny-ImageNet 'train' or 'val' in a group of wnids."""
    base = os.path.join(root, "tiny-imagenet-200")
    label = {w: classes[n] if classes else -1 for w, n in splits[group].items()}
    if part == "train":
        return [(os.path.join(base, "train", w, "images", f), label[w]) for w in label
                for f in sorted(os.listdir(os.path.join(base, "train", w, "images")))]
    with open(os.path.join(base, "val", "val_annotations.txt")) as file:
        rows = [line.split("\t")[:2] for line in file]
    return [(os.path.join(base, "val", "images", f), label[w]) for f, w in rows if w in label]


def caltech_items(root, part, classes=None):
    """Images of Caltech-101's train or test list; classes=None gives the held-out folders."""
    items = []
    with open(os.path.join(root, part + ".txt")) as file:
        for row in filter(None, map(str.strip, file)):
            folder = row.split("/")[0]
            if folder in names.CALTECH_SKIPPED:
                continue
            path = os.path.join(root, "101_ObjectCategories", row)
            if folder in names.CALTECH_HELD_OUT:
                if classes is None:
                    items.append((path, -1))
            elif classes is not None:
                word = names.CALTECH_WIDER_ONLY.get(folder)
                items.append((path, classes[f"any {word}" if word else caltech_name(folder)]))
    return items


def training_set(args):
    """All training images and class labels, with a sampling weight for each."""
    splits = read_splits(args.splits)
    table = concepts(splits, args.caltech)
    images, labels, weights = [], [], []
    for name, items in (("tin-train", tin_items(args.tin, splits, "train", classes=table.classes)),
                        ("caltech-train", caltech_items(args.caltech, "train", table.classes))):
        x, y = cached(args.cache, name, items)
        count = torch.bincount(y, minlength=len(table.classes)).float().clamp(min=1)
        # Caltech classes are small: show them up to three times as often, at most 200 times.
        weight = torch.ones(len(y)) if name == "tin-train" \
            else torch.minimum(torch.tensor(3.0), 200 / count)[y]
        images.append(x), labels.append(y), weights.append(weight)
    return torch.cat(images), torch.cat(labels), torch.cat(weights), table


def normalise(images):
    """uint8 images to the network's input."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (images.float() / 255 - mean) / std


def augment(images, scale=(0.65, 1.0), jitter=0.1):
    """Random resized crop, flip, brightness and contrast, on a batch of normalised images."""
    n = len(images)
    side = torch.empty(n).uniform_(*scale).sqrt()
    aspect = torch.empty(n).uniform_(-0.25, 0.25).exp()
    sx, sy = (side * aspect).clamp(max=1), (side / aspect).clamp(max=1)
    tx, ty = ((2 * torch.rand(n) - 1) * (1 - s) for s in (sx, sy))
    sx = sx * torch.randint(0, 2, (n,)).mul(2).sub(1)
    zero = torch.zeros(n)
    theta = torch.stack([torch.stack([sx, zero, tx], 1), torch.stack([zero, sy, ty], 1)], 1)
    grid = F.affine_grid(theta, images.shape, align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    gain = torch.empty(n, 1, 1, 1).uniform_(1 - jitter, 1 + jitter)
    return images * gain + torch.empty(n, 1, 1, 1).uniform_(-jitter, jitter)


def cutmix(images):
    """Put a box of each image's neighbour in the batch into it (CutMix, one box for all).

    Returns the images, each one's own share of its area, and the index of its neighbour.
    """
    n, _, height, width = images.shape
    cut = torch.rand(()).sqrt()
    h, w = round(float(cut * height)), round(float(cut * width))
    top, left = int(torch.randint(height - h + 1, ())), int(torch.randint(width - w + 1, ()))
    other = torch.arange(n).roll(1)
    mixed = images.clone()
    mixed[:, :, top:top + h, left:left + w] = images[other, :, top:top + h, left:left + w]
    return mixed, 1 - h * w / (height * width), other
