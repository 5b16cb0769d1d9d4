"""Claims of extreme multi-label learning: what DEXML [41] and NGAME [90] say, at the size of a processor."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from benchmarks.claims import Claim, data_path, tuned
from labelwise.data.synthetic import extreme_multilabel
from labelwise.learner import Train
from labelwise.losses import DecoupledSoftmax, SoftTopK
from labelwise.losses.decoupled_softmax import PairLoss, row_mean
from labelwise.multilabel import NGAME, DualEncoder, OneVsRestLinear
from labelwise.parts.multilabel_measures import precision_at_k

LABELS = 400


class Softmax(PairLoss):
    """The ordinary softmax: the labels that are true for a row compete with one another."""

    def pointwise(self, scores: Tensor, pos: Tensor, neg: Tensor, generator: Any = None) -> Tensor:
        """Return the mean over its positives of each row."""
        return row_mean(-scores.log_softmax(1), pos)


class BinaryCrossEntropy(PairLoss):
    """One binary cross-entropy a label."""

    def pointwise(self, scores: Tensor, pos: Tensor, neg: Tensor, generator: Any = None) -> Tensor:
        """Return the sum over the labels of each row."""
        value: Tensor = torch.nn.functional.binary_cross_entropy_with_logits(scores, pos.to(scores), reduction="none")
        return value.sum(1)


def easy_and_hard(seed: int, n: int = 2400) -> tuple[Any, Any, Any]:
    """Rows with one label that shows clearly and up to 19 that show faintly; the features of labels are known."""
    rng = np.random.default_rng(seed)
    labels = rng.normal(size=(LABELS, 64)) / 8
    y, X = np.zeros((n, LABELS), dtype=np.int8), 0.06 * rng.normal(size=(n, 64))
    easy = rng.integers(LABELS, size=n)
    faint = (np.arange(19) < rng.integers(0, 20, size=n)[:, None]) * 1
    others = rng.integers(LABELS, size=(n, 19))
    np.put_along_axis(y, others * faint + easy[:, None] * (1 - faint), 1, 1)
    y[np.arange(n), easy] = 1
    X += labels[easy] + 0.3 * (faint[:, :, None] * labels[others]).sum(1)
    return X, y, labels


def at(k: int) -> Any:
    """Return a score of models: precision at k."""
    return lambda model, X, y: precision_at_k(model.predict_top(X, k).labels, y)


@cache
def by_loss(seed: int, k: int) -> dict[str, float]:
    """Precision at k of one encoder trained by each loss, each with the same tuning."""
    X, y, labels = easy_and_hard(seed)
    losses = {
        "softmax": Softmax(),
        "decoupled": DecoupledSoftmax(),
        "soft top-k": SoftTopK(k),
        "BCE": BinaryCrossEntropy(),
    }
    found = {}
    for name, criterion in losses.items():
        model = DualEncoder(
            criterion=criterion, label_features=labels, width=64, net="linear", dropout=0.0, calibration_share=0.0,
            train=Train(epochs=8, batch_size=128, lr=3e-3, progress=False), random_state=seed,
        )  # fmt: skip
        grid = {"temperature": [0.05, 0.1, 0.2]}
        found[name] = at(k)(tuned(model, grid, X[:1200], y[:1200], seed, score=at(k)), X[1200:], y[1200:])
    return found


def decoupled(seed: int) -> dict[str, float]:
    """Decoupled softmax against the ordinary one, at the first place."""
    found = by_loss(seed, 1)
    return {"baseline": found["softmax"], "method": found["decoupled"], "binary cross-entropy": found["BCE"]}


def soft_top_k(seed: int) -> dict[str, float]:
    """Soft top-5 against decoupled softmax, at the first five places."""
    found = by_loss(seed, 5)
    return {"baseline": found["decoupled"], "method": found["soft top-k"], "softmax": found["softmax"]}


def delicious(seed: int, n_train: int = 1500, n_test: int = 1500) -> tuple[Any, Any, Any, Any]:
    """Rows of delicious drawn anew by each seed: 500 words, 983 tags, about 19 a row."""
    held = np.load(data_path("multilabel", "delicious.npz"), allow_pickle=True)
    X, Y = (
        sparse.csr_array(
            (held[f"{part}_data"], held[f"{part}_indices"], held[f"{part}_indptr"]), shape=held[f"{part}_shape"]
        )
        for part in "XY"
    )
    order = np.random.default_rng(seed).permutation(X.shape[0])[: n_train + n_test]
    train, test = order[:n_train], order[n_train:]
    return X[train].astype(np.float32), Y[train].toarray().astype(np.int8), X[test].astype(np.float32), Y[test]


def shared_encoder(seed: int) -> dict[str, float]:
    """P@1 of a shared encoder against one linear classifier a label."""
    X, y, X_test, y_test = delicious(seed)
    train = Train(epochs=10, batch_size=32, lr=3e-3, progress=False)
    one = OneVsRestLinear(calibration_share=0.0, random_state=seed)
    dual = DualEncoder(width=40, net="residual", train=train, calibration_share=0.0, dropout=0.0, random_state=seed)
    one = tuned(one, {"C": [0.1, 0.3, 1.0]}, X, y, seed, score=at(1))
    dual = tuned(dual, {"temperature": [0.05, 0.1, 0.2]}, X, y, seed, score=at(1))
    weights = sum(p.numel() for p in dual.net_.parameters())
    return {
        "baseline": at(1)(one, X_test, y_test), "method": at(1)(dual, X_test, y_test),
        "weights, baseline over method": (one.coef_.shape[0] * (one.coef_.shape[1] + 1)) / weights,
        "P@5, baseline": at(5)(one, X_test, y_test), "P@5, method": at(5)(dual, X_test, y_test),
    }  # fmt: skip


@cache
def batches(seed: int) -> dict[str, Any]:
    """Train the first stage in clustered and in random batches, epoch by epoch alike otherwise."""
    drawn = extreme_multilabel(4000, 1000, n_groups=50, random_state=seed)
    X, y, X_test, y_test = drawn.X[:2500], drawn.y[:2500], drawn.X[2500:], drawn.y[2500:]
    told = {}
    for name, cluster in (("random", 1), ("clustered", 32)):
        for epochs in (6, 15):
            model = NGAME(
                cluster=cluster, refresh=2, classifier_epochs=0, label_features=drawn.label_features, width=64,
                train=Train(epochs=epochs, batch_size=64, lr=3e-3, progress=False), calibration_share=0.0, random_state=seed,
            ).fit(X, y)  # fmt: skip
            told[name, epochs] = model.informative_[-1], model.score(X_test, y_test)
    return told


def informative(seed: int) -> dict[str, float]:
    """Share of a batch's negatives that violate the margin, in the last epoch."""
    told = batches(seed)
    return {"baseline": told["random", 15][0], "method": told["clustered", 15][0]}


