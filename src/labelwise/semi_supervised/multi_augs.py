"""Consistency over several augmentation paths for keypoints (MultiAugs, Zhou et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from torch import Tensor, nn

from labelwise.base import Card, Count, Fraction, InputError, NonNegative, Positive, Range
from labelwise.learner import Learner
from labelwise.learner.template import own_network
from labelwise.parts.interval import spread
from labelwise.semi_supervised.heatmaps import STRONG, decode, encode, strong, turns, warp
from labelwise.supervision.beside import moderate, real_values
from labelwise.training import Batch, Data, Phase, Train, endless, shuffled


class HeatmapNet(nn.Module):
    """A small convolutional network from pictures ``(b, c, h, w)`` to heatmaps ``(b, joints, *size)``."""

    def __init__(self, channels: int, joints: int, size: tuple[int, int], width: int = 16) -> None:
        super().__init__()
        self.config = {"channels": channels, "joints": joints, "size": tuple(size), "width": width}
        self.size = tuple(size)
        steps = [(channels, 2, 1), (width, 1, 1), (width, 1, 2), (width, 1, 4), (width, 1, 1)]  # dilation: see the body
        layers: list[nn.Module] = []
        for inputs, stride, reach in steps:
            layers += [
                nn.Conv2d(inputs, width, 3, stride=stride, padding=reach, dilation=reach, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
        self.features = nn.Sequential(*layers)
        self.head = nn.Conv2d(width, joints, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return heatmaps."""
        maps: Tensor = self.head(self.features(x))
        return maps if maps.shape[-2:] == self.size else nn.functional.interpolate(maps, self.size, mode="bilinear")


