"""Training for long-tailed classes whose probabilities stay right: recalibration and the decision are parts of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from torch import Tensor

from labelwise.base import Card, Fraction, InputError
from labelwise.learner.plain import MINI_BATCHES, Classifier
from labelwise.parts.class_counts import prior
from labelwise.training import Data, Train

Doubles = NDArray[np.float64]

PULL = 1.0
"""Weight, in rows, of the pull of the two parameters of `Recalibration` towards their starting values."""


class Recalibration(NamedTuple):
    """Probabilities ``softmax(scale * z + power * log prior)`` of scores z: the posterior where classes are as in training.

    A loss that makes up for the class shares (balanced softmax, re-weighting, margins) takes the prior out of the scores,
    more or less of it; `power` gives back what is missing, `scale` is one over a temperature.
    """

    scale: float
    power: float
    prior: Doubles

    def __call__(self, scores: ArrayLike) -> Doubles:
        """Return probabilities (n, K) of scores (n, K)."""
        z = np.asarray(scores, dtype=np.float64)
        return np.asarray(softmax(self.scale * z + self.power * np.log(self.prior), axis=1))

    @classmethod
    def fit(cls, scores: Doubles, y: NDArray[Any], shares: Doubles, weight: Doubles | None = None) -> Recalibration:
        """Return the map of least log loss on held-out rows: two parameters, a convex problem.

        Parameters
        ----------
        scores
            Of held-out rows (n, K).
        y
            Their codes (n,).
        shares
            Class shares (K,) of the training rows, all above 0.
        weight
            Of rows (n,), so that they stand for the training rows' shares.
        """
        weight = np.ones(len(y)) if weight is None else weight
        weight = weight * len(y) / weight.sum()
        log_prior, rows = np.log(shares), np.arange(len(y))

        def loss(at: Doubles) -> tuple[float, Doubles]:
            log_p = log_softmax(at[0] * scores + at[1] * log_prior, axis=1)
            gap = weight[:, None] * np.exp(log_p)
            gap[rows, y] -= weight
            pull = at - (1, 0)
            slope = np.array([(gap * scores).sum(), gap.sum(0) @ log_prior]) + PULL * pull
            return float(-(weight * log_p[rows, y]).sum() + PULL / 2 * (pull**2).sum()), slope

        scale, power = minimize(loss, (1.0, 0.0), jac=True, method="L-BFGS-B", bounds=[(1e-3, None), (None, None)]).x
        return cls(float(scale), float(power), shares)


class LongTailClassifier(Classifier):
    """Train with any loss on long-tailed classes; probabilities are recalibrated, decisions as the loss or the user wants.

    A share of every class large enough to spare it is held out of training; on it the scores are given back the class
    shares of the training rows, and a temperature (two parameters, see `Recalibration`). So `predict_proba` is calibrated
    where classes are as frequent as in training, whatever the loss did to the scores.

    Parameters
    ----------
    criterion
        A `labelwise.losses.Loss`; it is told all class counts.
    decide
        What `predict` says: ``trained`` the class of the highest score, as the loss meant it; ``balanced`` the one of the
        highest ``probability / class share``, best for the mean recall of classes; ``accuracy`` the most probable one.
    calibration_share
        Share of every class's rows held out for the recalibration, in [0, 1), rounded down: a class of fewer than
        ``1 / share`` rows keeps them all. 0: probabilities are the softmax of the scores.

    Attributes
    ----------
    calibration_ : the fitted `Recalibration`.
    class_prior_ : class shares of the labelled rows (K,).

    References
    ----------
    Menon et al.: Long-tail learning via logit adjustment. ICLR 2021. Guo et al.: On Calibration of Modern Neural
    Networks. ICML 2017.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from labelwise.learner import Train
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LongTailClassifier(train=Train(epochs=20, batch_size=16), random_state=0).fit(X, y)
    >>> model.predict_proba(X).shape
    (150, 3)
    """

    decide: Literal["trained", "balanced", "accuracy"] = "trained"
    calibration_share: Annotated[float, Fraction] = 0.15

    card = Card(
        year=2021, kind="learner", handles=frozenset({"imbalance", "calibration"}),
        reference="Menon et al., Long-tail learning via logit adjustment, ICLR 2021.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)]}

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Train, then recalibrate on the rows held out.

        Parameters and errors are those of `Learner.fit`.
        """
        if self.calibration_share == 1:
            raise InputError(f"{type(self).__name__}.calibration_share must be below 1: rows are needed for training.")
        super().fit(X, y, sample_weight, domains)
        codes, _, n_classes = self.read_targets(y)
        weight = np.ones(len(codes)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        known = codes >= 0
        counts = np.bincount(codes[known], weight[known], minlength=n_classes)
        self.class_prior_ = prior(counts, smoothing=1e-3 * counts.sum() / n_classes)
        held = self.calibration_rows_.numpy()
        self.calibration_ = Recalibration(1.0, 0.0, self.class_prior_)
        if weight[held].any():
            scores = self._forward(torch.as_tensor(self.inputs_.transform(X))[held]).double().numpy()
            inside = np.bincount(codes[held], weight[held], minlength=n_classes)
            stands = np.divide(counts, inside, out=np.zeros(n_classes), where=inside > 0)
            rows = (weight[held] * stands[codes[held]]) if stands.any() else weight[held]
            self.calibration_ = Recalibration.fit(scores, codes[held], self.class_prior_, rows)
        return self

    def build(self, data: Data) -> None:
        """Hold rows out for the recalibration, and make the network."""
        self.calibration_rows_ = self._spare(data)
        data.labelled = data.labelled.clone()
        data.labelled[self.calibration_rows_] = False
        super().build(data)

    def _spare(self, data: Data) -> Tensor:
        """Draw the rows that are held out: of every class the share, rounded down."""
        generator = torch.Generator().manual_seed(self.seed_)
        chosen = []
        for code in range(self.n_outputs_):
            rows = (data.labelled & (data.y == code)).nonzero().squeeze(1)
            order = torch.randperm(len(rows), generator=generator).to(rows.device)
            chosen.append(rows[order[: int(self.calibration_share * len(rows))]])
        return torch.cat(chosen).sort().values

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return class probabilities ``(n, K)``, calibrated for the training rows' class shares."""
        return np.asarray(self.calibration_(self.outputs(X)))

    def decision_proba(self, X: Any) -> NDArray[np.float64]:
        """Return rows ``(n, K)`` that sum to 1 and whose largest entry is the class that `predict` says."""
        scores = self.outputs(X)
        if self.decide == "trained":
            return np.asarray(softmax(scores, axis=1))
        p = self.calibration_(scores)
        if self.decide == "balanced":
            p = p / self.class_prior_
        return np.asarray(p / p.sum(1, keepdims=True))

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return scores: ``(n,)`` for two classes (positive means ``classes_[1]``), else ``(n, K)``; see `decide`."""
        scores = np.log(np.maximum(self.decision_proba(X), np.finfo(np.float64).tiny))
        return np.asarray(scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return a class a row, shape ``(n,)``, as `decide` wants it."""
        return np.asarray(self.classes_[self.decision_proba(X).argmax(1)])
