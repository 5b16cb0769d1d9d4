"""A temperature for every row, from how its scores hold up under changes that keep the label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_expit, softmax
from sklearn.frozen import FrozenEstimator
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from labelwise.base import Card, Count, InputError, Positive, Range
from labelwise.calibration.base import Wrapper
from labelwise.calibration.maps import Likelihood, fit_temperature, read_logits
from labelwise.calibration.transforms import Transforms, default_transforms
from labelwise.parts.calibration_measures import Codes, Doubles
from labelwise.parts.out_of_fold import fit_codes, predict_all, stratified_folds

LEAST = 1e-3
"""Added to every temperature."""


@dataclass(frozen=True, eq=False)
class TemperatureNet:
    """Two layers with ReLU between them: ``T = softplus(W2 relu(W1 x + b1) + b2) + 1e-3``."""

    hidden: Doubles
    hidden_bias: Doubles
    out: Doubles
    out_bias: Doubles

    def __call__(self, inputs: Doubles) -> Doubles:
        """Return the temperature of each row ``(n,)``."""
        raw = np.maximum(inputs @ self.hidden + self.hidden_bias, 0) @ self.out + self.out_bias
        return np.asarray(-log_expit(-raw) + LEAST)


class CorrectnessAwareCalibration(Wrapper):
    """A small network sets each row's temperature, trained to lower wrong rows' confidence and raise right ones'.

    Its input are the scores of the row's ``k`` most probable classes, for the row itself and for versions changed in ways
    that keep the label: rows whose scores waver are more often wrong. With predicted class ``c`` and ``T = g(scores)``, the
    loss is ``(softmax(z / T)_c - [c = y])^2`` over rows that the classifier was not trained on. Cross-entropy would
    instead raise the true class of a narrowly wrong row and its wrong confidence with it. Predictions stay what they were.

    Differs from the paper: the unchanged row's scores are among the inputs; the network starts at the best single
    temperature; changes are fixed instead of random, so that a row's answer does not depend on others; squared loss,
    hidden size and optimiser are reconstructed.

    Parameters
    ----------
    estimator
        Any classifier with ``predict_proba``; refitted, and scored by cross-fitting, unless wrapped in
        `sklearn.frozen.FrozenEstimator`, which must not have been trained on the rows given here.
    transforms
        Functions ``X -> X`` that keep labels; ``"auto"`` drops, shifts and scales features of vectors, or turns, moves
        and fades pictures; None uses the row alone (an ablation).
    k
        Classes whose scores are read.
    loss
        ``squared`` or ``absolute`` difference of confidence and correctness; as ablations ``cross-entropy`` and
        ``one-hot`` (Brier).
    hidden
        Units of the network.
    lr
        Of Adam.
    max_steps
        Most steps, on all rows at once; a third of the rows decides when to stop.
    cv
        Folds of the held-out predictions.
    random_state
        Seed of folds, weights and changes.

    Attributes
    ----------
    net_ : the network from scores to temperatures.
    temperature_ : the single temperature that it started from.
    estimator_, classes_ : the classifier fitted on all rows, and its classes.

    References
    ----------
    Yuchi Liu, Lei Wang, Yuli Zou, James Zou, Liang Zheng: Optimizing Calibration by Gaining Aware of Prediction
    Correctness. 2024.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = CorrectnessAwareCalibration(random_state=0).fit(X, y)
    >>> model.temperatures(X).shape
    (150,)
    """

    transforms: Any = "auto"
    k: Annotated[int, Count] = 4
    loss: Literal["squared", "absolute", "cross-entropy", "one-hot"] = "squared"
    hidden: Annotated[int, Count] = 16
    lr: Annotated[float, Positive] = 0.003
    max_steps: Annotated[int, Range(low=1, whole=True)] = 500

    card = Card(
        paper=86, year=2024, reference="Liu, Wang, Zou, Zou, Zheng: Optimizing Calibration by Gaining Aware ... (2024)",
        kind="post-hoc", handles=frozenset({"calibration"}), cost="light",
        race=True,
        apart="It mends probabilities more than predictions, so it races where the metric is log loss.",
    )  # fmt: skip
    tune = {"hidden": [8, 16], "lr": [0.003, 0.01], "loss": ["squared", "absolute"]}

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the classifier, and the network to its scores of rows that it was not trained on.

        Parameters
        ----------
        X
            ``(n, ...)`` inputs, whatever ``estimator`` and ``transforms`` accept.
        y
            ``(n,)`` labels; unlabelled rows (-1, None, NaN) are left out.
        """
        self.check_fields()
        self._check_transforms()
        X, codes = self._read(X, y)
        base = self._base()
        self._fit_estimator(base, X, codes)
        rng = np.random.default_rng(self.random_state)
        self.transforms_ = default_transforms(X, rng) if isinstance(self.transforms, str) else None
        versions = [X, *self._versions(X)]
        if isinstance(base, FrozenEstimator):
            proba = np.stack([base.predict_proba(version) for version in versions])
        else:
            proba = self._cross_fitted(base, versions, codes, rng)
        logits, self.floor_ = read_logits(proba[0], "proba")
        self._train(self._inputs(proba), logits, codes, rng)
        return self

    def _check_transforms(self) -> None:
        given = self.transforms
        listed = isinstance(given, (list, tuple)) and all(callable(function) for function in given)
        if not (listed or given is None or (isinstance(given, str) and given == "auto")):
            raise InputError(
                f"{type(self).__name__}.transforms must be 'auto', None or a list of functions. Got {given!r}."
            )

    def _versions(self, X: Any) -> list[Any]:
        if isinstance(self.transforms_, Transforms):
            return self.transforms_(X)
        return [function(X) for function in self.transforms or ()]

    def _cross_fitted(self, base: Any, versions: list[Any], codes: Codes, rng: np.random.Generator) -> NDArray[Any]:
        folds, n_classes = min(self.cv, len(codes)), len(self.classes_)
        fold = stratified_folds(codes, folds, rng)
        proba = np.zeros((len(versions), len(codes), n_classes))
        for number in range(folds):
            train, test = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
            model = fit_codes(base, _safe_indexing(versions[0], train), codes[train])
            for place, version in enumerate(versions):
                proba[place, test] = predict_all(model, _safe_indexing(version, test), n_classes)
        return proba

    def _inputs(self, proba: NDArray[Any]) -> Doubles:
        """Return the scores of each row's top k classes in every version, ``(n, versions * k)``."""
        order = np.argsort(-proba[0], axis=1, kind="stable")[:, : self.k]
        return np.concatenate([np.take_along_axis(version, order, axis=1) for version in proba], axis=1).astype(
            np.float64
        )

    def _train(self, inputs: Doubles, logits: Doubles, codes: Codes, rng: np.random.Generator) -> None:
        self.temperature_ = float(np.clip(1 / fit_temperature(Likelihood(logits, codes)), 0.05, 20))
        held = np.isin(np.arange(len(codes)), rng.permutation(len(codes))[: len(codes) // 3])
        rows = [_Rows(*map(torch.as_tensor, (inputs[m], logits[m], codes[m]))) for m in (~held, held)]
        raw = self.temperature_ + np.log(-np.expm1(-self.temperature_))  # the inverse of softplus
        start = [
            rng.normal(size=(inputs.shape[1], self.hidden)) * np.sqrt(2 / inputs.shape[1]), np.zeros(self.hidden),
            rng.normal(size=self.hidden) * 0.1 / np.sqrt(self.hidden), np.array(raw),
        ]  # fmt: skip
        self.net_ = TemperatureNet(*self._descend([torch.tensor(value, requires_grad=True) for value in start], *rows))

    def _descend(self, weights: list[Tensor], train: _Rows, held: _Rows) -> list[Doubles]:
        """Return the weights with the smallest held-out loss on the way of Adam."""
        optimizer = torch.optim.Adam(weights, lr=self.lr, weight_decay=1e-4)
        best, least = [w.detach().numpy().copy() for w in weights], np.inf
        for _ in range(self.max_steps):
            with torch.no_grad():
                value = float(self._value(weights, held if len(held.codes) else train))
            if value < least:
                best, least = [w.detach().numpy().copy() for w in weights], value
            optimizer.zero_grad()
            self._value(weights, train).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return best

    def _value(self, weights: list[Tensor], rows: _Rows) -> Tensor:
        hidden, hidden_bias, out, out_bias = weights
        raw = (rows.inputs @ hidden + hidden_bias).relu() @ out + out_bias
        logs = (rows.logits / (torch.nn.functional.softplus(raw) + LEAST)[:, None]).log_softmax(1)
        if self.loss == "cross-entropy":
            return torch.nn.functional.nll_loss(logs, rows.codes)
        if self.loss == "one-hot":
            return (logs.exp() - torch.nn.functional.one_hot(rows.codes, logs.shape[1])).square().sum(1).mean()
        wrong_by = logs.exp().amax(1) - (rows.logits.argmax(1) == rows.codes).double()
        return wrong_by.square().mean() if self.loss == "squared" else wrong_by.abs().mean()

    def temperatures(self, X: Any) -> Doubles:
        """Return the temperature of each row ``(n,)``."""
        return self._scored(X)[1]

    def _scored(self, X: Any) -> tuple[Doubles, Doubles]:
        check_is_fitted(self, "net_")
        first = np.asarray(self.estimator_.predict_proba(X))
        others = [self.estimator_.predict_proba(version) for version in self._versions(X)]
        return read_logits(first, "proba", self.floor_)[0], self.net_(self._inputs(np.stack([first, *others])))

    def predict_proba(self, X: Any) -> Doubles:
        """Return probabilities of ``classes_`` at each row's temperature, ``(n, K)``, float64."""
        logits, temperatures = self._scored(X)
        return np.asarray(softmax(logits / temperatures[:, None], axis=1))


@dataclass(frozen=True, eq=False)
class _Rows:
    inputs: Tensor
    logits: Tensor
    codes: Tensor
