"""Networks that learn rows from what is known of bags of rows: class proportions, or means (Javanmard et al. 2024)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin, clone
from sklearn.utils.validation import _num_samples
from torch import Tensor

from labelwise.base import Card, Fraction, InputError
from labelwise.learner import ClassLearner, Learner, Train
from labelwise.parts.bags import whole_bags
from labelwise.parts.moments import centre_and_scale
from labelwise.supervision import infer, read_proportions
from labelwise.supervision.beside import moderate
from labelwise.training import Batch, Data
from labelwise.weak.bag_losses import BagCrossEntropy, BagLoss, BagSquaredError, bags_of
from labelwise.weak.bag_splits import Ints, hold_out, take, taken_bags
from labelwise.weak.bag_trials import class_bags, real_bags

RHOS = (0.0, 0.1, 0.4, 1.0)
"""What ``rho="auto"`` tries."""


class WholeBags(Learner):
    """Template of networks whose batches hold whole bags; a row's bag travels as its domain."""

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield batches of whole bags, of at least ``train.batch_size`` rows."""
        for rows in self._batches(data, generator):
            yield data.batch(rows)

    def steps(self, data: Data) -> int:
        """Return the number of batches in an epoch; with bags of unequal sizes, of one epoch."""
        return sum(1 for _ in self._batches(data, torch.Generator().manual_seed(self.seed_)))

    def _batches(self, data: Data, generator: torch.Generator) -> Iterator[Tensor]:
        bag = self._bag(data)
        known: Tensor = torch.unique(bag[data.labelled])
        return whole_bags(bag, known, self.train_.batch_size, generator)

    def _bag(self, data: Data) -> Tensor:
        if data.shard[1] > 1:
            raise InputError(f"train: {type(self).__name__} trains on one device. Leave Train.devices at 1.")
        return torch.arange(len(data), device=data.x.device) if data.domain is None else data.domain

    def _hold_out(self, data: Data) -> tuple[Data, Data | None]:
        """Split whole bags off for early stopping."""
        if self.train_.validation == 0:
            return data, None
        known = data.labelled.nonzero().squeeze(1).numpy()
        _, held = hold_out(self._bag(data)[known].numpy(), self.train_.validation, self.seed_)
        rows = torch.as_tensor(known[held])
        data.labelled = data.labelled.clone()
        validation = Data(data.x[rows], data.y[rows], data.labelled[rows], None, self._bag(data)[rows], data.views)
        data.labelled[rows] = False
        return data, validation


class BagLearner(WholeBags):
    """Template of networks that learn from bags: batches of whole bags, and `rho` by the loss of bags held out.

    Parameters
    ----------
    rho
        Weight of the instance level in [0, 1]: 0 fits only the bags' means, 1 gives every row its bag's label. ``auto``
        tries `RHOS` on three bags in four, takes the one with the smallest bag-level loss on the others, and fits all.
    """

    rho: Annotated[float, Fraction] | Literal["auto"] = "auto"

    criterion: ClassVar[type[BagLoss]]

    def fit(self, X: Any, y: Any, bags: ArrayLike | None = None) -> Self:  # type: ignore[override]
        """Train on rows `X` of which only their bags' labels `y` are known.

        Parameters
        ----------
        X
            Rows, as in `labelwise.learner.Learner.fit`.
        y
            Labels of the bags ``(B,)`` or ``(B, K)``, see the class; NaN: unknown.
        bags
            Number of each row's bag ``(n,)``, 0 to B - 1; bags of one row are allowed. None: every row is a bag, and `y`
            holds the rows' own labels.

        Raises
        ------
        InputError
            Labels or bags that do not fit each other or X.
        """
        self.check_fields()
        found = None if bags is None else infer(y, bags=bags, kind="bags", n_rows=_num_samples(X)).need("bags")
        self.bag_losses_: dict[float, float] = {}
        self.rho_ = self._chosen(X, y, found) if isinstance(self.rho, str) else self.rho
        self._bags = found
        try:
            return super().fit(X, y, domains=found)
        finally:
            del self._bags

    def _chosen(self, X: Any, y: Any, bags: Ints | None) -> float:
        """Return the `rho` whose fit on most bags has the least bag-level loss on the rest."""
        if bags is None or bags.max() < 3:
            return 0.0  # of bags of one row both levels say the same, and of three bags none can be spared
        kept, held = hold_out(bags, 0.25, self.random_state)
        for rho in RHOS:
            part = clone(self).set_params(rho=rho).fit(take(X, kept), *taken_bags(y, bags, kept))
            self.bag_losses_[rho] = part.bag_loss(take(X, held), *taken_bags(y, bags, held))
        return min(self.bag_losses_, key=self.bag_losses_.__getitem__)

    def bag_loss(self, X: Any, y: Any, bags: ArrayLike) -> float:
        """Return the bag-level loss of other bags, lower is better: what to select by, as it needs no row's label."""
        values, bag = self.bag_values(y, bags, _num_samples(X))
        known = torch.as_tensor(np.isfinite(values).all(1))[bag]
        scores = torch.as_tensor(self.outputs(X))
        labels, local = bags_of(bag[known], torch.as_tensor(values)[bag[known]])
        return float(self.criterion(0.0)(scores[known], labels, local))

    def bag_values(self, y: Any, bags: ArrayLike, n_rows: int) -> tuple[NDArray[np.float64], Tensor]:
        """Return bags' labels as the network is to fit them ``(B, K)``, and each row's bag."""
        raise NotImplementedError(f"{type(self).__name__} must define bag_values.")

    def loss(self, batch: Batch) -> Tensor:
        """Return the interpolated loss of the batch's bags."""
        labels, local = bags_of(batch.index if batch.domain is None else batch.domain, batch.y)
        value: Tensor = self.criterion(self.rho_)(self.net_(batch.x), labels, local)
        return value

    def validation_score(self, data: Data) -> float:
        """Return minus the bag-level loss of bags held out."""
        labels, local = bags_of(self._bag(data), data.y.double())
        return -float(self.criterion(0.0)(self._forward(data.x).double(), labels, local))