def precise(seed: int) -> dict[str, float]:
    """P@1 at the end, and after training of six epochs."""
    told = batches(seed)
    return {
        "baseline": told["random", 15][1], "method": told["clustered", 15][1],
        "random batches, 6 epochs": told["random", 6][1], "clustered, 6 epochs": told["clustered", 6][1],
    }  # fmt: skip


EASY = "synthetic: 400 labels with known vectors, of a row one shows clearly and up to 19 faintly; 1,200 rows, 1,200 to test"
GROUPS = "synthetic: 1,000 labels in 50 groups that share words, 2,500 rows, 1,500 to test"

CLAIMS = [
    Claim(
        method="labelwise.losses.DecoupledSoftmax", paper=41, data=EASY, run=decoupled, metric="P@1",
        statement="It keeps the easy label first where the ordinary softmax pulls it down to the others.",
        baseline="ordinary softmax, same encoder and tuning",
    ),
    Claim(
        method="labelwise.losses.SoftTopK", paper=41, data=EASY, run=soft_top_k, metric="P@5",
        statement="Trained for five places, it is better at five places.",
        baseline="decoupled softmax, same encoder and tuning",
    ),
    Claim(
        method="labelwise.multilabel.DualEncoder", paper=41, run=shared_encoder, metric="P@1", seeds=(0, 1, 2),
        data="delicious: 1,500 rows to train, 1,500 to test, 983 tags without descriptions", needs=("multilabel",),
        statement="One encoder for all labels is more precise than one classifier a label with a twentieth of the weights.",
        baseline="one-vs-rest linear support vector machines, same tuning",
        tried="widths 24 to 128, with and without a residual layer, temperatures 0.03 to 0.2, soft top-k, label features "
        "centred, a free vector a label (P@1 up to 0.60 on 2,500 rows, the baseline 0.65); in the paper the encoder is a "
        "language model that reads the names of labels",
    ),
    Claim(
        method="labelwise.multilabel.NGAME", paper=90, name="informative negatives", data=GROUPS, run=informative,
        statement="In clustered batches more negatives violate the margin.", seeds=(0, 1, 2),
        metric="share of a batch's negatives that violate the margin, last of 15 epochs", baseline="random batches",
    ),
    Claim(
        method="labelwise.multilabel.NGAME", paper=90, name="precision", data=GROUPS, run=precise, seeds=(0, 1, 2),
        statement="Clustered batches make a better encoder in as many epochs.",
        metric="P@1 after 15 epochs, first stage alone", baseline="random batches, everything else alike",
    ),
]  # fmt: skip
