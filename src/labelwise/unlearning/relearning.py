"""How fast forgotten rows are learned again: fast means that something of them is still there."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.stats import wasserstein_distance
from sklearn.utils import get_tags
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import InputError

AT_MOST = 1024
"""Rows that are learned again."""


def anamnesis_index(
    original: Any, unlearned: Any, retrained: Any, X: Any, y: ArrayLike, *, lr: float = 1e-2, most: int = 500
) -> float:
    """Return the steps of learning rows again after unlearning, over those after retraining without them.

    Below 1 something of the rows is left; far above 1 the model was pushed so hard that it shows what was withdrawn.

    Parameters
    ----------
    original, unlearned, retrained
        Fitted learners of one kind, or withdrawals that hold one: before, after, and trained without the rows.
    X, y
        The forgotten rows; at most 1024 of them, the first, are used.
    lr
        Rate of Adam, > 0.
    most
        Steps after which a model counts as having learned them, >= 1.

    Returns
    -------
    float
        A positive ratio. All rows are one batch; a model has learned them when its loss is within 5 % of the original's.

    Raises
    ------
    InputError
        When a model is no network of labelwise, or does not know the class of a row.

    References
    ----------
    Chundawat et al. 2023; used by Tarun et al., Deep Regression Unlearning, ICML 2023 (paper 218).

    Examples
    --------
    >>> import numpy as np
    >>> from labelwise.learner import Regressor, Train
    >>> X = np.linspace(-1, 1, 100)[:, None]
    >>> model = Regressor(train=Train(epochs=40, batch_size=16), random_state=0).fit(X, X[:, 0] ** 2)
    >>> anamnesis_index(model, model, model, X[:20], X[:20, 0] ** 2)
    1.0
    """
    X, y = X[:AT_MOST], np.asarray(y)[:AT_MOST]
    goal = 1.05 * float(_Again(original, X, y).loss().detach())
    steps = [_Again(model, X, y).steps(goal, lr, most) for model in (unlearned, retrained)]
    return steps[0] / steps[1]


def output_distance(first: Any, second: Any, X: Any) -> float:
    """Return how far apart the predictions of two models for the same rows are distributed, >= 0.

    For real targets the Wasserstein-1 distance in the targets' unit, the mean over several; for classes the mean total
    variation of the probabilities, in [0, 1].

    Examples
    --------
    >>> from sklearn.dummy import DummyRegressor
    >>> models = [DummyRegressor(strategy="constant", constant=c).fit([[0.0]], [0.0]) for c in (1.0, 4.0)]
    >>> output_distance(*models, [[0.0], [1.0]])
    3.0
    """
    if get_tags(first).estimator_type == "classifier":
        return float(np.abs(first.predict_proba(X) - second.predict_proba(X)).sum(1).mean() / 2)
    pair = [np.asarray(model.predict(X), dtype=float).reshape(len(X), -1) for model in (first, second)]
    return float(np.mean([wasserstein_distance(a, b) for a, b in zip(pair[0].T, pair[1].T, strict=True)]))


class _Again:
    """A model's network, about to learn rows again."""

    def __init__(self, model: Any, X: Any, y: Any) -> None:
        model = getattr(model, "model_", model)
        if not isinstance(getattr(model, "net_", None), nn.Module):
            raise InputError(
                f"{type(model).__name__} has no network: only networks of labelwise learn rows again here."
            )
        self.net = deepcopy(model.net_).eval()
        x = torch.as_tensor(model.inputs_.transform(X))
        self.x = x.float().div(255) if x.dtype == torch.uint8 else x
        self.classes = get_tags(model).estimator_type == "classifier"
        self.y = _codes(model, y) if self.classes else _standardised(model, y)
        # errors are compared in the targets' own unit, whatever each model's spread
        self.scale = 1.0 if self.classes else float(np.mean(model.spread_))

    def loss(self) -> Tensor:
        """Return the mean cross-entropy, or the mean absolute error."""
        scores = self.net(self.x)
        return cross_entropy(scores, self.y) if self.classes else self.scale * (scores - self.y).abs().mean()

    def steps(self, goal: float, lr: float, most: int) -> int:
        """Return the number of steps, at least 1, until the loss is at most `goal`."""
        optimizer = torch.optim.Adam(self.net.requires_grad_(True).parameters(), lr=lr)
        for step in range(most):
            value = self.loss()
            if float(value.detach()) <= goal:
                return max(1, step)
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return most


def _codes(model: Any, y: Any) -> Tensor:
    table = {name: code for code, name in enumerate(model.classes_.tolist())}
    missing = next((name for name in y.tolist() if name not in table), None)
    if missing is not None:
        raise InputError(f"{type(model).__name__} does not know the class {missing!r}, so it cannot learn it again.")
    return torch.tensor([table[name] for name in y.tolist()])


def _standardised(model: Any, y: Any) -> Tensor:
    return torch.as_tensor((y.reshape(len(y), -1) - model.mean_) / model.spread_, dtype=torch.float32)
