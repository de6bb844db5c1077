"""CLIPN's classifier, ID scores and metrics. Every score is an ID confidence: higher is more ID."""
import numpy as np
import torch

from data import normalise

SCALE = 100.0  # CLIPN infers with this constant, whatever scale was trained


@torch.no_grad()
def classifier(model, tokenize, labels, templates):
    """Yes and no vectors [C, D] per label: normalised sum over the templates."""
    yes, no = [], []
    for label in labels:
        ids = tokenize([t.replace("{}", label) for t in templates])
        for rows, encode in ((yes, model.encode_yes), (no, model.encode_no)):
            rows.append(torch.nn.functional.normalize(encode(ids).sum(0), dim=0))
    return torch.stack(yes), torch.stack(no)


@torch.no_grad()
def features(model, images, batch=250):
    return torch.cat([model.encode_image(normalise(images[i:i + batch]))
                      for i in range(0, len(images), batch)])


def id_scores(f, yes, no):
    """All scores for image features f: dict of name -> [N]."""
    cos = f @ yes.T
    a, b = SCALE * cos, SCALE * f @ no.T
    p, p_yes = a.softmax(1), torch.sigmoid(a - b)
    top = a.argmax(1, keepdim=True)
    return {
        "ctw": p_yes.gather(1, top)[:, 0],
        "atd": (p * p_yes).sum(1),
        "msp": p.max(1).values,
        "maxLogit": a.max(1).values,
        "energy": a.logsumexp(1),
        "mcm": cos.softmax(1).max(1).values,  # temperature 1 on cosines
    }


def decisions(f, yes, no):
    """Threshold-free rules: (top class, CTW says ID, ATD says ID)."""
    a, b = SCALE * f @ yes.T, SCALE * f @ no.T
    p, p_yes = a.softmax(1), torch.sigmoid(a - b)
    q = p * p_yes
    top = a.argmax(1)
    return top, p_yes.gather(1, top[:, None])[:, 0] >= 0.5, q.max(1).values >= 1 - q.sum(1)


def roc(positive, negative):
    """Vertices (TPR, FPR) from (0, 0), one per distinct score, descending."""
    scores = np.concatenate([positive, negative]).astype(np.float64)
    is_id = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    order = np.argsort(-scores, kind="stable")
    scores, is_id = scores[order], is_id[order]
    last = np.append(np.diff(scores) != 0, True)
    tpr = np.cumsum(is_id)[last] / len(positive)
    fpr = np.cumsum(1 - is_id)[last] / len(negative)
    return np.append(0, tpr), np.append(0, fpr)


def auroc(positive, negative):
    tpr, fpr = roc(positive, negative)
    return float(np.trapezoid(tpr, fpr))


def fpr95(positive, negative):
    """FPR at TPR 0.95, linear between vertices; the largest FPR on a plateau at 0.95."""
    tpr, fpr = roc(positive, negative)
    k = int(np.searchsorted(tpr, 0.95 + 1e-12, side="right")) - 1
    if abs(tpr[k] - 0.95) < 1e-12 or k + 1 == len(tpr):
        return float(fpr[k])
    part = (0.95 - tpr[k]) / (tpr[k + 1] - tpr[k])
    return float(fpr[k] + part * (fpr[k + 1] - fpr[k]))
