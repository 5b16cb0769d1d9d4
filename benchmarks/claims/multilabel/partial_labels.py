"""Claims of methods for partial labels: positives alone, long tails with missing positives, clusters as labels."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from benchmarks.claims import Claim, tuned
from benchmarks.claims.multilabel.partial import Partial, draw
from labelwise.learner import LongTailMultiLabelClassifier, Train
from labelwise.losses import MLCD, PUMLC, AssumeNegative, AsymmetricLoss
from labelwise.losses.base import Loss
from labelwise.multilabel import COMIC, MLCDPretraining, PUMLCClassifier
from labelwise.parts.multilabel_measures import average_precision

SHORT = Train(epochs=12, batch_size=64, lr=5e-3, progress=False)


def mean_ap(model: Any, X: Any, y: Any) -> float:
    """Return the mean average precision; of stated labels where y has no known no."""
    truth = y if (y == 0).any() else (y == 1).astype(np.int8)
    return float(np.nanmean(average_precision(model.predict_proba(X), truth)))


# -- positives alone


class NonNegativePU(Loss):
    """The non-negative positive-unlabelled risk of each label (Kiryo et al. 2017), sigmoid loss, class priors given."""

    unknown = "used"

    def __init__(self, prior: Any = None) -> None:
        super().__init__()
        self.prior = prior

    def pointwise(self, logits: Any, y: Any, index: Any = None) -> Any:
        """Return the batch's risk for every row."""
        stated = (y == 1).to(logits.dtype)
        count = stated.sum(0).clamp_min(1)
        prior = torch.as_tensor(self.prior, dtype=logits.dtype)
        as_yes, as_no = (stated * (-logits).sigmoid()).sum(0) / count, (stated * logits.sigmoid()).sum(0) / count
        negative = logits.sigmoid().mean(0) - prior * as_no
        # below zero the risk of negatives is pushed back up, as in the paper
        risk = torch.where(negative >= 0, prior * as_yes + negative, -negative)
        return risk.mean().expand(len(logits))


def some_positives(seed: int, share: float = 0.2) -> Partial:
    """Return scene with a fifth of the positives stated and nothing else."""
    rows = draw("scene", "100", seed)
    shown = np.random.default_rng(seed).random(rows.y.shape) < share
    return Partial(
        rows.X, np.where((rows.truth == 1) & shown, 1, -1).astype(np.int8), rows.X_test, rows.y_test, rows.truth
    )


@cache
def positives(seed: int) -> dict[str, float]:
    """Tune each loss on the average precision of stated labels of held-out training rows, four settings each."""
    rows = some_positives(seed)
    model = LongTailMultiLabelClassifier(train=SHORT, random_state=seed)
    assumed = [AssumeNegative(weight=w, smoothing=s) for w, s in ((1.0, 0.0), (0.3, 0.0), (None, 0.0), (1.0, 0.1))]
    paired = [PUMLC(alpha=a, gamma=g) for a, g in ((1.0, 0.55), (2.0, 0.85), (1.0, 0.0), (2.0, 0.55))]
    prior = (rows.truth == 1).mean(0)
    grids: dict[str, tuple[Any, list[Loss]]] = {
        "assumed": (model, assumed), "loss": (model, paired),
        "learner": (PUMLCClassifier(train=SHORT, random_state=seed), paired),
        "nnPU, true class shares given": (model, [NonNegativePU(prior)]),
    }  # fmt: skip
    return {
        name: mean_ap(
            tuned(base, {"criterion": losses}, rows.X, rows.y, seed, score=mean_ap), rows.X_test, rows.y_test
        )
        for name, (base, losses) in grids.items()
    }  # fmt: skip


def pu(which: str) -> Any:
    """Return a claim's function: one of the two forms of PU-MLC against assumed negatives."""

    def run(seed: int) -> dict[str, float]:
        found = positives(seed)
        others = {name: value for name, value in found.items() if name.startswith("nnPU")}
        return {"baseline": found["assumed"], "method": found[which], **others}

    return run


