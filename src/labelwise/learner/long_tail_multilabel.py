"""Training for several labels a row, some unknown, whose probabilities and decisions are settled on held-out rows."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import expit, log_expit, logit
from torch import Tensor

from labelwise.base import UNLABELED, Card, Fraction, InputError
from labelwise.learner.plain import MINI_BATCHES, MultiLabelClassifier
from labelwise.parts.thresholds import label_thresholds
from labelwise.supervision.beside import row_weights
from labelwise.training import Data, Train

Doubles = NDArray[np.float64]
Labels = NDArray[np.int8]

PULL = 1.0
"""Weight, in entries, of the pull of the parameters of `LabelRecalibration` towards their starting values."""


class LabelRecalibration(NamedTuple):
    """Probabilities ``sigmoid(scale * z + power * log-odds of the label + shift)`` of scores z, shared by all labels.

    A loss that makes up for rare positives, or for missing ones, moves the scores of labels by their frequency or all
    alike: `power` and `shift` take that back; `scale` is one over a temperature.
    """

    scale: float
    power: float
    shift: float
    log_odds: Doubles

    def __call__(self, scores: ArrayLike) -> Doubles:
        """Return probabilities (n, L) of scores (n, L)."""
        z = np.asarray(scores, dtype=np.float64)
        return np.asarray(expit(self.scale * z + self.power * self.log_odds + self.shift))

    @classmethod
    def fit(cls, scores: Doubles, y: Labels, log_odds: Doubles, weight: Doubles) -> LabelRecalibration:
        """Return the map of least log loss: three parameters, a convex problem.

        Parameters
        ----------
        scores, y
            Of held-out rows (n, L); y is 1, 0 or -1 (left out).
        log_odds
            Of each label's share of positives among the training rows (L,), finite.
        weight
            Of entries (n, L), so that they stand for the training rows' shares.
        """
        used = (y >= 0) & (weight > 0)
        z, w = scores[used], weight[used] * used.sum() / weight[used].sum()
        columns = np.stack([z, np.broadcast_to(log_odds, y.shape)[used], np.ones(len(z))])
        sign = np.where(y[used] == 1, 1.0, -1.0)
        start = np.array([1.0, 0.0, 0.0])

        def loss(at: Doubles) -> tuple[float, Doubles]:
            margin = sign * (at @ columns)
            slope = -(columns @ (w * sign * expit(-margin))) + PULL * (at - start)
            return float(-(w @ log_expit(margin)) + PULL / 2 * ((at - start) ** 2).sum()), slope

        bounds = [(1e-3, None), (None, None), (None, None)]
        scale, power, shift = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x.tolist()
        return cls(scale, power, shift, log_odds)


class LongTailMultiLabelClassifier(MultiLabelClassifier):
    """Train with any multi-label loss; probabilities are recalibrated and thresholds chosen on held-out known entries.

    A share of the rows is held out of training, never the last positives of a rare label. On their known entries a map of
    three parameters (`LabelRecalibration`) makes probabilities of the scores, whatever the loss did to them, and each label
    gets its threshold.

    `predict_proba` then means the share of yes among entries like the known ones. Where no entry of y is a known no
    (positives only) nothing in the data tells a no from an unstated yes: it means the probability that a yes is *stated*,
    a lower bound of that of a yes, and `meaning_` says ``stated`` instead of ``true``. Rows without a stated yes then take
    part, while else a row without a known label is left out. A label without a known positive gets a warning and a small
    constant probability.

    Parameters
    ----------
    criterion
        A `labelwise.losses.Loss` of scores and labels; it is told all labels.
    decide
        When `predict` says yes: ``half`` where the probability is at least one half; ``f1`` at thresholds of largest F1 of
        each label, those of rare labels drawn towards a common one; ``micro f1`` at one threshold of largest F1 of all
        entries (`labelwise.parts.thresholds.label_thresholds`).
    calibration_share
        Share of the rows held out, in [0, 1). 0: probabilities are the sigmoid of the scores, thresholds one half.

    Attributes
    ----------
    calibration_ : the fitted `LabelRecalibration`.
    thresholds_ : threshold of each label (L,).
    meaning_ : what a probability is of, ``true`` or ``stated``.

    References
    ----------
    Guo et al.: On Calibration of Modern Neural Networks. ICML 2017. Lipton, Elkan, Naryanaswamy: Optimal Thresholding of
    Classifiers to Maximize F1 Measure. ECML 2014.

    Examples
    --------
    >>> from labelwise.data.synthetic import partial_multilabel
    >>> drawn = partial_multilabel(300, 4, random_state=0)
    >>> train = Train(epochs=20, batch_size=32)
    >>> model = LongTailMultiLabelClassifier(decide="f1", train=train, random_state=0).fit(drawn.X, drawn.y)
    >>> model.predict_proba(drawn.X).shape, model.meaning_
    ((300, 4), 'true')
    """

    decide: Literal["half", "f1", "micro f1"] = "half"
    calibration_share: Annotated[float, Fraction] = 0.15

    card = Card(
        year=2017, kind="learner", handles=frozenset({"missing labels", "imbalance"}), race=True,
        supervision=frozenset({"multilabel"}), task="multi-label",
        reference="Guo et al., On Calibration of Modern Neural Networks, ICML 2017.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)]}

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Train, then settle probabilities and thresholds on the rows held out.

        Parameters and errors are those of `Learner.fit`.
        """
        if self.calibration_share == 1:
            raise InputError(f"{type(self).__name__}.calibration_share must be below 1: rows are needed for training.")
        super().fit(X, y, sample_weight, domains)
        labels = stated(self.read_targets(y)[0])
        held = self.calibration_rows_.numpy()
        weight = np.ones(len(labels)) if sample_weight is None else row_weights(sample_weight, labels)
        self.calibration_ = LabelRecalibration(1.0, 0.0, 0.0, log_odds(labels, weight))
        self.thresholds_ = np.full(labels.shape[1], 0.5)
        if len(held):
            scores = self._forward(torch.as_tensor(self.inputs_.transform(X))[held]).double().numpy()
            self._settle(scores, labels[held], standing_for(labels, weight, held))
        return self

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Read labels as `MultiLabelClassifier` does, and look for labels that are never positive."""
        labels, labelled, n_labels = super().read_targets(y)
        never = ~(labels == 1).any(0)
        if never.all():
            raise InputError("y has no positive entry (1): at least one label needs one.")
        self.never_positive_ = np.flatnonzero(never)
        self.meaning_ = "true" if (labels == 0).any() else "stated"
        return labels, labelled | (self.meaning_ == "stated"), n_labels

    def build(self, data: Data) -> None:
        """Hold rows out for the calibration, and make the network."""
        if len(self.never_positive_):
            told = ", ".join(map(str, self.never_positive_[:5].tolist()))
            warnings.warn(
                f"y: label {told}{' ...' if len(self.never_positive_) > 5 else ''} has no positive entry (1). Its "
                "probability will be a small constant; drop the column, or state a positive.",
                UserWarning, stacklevel=5,
            )  # fmt: skip
        self.calibration_rows_ = self._spare(data)
        data.labelled = data.labelled.clone()
        data.labelled[self.calibration_rows_] = False
        super().build(data)

    def _spare(self, data: Data) -> Tensor:
        """Draw the rows held out, so that no label gives more than its share of positives, rounded down."""
        generator = torch.Generator().manual_seed(self.seed_)
        rows = data.labelled.nonzero().squeeze(1)
        rows = rows[torch.randperm(len(rows), generator=generator).to(rows.device)]
        yes = data.y[rows] == 1
        room = (self.calibration_share * yes.sum(0)).floor()
        fits = ((yes.cumsum(0) <= room) | ~yes).all(1)
        return rows[fits][: int(self.calibration_share * len(rows))].sort().values.cpu()

    def _settle(self, scores: Doubles, labels: Labels, weight: Doubles) -> None:
        if (weight[labels >= 0] > 0).any():
            self.calibration_ = LabelRecalibration.fit(scores, labels, self.calibration_.log_odds, weight)
        if self.decide != "half":
            goal: Literal["f1", "micro f1"] = "f1" if self.decide == "f1" else "micro f1"
            self.thresholds_ = label_thresholds(self.calibration_(scores), labels, goal)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each label, shape ``(n, L)``; rows sum to 1 only for one class per row."""
        scores = self.outputs(X)
        p = self.calibration_(scores)
        p[:, self.never_positive_] = expit(self.calibration_.log_odds[self.never_positive_])
        return np.asarray(p / p.sum(1, keepdims=True) if self.single_ else p)

    def decision_proba(self, X: Any) -> NDArray[np.float64]:
        """Return what exceeds one half where `predict` says yes, ``(n, L)``; one class per row: the probabilities."""
        if self.single_:
            return self.predict_proba(X)
        decided = expit(self.decision_function(X) + 1e-9)  # a probability at its threshold says yes
        decided[:, self.never_positive_] = 0
        return np.asarray(decided)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return log-odds of each label's probability less those of its threshold, ``(n, L)``.

        One class per row: log-probabilities, of two classes their difference ``(n,)``.
        """
        p = self.predict_proba(X).clip(np.finfo(np.float64).tiny, 1 - 1e-16)
        if self.single_:
            z = np.log(p)
            return np.asarray(z[:, 1] - z[:, 0] if z.shape[1] == 2 else z)
        return np.asarray(logit(p) - logit(self.thresholds_.clip(1e-12, 1 - 1e-12)))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return 1 where a label's probability reaches its threshold, ``(n, L)``; one class per row as classes ``(n,)``."""
        p = self.predict_proba(X)
        if self.single_:
            return np.asarray(self.classes_[p.argmax(1)])
        yes = p >= self.thresholds_
        yes[:, self.never_positive_] = False
        return yes.astype(np.int64)


