"""Regression of raters' scores as distributions over ordered levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import column_or_1d
from torch import Tensor

from labelwise.base import Card, InputError, NonNegative, Range
from labelwise.learner import MINI_BATCHES, Learner
from labelwise.losses.score_distribution import fidelity, from_ratings, moments, soft_levels, two_hot
from labelwise.supervision.beside import real_values, row_numbers
from labelwise.training import Batch, LossValue

Doubles = NDArray[np.float64]
Ends = tuple[float, float]


class ScoreDistribution(RegressorMixin, Learner):  # type: ignore[misc]
    """Learn what raters think of a row: a distribution over ordered levels, from the mean and spread of their scores.

    Scores are moved to the scale of levels ``1 .. levels``, each source by its own ends. The label of a row is a soft
    distribution over levels with the raters' mean (`labelwise.losses.soft_levels`); the network's softmax q over levels is
    trained by ``KL(label || q)`` plus a fidelity loss between rows of one source, which compares only who is better
    (`labelwise.losses.fidelity`), so that sources of different scales can be trained on together. The predicted score is
    the mean of q.

    Differs from the paper: a network with a softmax over levels in place of a language model's words for levels; all pairs
    of a batch in place of drawn ones.

    Parameters
    ----------
    levels
        Number of levels, >= 2.
    label
        ``soft``; or ``two-hot`` and ``one-hot`` (the levels beside the mean, the nearest level), for comparison.
    shape
        Of soft labels: the normal ``density`` at the levels, or its ``mass`` around them.
    fidelity_weight
        Of the fidelity loss, >= 0.
    given
        What y holds: ``moments``, that is ``(n,)`` means or ``(n, 2)`` means and standard deviations; or ``ratings`` ``(n,
        raters)`` with NaN where a rater was not asked. ``auto``: ratings from three columns on.
    ends
        Scores of the lowest and of the highest level: for all rows, or by source. None: the least and the largest that the
        source's y shows.

    Attributes
    ----------
    ends_ : the ends of each source, by its number (0 where there is one source).

    References
    ----------
    You et al.: Teaching Large Language Models to Regress Accurate Image Quality Scores using Score Distribution. CVPR 2025.

    Examples
    --------
    >>> import numpy as np
    >>> from labelwise.learner import Train
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(300, 2))
    >>> ratings = 50 + 20 * X[:, :1] + 10 * rng.normal(size=(300, 8))  # of eight raters
    >>> model = ScoreDistribution(train=Train(epochs=20, batch_size=32), random_state=0).fit(X, ratings)
    >>> model.predict_levels(X).shape, bool(model.score(X, ratings) > 0.8)
    ((300, 5), True)
    """

    levels: Annotated[int, Range(low=2, whole=True)] = 5
    label: Literal["soft", "two-hot", "one-hot"] = "soft"
    shape: Literal["density", "mass"] = "density"
    fidelity_weight: Annotated[float, NonNegative] = 1.0
    given: Literal["auto", "moments", "ratings"] = "auto"
    ends: Any = None

    card = Card(
        paper=72, year=2025, kind="learner", handles=frozenset({"votes"}), supervision=frozenset({"real"}),
        task="regression", race=True,
        reference="You et al., Teaching Large Language Models to Regress Accurate Image Quality Scores, CVPR 2025.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"levels": [5, 9], "fidelity_weight": [0.0, 1.0], "shape": ["density", "mass"]}

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Train on rows `X` rated `y`, see `given`; `domains` is the source ``(n,)`` of each row's scores.

        Raises
        ------
        InputError
            For scores that are infinite, all missing, outside `ends`, or of one value in a source.
        """
        self.check_fields()
        scores, mean, spread = self._moments(y)
        source = np.zeros(len(mean), np.int64) if domains is None else row_numbers(domains, len(mean))
        self.ends_ = {int(code): self._ends_of(code, scores[source == code]) for code in np.unique(source)}
        low, high = np.array([self.ends_[int(code)] for code in source]).reshape(-1, 2).T
        steps = (self.levels - 1) / (high - low)
        return super().fit(X, np.c_[1 + (mean - low) * steps, spread * steps], sample_weight, domains)

    def _moments(self, y: ArrayLike) -> tuple[Doubles, Doubles, Doubles]:
        """Return the scores that show the ends of the scale, and each row's mean and spread."""
        if y is None:
            raise InputError(
                "requires y to be passed, but the target y is None: give scores (n,), means and spreads (n, 2), or ratings "
                "(n, raters)."
            )
        values = real_values(y)
        if np.isinf(values).any():
            raise InputError("Input y contains infinity or a value too large for dtype('float64').")
        if values.ndim == 2 and values.shape[1] == 1:
            values = column_or_1d(values, warn=True)
        if self.given == "ratings" or (self.given == "auto" and values.ndim == 2 and values.shape[1] > 2):
            if values.ndim != 2:
                raise InputError(f"y must hold ratings (n, raters). Got shape {values.shape}.")
            return values, *from_ratings(values)
        if values.ndim == 1:
            return values, values, np.full(len(values), np.nan)
        if values.ndim != 2 or values.shape[1] != 2:
            raise InputError(
                f"y must hold means (n,) or means and standard deviations (n, 2). Got shape {values.shape}."
            )
        if (values[:, 1] < 0).any():
            row = int((values[:, 1] < 0).argmax())
            raise InputError(f"y: a standard deviation must not be negative. Got {values[row, 1]:g} in row {row}.")
        return values[:, 0], values[:, 0], values[:, 1]

    def _ends_of(self, code: Any, scores: Doubles) -> Ends:
        """Return the scores of the lowest and of the highest level of a source."""
        known = scores[np.isfinite(scores)]
        asked = self.ends.get(code) if isinstance(self.ends, Mapping) else self.ends
        if asked is None:
            if not len(known):
                raise InputError(f"y is missing (NaN) in all rows of source {code}: at least two scores are needed.")
            asked = (known.min(), known.max())
        low, high = (float(end) for end in asked)
        if not low < high:
            found = "one value only" if self.ends is None else f"ends {asked}"
            raise InputError(
                f"y has {found} in source {code} ({low:g}), n_samples = {len(known)}: two different scores are needed."
            )
        if len(known) and (known.min() < low or known.max() > high):
            raise InputError(f"y of source {code} lies in [{known.min():g}, {known.max():g}], outside ends {asked}.")
        return low, high

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Return mean, variance and label of each row on the scale of levels, ``(n, 2 + levels)``."""
        mean, spread = np.asarray(y, dtype=np.float64).T
        known = np.isfinite(mean)
        if not known.any():
            raise InputError("Input y contains NaN in every row: all labels are missing.")
        label = np.full((len(mean), self.levels), np.nan)
        inside = np.clip(mean[known], 1, self.levels)
        if self.label == "soft":
            label[known] = soft_levels(inside, spread[known], self.levels, self.shape)
        else:
            label[known] = two_hot(np.floor(inside + 0.5) if self.label == "one-hot" else inside, self.levels)
        return np.c_[mean, spread**2, label].astype(np.float32), known, self.levels

    def loss(self, batch: Batch) -> LossValue:
        """Return the divergence from the labels, and the fidelity of pairs."""
        scores, label = self.net_(batch.x), batch.y[:, 2:]
        parts = {"levels": self._mean(divergence(scores, label), batch)}
        if self.fidelity_weight:
            mean, variance = moments(scores.softmax(1))
            pairs = fidelity(mean, variance, batch.y[:, 0], batch.y[:, 1], batch.domain)
            parts["fidelity"] = self.fidelity_weight * self._mean(pairs, batch)
        return parts

    @staticmethod
    def _mean(value: Tensor, batch: Batch) -> Tensor:
        weight = torch.ones_like(value) if batch.weight is None else batch.weight
        return (weight * value).sum() / weight.sum().clamp_min(torch.finfo(value.dtype).tiny)

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Return minus the mean divergence from the labels."""
        return -float(divergence(scores, y[:, 2:].to(scores.dtype)).mean())

    def predict_levels(self, X: Any) -> Doubles:
        """Return the probability of each level ``(n, levels)``, the lowest first."""
        return np.asarray(torch.as_tensor(self.outputs(X)).softmax(1).numpy())

    def predict(self, X: Any, domains: ArrayLike | None = None) -> Doubles:
        """Return mean scores ``(n,)``.

        Parameters
        ----------
        X
            Rows.
        domains
            Whose scale the scores are on, ``(n,)``. Without it: that of the only source; of several sources the common one
            of levels, ``1 .. levels``.
        """
        mean = moments(torch.as_tensor(self.predict_levels(X)))[0].numpy()
        low, high = self._scale(len(mean), domains)
        return np.asarray(low + (mean - 1) * (high - low) / (self.levels - 1))

    def predict_std(self, X: Any, domains: ArrayLike | None = None) -> Doubles:
        """Return the standard deviation of the predicted scores ``(n,)``, on the scale of `predict`."""
        spread = moments(torch.as_tensor(self.predict_levels(X)))[1].sqrt().numpy()
        low, high = self._scale(len(spread), domains)
        return np.asarray(spread * (high - low) / (self.levels - 1))

    def _scale(self, n: int, domains: ArrayLike | None) -> tuple[Doubles, Doubles]:
        common = [next(iter(self.ends_.values()))] if len(self.ends_) == 1 else [(1.0, float(self.levels))]
        ends = common * n
        if domains is not None:
            codes = np.asarray(domains).tolist()
            unknown = sorted(set(codes) - set(self.ends_))
            if unknown:
                raise InputError(f"domains: source {unknown[0]} was not in training, which had {sorted(self.ends_)}.")
            ends = [self.ends_[code] for code in codes]
        low, high = np.array(ends, dtype=np.float64).reshape(-1, 2).T
        return low, high

    def score(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> float:
        """Return the coefficient of determination of the mean scores; `y` as in `fit`."""
        _, mean, _ = self._moments(y)
        return float(r2_score(mean, self.predict(X, domains), sample_weight=sample_weight))


def divergence(scores: Tensor, label: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence of ``softmax(scores)`` from the labels, rows of ``(n, K)``, shape ``(n,)``."""
    parts: Tensor = torch.special.xlogy(label, label) - label * scores.log_softmax(1)
    return parts.sum(1)