# -- a long tail with missing positives


def tailed(seed: int, n: int = 1200, labels: int = 20, hidden: float = 0.4) -> Partial:
    """Draw labels that go together in pairs, 30 % to 0.6 % positive; 60 % of the positives are stated, and nothing else."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(2 * n, 8))
    way = rng.normal(size=(8, labels // 2))
    scores = z @ np.repeat(way, 2, axis=1) / np.sqrt(8) + 0.4 * rng.normal(size=(2 * n, labels))
    rates = 0.3 * np.geomspace(1, 1 / 50, labels)
    y = (scores > np.quantile(scores, 1 - rates, axis=0).diagonal()).astype(np.int8)
    X = (z @ rng.normal(size=(8, 40)) + rng.normal(size=(2 * n, 40))).astype(np.float32)
    stated = np.where((y[:n] == 1) & (rng.random((n, labels)) >= hidden), 1, -1).astype(np.int8)
    return Partial(X[:n], stated, X[n:], y[n:], y[:n])


def thirds(model: Any, rows: Partial, name: str) -> dict[str, float]:
    """Return the mean average precision of frequent, medium and rare labels."""
    each = average_precision(model.predict_proba(rows.X_test), rows.y_test)
    parts = zip(("head", "medium", "tail"), np.array_split(each, 3), strict=True)
    return {f"{name}, {part}": float(np.nanmean(values)) for part, values in parts}


def comic(seed: int) -> dict[str, float]:
    """Tune two settings each on the average precision of stated labels of held-out training rows."""
    rows = tailed(seed)
    plain = LongTailMultiLabelClassifier(train=SHORT, random_state=seed)
    assumed = [AssumeNegative(weight=w) for w in (1.0, 0.3)]
    focal = [AsymmetricLoss(gamma_negative=g, unknown="negative") for g in (1.0, 4.0)]
    models = {
        name: tuned(base, grid, rows.X, rows.y, seed, score=mean_ap)
        for name, base, grid in (
            ("baseline", plain, {"criterion": assumed}), ("asymmetric", plain, {"criterion": focal}),
            ("method", COMIC(train=SHORT, random_state=seed), {"balance": ["distill", "mean"]}),
        )
    }  # fmt: skip
    scores = {name: mean_ap(model, rows.X_test, rows.y_test) for name, model in models.items()}
    found = models["method"].recalled_.numpy()
    right = float(rows.truth[found].mean()) if found.any() else 0.0
    return {
        **scores, **thirds(models["baseline"], rows, "assumed"), **thirds(models["method"], rows, "COMIC"),
        "right among recalled": right, "recalled, share of the missing": float(
            found[rows.truth == 1].sum() / ((rows.truth == 1) & (rows.y < 0)).sum()
        ),
    }  # fmt: skip


# -- clusters as labels


def mosaics(seed: int, n: int = 1800) -> tuple[Any, Any]:
    """Return pictures of four digits each ``(n, 256)``, and which digits are in them ``(n, 10)``."""
    images, digit = load_digits().images / 16, load_digits().target
    four = np.random.default_rng(seed).integers(len(images), size=(n, 4))
    top, bottom = (np.concatenate([images[four[:, a]], images[four[:, b]]], axis=2) for a, b in ((0, 1), (2, 3)))
    labels = np.zeros((n, 10), dtype=np.int8)
    np.put_along_axis(labels, digit[four], 1, axis=1)
    return np.concatenate([top, bottom], axis=1).reshape(n, -1).astype(np.float32), labels


def probe(Z: Any, y: Any, Z_test: Any, y_test: Any) -> float:
    """Return the mean average precision of a logistic regression of each digit."""
    p = np.stack([LogisticRegression(max_iter=500).fit(Z, y[:, c]).predict_proba(Z_test)[:, 1] for c in range(10)], 1)
    return float(np.nanmean(average_precision(p, y_test)))


@cache
def clustered(seed: int) -> dict[str, float]:
    """Train three representations of mosaics on the same clusters, and probe them by 400 labelled rows."""
    X, y = mosaics(seed)
    Z = PCA(30, random_state=seed).fit_transform(X)
    train = Train(epochs=15, batch_size=64, lr=2e-3, progress=False)
    found = {}
    for name, joint, near in (
        ("softmax", True, 1),
        ("joint", True, 8),
        ("MLCD", False, 8),
        ("MLCD, one cluster", False, 1),
    ):
        model = MLCDPretraining(
            criterion=MLCD(scale=16.0, joint=joint), positives=near, clusters=60, train=train, random_state=seed
        ).fit(X[:1200], embeddings=Z[:1200])  # fmt: skip
        H = F.normalize(torch.as_tensor(model.transform(X))).numpy() * 10
        found[name] = probe(H[:400], y[:400], H[1200:], y[1200:])
    found["the embeddings themselves"] = probe(Z[:400], y[:400], Z[1200:], y[1200:])
    return found


def clusters(method: str, baseline: str) -> Any:
    """Return a claim's function that compares two of `clustered`."""

    def run(seed: int) -> dict[str, float]:
        found = clustered(seed)
        return {"baseline": found[baseline], "method": found[method], **found}

    return run


