"""Training for long-tailed classes whose probabilities stay right: recalibration and the decision are parts of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from torch import Tensor, nn

from labelwise.base import Card, Fraction, InputError
from labelwise.learner.plain import MINI_BATCHES, Classifier
from labelwise.nets.heads import CosineHead
from labelwise.parts.class_counts import prior
from labelwise.parts.recalibration import Recalibration
from labelwise.supervision.beside import row_weights
from labelwise.training import Data, Train


class LongTailClassifier(Classifier):
    """Train with any loss on long-tailed classes; probabilities are recalibrated, decisions as the loss or the user wants.

    A share of every class large enough to spare it is held out of training; on it the scores are given back the class
    shares of the training rows, a temperature and small offsets (see `Recalibration`). So `predict_proba` is calibrated
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
    head
        Output layer: ``linear``, or ``cosine`` as margins want it (`labelwise.nets.CosineHead`; the network must have
        `features` and a linear `head`).

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
    head: Literal["linear", "cosine"] = "linear"

    card = Card(
        year=2021, kind="learner", handles=frozenset({"imbalance"}),
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
        self.after_training()
        codes, _, n_classes = self.read_targets(y)
        weight = np.ones(len(codes)) if sample_weight is None else row_weights(sample_weight, codes)
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
        if self.head == "cosine":
            self.net_.head = CosineHead(*linear_head(self.net_, "head='cosine'").weight.shape[::-1])

    def after_training(self) -> None:
        """Run between training and recalibration: for methods that change the trained network."""

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Return the mean recall of classes, or the accuracy where `decide` wants it, with the confidence as tie-breaker."""
        if self.decide == "accuracy":
            return super().quality(scores, y)
        p, rows = scores.softmax(1).double(), torch.bincount(y, minlength=scores.shape[1])
        share = 1 / (rows[y] * (rows > 0).sum())
        right = ((p.argmax(1) == y) * share).sum()
        return float(right + (p.gather(1, y[:, None])[:, 0] * share).sum() / (2 * len(y)))

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
        scores = self.outputs(X)
        return np.asarray(self.calibration_(scores))

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
        best = self.decision_proba(X).argmax(1)
        return np.asarray(self.classes_[best])


def linear_head(net: nn.Module, asked_by: str) -> nn.Linear:
    """Return a network's linear output layer, or raise `InputError` that says what needs one."""
    head = getattr(net, "head", None)
    if not isinstance(head, nn.Linear) or not hasattr(net, "features"):
        raise InputError(
            f"{asked_by} needs a network with `features` and a linear `head`. Got {type(net).__name__}; "
            "nets.Joined(features) makes one."
        )
    return head
