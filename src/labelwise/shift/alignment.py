"""Features whose distribution is alike in both domains, by a distance in the loss: Deep CORAL and MMD."""

from __future__ import annotations

from typing import Annotated, Literal

from torch import Tensor

from labelwise.base import Card, NonNegative
from labelwise.learner import MINI_BATCHES
from labelwise.parts.domains import coral, mmd
from labelwise.shift.learner import APART, DomainLearner
from labelwise.training import Batch, Train


class Aligned(DomainLearner):
    """Base: ``loss = CE(C(F(x_s)), y_s) + strength * distance(F(x_s), F(x_t))``.

    Parameters
    ----------
    weight
        Of the distance at the end of training, >= 0; 0 is plain training.
    schedule
        ``ramp``: the weight grows over training as ``2 / (1 + exp(-10 p)) - 1``; ``constant``.
    """

    weight: Annotated[float, NonNegative] = 1.0
    schedule: Literal["ramp", "constant"] = "ramp"

    def distance(self, source: Tensor, target: Tensor) -> Tensor:
        """Return how far the features of the two domains are apart."""
        raise NotImplementedError(f"{type(self).__name__} must define distance(source, target).")

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the class part and the distance."""
        z_source, z_target = self.both(batch)
        parts = {"supervised": self.supervised(self.net_.head(z_source), batch)}  # type: ignore[operator]
        if len(z_target):
            parts["distance"] = self.strength(self.weight, self.schedule) * self.distance(z_source, z_target)
        return parts


class DeepCORAL(Aligned):
    """Covariances of the features are made alike in source and target.

    ``loss = CE(C(F(x_s)), y_s) + strength |cov(F(x_s)) - cov(F(x_t))|_F^2 / (4 d^2)``.

    Differs from the paper: applied to the last features, not to the scores; the weight grows over training (``constant``
    takes it from the start); all source domains count as one.

    Parameters
    ----------
    weight
        At the end of training, >= 0. The distance is divided by d squared, so that useful weights are large.

    Attributes
    ----------
    domains_ : names of the source domains, and last that of the target.

    References
    ----------
    Sun and Saenko, Deep CORAL: Correlation Alignment for Deep Domain Adaptation, ECCV Workshops 2016.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> there = X * [1, 1.2, 1, 1] + 0.3  # the same flowers, measured with another ruler
    >>> rows, labels = np.concatenate([X, there]), np.concatenate([y, np.full(150, -1)])
    >>> model = DeepCORAL(train=Train(epochs=30, batch_size=32, lr=5e-3), random_state=0).fit(rows, labels)
    >>> bool(model.score(there, y) > 0.8)
    True
    """

    weight: Annotated[float, NonNegative] = 100.0

    card = Card(
        year=2016, kind="learner", handles=frozenset({"covariate shift"}), needs=frozenset({"target rows"}), apart=APART,
        reference="Sun and Saenko, Deep CORAL: Correlation Alignment for Deep Domain Adaptation, ECCV Workshops 2016.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"weight": [10.0, 1000.0], "train": [Train(lr=lr, epochs=40, batch_size=64) for lr in (1e-3, 5e-3)]}

    def distance(self, source: Tensor, target: Tensor) -> Tensor:
        """Return `coral` of the features."""
        return coral(source, target)


class DeepMMD(Aligned):
    """The maximum mean discrepancy between features of source and target is made small.

    ``loss = CE(C(F(x_s)), y_s) + strength mmd(F(x_s), F(x_t))`` under five Gaussian kernels around the median distance of
    the batch.

    Differs from the paper: one layer is aligned, not three; kernels have equal weights; the weight grows over training.

    Parameters
    ----------
    weight
        At the end of training, >= 0.

    Attributes
    ----------
    domains_ : names of the source domains, and last that of the target.

    References
    ----------
    Long, Cao, Wang and Jordan, Learning Transferable Features with Deep Adaptation Networks, ICML 2015.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> there = X * [1, 1.2, 1, 1] + 0.3  # the same flowers, measured with another ruler
    >>> rows, labels = np.concatenate([X, there]), np.concatenate([y, np.full(150, -1)])
    >>> model = DeepMMD(train=Train(epochs=30, batch_size=32, lr=5e-3), random_state=0).fit(rows, labels)
    >>> bool(model.score(there, y) > 0.8)
    True
    """

    card = Card(
        year=2015, kind="learner", handles=frozenset({"covariate shift"}), needs=frozenset({"target rows"}), apart=APART,
        reference="Long et al., Learning Transferable Features with Deep Adaptation Networks, ICML 2015.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"weight": [0.1, 1.0], "train": [Train(lr=lr, epochs=40, batch_size=64) for lr in (1e-3, 5e-3)]}

    def distance(self, source: Tensor, target: Tensor) -> Tensor:
        """Return `mmd` of the features."""
        return mmd(source, target)
