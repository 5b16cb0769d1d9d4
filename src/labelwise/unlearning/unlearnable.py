"""Pictures that networks cannot learn from, whatever labels they get: unlearnable clusters (Zhang et al. 2023)."""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import TransformerMixin, clone
from sklearn.cluster import KMeans
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax

from labelwise.base import Card, Count, Fields, InputError, Method, Positive, Range
from labelwise.learner import Classifier, ClassLearner, Train
from labelwise.parts.ema import frozen

Pictures = NDArray[Any]


class NoiseMaker(nn.Module):
    """A small convolutional network that turns one fixed noise picture into a perturbation within ``[-bound, bound]``."""

    def __init__(self, shape: tuple[int, ...], bound: float, width: int = 16) -> None:
        super().__init__()
        self.bound = bound
        self.register_buffer("seed", torch.randn(1, *shape))
        self.layers = nn.Sequential(
            nn.Conv2d(shape[0], width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
            nn.Conv2d(width, shape[0], 3, padding=1),
        )  # fmt: skip

    def forward(self) -> Tensor:
        """Return the perturbation ``(1, c, h, w)``."""
        return self.bound * torch.tanh(self.layers(self.seed))


class UnlearnableClusters(TransformerMixin, Method, Fields):  # type: ignore[misc]
    """Protect pictures before release: one faint pattern a cluster, which whoever labels them learns instead of the content.

    Pictures are grouped by k-means in the representation ``f`` of a surrogate network. For each cluster k a generator makes
    one perturbation that carries all pictures towards the centre of the next cluster:
    ``KL(softmax(centre of k + 1) || softmax(f(x + noise_k)))``, mean over all pictures. Clusters are no one's labels, so the
    shortcut works for labels assigned later, too.

    Differs from the paper: the surrogate is a small network trained here on the clusters of the pixels, unless one is given,
    and the generator is a small one.

    Parameters
    ----------
    clusters
        Number of patterns, >= 2.
    bound
        No value moves by more than this share of full brightness, in (0, 1]; 16/255 in the paper, on pictures of 224 pixels.
    steps
        Optimiser steps of each generator, >= 1.
    lr
        Their learning rate, > 0.
    batch_size
        Pictures of a step, >= 1.
    surrogate
        A fitted `labelwise.learner.ClassLearner` of pictures whose network has ``features``; None trains one.
    train
        How to train the surrogate; None takes ``Train(epochs=10)``.
    random_state
        Seed.

    Attributes
    ----------
    patterns_ : float array of shape (clusters, h, w, c)
        Perturbations, in units of full brightness.
    centres_ : float array of shape (clusters, width)
    surrogate_
        The fitted surrogate.

    References
    ----------
    Zhang, Ma, Yi, Sang, Jiang, Wang, Xu: Unlearnable Clusters: Towards Label-agnostic Unlearnable Examples, CVPR 2023
    (paper 200).

    Examples
    --------
    >>> X = np.random.default_rng(0).random((60, 8, 8, 1))
    >>> protect = UnlearnableClusters(clusters=3, steps=5, train=Train(epochs=1), random_state=0)
    >>> protected = protect.fit_transform(X)
    >>> bool(np.abs(protected - X).max() <= protect.bound + 1e-6)
    True
    """

    clusters: Annotated[int, Range(low=2, whole=True)] = 10
    bound: Annotated[float, Range(0, 1, low_open=True)] = 16 / 255
    steps: Annotated[int, Count] = 100
    lr: Annotated[float, Positive] = 1e-2
    batch_size: Annotated[int, Count] = 64
    surrogate: ClassLearner | None = None
    train: Train | None = None
    random_state: int | np.random.RandomState | None = None

    card = Card(
        paper=200, year=2023, kind="estimator", handles=frozenset({"forgetting"}), supervision=frozenset(), task="any",
        reference="Zhang et al., Unlearnable Clusters, CVPR 2023.", needs=frozenset({"pictures"}), cost="heavy",
        apart="It changes pictures before they are released, and predicts nothing.",
    )  # fmt: skip

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Make the patterns for pictures like `X`.

        Parameters
        ----------
        X
            Pictures ``(n, h, w, c)``, bytes or floats in [0, 1]; at least one for each cluster.
        y
            Not used: whoever labels the pictures is not known.
        """
        self.check_fields()
        pictures = as_pictures(X)
        if len(pictures) < self.clusters:
            raise InputError(f"X has {len(pictures)} rows: {self.clusters} clusters need at least as many.")
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        self.surrogate_ = self._surrogate(pictures, seed)
        found = KMeans(self.clusters, n_init=3, random_state=seed).fit(self._features(pictures))
        self.centres_ = np.asarray(found.cluster_centers_)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.patterns_ = np.stack([self._pattern(k, pictures) for k in range(self.clusters)])
        return self

    def transform(self, X: ArrayLike) -> Pictures:
        """Return the pictures, each with the pattern of its cluster, in their own type."""
        check_is_fitted(self)
        pictures = as_pictures(X)
        if pictures.shape[1:] != self.patterns_.shape[1:]:
            raise InputError(
                f"X has pictures of shape {pictures.shape[1:]}, but {self.patterns_.shape[1:]} were fitted."
            )
        moved = pictures + self.patterns_[self.cluster_of(pictures)]
        if np.asarray(X).dtype == np.uint8:  # towards the picture, so that rounding stays within the bound
            change = np.trunc(255 * (moved.clip(0, 1) - pictures))
            return (np.asarray(X).astype(np.int16) + change.astype(np.int16)).astype(np.uint8)
        return moved.clip(0, 1)

    def cluster_of(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return the nearest centre of each picture ``(n,)``."""
        Z = self._features(as_pictures(X))
        return np.asarray(((Z[:, None] - self.centres_) ** 2).sum(2).argmin(1))

    def _surrogate(self, pictures: Pictures, seed: int) -> ClassLearner:
        if self.surrogate is not None:
            check_is_fitted(self.surrogate)
            return self.surrogate
        codes = KMeans(self.clusters, n_init=1, random_state=seed).fit_predict(pictures.reshape(len(pictures), -1))
        how = Train(epochs=10, progress=False) if self.train is None else clone(self.train)
        return Classifier(train=how, random_state=seed).fit(pictures, codes)

    def _features(self, pictures: Pictures) -> NDArray[np.float64]:
        return self.surrogate_.features(pictures)

    def _pattern(self, k: int, pictures: Pictures) -> NDArray[np.float32]:
        """Return the perturbation that carries pictures from cluster k, or any other, to the next one's centre."""
        x = torch.as_tensor(pictures.transpose(0, 3, 1, 2).copy())
        encoder: Any = frozen(self.surrogate_.net_.features)  # type: ignore[arg-type]
        target = torch.as_tensor(self.centres_[(k + 1) % self.clusters], dtype=torch.float32).softmax(0)
        maker = NoiseMaker(tuple(x.shape[1:]), self.bound)
        optimizer = torch.optim.Adam(maker.parameters(), lr=self.lr)
        for _ in range(self.steps):
            rows = torch.randint(len(x), (min(self.batch_size, len(x)),))
            reached = log_softmax(encoder((x[rows] + maker()).clamp(0, 1)), 1)
            loss = kl_div(reached, target.expand_as(reached), reduction="batchmean")
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            return np.asarray(maker()[0].permute(1, 2, 0).numpy())

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return digits as pictures for the common checks."""
        from sklearn.datasets import load_digits

        X, y = load_digits(return_X_y=True)
        pictures = (X / 16).astype(np.float32).reshape(-1, 8, 8, 1)
        return {
            "X": pictures[:200], "y": y[:200], "X_test": pictures[200:260], "y_test": y[200:260], "features": False,
            "fields": {"clusters": 3, "steps": 10, "train": Train(epochs=1, progress=False)},
        }  # fmt: skip


def checked_pictures(X: ArrayLike) -> Pictures:
    """Return X as an array of pictures: bytes, or floats in [0, 1]."""
    pictures = np.asarray(X)
    if pictures.ndim != 4 or not pictures.size:
        raise InputError(f"X must hold pictures of shape (n, h, w, c). Got shape {pictures.shape}.")
    if pictures.dtype == np.uint8:
        return pictures
    if pictures.dtype.kind not in "biuf":
        raise InputError(f"X must hold pictures of numbers. Got {pictures.dtype}.")
    pictures = pictures if pictures.dtype.kind == "f" else pictures.astype(np.float64)
    if not (np.isfinite(pictures).all() and pictures.min() >= 0 and pictures.max() <= 1):
        raise InputError("X must hold bytes, or finite floats in [0, 1]. Divide by 255, or pass uint8.")
    return pictures


def as_pictures(X: ArrayLike) -> NDArray[np.float32]:
    """Return pictures as floats in [0, 1]."""
    pictures = checked_pictures(X)
    return np.asarray(pictures / np.float32(255) if pictures.dtype == np.uint8 else pictures, dtype=np.float32)
