"""The template of learners whose labels belong to sets of rows: one class a bag."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import _num_samples, check_is_fitted
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import InputError
from labelwise.batch import Batch, Data, LossValue, Phase, shuffled
from labelwise.learner.template import ClassLearner
from labelwise.nets.bag_pooling import BagPooling, Pooling, bag_pooling
from labelwise.parts.bag_rows import read_bags, rows_of
from labelwise.supervision import infer
from labelwise.supervision.arrays import to_numpy

APART = "Its labels belong to bags of rows; a race compares methods on one label a row."


class SetLearner(ClassLearner):
    """Template of learners of one class a bag: rows are represented one by one, pooled by bag, and the bag is classified.

    ``fit(X, y, bags=)`` takes the bag of every row and a class for every bag; ``predict(X, bags=)`` answers for bags.
    Without `bags` every row is a bag of its own, so that a fitted model also answers for single rows. Batches never split
    a bag.

    Parameters
    ----------
    pooling
        How a bag's rows become one vector: ``gated`` or plain ``attention``, ``mean``, ``max`` of every feature,
        ``max score`` (the largest score of a row, for each class), ``deep sets`` or ``set transformer``. The output layer is
        linear, so that a mean of scores is the score of the mean.
    """

    pooling: Pooling = "gated"

    def fit(self, X: Any, y: ArrayLike, bags: ArrayLike | None = None) -> Self:  # type: ignore[override]
        """Train on rows `X` in `bags`, each with a class in `y`.

        Parameters
        ----------
        X
            Rows: features ``(n, d)``, images ``(n, h, w, c)``, series or texts.
        y
            Class of each bag ``(B,)``; unlabelled: -1 or None. Bags of one row are fine.
        bags
            Number of each row's bag ``(n,)``, from 0 to B - 1; None makes a bag of every row.

        Raises
        ------
        InputError
            When lengths disagree or a bag of `y` has no row.
        """
        if bags is not None:
            targets = infer(y, bags=bags, kind="sets", n_rows=_num_samples(X))
            bags = targets.need("bags")
            y = np.ravel(to_numpy(y, "y")[0])[bags]
        return super().fit(X, y, domains=np.arange(_num_samples(y)) if bags is None and y is not None else bags)

    def build(self, data: Data) -> None:
        """Make the network of rows, and what pools its representations."""
        super().build(data)
        self.pool_ = self.made_pool(data)

    def made_pool(self, data: Data) -> BagPooling:
        """Return a fresh pooling as wide as the network's representation."""
        features, head = getattr(self.net_, "features", None), getattr(self.net_, "head", None)
        if not isinstance(features, nn.Module) or not isinstance(head, nn.Module):
            raise InputError(
                f"net: {type(self.net_).__name__} needs modules `features` and `head`, between which bags are pooled. "
                "nets.Joined(features) makes such a network of a representation of your own."
            )
        with torch.no_grad():
            width = deepcopy(features).eval()(data.batch(torch.arange(1, device=data.x.device)).x).shape[1]
        return bag_pooling(self.pooling, int(width))

    def predictor(self) -> nn.Module:
        """Return network and pooling as one: what is averaged over steps, and kept at its best epoch."""
        return nn.ModuleList([self.net_, self.pool_])

    def phases(self) -> list[Phase]:
        """Return one stage that moves network and pooling by `loss`."""
        return [Phase(self.loss, [self.net_, self.pool_], self.train_.epochs)]

    def loss(self, batch: Batch) -> LossValue:
        """Return the cross-entropy of the bags' scores."""
        bag, y = bags_of(batch)
        return cross_entropy(self.bag_scores(batch.x, bag, len(y)), y)

    def bag_scores(self, x: Tensor, bag: Tensor, n_bags: int) -> Tensor:
        """Return the scores ``(n_bags, K)`` of bags of rows `x`."""
        return self.pool_.classify(self.net_.features(x), bag, n_bags, self.net_.head)  # type: ignore[operator, arg-type]

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield whole labelled bags in random order, as many as make about ``batch_size`` rows."""
        bags = labelled_bags(data)
        for some in shuffled(bags, self._bags_a_batch(data), generator, data.shard):
            yield data.batch(rows_of(bag_numbers(data), some))

    def steps(self, data: Data) -> int:
        """Return the number of batches in an epoch."""
        return -(-len(labelled_bags(data)) // self._bags_a_batch(data))

    def _bags_a_batch(self, data: Data) -> int:
        rows = int(data.labelled.sum()) / len(labelled_bags(data))
        return max(1, round(self.train_.batch_size / rows))

    def _hold_out(self, data: Data) -> tuple[Data, Data | None]:
        """Split labelled bags off for early stopping, stratified where every class has two."""
        if self.train_.validation == 0:
            return data, None
        bag, bags = bag_numbers(data), labelled_bags(data)
        y = data.y[rows_of(bag, bags)][_firsts(bag, bags)].numpy()
        strata = y if np.bincount(y).min() >= 2 else None
        _, held = train_test_split(
            bags.numpy(), test_size=self.train_.validation, random_state=self.seed_, stratify=strata
        )
        rows = rows_of(bag, torch.as_tensor(np.sort(held)))
        validation = Data(data.x[rows], data.y[rows], data.labelled[rows], domain=bag[rows], views=data.views)
        data.labelled = data.labelled.clone()
        data.labelled[rows] = False
        return data, validation

    def validation_score(self, data: Data) -> float:
        """Return `quality` on held-out bags."""
        bag, y = bags_of(Batch(data.x, data.y, data.y, domain=data.domain))
        return self.quality(self._pooled_scores(data.x, bag, len(y)), y)

    def outputs(self, X: Any, bags: ArrayLike | None = None) -> NDArray[np.float64]:
        """Return the raw scores of bags, ``(B, K)``; of rows without `bags`."""
        x, bag, n_bags = self._read(X, bags)
        return self._pooled_scores(x, bag, n_bags).double().numpy()

    @torch.no_grad()
    def _pooled_scores(self, x: Tensor, bag: Tensor, n_bags: int) -> Tensor:
        hidden = self._forward(x, self.net_.features)
        pool, head = self._as(hidden.dtype)
        return pool.classify(hidden, bag, n_bags, head)

    def _as(self, dtype: torch.dtype) -> tuple[BagPooling, nn.Module]:
        """Return pooling and output layer in the precision of the representations."""
        head: Any = self.net_.head
        return deepcopy(self.pool_).to(dtype).eval(), deepcopy(head).to(dtype).eval()

    def _read(self, X: Any, bags: ArrayLike | None) -> tuple[Tensor, Tensor, int]:
        check_is_fitted(self)
        x = torch.as_tensor(self.inputs_.transform(X))
        bag, n_bags = read_bags(bags, len(x))
        return x, torch.as_tensor(bag, device=x.device), n_bags

    @torch.no_grad()
    def attention(self, X: Any, bags: ArrayLike | None = None) -> NDArray[np.float64]:
        """Return the share of each row in its bag's vector ``(n,)``, for ``gated`` and ``attention`` pooling."""
        x, bag, n_bags = self._read(X, bags)
        hidden = self._forward(x, self.net_.features)
        return self._as(hidden.dtype)[0].weights(hidden, bag, n_bags).double().numpy()

    def decision_function(self, X: Any, bags: ArrayLike | None = None) -> NDArray[np.float64]:
        """Return scores of bags: ``(B,)`` for two classes (positive means ``classes_[1]``), else ``(B, K)``."""
        scores = self.outputs(X, bags)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X: Any, bags: ArrayLike | None = None) -> NDArray[np.float64]:
        """Return class probabilities of bags ``(B, K)``, of rows without `bags`."""
        return np.asarray(softmax(self.outputs(X, bags), axis=1))

    def predict(self, X: Any, bags: ArrayLike | None = None) -> NDArray[Any]:
        """Return the class of each bag ``(B,)``, of each row without `bags`."""
        best = self.outputs(X, bags).argmax(1)
        return np.asarray(self.classes_[best])

    def predict_instances(self, X: Any) -> NDArray[Any]:
        """Return the class of each row ``(n,)``: what the model would say of a bag of that row alone."""
        return self.predict(X)

    def score(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, bags: ArrayLike | None = None
    ) -> float:
        """Return the accuracy over bags, over rows without `bags`."""
        return float(accuracy_score(y, self.predict(X, bags), sample_weight=sample_weight))

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return what the common checks fit: bags of three flowers of one class, asked about single flowers."""
        from sklearn.datasets import load_iris

        X, y = load_iris(return_X_y=True)
        X = (X - X.mean(0)) / X.std(0)
        test = np.arange(len(y)) % 5 == 0
        order = np.random.default_rng(0).permutation(40)
        rows = np.flatnonzero(~test).reshape(40, 3)[order].ravel()
        return {
            "X": X[rows], "y": y[rows][::3], "X_test": X[test], "y_test": y[test],
            "fit": {"bags": np.repeat(np.arange(40), 3)},
        }  # fmt: skip


def bag_numbers(data: Data) -> Tensor:
    """Return the bag of every row, which travels as its domain."""
    if data.domain is None:
        raise InputError("bags= is missing: learners of sets need the bag of every row.")
    return data.domain


def labelled_bags(data: Data) -> Tensor:
    """Return the numbers of the bags that have a class, sorted."""
    numbers: Tensor = torch.unique(bag_numbers(data)[data.labelled])
    return numbers


def bags_of(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return the place of each row's bag among the bags of a batch ``(n,)``, and the bags' classes."""
    assert batch.domain is not None  # `fit` always gives bags
    numbers, bag = torch.unique(batch.domain, return_inverse=True)
    return bag, batch.y.new_empty(len(numbers)).scatter(0, bag, batch.y)


def _firsts(bag: Tensor, bags: Tensor) -> Tensor:
    """Return the place of the first row of each of `bags` among `rows_of` them."""
    sizes = torch.bincount(bag)[bags]
    return sizes.cumsum(0) - sizes