class MultiPathConsistency(RegressorMixin, Learner):  # type: ignore[misc]
    """Several strongly augmented copies of a picture must give the heatmap that the plain picture gives, moved alike.

    ``loss = MSE(f(x), H) + weight * mean_k MSE(f(A(T_k(u))), A(sg f(u)))`` with one network, strong augmentations ``T_k``
    (`paths`) that hide or cover predicted joints, and one affine map A for all copies of a picture and its heatmap.

    Differs from the paper: a small network and maps of half the picture's height; a first stage on labels alone, since
    heatmaps that are zero everywhere agree with each other; strong copies are drawn anew for every picture.

    Parameters
    ----------
    paths
        Names of augmentations, of `labelwise.semi_supervised.heatmaps.STRONG`, one path each; ``+`` applies several. The
        default holds the two best pairs of the paper.
    weight
        Of the consistency part, >= 0.
    weak_turn, strong_turn
        Largest rotation in degrees of the plain picture and of its copies.
    width
        Standard deviation of a joint's heatmap in cells, > 0; for targets that are keypoints.
    labels_first
        Share of the epochs spent on labels alone first.
    ratio
        Unlabelled rows per labelled row in a step, >= 1.

    References
    ----------
    Zhou, Luo, Chen, Lu et al., Boosting Semi-Supervised 2D Human Pose Estimation by Revisiting Data Augmentation and
    Consistency Training, 2024 (paper 144).

    Examples
    --------
    >>> from labelwise.data.synthetic import stick_figures
    >>> figures = stick_figures(60, size=16, random_state=0)
    >>> y = figures.joints.copy()
    >>> y[30:] = np.nan  # unlabelled
    >>> model = MultiPathConsistency(train=Train(epochs=2), random_state=0).fit(figures.images, y)
    >>> model.predict(figures.images).shape, model.heatmaps(figures.images).shape
    ((60, 4, 2), (60, 4, 8, 8))
    """

    paths: Sequence[str] = ("cut-occlude+cutout", "joint-cutout+cutmix")
    weight: Annotated[float, NonNegative] = 1.0
    weak_turn: Annotated[float, Range(0, 180)] = 30.0
    strong_turn: Annotated[float, Range(0, 180)] = 60.0
    width: Annotated[float, Positive] = 1.0
    labels_first: Annotated[float, Fraction] = 0.3
    ratio: Annotated[int, Count] = 4

    card = Card(
        paper=144, year=2024, kind="learner", handles=frozenset({"few labels", "missing labels"}), cost="heavy",
        supervision=frozenset({"real"}), task="regression", needs=frozenset({"pictures"}),
        reference="Zhou et al., MultiAugs, 2024.",
        apart="Its targets are places in a picture, which a race cannot tell from other numbers.",
    )  # fmt: skip
    tune = {"weight": [0.3, 1.0, 3.0], "train": [Train(lr=lr, epochs=60, batch_size=32) for lr in (2e-3, 5e-3)]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return what the checks fit the method on: stick figures, a third of them labelled."""
        from labelwise.data.synthetic import stick_figures

        figures = stick_figures(150, size=16, clutter=0, random_state=0)
        y = figures.joints.copy()
        y[30:90] = np.nan
        return {
            "X": figures.images[:90], "y": y[:90], "X_test": figures.images[90:], "y_test": figures.joints[90:],
            "score": lambda model, X, y: float(model.score(X, y)), "floor": 0.25, "features": False,
        }  # fmt: skip

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Turn keypoints ``(n, J, 2)`` into heatmaps; heatmaps ``(n, J, h, w)`` are taken as they are, NaN is unknown."""
        if self.inputs_.modality != "images":
            raise InputError(f"X holds {self.inputs_.modality}; keypoints are found in images (n, h, w, c).")
        for name in self.paths:
            if wrong := sorted(set(name.split("+")) - STRONG.keys()):
                raise InputError(
                    f"paths: there is no augmentation {wrong[0]!r}. Use {sorted(STRONG)}, or several with +."
                )
        values = moderate(real_values(y), most=1e18).astype(np.float32)
        self.keypoints_ = values.ndim == 3 and values.shape[2] == 2
        if not self.keypoints_ and values.ndim != 4:
            raise InputError(
                f"y must hold keypoints (n, J, 2) or heatmaps (n, J, h, w). Got shape {values.shape}: give one row of "
                "joints a picture, NaN where it is unlabelled."
            )
        if np.isinf(values).any():
            row = int(np.isinf(values.reshape(len(values), -1)).any(1).argmax())
            raise InputError(f"Input y contains infinity, first in row {row}. Use NaN where a joint is unknown.")
        finite: NDArray[np.bool_] = np.isfinite(values.reshape(*values.shape[:2], -1))
        known = np.asarray(finite.all(axis=2)).any(axis=1)
        if not known.any():
            raise InputError("Input y contains NaN in every row: all labels are missing. At least one joint is needed.")
        self.picture_: tuple[int, int] = tuple(self.inputs_.shape[-2:])  # type: ignore[assignment]
        height, width = self.picture_
        self.size_ = (math.ceil(height / 2), math.ceil(width / 2)) if self.keypoints_ else values.shape[2:]
        maps = (
            encode(torch.as_tensor(values), self.picture_, self.size_, self.width).numpy()
            if self.keypoints_
            else values
        )
        return maps, np.asarray(known), values.shape[1]

    def build(self, data: Data) -> None:
        """Make a network of heatmaps, or copy the user's."""
        if isinstance(self.net, nn.Module):
            self.net_ = own_network(self.net, data, (self.n_outputs_, *self.size_))
        elif self.net in ("auto", "conv"):
            self.net_ = HeatmapNet(data.x.shape[1], self.n_outputs_, self.size_)
        else:
            raise InputError(f"net={self.net!r} gives no heatmaps. Use 'auto', or an nn.Module of your own.")

    def phases(self) -> list[Phase]:
        """Return the stage on labels, then the one on both."""
        first = min(round(self.labels_first * self.train_.epochs), self.train_.epochs - 1)
        both = Phase(self.loss, [self.net_], self.train_.epochs - first)
        return [Phase(self.supervised, [self.net_], first), both] if first else [both]

    def steps(self, data: Data) -> int:
        """Return the number of batches in an epoch: one pass of the pool."""
        return math.ceil(len(data) / (self._labelled_size(data) * self.ratio))

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield labelled batches, repeated as needed, each beside a part of one pass of all rows."""
        size = self._labelled_size(data)
        labelled = endless(data.labelled.nonzero().squeeze(1), size, generator, data.shard)
        for rows in shuffled(torch.arange(len(data), device=data.x.device), size * self.ratio, generator, data.shard):
            yield data.batch(next(labelled), unlabelled=data.batch(rows))

    def supervised(self, batch: Batch) -> Tensor:
        """Return the mean squared error of the known joints' heatmaps, pictures turned at random."""
        affine = turns(len(batch), self.weak_turn, batch.x.device)
        known = batch.y.isfinite().all((2, 3), keepdim=True)
        error = (self.net_(warp(batch.x, affine)) - warp(batch.y.nan_to_num(), affine)) ** 2
        weight = known if batch.weight is None else known * batch.weight[:, None, None, None]
        loss: Tensor = (weight * error).sum() / weight.expand_as(error).sum().clamp_min(1e-12)
        return loss

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the two parts; the paths are run one after the other."""
        pool = batch.unlabelled.x
        seen = warp(pool, turns(len(pool), self.weak_turn, pool.device))
        with torch.no_grad():
            maps = self.net_(seen)
            joints = decode(maps, self.picture_)
        affine = turns(len(pool), self.strong_turn, pool.device)
        target = warp(maps, affine)
        copies = (warp(strong(name)(seen, joints), affine) for name in self.paths)
        errors = [nn.functional.mse_loss(self.net_(copy), target) for copy in copies]
        agreement = torch.stack(errors).mean() if errors else maps.new_zeros(())
        return {"supervised": self.supervised(batch), "consistency": self.weight * agreement}

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Return minus the mean squared error of the known joints' heatmaps."""
        known = y.isfinite()
        return -float(((scores - y.nan_to_num()) ** 2)[known].mean())

    def heatmaps(self, X: Any) -> NDArray[np.float64]:
        """Return heatmaps ``(n, J, h, w)``."""
        return self.outputs(X)

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return keypoints ``(n, J, 2)``, column and row in pixels; heatmaps where y held heatmaps."""
        maps = self.heatmaps(X)
        return decode(torch.as_tensor(maps), self.picture_).numpy() if self.keypoints_ else maps

    def score(self, X: Any, y: ArrayLike, reach: float = 0.1) -> float:
        """Return the share of known joints found within `reach` of the picture's larger side (PCK)."""
        return float(np.nanmean(self.found(X, y, reach)))

    def found(self, X: Any, y: ArrayLike, reach: float = 0.1) -> NDArray[np.float64]:
        """Return 1 for joints ``(n, J)`` within `reach` of the larger side, 0 for others, NaN for unknown ones."""
        truth = np.asarray(y, dtype=np.float64)
        if truth.ndim == 4:
            truth = decode(torch.as_tensor(truth), self.picture_).numpy()
        joints = decode(torch.as_tensor(self.heatmaps(X)), self.picture_).numpy()
        distance = np.linalg.norm(joints - truth, axis=2)
        return np.where(np.isfinite(distance), distance <= reach * max(self.picture_), np.nan)

    def _labelled_size(self, data: Data) -> int:
        return min(self.train_.batch_size, int(data.labelled.sum()))


def augmentation_strength(
    model: MultiPathConsistency, X: Any, joints: ArrayLike, names: Sequence[str] = tuple(STRONG), *, repeats: int = 3,
    random_state: int | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Rank augmentations by the accuracy that a trained model loses on augmented pictures: the harder, the better a path.

    Parameters
    ----------
    model
        A fitted `MultiPathConsistency`, best one trained without the augmentations (``weight=0``).
    X, joints
        Labelled pictures it was not trained on, and their keypoints ``(n, J, 2)``.
    names
        Augmentations, or several joined by ``+``.
    repeats
        How often each picture is augmented, >= 1.
    random_state
        Seed.

    Returns
    -------
    pandas.DataFrame
        ``augmentation``, ``accuracy`` (PCK), and ``lost`` with its 90 % interval ``low`` to ``high`` over pictures, the
        strongest first.
    """
    rng = np.random.default_rng(random_state)
    pictures = torch.as_tensor(model.inputs_.transform(X))
    pictures = pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures
    truth = np.asarray(joints, dtype=np.float64)
    plain = np.nanmean(model.found(X, truth), axis=1)
    rows = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(2**31)))
        for name in names:
            kept = np.mean([_kept(model, pictures, truth, name) for _ in range(repeats)], axis=0)
            draws = rng.integers(len(plain), size=(200, len(plain)))
            lost = spread(float((plain - kept).mean()), (plain - kept)[draws].mean(1))
            rows.append((name, float(kept.mean()), lost.value, lost.low, lost.high))
    table = pd.DataFrame(rows, columns=["augmentation", "accuracy", "lost", "low", "high"])
    return table.sort_values("lost", ascending=False, ignore_index=True)


def _kept(model: MultiPathConsistency, pictures: Tensor, truth: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    changed = strong(name)(pictures, torch.as_tensor(truth, dtype=torch.float32))
    return np.asarray(np.nanmean(model.found(changed.permute(0, 2, 3, 1).numpy(), truth), axis=1))