def stated(labels: Labels) -> Labels:
    """Return labels with unknown as 0 where no entry is a known no: what can then be predicted is what is stated."""
    return labels if (labels == 0).any() else (labels == 1).astype(np.int8)


def log_odds(labels: Labels, weight: Doubles) -> Doubles:
    """Return the log-odds of each label's share of positives among its known entries (L,), drawn a little to the mean."""
    yes, known = weight @ (labels == 1), weight @ (labels != UNLABELED)
    mean = np.clip(yes.sum() / max(known.sum(), 1e-12), 1e-6, 1 - 1e-6)
    return np.asarray(logit((yes + mean) / (known + 1)))


def standing_for(labels: Labels, weight: Doubles, held: NDArray[Any]) -> Doubles:
    """Return weights of held-out entries (h, L) that give each label its shares among all rows; 0 where they cannot."""
    out, can = np.zeros((len(held), labels.shape[1])), np.ones(labels.shape[1], dtype=bool)
    for value in (0, 1):
        there = labels == value
        every, inside = weight @ there, weight[held] @ there[held]
        can &= (inside > 0) | (every == 0)
        stands = np.divide(every, inside, out=np.zeros(len(every)), where=inside > 0)
        out += there[held] * weight[held, None] * stands
    return np.asarray(out * can)
