"""Detect rare visual bugs from a handful of labels: bugs are made by pasting objects, and learnt from first (2023)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, interpolate

from labelwise.base import UNLABELED, Card, Count, InputError, NonNegative, Range
from labelwise.batch import Batch, Data, Phase, shuffled
from labelwise.inputs import single_precision
from labelwise.learner.template import ClassLearner
from labelwise.weak.pasting import Objects, Pasted, objects_of, paste, plausible, segment_objects

Open = Range(low=0, high=1, low_open=True, high_open=True)


class VisualBugDetector(ClassLearner):
    """Tell frames in which objects run into each other, from few labels and many frames in which bugs are pasted.

    Objects are cut out by masks: given ones, or connected regions that stand out, sorted by clusters of their looks. Each is
    pasted into another frame, half of the time so that it clips an object there (bug), else where it stands free (none).
    ``L = CE(labels) + weight * (CE(pasted) + pixel_weight * BCE(clipped pixels))``, the second part first (``pretrain``),
    together with the first (``joint``), or alone (``self``, for which a few frames without bugs are enough).

    Differs from the paper, of which only the abstract was at hand: how bugs are synthesised and both objectives are our
    reading; connected regions stand in for the large segmenter.

    Parameters
    ----------
    schedule
        ``pretrain``, ``joint`` or ``self``, as above.
    weight
        Of the pasted frames in ``joint``, >= 0.
    pixel_weight
        Of the objective for every pixel, >= 0; above 0 `net` must end in a global pooling, as ``conv`` does.
    n_pasted
        Frames to paste, >= 10.
    paste_epochs
        Epochs over them, in ``pretrain`` and ``self``.
    prevalence
        Share of frames with a bug where the model will be used, in (0, 1): after ``self`` it replaces the half of pasted
        frames that have one. None leaves probabilities as they are.

    References
    ----------
    Rahman, Weak Supervision for Label Efficient Visual Bug Detection, BMVC 2023 (paper 175).

    Examples
    --------
    >>> from labelwise.data.synthetic import shape_scenes
    >>> frames = shape_scenes(60, 16, prevalence=0.0, random_state=0)
    >>> model = VisualBugDetector(schedule="self", n_pasted=100, paste_epochs=2, random_state=0)
    >>> model.fit(frames.X, frames.y, masks=frames.masks).predict_proba(frames.X).shape
    (60, 2)
    """

    schedule: Literal["pretrain", "joint", "self"] = "pretrain"
    weight: Annotated[float, NonNegative] = 1.0
    pixel_weight: Annotated[float, NonNegative] = 1.0
    n_pasted: Annotated[int, Range(low=10, whole=True)] = 2000
    paste_epochs: Annotated[int, Count] = 10
    prevalence: Annotated[float, Open] | None = None

    card = Card(
        paper=175, year=2023, kind="learner", handles=frozenset({"few labels", "imbalance"}),
        supervision=frozenset({"classes"}), needs=frozenset({"pictures"}), cost="heavy",
        reference="Rahman, Weak Supervision for Label Efficient Visual Bug Detection, BMVC 2023.",
        apart="It pastes objects of pictures into each other; rows of a table hold no objects.",
    )  # fmt: skip
    tune = {"schedule": ["pretrain", "joint"], "pixel_weight": [0.0, 1.0], "paste_epochs": [5, 10]}

    def fit(self, X: Any, y: ArrayLike, masks: ArrayLike | Objects | None = None) -> Self:  # type: ignore[override]
        """Train on frames.

        Parameters
        ----------
        X
            Frames ``(n, h, w, c)``, uint8 or floats in [0, 1]; those without a label are used to paste.
        y
            1 bug, 0 none, -1 unknown, ``(n,)``. Objects are taken from frames that are not known to have a bug.
        masks
            Objects of each frame, bool ``(n, k, h, w)``, or the `Objects` that your own labelling function leaves of
            them (`labelwise.weak.pasting.segment_objects`, `Objects.take`); None finds and sorts them.
        """
        pictures = np.asarray(X)
        self.check_fields()
        if pictures.ndim != 4:
            raise InputError(f"X must be pictures (n, h, w, c). Got shape {pictures.shape}.")
        if pictures.dtype.kind in "OUSc":
            pictures = single_precision(pictures)
        codes, _, _ = self.read_targets(y)
        if len(codes) != len(pictures):
            raise InputError(f"X has {len(pictures)} frames but y has {len(codes)} entries: give one a frame.")
        usable = np.flatnonzero(codes != 1)
        if not len(usable):
            raise InputError("y says that every frame has a bug: objects are pasted into frames without one.")
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        objects = self._objects(pictures, masks)
        objects = objects.take(np.isin(objects.frame, usable))
        objects = Objects(np.searchsorted(usable, objects.frame), objects.mask)
        self._pasted = paste(pictures[usable], objects, self.n_pasted, rng)
        try:
            return super().fit(X, codes)
        finally:
            del self._pasted

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Check that labels are 1, 0 or -1, and that those a schedule needs are there."""
        codes = np.asarray(y)
        if codes.ndim != 1 or codes.dtype.kind not in "iub" or not np.isin(codes, (-1, 0, 1)).all():
            raise InputError("y must hold 1 (bug), 0 (none) or -1 (unknown), one number a frame, shape (n,).")
        self.classes_ = np.array([0, 1])
        if self.schedule != "self" and len(np.unique(codes[codes != UNLABELED])) < 2:
            raise InputError(
                f"y needs frames of both classes, with a bug and without, for schedule={self.schedule!r}. With frames "
                "without a bug alone use schedule='self'."
            )
        return codes.astype(np.int64), codes != UNLABELED, 2

    def _objects(self, pictures: NDArray[Any], masks: Any) -> Objects:
        if isinstance(masks, Objects):
            return masks
        if masks is None:
            return plausible(segment_objects(pictures), pictures)
        if len(masks) != len(pictures):
            raise InputError(f"masks has {len(masks)} frames but X has {len(pictures)}.")
        return objects_of(masks)

    def start(self, data: Data) -> None:
        """Make the output layer for pixels, and hand the pasted frames to the device."""
        if self.pixel_weight > 0:
            with torch.no_grad():
                width = deepcopy(self._grid()).eval()(data.batch(torch.arange(1, device=data.x.device)).x).shape[1]
            self.pixels_ = nn.Conv2d(int(width), 1, 1)

    def phases(self) -> list[Phase]:
        """Return the stages of the schedule."""
        drawn, pixels = self._pasted_data()
        parts = [self.net_, *([self.pixels_] if self.pixel_weight > 0 else [])]
        size = self.train_.batch_size
        steps = -(-len(drawn) // size)

        def made(rows: Tensor) -> Batch:
            batch = drawn.batch(rows)
            batch.domain = pixels[rows]
            return batch

        def alone(data: Data, generator: torch.Generator) -> Iterator[Batch]:
            for rows in shuffled(torch.arange(len(drawn)), size, generator, data.shard):
                yield made(rows)

        def together(data: Data, generator: torch.Generator) -> Iterator[Batch]:
            labelled = data.labelled.nonzero().squeeze(1)
            for rows in shuffled(torch.arange(len(drawn)), size, generator, data.shard):
                picked = labelled[torch.randint(len(labelled), (size,), generator=generator).to(labelled.device)]
                yield data.batch(picked, unlabelled=made(rows))

        if self.schedule == "joint":
            return [Phase(self.joint, parts, self.train_.epochs, batches=together, steps=steps)]
        first = Phase(self.pasted, parts, self.paste_epochs, batches=alone, steps=steps)
        return [first] if self.schedule == "self" else [first, Phase(self.loss, [self.net_], self.train_.epochs)]

    def loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of labelled frames, views of which are drawn."""
        return cross_entropy(self.net_(batch.weak), batch.y)

    def pasted(self, batch: Batch) -> dict[str, Tensor]:
        """Return the objective of pasted frames: whether one clips, and where."""
        if self.pixel_weight == 0:
            return {"pasted": cross_entropy(self.net_(batch.x), batch.y)}
        assert batch.domain is not None
        grid = self._grid()(batch.x)
        scores = self.net_.head(grid.mean((2, 3)))  # type: ignore[operator]
        where = interpolate(self.pixels_(grid), batch.x.shape[2:], mode="bilinear", align_corners=False)[:, 0]
        pixels = binary_cross_entropy_with_logits(where, batch.domain.float())
        return {"pasted": cross_entropy(scores, batch.y), "pixels": self.pixel_weight * pixels}

    def joint(self, batch: Batch) -> dict[str, Tensor]:
        """Return both objectives."""
        made = {name: self.weight * part for name, part in self.pasted(batch.unlabelled).items()}
        return {"labels": self.loss(batch), **made}

    def outputs(self, X: Any) -> NDArray[np.float64]:
        """Return raw scores ``(n, 2)``, moved to the stated prevalence where only pasted frames were learnt."""
        scores = super().outputs(X)
        if self.schedule == "self" and self.prevalence is not None:
            share = self.pasted_share_
            odds = np.log(self.prevalence / (1 - self.prevalence)) - np.log(share / (1 - share))
            scores[:, 1] += odds
        return scores

    def _grid(self) -> nn.Module:
        """Return the part of the network before its global pooling."""
        features = getattr(self.net_, "features", None)
        layers = list(features) if isinstance(features, nn.Sequential) else []
        if (
            len(layers) < 3
            or not isinstance(layers[-2], nn.AdaptiveAvgPool2d)
            or not isinstance(layers[-1], nn.Flatten)
        ):
            raise InputError(
                f"net: {type(self.net_).__name__} has no grid of pixels before a global pooling. Use net='conv', or "
                "pixel_weight=0."
            )
        return nn.Sequential(*layers[:-2])

    def _pasted_data(self) -> tuple[Data, Tensor]:
        made: Pasted = self._pasted
        if len(np.unique(made.y)) < 2:
            raise InputError(
                "masks: the objects could not be pasted both clear of others and into them. Check the masks."
            )
        self.pasted_share_ = float(made.y.mean())
        device = next(self.net_.parameters()).device
        x = torch.as_tensor(np.ascontiguousarray(made.X.transpose(0, 3, 1, 2)))
        x = x if x.dtype == torch.uint8 else x.float()
        y = torch.as_tensor(made.y)
        drawn = Data(x, y, torch.ones(len(y), dtype=torch.bool)).to(device)
        return drawn, torch.as_tensor(made.pixels).to(device)

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return what the common checks fit: frames of shapes, two in five with a bug."""
        from labelwise.data.synthetic import shape_scenes

        drawn = shape_scenes(160, 16, prevalence=0.4, random_state=0)
        y = np.where(np.arange(100) % 2 == 0, drawn.y[:100], -1)
        return {
            "X": drawn.X[:100], "y": y, "X_test": drawn.X[100:], "y_test": drawn.y[100:], "features": False,
            "fit": {"masks": drawn.masks[:100]}, "fields": {"n_pasted": 300, "paste_epochs": 6}, "floor": 0.55,
        }  # fmt: skip
