"""The base of methods that learn from labelled rows of one place and unlabelled rows of another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from labelwise.base import UNLABELED, Estimate, InputError
from labelwise.learner import ClassLearner, endless, row_mean
from labelwise.nets.base import Network, check_network
from labelwise.parts.domains import proxy_a_distance, ramp
from labelwise.shift.target_rows import source_and_target
from labelwise.supervision import encode_classes
from labelwise.supervision.beside import row_names
from labelwise.training import Batch, Data, shuffled

APART = "It learns from unlabelled rows of another place; folds of the labelled rows cannot show what that gains there."


class DomainLearner(ClassLearner):
    """Base of methods that learn from labelled source rows and unlabelled target rows together.

    Every step has ``train.batch_size`` source rows and, in ``batch.unlabelled``, as many target rows, drawn without end; an
    epoch is one pass of the source, so that it takes as many steps as plain training. ``batch.domain`` numbers the domains:
    the sources from 0, the target last. Early stopping (``Train(validation=...)``) holds out source rows: it cannot see
    the target. Without any target row a method is plain training.

    Parameters
    ----------
    target
        Name of the target domain, when ``fit`` is given ``domains``. None: the only domain without labels.

    Attributes
    ----------
    domains_ : names of the source domains, and last that of the target.
    """

    target: Any = None

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None) -> Self:
        """Train on labelled source rows and unlabelled target rows.

        Parameters
        ----------
        X, sample_weight
            As in `Learner.fit`.
        y
            (n,) labels; -1 (None for text classes) where there is none. Without `domains`, those rows are the target.
        domains
            (n,) names of the rows' domains. Rows of domain `target` are the target, labelled or not (their labels are not
            used); labelled rows elsewhere are the source; other rows are left out.

        Raises
        ------
        InputError, ValueError
            For fields out of range, X or y that do not fit, no labelled source row, or a target that is not clear.
        """
        self.check_fields()
        if getattr(getattr(X, "dtype", None), "kind", "") == "c":
            raise InputError("Complex data not supported: X must hold real numbers.")
        classes, codes = encode_classes(y)
        source, target = source_and_target(codes, domains, self.target)
        where = self._number(source, target, domains)
        return super().fit(X, _hidden(y, classes, codes, source), sample_weight, where)

    def _number(self, source: Any, target: Any, domains: ArrayLike | None) -> NDArray[np.int64]:
        """Name the domains, and return every row's number: sources from 0, the target last, -1 left out."""
        where = np.full(len(source), UNLABELED)
        if domains is None:
            self.domains_ = np.array(["source", "target"])
            where[source] = 0
        else:
            given = row_names(domains, len(source))
            names, where[source] = np.unique(given[source], return_inverse=True)
            self.domains_ = np.concatenate([names, given[target][:1]])
        where[target] = len(self.domains_) - 1
        return where

    @property
    def target_code(self) -> int:
        """Number of the target domain."""
        return len(self.domains_) - 1

    # -- what methods share

    def start(self, data: Data) -> None:
        """Count steps; a method with more state calls this first."""
        self.step_ = torch.zeros((), dtype=torch.long)
        self.total_ = max(1, math.ceil(self.steps(data) / self.train_.accumulate) * self.train_.epochs)

    def step_end(self) -> None:
        """Count the step."""
        self.step_ += 1

    @property
    def progress(self) -> float:
        """Share of the training that is done, in [0, 1]."""
        return min(1.0, int(self.step_) / self.total_)

    def strength(self, weight: float, schedule: str = "ramp") -> float:
        """Return the weight of what acts on the target now: it grows by `ramp`, or is ``constant``."""
        return weight * (ramp(self.progress) if schedule == "ramp" else 1.0)

    def representation(self) -> Network:
        """Return the network, once it is known to have ``features`` and ``head``."""
        return check_network(self.net_, type(self).__name__)

    def both(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return features of the source rows and of the target rows, read apart: each has its own batch statistics."""
        features, there = self.representation().features, batch.unlabelled.x
        z: Tensor = features(batch.x)
        return z, features(there) if len(there) else z[:0]

    def supervised(self, scores: Tensor, batch: Batch) -> Tensor:
        """Return the (weighted) mean cross-entropy of the source rows."""
        return row_mean(cross_entropy(scores, batch.y, reduction="none"), batch.weight)

    def steps(self, data: Data) -> int:
        """Return the number of batches in an epoch: one pass of the source."""
        return math.ceil(int(data.labelled.sum()) / self._size(data))

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield one pass of the source rows in random order, each batch beside as many target rows."""
        source, size = data.labelled.nonzero().squeeze(1), self._size(data)
        target = endless(self.target_rows(data), size, generator, data.shard)
        for rows in shuffled(source, size, generator, data.shard):
            yield data.batch(rows, unlabelled=data.batch(next(target)))

    def target_rows(self, data: Data) -> Tensor:
        """Return the numbers of the target rows."""
        return (data.domain == self.target_code).nonzero().squeeze(1)  # type: ignore[union-attr]

    def _size(self, data: Data) -> int:
        return min(self.train_.batch_size, int(data.labelled.sum()))

    def a_distance(self, X_source: Any, X_target: Any) -> Estimate:
        """Return how well a fresh linear classifier tells the two domains by the fitted network's features.

        See `labelwise.parts.domains.proxy_a_distance`; give rows that were not trained on where there are some. A small
        distance is no proof of a good adaptation: features that mix the classes up are close too.
        """
        return proxy_a_distance(self.features(X_source), self.features(X_target), random_state=self.seed_)


def _hidden(y: Any, classes: NDArray[Any], codes: NDArray[Any], source: NDArray[np.bool_]) -> Any:
    """Return labels without those of rows that are not source rows; `y` itself if there are none to hide."""
    if not (codes[~source] != UNLABELED).any():
        return y
    seen = np.full(len(codes), None, dtype=object)
    seen[source] = classes[codes[source]].tolist()
    return seen
