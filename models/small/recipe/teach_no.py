"""Teach the no tower: CLIPN's two losses on cached image features, all else frozen.

The no tower starts as a copy of the yes tower with zero prompts. Equal captions, and captions that
are true of an image by its class, are no negatives. Writes the published checkpoint layout.
"""
import argparse
import math
import os
import random
import time

import torch
import torch.nn.functional as F

from checkpoint import build, load_progress, save_progress, save_published
from data import augment, normalise, training_set
from templates import RandomCaption, read_templates
from tokenizer import Tokenizer


def losses(f, g, h, scale, negative):
    """ITBO-yes, ITBO-no and TSO. f, g, h: unit image, yes and no features [N, D].

    negative [N, N]: True where caption j is not true of image i.
    """
    z = scale * f @ (g - h).T
    yes = F.softplus(-z.diagonal()).mean()
    no = F.softplus(z)[negative].mean()
    tso = (2 - (2 - 2 * (g * h).sum(1) + 1e-4).sqrt()).mean()
    return yes, no, tso


@torch.no_grad()
def image_features(model, images):
    """Features of one lightly augmented view of every training image."""
    parts = []
    for i in range(0, len(images), 250):
        x = augment(normalise(images[i:i + 250]), scale=(0.8, 1.0), jitter=0.1)
        with torch.autocast("cpu", torch.bfloat16):
            parts.append(model.encode_image(x).float())
    return torch.cat(parts)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    for name in ("tin", "caltech", "splits", "cache", "clipn-templates", "openai-templates",
                 "config", "tokenizer", "base", "progress", "out"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--steps", type=int, default=500)
    p.add_argument("--epochs", type=int, default=10, help="only names the checkpoint")
    p.add_argument("--batch", type=int, default=512)
    p.add_argument("--lr", type=float, default=5e-4)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    core0, clock = time.process_time(), time.time()
    model = build(args.config)
    assert load_progress(args.base, model), f"no base at {args.base}"
    model.clone_no_tower()
    images, labels, weights, table = training_set(args)
    features = args.base + ".features"
    if not os.path.exists(features):
        torch.save(image_features(model, images), features)
    features = torch.load(features, weights_only=True)
    print(f"image features: {(time.process_time() - core0) / 60:.1f} core-minutes", flush=True)

    for name, parameter in model.named_parameters():
        parameter.requires_grad_("_no" in name)
    trained = [q for q in model.parameters() if q.requires_grad]
    opt = torch.optim.AdamW(
        [{"params": [q for q in trained if q.ndim >= 2], "weight_decay": 0.2},
         {"params": [q for q in trained if q.ndim < 2], "weight_decay": 0.0}],
        lr=args.lr, betas=(0.9, 0.98), eps=1e-6)
    state = load_progress(args.progress, model, [opt])
    start = state.get("step", 0)
    torch.manual_seed(args.seed + start)
    rng = random.Random(args.seed + start)
    caption = RandomCaption(*read_templates(args.clipn_templates, args.openai_templates), rng)
    tokenize = Tokenizer(args.tokenizer, model.context_length)
    scale = model.logit_scale.exp().item()
    choices = [row.nonzero()[:, 0].tolist() for row in table.positive]
    model.train()
    for step in range(start, args.steps):
        for group in opt.param_groups:
            group["lr"] = args.lr * 0.5 * (1 + math.cos(math.pi * step / args.steps))
        index = torch.multinomial(weights, args.batch)
        y = labels[index]
        # The first concept of a class is its own; a wider word stands in for it now and then.
        concept = [choices[c][0] if rng.random() < 0.8 else rng.choice(choices[c])
                   for c in y.tolist()]
        texts = [caption(rng.choice(table.names[c])) for c in concept]
        ids = tokenize(texts)
        negative = ~table.positive[y][:, torch.tensor(concept)]
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                g = model.encode_yes(ids).float()
            h = model.encode_no(ids).float()
        if step == 0:  # equal towers must agree exactly for the start values
            with torch.no_grad():
                print("start values", *(round(v.item(), 4) for v in losses(
                    features[index], model.encode_yes(ids), model.encode_no(ids), scale, negative)))
        parts = losses(features[index], g, h, scale, negative)
        loss = 0.5 * sum(parts)
        opt.zero_grad()
        loss.backward()
        opt.step()
        if (step + 1) % 50 == 0 or step == start:
            print(f"step {step + 1} L_y {parts[0]:.4f} L_n {parts[1]:.4f} L_t {parts[2]:.4f} "
                  f"total {loss:.4f} {(time.process_time() - core0) / 60:.1f} core-minutes "
                  f"{time.time() - clock:.0f} s", flush=True)
            save_progress(args.progress, model, [opt], step=step + 1)
    save_published(args.out, model.eval(), args.epochs, opt.state_dict())


if __name__ == "__main__":
    main()