class BagClassifier(BagLearner, ClassLearner):
    """Learn a classifier of rows from the class proportions of bags of rows.

    ``L = (1 - rho) * L_bag + rho * L_ins``, means over bags of
    ``L_bag = CE(y_B, mean over rows of p(x))`` and ``L_ins = mean over rows of CE(y_B, p(x))``. ``rho=0`` is the bag-level
    loss (DLLP), which can be fitted by rows that are wrong in opposite ways; ``rho=1`` the instance level, which pulls every
    row to its bag's proportions, so probabilities come out too even, and the more so the larger the bags.

    Differs from the paper: `y` are class shares and the loss is a cross-entropy; the paper's theory is of squared errors.

    `fit` takes `y` floats ``(B, K)``, each row summing to one, or ``(B,)``, the share of the second class; and ``bags=``.

    Parameters
    ----------
    rho
        Weight of the instance level in [0, 1], or ``auto``: chosen by the bag-level loss of bags held out.

    Attributes
    ----------
    classes_ : array of shape (K,)
        Columns of `y`, or their names.
    rho_ : float
    bag_losses_ : dict
        Bag-level loss of the bags held out for every `rho` tried.

    References
    ----------
    Javanmard, Chen, Mirrokni, Badanidiyuru, Fu: Learning from Aggregate responses: Instance Level versus Bag Level Loss
    Functions, ICLR 2024 (paper 42).

    Examples
    --------
    >>> from labelwise.data.synthetic import proportion_bags
    >>> drawn = proportion_bags(100, 10, separation=4, random_state=0)
    >>> model = BagClassifier(rho=0.0, train=Train(epochs=30, batch_size=50), random_state=0)
    >>> bool(model.fit(drawn.X, drawn.y, bags=drawn.bags).score(drawn.X, drawn.truth) > 0.9)
    True
    """

    criterion = BagCrossEntropy

    card = Card(
        paper=42, year=2024, kind="learner", handles=frozenset({"few labels"}), supervision=frozenset({"bags"}),
        reference="Javanmard et al., Learning from Aggregate responses, ICLR 2024.", needs=frozenset({"bags"}), cost="heavy",
        apart="A race compares methods by the labels of rows, and here only bags have any.",
    )  # fmt: skip
    tune = {"rho": [*RHOS], "train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)]}

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Spread the shares of bags over their rows; without bags, read classes of rows as shares of 0 and 1."""
        if self._bags is None:
            codes, labelled, n_classes = super().read_targets(y)
            return (codes[:, None] == np.arange(n_classes)).astype(np.float32), labelled, n_classes
        found = read_proportions(y, self._bags)
        if len(found.classes) < 2:
            raise InputError("y has one class only: give a column for each of two classes or more.")
        self.classes_ = found.classes
        shares = found.shares[found.bags]
        return shares.astype(np.float32), np.asarray(np.isfinite(shares).all(1)), len(found.classes)

    def bag_values(self, y: Any, bags: ArrayLike, n_rows: int) -> tuple[NDArray[np.float64], Tensor]:
        """Return shares ``(B, K)``, and each row's bag."""
        found = read_proportions(y, bags, n_rows=n_rows)
        return found.shares, torch.as_tensor(found.bags)

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return bags of iris for the common checks."""
        return class_bags()


class BagRegressor(RegressorMixin, BagLearner):  # type: ignore[misc]
    """Learn a regressor of rows from the mean targets of bags of rows.

    ``L = (1 - rho) * L_bag + rho * L_ins``, means over bags of ``L_bag = (y_B - mean over rows of f(x))^2`` and
    ``L_ins = mean over rows of (y_B - f(x))^2``, which is `L_bag` plus the variance of `f` within the bag.

    `fit` takes `y` floats ``(B,)`` or ``(B, m)``, the means of m targets, and ``bags=``. Training standardises the means.

    Parameters
    ----------
    rho
        Weight of the instance level in [0, 1], or ``auto``: chosen by the bag-level loss of bags held out.

    Attributes
    ----------
    rho_ : float
    bag_losses_ : dict
        Bag-level loss, in standardised units, of the bags held out for every `rho` tried.

    References
    ----------
    Javanmard, Chen, Mirrokni, Badanidiyuru, Fu: Learning from Aggregate responses: Instance Level versus Bag Level Loss
    Functions, ICLR 2024 (paper 42).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, bags = rng.normal(size=(400, 2)), np.repeat(np.arange(100), 4)
    >>> target = X[:, 0] - 2 * X[:, 1]
    >>> means = np.bincount(bags, target) / 4
    >>> model = BagRegressor(rho=0.0, train=Train(epochs=40, batch_size=20), random_state=0).fit(X, means, bags=bags)
    >>> bool(model.score(X, target) > 0.8)
    True
    """

    criterion = BagSquaredError

    card = Card(
        paper=42, year=2024, kind="learner", handles=frozenset({"few labels"}), supervision=frozenset({"bags"}),
        task="regression", reference="Javanmard et al., Learning from Aggregate responses, ICLR 2024.",
        needs=frozenset({"bags"}), cost="heavy",
        apart="A race compares methods by the targets of rows, and here only bags have any.",
    )  # fmt: skip
    tune = {"rho": [*RHOS], "train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)]}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Standardise the means of bags and spread them over their rows; without bags, standardise rows' targets."""
        rows = np.arange(len(np.asarray(y))) if self._bags is None else self._bags
        found = infer(y, bags=rows, kind="bags")
        values = moderate(found.need("values"))
        self.single_ = values.ndim == 1
        values = values.reshape(len(values), -1)
        known = values[np.isfinite(values).all(1)]
        if not len(known):
            raise InputError("y: every bag has a missing mean (NaN). At least one bag needs all of its means.")
        self.mean_, self.spread_ = (part[0] for part in centre_and_scale(known))
        targets = ((values - self.mean_) / self.spread_)[found.need("bags")]
        return targets.astype(np.float32), np.isfinite(targets).all(1), values.shape[1]

    def bag_values(self, y: Any, bags: ArrayLike, n_rows: int) -> tuple[NDArray[np.float64], Tensor]:
        """Return standardised means ``(B, m)``, and each row's bag."""
        found = infer(y, bags=bags, kind="bags", n_rows=n_rows)
        values = found.need("values").reshape(found.n_bags, -1)
        return (values - self.mean_) / self.spread_, torch.as_tensor(found.need("bags"))

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return targets of rows ``(n,)``, or ``(n, m)`` when y had several columns."""
        values = self.outputs(X) * self.spread_ + self.mean_
        return np.asarray(values[:, 0] if self.single_ else values)

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return bags of diabetes for the common checks."""
        return real_bags()
