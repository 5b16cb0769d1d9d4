"""NSL: class vectors on a sphere, so that the mean direction of a few examples is one more class."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from labelwise.base import UNLABELED, Card, Count, InputError, Positive, Range
from labelwise.learner import MINI_BATCHES, ClassLearner
from labelwise.learner.open_set import OpenSet
from labelwise.supervision import encode_classes
from labelwise.training import Batch, Data, Train


class UnitHead(nn.Module):
    """Scaled cosines to class vectors of length 1: ``scale * cos(z, w_k)``, without a bias."""

    def __init__(self, inputs: int, outputs: int, scale: float) -> None:
        super().__init__()
        self.in_features, self.scale = inputs, scale
        self.weight = nn.Parameter(F.normalize(torch.randn(outputs, inputs), dim=1))

    def forward(self, z: Tensor) -> Tensor:
        """Return scores ``(b, outputs)`` of embeddings ``(b, inputs)``."""
        return self.scale * F.normalize(z, dim=1) @ F.normalize(self.weight, dim=1).T


class HypersphericalClassifier(OpenSet, ClassLearner):
    """Softmax of scaled cosines; classes are added later by the mean direction of a few examples, without training.

    ``loss = CE(scale * cos(z, w_k), y)``: embeddings have the fixed length `scale`, class vectors length 1, no bias. Only
    the angle is left, so a class vector and the direction of the class mean are interchangeable, and `add_classes` appends
    ``normalise(mean of scaled embeddings)``.

    Differs from the paper: the rejection. `outlier_score` compares the largest cosine with that of held-out rows of known
    classes; it is 0.5 where a share `rejection` of them lies below.

    Parameters
    ----------
    embedding
        Width of a linear layer after the network's features; None takes the features themselves.
    scale
        Length s of embeddings, > 0; 10 to 20 in the paper.
    held_out
        Share of the rows of each class kept from training for the rejection, in [0, 0.9]; 0 judges by training rows.
    rejection
        Share of known rows that `predict_open` refuses, in (0, 1).

    Attributes
    ----------
    classes_, all_classes_
        Classes of fit, and those with the ones added.
    directions_
        One vector of length 1 a class ``(K, width)``, in the order of ``all_classes_``.

    References
    ----------
    Hyperspherical embedding for novel class classification, 2021 (paper 65).

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from labelwise.learner import Train
    >>> X, y = load_iris(return_X_y=True)
    >>> model = HypersphericalClassifier(train=Train(epochs=20, batch_size=16), random_state=0).fit(X[50:], y[50:])
    >>> model.add_classes(X[:5], y[:5]).all_classes_
    array([1, 2, 0])
    >>> float((model.predict(X[5:50]) == 0).mean())
    1.0
    """

    embedding: Annotated[int, Count] | None = 60
    scale: Annotated[float, Positive] = 20.0
    held_out: Annotated[float, Range(low=0, high=0.9)] = 0.2
    rejection: Annotated[float, Range(low=0, high=1, low_open=True, high_open=True)] = 0.05

    card = Card(
        paper=65, year=2021, kind="learner", handles=frozenset({"unseen classes", "open set"}), cost="light",
        reference="Hyperspherical embedding for novel class classification, 2021.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
        race=True,
    )  # fmt: skip
    tune = {"scale": [10.0, 20.0], "train": [Train(lr=lr, epochs=30) for lr in (1e-3, 3e-3)]}

    def build(self, data: Data) -> None:
        """Make the network, with a linear embedding and a head of cosines."""
        super().build(data)
        net: Any = self.net_
        if not isinstance(getattr(net, "features", None), nn.Module):
            raise InputError(f"net: {type(net).__name__} has no `features` module, whose output is the embedding.")
        width = self._forward(data.x[:1], net.features).shape[1]
        if self.embedding is not None:
            net.features = nn.Sequential(net.features, nn.Linear(width, self.embedding))
            width = self.embedding
        net.head = UnitHead(width, self.n_outputs_, self.scale)

    def start(self, data: Data) -> None:
        """Keep rows of every class from training, for the rejection."""
        rng, y = np.random.default_rng(self.seed_), np.where(data.labelled.cpu(), data.y.cpu(), UNLABELED)
        parts = [rng.permutation(np.flatnonzero(y == c)) for c in range(self.n_outputs_)]
        held = np.concatenate([part[: int(self.held_out * len(part))] for part in parts])
        self._calibration = data.x[torch.as_tensor(held if len(held) else np.flatnonzero(y != UNLABELED))]
        data.labelled = data.labelled.clone()
        data.labelled[torch.as_tensor(held)] = False

    def loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of scaled cosines."""
        value = F.cross_entropy(self.net_(batch.x), batch.y, reduction="none")
        return (
            value.mean() if batch.weight is None else (batch.weight * value).sum() / batch.weight.sum().clamp_min(1e-12)
        )

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Train on the labelled rows of `X`; see `Learner.fit`. Classes added before are forgotten."""
        super().fit(X, y, sample_weight, domains)
        net: Any = self.net_
        weight = net.head.weight.detach().double()
        self.all_classes_, self.directions_ = self.classes_, F.normalize(weight, dim=1).numpy()
        known = self._unit(self._calibration.cpu()) @ self.directions_.T
        self.known_cosines_ = np.sort(known.max(1))
        del self._calibration
        return self

    def add_classes(self, X: Any, y: ArrayLike) -> Self:
        """Add classes by the mean direction of their rows, without any optimisation; return self.

        Parameters
        ----------
        X
            At least one row of every new class.
        y
            Their classes ``(n,)``, none of which is known yet.

        Raises
        ------
        InputError
            When a class is known, a row has no class, or the kind of labels differs from that of fit.
        """
        check_is_fitted(self, "directions_")
        names, codes = encode_classes(y, least=1)
        if (codes == UNLABELED).any():
            raise InputError(
                f"y: row {int((codes == UNLABELED).argmax())} has no class; every row must name a new one."
            )
        if (names.dtype.kind == "U") != (self.classes_.dtype.kind == "U"):
            raise InputError(f"y must use labels like {self.classes_[0]!r} of fit. Got {names[0]!r}.")
        if np.isin(names, self.all_classes_).any():
            raise InputError(f"y: class {names[np.isin(names, self.all_classes_)][0]!r} is known already.")
        z = self.embed(X)
        if len(z) != len(codes):
            raise InputError(f"X has {len(z)} rows but y has {len(codes)}: give one class per row.")
        means = np.stack([z[codes == code].mean(0) for code in range(len(names))])
        self.directions_ = np.concatenate([self.directions_, _normalised(means)])
        self.all_classes_ = np.concatenate([self.all_classes_, names])
        return self

    def embed(self, X: Any) -> NDArray[np.float64]:
        """Return embeddings of length 1, shape ``(n, width)``."""
        check_is_fitted(self)
        return self._unit(torch.as_tensor(self.inputs_.transform(X)))

    def cosines(self, X: Any) -> NDArray[np.float64]:
        """Return cosines to all class vectors ``(n, K)``, columns as ``all_classes_``."""
        return np.asarray(self.embed(X) @ self.directions_.T)

    def predict(self, X: Any, among: Literal["all", "known", "added"] = "all") -> NDArray[Any]:
        """Return the class of the nearest vector, shape ``(n,)``.

        Parameters
        ----------
        X
            Rows like those of fit.
        among
            ``all`` classes (the joint scenario), those of fit, or those ``added`` (the disjoint scenario).
        """
        cosine, n_known = self.cosines(X), len(self.classes_)
        if among not in ("all", "known", "added"):
            raise InputError(f"among must be 'all', 'known' or 'added'. Got {among!r}.")
        first, last = {"all": (0, None), "known": (0, n_known), "added": (n_known, None)}[among]
        if among == "added" and cosine.shape[1] == n_known:
            raise InputError("among='added', but no class was added: call add_classes first.")
        best = cosine[:, first:last].argmax(1)
        return np.asarray(self.all_classes_[first:last][best])

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return scaled cosines ``(n, K)``, columns as ``all_classes_``; for two classes the difference ``(n,)``."""
        scores = self.scale * self.cosines(X)
        return np.asarray(scores[:, 1] - scores[:, 0]) if scores.shape[1] == 2 else scores

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the softmax of scaled cosines ``(n, K)``, columns as ``all_classes_``."""
        return np.asarray(softmax(self.scale * self.cosines(X), axis=1))

    def outlier_score(self, X: Any) -> NDArray[np.float64]:
        """Return how surely each row is of no class, ``(n,)`` in [0, 1]: 0.5 where a share `rejection` of known rows is."""
        best = self.cosines(X).max(1)
        below = np.searchsorted(self.known_cosines_, best, side="right") / len(self.known_cosines_)
        refused = 1 - below / (2 * self.rejection)
        return np.asarray(np.where(below <= self.rejection, refused, 0.5 * (1 - below) / (1 - self.rejection)))

    @torch.no_grad()
    def _unit(self, x: Tensor) -> NDArray[np.float64]:
        return _normalised(self._forward(x, self.net_.features).double().numpy())


def _normalised(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(length > 0, length, 1))
