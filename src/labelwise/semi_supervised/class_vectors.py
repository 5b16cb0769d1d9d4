"""What methods on frozen features and class vectors share: reading both, and the two-tower network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from labelwise.base import UNLABELED, InputError
from labelwise.learner import SemiSupervised
from labelwise.nets.two_towers import TwoTowers
from labelwise.supervision import encode_classes
from labelwise.training import Data

LOGIT_SCALE = 100.0
"""Factor of the cosines, as learnt by CLIP."""


class ClassVectors(SemiSupervised):
    """Base of methods that score frozen features by their angle to one vector a class, as CLIP does.

    Parameters
    ----------
    class_vectors
        A vector for every class, in the space of the features: a mapping from class to vector, or an array (K, d) whose
        rows belong to the classes 0 .. K-1 (or to the K labels of y in their order). With them no label is needed: `y`
        may be -1 throughout. None takes the means of the labelled rows.
    """

    class_vectors: Any = None

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Encode labels by the class vectors' classes where there are some."""
        if self.class_vectors is None:
            return super().read_targets(y)
        self.classes_, codes = _codes(y, self.class_vectors)
        return codes, codes != UNLABELED, len(self.classes_)

    def change(self, width: int) -> nn.Module:
        """Return the module that changes features."""
        return nn.Identity()

    def own_offsets(self) -> bool:
        """Whether every class vector has an offset of its own."""
        return True

    def _labelled_size(self, data: Data) -> int:
        return super()._labelled_size(data) or self.train_.batch_size

    def towers(self) -> TwoTowers:
        """Return the network as what it is."""
        return cast(TwoTowers, self.net_)

    def build(self, data: Data) -> None:
        """Make the two towers: in the features' own space with class vectors, in that of standardised rows without."""
        if self.inputs_.modality != "vectors" or not isinstance(self.net, str):
            raise InputError(
                f"X: {type(self).__name__} takes features (n, d) and no network. Got {self.inputs_.modality}."
            )
        width = data.x.shape[1]
        scale, center = torch.ones(width), torch.zeros(width)
        if self.class_vectors is None:
            vectors = torch.stack([_mean(data, data.y == code) for code in range(self.n_outputs_)])
        else:
            vectors = _vectors(self.class_vectors, width)
            scale, center = (torch.as_tensor(np.asarray(a).ravel()) for a in (self.inputs_.scale, self.inputs_.center))
        self.net_ = TwoTowers(vectors, scale, center, self.change(width), LOGIT_SCALE, self.own_offsets())


def _mean(data: Data, rows: Tensor) -> Tensor:
    """Return the weighted mean of some rows."""
    if data.weight is None:
        return data.x[rows].mean(0)
    weight = data.weight[rows, None]
    return (weight * data.x[rows]).sum(0) / weight.sum().clamp_min(1e-12)


def _vectors(given: Any, width: int) -> Tensor:
    """Return class vectors (K, d), checked; a mapping's in the order of its sorted keys."""
    rows = [given[key] for key in sorted(given)] if isinstance(given, Mapping) else given
    try:
        vectors = np.asarray(rows, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"class_vectors must be numbers of shape (K, {width}), one row a class. {error}") from None
    if vectors.ndim != 2 or vectors.shape[1] != width or len(vectors) < 2:
        raise InputError(
            f"class_vectors must have shape (K, {width}), K >= 2: one vector a class, with the columns of X. "
            f"Got shape {vectors.shape}."
        )
    bad = ~np.isfinite(vectors).all(1) | (np.abs(vectors).sum(1) == 0)
    if bad.any():
        raise InputError(f"class_vectors must be finite and not zero. Row {int(bad.argmax())} is not.")
    return torch.as_tensor(vectors)


def _codes(y: ArrayLike, given: Any) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the classes of the class vectors and every label's place among them."""
    count = len(given)
    labels = np.asarray(y)
    numbered = labels.ndim == 1 and labels.dtype.kind in "iu"
    if isinstance(given, Mapping):
        classes = np.asarray(sorted(given))
    elif numbered and labels.max(initial=0) < count:
        classes = np.arange(count)
    else:
        classes = encode_classes(y, least=0)[0]
        if len(classes) != count:
            raise InputError(
                f"class_vectors has {count} rows, but y has {len(classes)} classes {classes.tolist()[:10]}: pass codes "
                f"0 .. {count - 1}, or a mapping from class to vector."
            )
    if numbered:
        place = np.searchsorted(classes, labels).clip(0, count - 1)
        unknown = (labels != UNLABELED) & (classes[place] != labels)
        codes = np.where(labels == UNLABELED, UNLABELED, place)
    else:
        names, found = encode_classes(y, least=0)
        place = np.searchsorted(classes, names).clip(0, count - 1) if len(names) else np.zeros(1, dtype=np.int64)
        known = classes[place[found]] == names[found] if len(names) else np.ones(len(found), dtype=bool)
        unknown = (found != UNLABELED) & ~known
        codes = np.where(found == UNLABELED, UNLABELED, place[found])
    if unknown.any():
        row = int(unknown.argmax())
        raise InputError(f"y has the class {labels[row]!r} in row {row}, for which class_vectors has no vector.")
    return classes, codes.astype(np.int64)
