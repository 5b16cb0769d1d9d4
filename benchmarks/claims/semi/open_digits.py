"""Digits with classes nobody named: the open pool that the claims of open-set methods share, and its measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from benchmarks.claims import Claim
from labelwise.learner import Classifier, OpenSet, Train
from labelwise.nets import ConvNet
from labelwise.parts.open_set import auroc, closed_accuracy, open_set_balanced_accuracy
from labelwise.parts.schedules import otsu
from labelwise.semi_supervised import FixMatch


@dataclass(frozen=True, eq=False)
class OpenDigits:
    """Pictures of digits: few labels of known classes, a pool that holds unknown ones, and test pictures of both."""

    X: Any
    y: Any
    truth: Any
    X_test: Any
    y_test: Any
    n_known: int


@cache
def open_digits(
    seed: int, share: float, kind: str, n_known: int = 6, per_class: int = 4, pool: int = 600
) -> OpenDigits:
    """Draw which digits are known, the labelled rows, and a pool with `share` of unknown rows (codes >= n_known).

    `kind` is ``pictures`` (8 x 8, convolutional network, shifts as views) or ``vectors`` (64 numbers, one hidden layer,
    noise as views).
    """
    rng = np.random.default_rng(seed)
    X, digit = load_digits(return_X_y=True)
    code = rng.permutation(10)[digit]
    if kind == "pictures":
        X = (X / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    order = rng.permutation(len(X))
    rows, test = order[:1200], order[1200:]
    unknown, known = rows[code[rows] >= n_known], rows[code[rows] < n_known]
    few = np.concatenate([known[code[known] == c][:per_class] for c in range(n_known)])
    rest = known[~np.isin(known, few)]
    pool_rows = np.r_[rest[: round((1 - share) * pool)], unknown[: round(share * pool)]]
    chosen = np.r_[few, rng.permutation(pool_rows)]
    y = np.where(np.arange(len(chosen)) < len(few), code[chosen], -1)
    return OpenDigits(X[chosen], y, code[chosen], X[test], code[test], n_known)


def measures(model: Any, data: OpenDigits) -> dict[str, float]:
    """Return closed accuracy, AUROC of the outlier score and open-set balanced accuracy on test pictures.

    A method without an outlier score gets one minus its largest probability, cut where Otsu's rule cuts the pool's.
    """
    unknown, named = data.y_test >= data.n_known, model.predict(data.X_test)
    if isinstance(model, OpenSet):
        score, opened = model.outlier_score(data.X_test), model.predict_open(data.X_test)
    else:
        score, of_pool = (1 - model.predict_proba(X).max(1) for X in (data.X_test, data.X[data.y < 0]))
        opened = np.where(score >= otsu(of_pool), -1, named)
    return {
        "closed": closed_accuracy(data.y_test, named, unknown),
        "auroc": auroc(score, unknown),
        "open": open_set_balanced_accuracy(data.y_test, opened, data.n_known),
    }


def small(model: Any, data: OpenDigits, seed: int) -> Any:
    """Fit with the network and the schedule that all methods of these claims share: with so few labels nothing is tuned.

    Labels alone are one batch an epoch: they get four times the epochs, so that the steps are as many as FixMatch takes.
    """
    pictures = data.X.ndim == 4
    epochs = (30 if pictures else 60) * (4 if isinstance(model, Classifier) else 1)
    train = Train(epochs=epochs, batch_size=32, lr=3e-3)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = ConvNet(1, data.n_known, width=8) if pictures else "mlp"
    return model.set_params(net=net, train=train, random_state=seed).fit(data.X, data.y)


Measured = Callable[[int, float, str], dict[str, float]]


def measured(make: Callable[[], Any]) -> Measured:
    """Return a function that fits a new method to a draw of the data and gives its measures, remembered."""

    @cache
    def of(seed: int, share: float, kind: str) -> dict[str, float]:
        data = open_digits(seed, share, kind)
        return measures(small(make(), data, seed), data)

    return of


fixmatch = measured(FixMatch)


def open_claim(
    make: Measured, measure: str, share: float, kind: str = "vectors", baseline_of: Measured = fixmatch, **told: Any
) -> Claim:
    """Return a claim about one measure of a method beside that of FixMatch; its other measures are reported too."""

    def run(seed: int) -> dict[str, float]:
        ours = make(seed, share, kind)
        rest = {name: value for name, value in ours.items() if name != measure}
        return {"baseline": baseline_of(seed, share, kind)[measure], "method": ours[measure], **rest}

    data = f"digits as {NAMED[kind]}: 6 known classes of 4 labels, a pool of 600, {share:.0%} of it unknown classes"
    settings = {"baseline": "FixMatch, same network, epochs and views; unknown by its largest probability"} | told
    return Claim(data=data, metric=MEASURES[measure], run=run, **settings)


NAMED = {"pictures": "8x8 pictures", "vectors": "vectors of 64 numbers"}
MEASURES = {
    "closed": "accuracy on test pictures of known classes",
    "auroc": "AUROC of the outlier score on test pictures",
    "open": "balanced accuracy over the known classes and 'unknown', test pictures",
}
