"""Train the image tower and the yes text tower together.

Each step draws one caption per concept (a random name in a random template) and classifies the
images against all of them, so captions are contrasted by class and repeats are no negatives.
Most steps look at a part of each image's patches (as FLIP does): more images in the same time.
Half of those steps put a part of another image into each (CutMix), against learning by heart.
The logit scale climbs to 100, the constant CLIPN infers with. Resumes exactly from --out's
checkpoint: all draws are functions of the seed and the step. Until the learning rate falls,
--steps may be changed without changing what was done so far.
"""
import argparse
import math
import random
import time

import torch
import torch.nn.functional as F

from checkpoint import build, load_progress, save_progress
from data import augment, cutmix, normalise, training_set
from templates import RandomCaption, read_templates
from tokenizer import Tokenizer

WIDER_WEIGHT = 0.3


def caption_loss(logits, positive, own):
    """Each positive concept of an image against all concepts that are not positive for it."""
    negative = logits.masked_fill(positive, float("-inf")).logsumexp(1, keepdim=True)
    each = F.softplus(negative - logits)
    weight = positive * WIDER_WEIGHT
    rows = (own < logits.shape[1]).nonzero()[:, 0]
    weight[rows, own[rows]] = 1.0
    return (each * weight).sum() / weight.sum()


def optimizers(model, lr):
    """Muon for the transformers' matrices, AdamW for all else of the two trained towers."""
    matrices, decay, plain = [], [], []
    for name, p in model.named_parameters():
        if "_no" in name or name == "logit_scale":
            p.requires_grad_(False)
        elif "resblocks" in name and p.ndim == 2:
            matrices.append(p)
        else:
            (decay if p.ndim >= 2 else plain).append(p)
    return [torch.optim.Muon(matrices, lr=lr, weight_decay=0.05, momentum=0.95,
                             adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW([{"params": decay, "weight_decay": 0.05},
                               {"params": plain, "weight_decay": 0.0}],
                              lr=lr, betas=(0.9, 0.98), eps=1e-6)]


def schedule(step, args):
    """Step -> (learning-rate factor, logit scale, share of the patches)."""
    left = args.steps - step
    lr = min(1, (step + 1) / 100, left / args.decay_steps)
    scale = 12 * (100 / 12) ** min(1, step / 2500)
    return lr, scale, 1.0 if left <= args.whole_steps else args.keep


def main():
    p = argparse.ArgumentParser(description=__doc__)
    for name in ("tin", "caltech", "splits", "cache", "clipn-templates", "openai-templates",
                 "config", "tokenizer", "out"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--steps", type=int, default=6000)
    p.add_argument("--decay-steps", type=int, default=3600, help="last steps, of a falling rate")
    p.add_argument("--whole-steps", type=int, default=500, help="last steps, of whole images")
    p.add_argument("--keep", type=float, default=0.4, help="share of the patches before that")
    p.add_argument("--mix", type=float, default=0.5, help="share of the steps before that with CutMix")
    p.add_argument("--stop-after", type=int, help="stop early, for a trial")
    p.add_argument("--batch", type=int, default=384)
    p.add_argument("--lr", type=float, default=3e-3)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=2)
    args = p.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    model = build(args.config)
    opts = optimizers(model, args.lr)
    images, labels, weights, table = training_set(args)
    tokenize = Tokenizer(args.tokenizer, model.context_length)
    state = load_progress(args.out, model, opts)
    start, core_seconds = state.get("step", 0), state.get("core_seconds", 0.0)
    rng = random.Random()
    caption = RandomCaption(*read_templates(args.clipn_templates, args.openai_templates), rng)

    mean_loss, mean_hit, clock = 0.0, 0.0, time.time()
    core0 = time.process_time()
    for step in range(start, args.steps):
        torch.manual_seed(args.seed * 1_000_003 + step)
        rng.seed(args.seed * 1_000_003 + step)
        factor, scale, keep = schedule(step, args)
        for opt in opts:
            for group in opt.param_groups:
                group["lr"] = args.lr * factor
        index = torch.multinomial(weights, args.batch)
        y = labels[index]
        x = augment(normalise(images[index]), scale=(0.35, 1.0), jitter=0.2)
        mixed = keep < 1 and rng.random() < args.mix
        if mixed:
            x, share, other = cutmix(x)
        ids = tokenize([caption(n[0] if rng.random() < 0.6 else rng.choice(n))
                        for n in table.names])
        with torch.autocast("cpu", torch.bfloat16):
            f = model.encode_image(x, keep)
            g = model.encode_yes(ids)
        logits = scale * f.float() @ g.float().T
        own = y.where(y < table.own, 10 ** 6)
        loss = caption_loss(logits, table.positive[y], own)
        if mixed:
            loss = share * loss + (1 - share) * caption_loss(logits, table.positive[y[other]], own[other])
        for opt in opts:
            opt.zero_grad()
        loss.backward()
        for opt in opts:
            opt.step()
        hit = (logits[:, :table.own].argmax(1) == y).float().mean().item()
        mean_loss += (loss.item() - mean_loss) / (step % 50 + 1)
        mean_hit += (hit - mean_hit) / (step % 50 + 1)
        last = step + 1 == args.steps
        if (step + 1) % 50 == 0 or last:
            spent = core_seconds + time.process_time() - core0
            print(f"step {step + 1} loss {mean_loss:.3f} hit {mean_hit:.3f} scale {scale:.0f} "
                  f"{50 / (time.time() - clock):.2f} steps/s "
                  f"{spent / 60:.1f} core-minutes", flush=True)
            mean_loss, mean_hit, clock = 0.0, 0.0, time.time()
        if (step + 1) % 100 == 0 or last:
            with torch.no_grad():
                model.logit_scale.fill_(math.log(scale))
            save_progress(args.out, model, opts, step=step + 1,
                          core_seconds=core_seconds + time.process_time() - core0)
        if args.stop_after and step + 1 >= args.stop_after:
            break


if __name__ == "__main__":
    main()
