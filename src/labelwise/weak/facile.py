"""Representations of rows from the coarse classes of sets, for few-shot classifiers of rows (Ouyang et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid
from torch import Tensor
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, InputError, Positive
from labelwise.batch import Batch, Data, LossValue, class_balanced
from labelwise.losses.sup_con import sup_con
from labelwise.nets.bag_pooling import Pooling
from labelwise.parts.bag_rows import bag_ranks, rows_of
from labelwise.supervision import encode_classes
from labelwise.training import Train
from labelwise.weak.set_learner import APART, SetLearner, bag_numbers, bags_of, labelled_bags


class FACILE(SetLearner):
    """Learn what rows look like from classes of whole sets, then tell finer classes of rows from a few examples.

    Stage 1, `fit`: in every step some rows of each set are drawn and augmented, ``CE(head(pool(e(x_1), ..., e(x_m))), y)``;
    sets are drawn so that classes come equally often. Stage 2, `fit_instances`: the encoder ``e`` is frozen, and a
    logistic regression or the nearest centroid on ``e(x)`` learns the rows' own classes, which need not be those of the
    sets. `features` gives ``e(x)``.

    Differs from the paper: no batch norm in the attention, so that a batch may hold one row; optimiser of `Train`.

    Parameters
    ----------
    pooling
        As in the template; the authors use ``attention``, ``deep sets`` and ``set transformer``.
    draw
        Rows drawn of a set in each step, >= 1; a smaller set gives all.
    objective
        ``classes``: the cross-entropy above. ``contrastive``: two augmentations of every draw, whose set vectors are
        pulled together within a class (supervised contrastive, which the authors report as the weaker one); the output
        layer then learns from them without changing them.
    augment
        Use the strong views of rows, else the rows as they are.
    temperature
        Of the contrastive objective, > 0.

    References
    ----------
    Ouyang, Gao, Tripathi et al., Enhancing Instance-Level Image Classification with Set-Level Labels, ICLR 2024 (paper 77).

    Examples
    --------
    >>> from labelwise.data.synthetic import set_bags
    >>> drawn = set_bags(60, 6, witness_rate=0.5, random_state=0)
    >>> model = FACILE(train=Train(epochs=20, batch_size=64), random_state=0).fit(drawn.X, drawn.y, bags=drawn.bags)
    >>> few = np.r_[np.flatnonzero(drawn.is_positive)[:5], np.flatnonzero(~drawn.is_positive)[:5]]
    >>> model = model.fit_instances(drawn.X[few], drawn.is_positive[few])
    >>> bool((model.predict_instances(drawn.X) == drawn.is_positive).mean() > 0.9)
    True
    """

    pooling: Pooling = "attention"
    draw: Annotated[int, Count] = 5
    objective: Literal["classes", "contrastive"] = "classes"
    augment: bool = True
    temperature: Annotated[float, Positive] = 0.1

    card = Card(
        paper=77, year=2024, kind="learner", handles=frozenset({"missing labels", "few labels", "representation"}),
        supervision=frozenset({"sets"}), apart=APART,
        reference="Ouyang et al., Enhancing Instance-Level Image Classification with Set-Level Labels, ICLR 2024.",
    )  # fmt: skip
    tune = {
        "pooling": ["attention", "mean", "deep sets", "set transformer"],
        "augment": [True, False],
        "train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (20, 60)],
    }

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield drawn rows of sets, classes equally often; a set that is drawn twice counts as two."""
        bag, bags = bag_numbers(data), labelled_bags(data)
        sizes = torch.bincount(bag)
        codes = data.y.new_empty(len(sizes)).scatter(0, bag, data.y)[bags]
        for some in class_balanced(bags, codes, self._bags_a_batch(data), generator, data.shard):
            rows = rows_of(bag, some)
            drawing = torch.arange(len(some), device=bag.device).repeat_interleave(sizes[some])
            kept = bag_ranks(torch.rand(len(rows), generator=generator).to(bag.device), drawing) < self.draw
            batch = data.batch(rows[kept])
            batch.domain = drawing[kept]
            yield batch

    def _bags_a_batch(self, data: Data) -> int:
        drawn = torch.bincount(bag_numbers(data)[data.labelled])[labelled_bags(data)].clamp(max=self.draw)
        return max(1, round(self.train_.batch_size / float(drawn.double().mean())))

    def loss(self, batch: Batch) -> LossValue:
        """Return the objective of the drawn sets."""
        bag, y = bags_of(batch)
        if self.objective == "classes":
            return cross_entropy(self.bag_scores(self._view(batch), bag, len(y)), y)
        views = torch.cat([self._view(batch), self._view(batch)])
        vectors = self.pool_(self.net_.features(views), torch.cat([bag, bag + len(y)]), 2 * len(y))  # type: ignore[operator]
        both = torch.cat([y, y])
        read = cross_entropy(self.net_.head(vectors.detach()), both)  # type: ignore[operator]
        return {"contrast": sup_con(vectors, both, self.temperature), "classes": read}

    def _view(self, batch: Batch) -> Tensor:
        if not self.augment or batch.views is None:
            return batch.x
        view: Tensor = batch.views.strong(batch.x)
        return view

    def fit_instances(
        self, X: Any, y: ArrayLike, classifier: Literal["logistic", "centroid"] = "logistic", C: float = 1.0
    ) -> Self:
        """Learn classes of rows from a few examples, on the frozen representation.

        Parameters
        ----------
        X
            Rows like those of `fit`.
        y
            Class of each row ``(n,)``; those without one (-1, None) are left out.
        classifier
            ``logistic`` regression, or the nearest ``centroid``.
        C
            Inverse strength of the regression's penalty, > 0.
        """
        self.instance_classes_, codes = encode_classes(y)
        known = codes >= 0
        hidden = self.features(X)
        if len(hidden) != len(codes):
            raise InputError(f"y has {len(codes)} classes but X {len(hidden)} rows: give one a row.")
        if classifier not in ("logistic", "centroid"):
            raise InputError(f"classifier must be 'logistic' or 'centroid'. Got {classifier!r}.")
        model = LogisticRegression(C=C, max_iter=2000) if classifier == "logistic" else NearestCentroid()
        self.instance_center_, spread = hidden[known].mean(0), hidden[known].std()
        self.instance_scale_ = float(spread) if spread > 0 else 1.0
        self.instance_classifier_ = model.fit(self._instance_features(hidden[known]), codes[known])
        return self

    def predict_instances(self, X: Any) -> NDArray[Any]:
        """Return the class of each row ``(n,)``: one of `fit_instances`, before that of the sets."""
        if not hasattr(self, "instance_classifier_"):
            return super().predict_instances(X)
        codes = self.instance_classifier_.predict(self._instance_features(self.features(X)))
        return np.asarray(self.instance_classes_[codes])

    def _instance_features(self, hidden: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray((hidden - self.instance_center_) / self.instance_scale_)