SCENE = "scene, a fifth of the positives stated, nothing else known; 1,000 rows"
MOSAICS = "mosaics of four digits; 60 clusters of 30 principal components, 1,200 rows without labels"
CLAIMS = [
    Claim(
        method="labelwise.losses.PUMLC", paper=79, run=pu("loss"), metric="mAP, all labels of test rows", data=SCENE,
        statement="Positive labels are enough: the variational loss beats taking unknown labels as negative.",
        baseline="binary cross-entropy, unknown as negative, weighted or smoothed; same tuning budget",
        needs=("multilabel",),
    ),
    Claim(
        method="labelwise.multilabel.PUMLCClassifier", paper=79, run=pu("learner"), data=SCENE,
        metric="mAP, all labels of test rows", needs=("multilabel",),
        statement="With mixed rows and averaged weights too, it beats taking unknown labels as negative.",
        baseline="binary cross-entropy, unknown as negative, weighted or smoothed; same tuning budget",
    ),
    Claim(
        method="labelwise.multilabel.COMIC", paper=61, run=comic, metric="mAP, all labels of test rows",
        statement="Corrector, modifier and balancer raise mean average precision on a long tail with missing positives.",
        data="20 labels in pairs from 8 latents, 30 % to 0.6 % positive, 40 % of the positives missing; 1,200 rows",
        baseline="binary cross-entropy, unknown as negative; same tuning budget",
        tried="On a draw not used here, a focusing power of 0, 1 or 3, a threshold of 0.7 or 0.9 and no corrector at all "
        "end within 0.01 of one another. Rare labels come out alike, frequent ones lose: the balanced network sees few "
        "different rows. The asymmetric loss alone does better than both. Of what is recalled a quarter is right, far "
        "below the 80 % hoped for; negatives that go with positives hardly count, so that probabilities run high.",
    ),
    Claim(
        method="labelwise.losses.MLCD", paper=47, run=clusters("MLCD", "joint"), data=MOSAICS,
        metric="mAP of a linear probe on 400 rows",
        statement="A logarithm each for positives and negatives learns a better representation than one for both.",
        baseline="the joint multi-label cross-entropy, the same clusters and training",
    ),
    Claim(
        method="labelwise.multilabel.MLCDPretraining", paper=47, run=clusters("MLCD", "softmax"), data=MOSAICS,
        metric="mAP of a linear probe on 400 rows",
        statement="The eight nearest clusters as labels give a better representation than the nearest one.",
        baseline="softmax over clusters with the nearest one as the class, the same training",
    ),
]  # fmt: skip
