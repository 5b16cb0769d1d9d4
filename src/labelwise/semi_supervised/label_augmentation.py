"""Self-supervised label augmentation (Lee, Hwang and Shin 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax

from labelwise.base import Card, InputError, NonNegative, Positive, Range
from labelwise.learner import MINI_BATCHES, ClassLearner, row_mean
from labelwise.semi_supervised.stages import trunk
from labelwise.training import Batch, Data, Phase, Train


class Turn(nn.Module):
    """Turn pictures ``(b, c, h, w)`` by `quarters` of a full circle; a square is needed unless that is even."""

    def __init__(self, quarters: int) -> None:
        super().__init__()
        self.quarters = quarters

    def forward(self, x: Tensor) -> Tensor:
        """Return turned pictures."""
        return x.rot90(self.quarters, (2, 3))


class Mirror(nn.Module):
    """Reverse one dimension: pictures left to right (3) or upside down (2), series in time (2)."""

    def __init__(self, dimension: int) -> None:
        super().__init__()
        self.dimension = dimension

    def forward(self, x: Tensor) -> Tensor:
        """Return mirrored rows."""
        return x.flip(self.dimension)


class SegmentSwap(nn.Module):
    """Exchange the first and the second half of series ``(b, channels, time)``; of an odd length, the last step moves on."""

    def forward(self, x: Tensor) -> Tensor:
        """Return series that start in the middle."""
        return x.roll(x.shape[2] // 2, 2)


class Permute(nn.Module):
    """Put the features of vectors ``(b, d)`` into another, fixed order."""

    order: Tensor

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        self.register_buffer("order", order)

    def forward(self, x: Tensor) -> Tensor:
        """Return permuted vectors."""
        return x[:, self.order]


class Signs(nn.Module):
    """Turn the sign of a fixed choice of the features of vectors ``(b, d)``."""

    signs: Tensor

    def __init__(self, signs: Tensor) -> None:
        super().__init__()
        self.register_buffer("signs", signs)

    def forward(self, x: Tensor) -> Tensor:
        """Return vectors with some signs turned."""
        return x * self.signs


class Joint(nn.Module):
    """Scores of pairs (class, transformation); as a module it returns the aggregated scores of classes.

    ``forward(x)_k = mean over m of joint(t_m(x))_(k, m)``: every transformed copy is asked about its own transformation.
    With ``single`` only the untransformed copy is asked.
    """

    def __init__(self, features: nn.Module, transforms: nn.ModuleList, width: int, classes: int, single: bool) -> None:
        super().__init__()
        self.features, self.transforms, self.classes, self.single = features, transforms, classes, single
        self.head = nn.Linear(width, classes * len(transforms))

    def joint(self, x: Tensor) -> Tensor:
        """Return scores ``(M, b, K, M)``: of copy, row, class, transformation."""
        copies = torch.cat([transform(x) for transform in self.transforms])
        return self.scores(self.features(copies))

    def scores(self, hidden: Tensor) -> Tensor:
        """Return scores ``(M, b, K, M)`` from the features of all copies ``(M b, width)``, copy by copy."""
        m = len(self.transforms)
        out: Tensor = self.head(hidden)
        return out.reshape(m, -1, self.classes, m)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores of classes ``(b, K)``."""
        if self.single:
            out: Tensor = self.head(self.features(x))
            return out.reshape(len(x), self.classes, -1)[:, :, 0]
        return aggregated(self.joint(x))


class LabelAugmentation(ClassLearner):
    """Learn classes and transformations jointly: one output for every pair, and an answer from all transformed copies.

    With M fixed transformations, the first the identity, ``loss = mean over m of CE(joint(t_m(x)), (y, m))``. Classes need
    not survive a transformation, as they must in augmentation: a 6 turned upside down is the pair (6, half turn), not a 9.
    Prediction averages ``joint(t_m(x))_(k, m)`` over m (*aggregated*) or asks the untransformed copy alone (*single*).
    *Distilled* trains an ordinary output layer beside it, with ``t^2 KL(aggregated || own) + beta CE(own, y)`` on the
    untransformed copy, and predicts with that: one pass of the network in place of M.

    Rows without a label are left out. Differs from the paper: AdamW and the cosine schedule of `Train`. On vectors, which
    have no geometry, the transformations only help as far as the features' order or signs carry meaning.

    Parameters
    ----------
    inference
        ``aggregated``, ``single`` or ``distilled``.
    transforms
        ``auto`` by modality: the four turns of square pictures (of others half a turn and the two mirrors); reversal and
        exchange of the halves of series, and both; `copies` fixed ``permutations`` or ``signs`` (the default) of vectors.
        Or your own modules ``x -> x'`` of the same shape; the identity is put before them.
    copies
        M for vectors, >= 2.
    temperature
        t of the distillation, > 0.
    beta
        Weight of the cross-entropy of the distilled output layer, >= 0.

    Attributes
    ----------
    joint_ : the network of pairs, a `Joint`.

    References
    ----------
    Lee, Hwang and Shin, Self-supervised Label Augmentation via Input Transformations, ICML 2020 (paper 18).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> X, y = load_digits(return_X_y=True)
    >>> model = LabelAugmentation(train=Train(epochs=15, batch_size=32), random_state=0)
    >>> bool(model.fit(X[:500], y[:500]).score(X[500:], y[500:]) > 0.8)
    True
    """

    inference: Literal["aggregated", "single", "distilled"] = "aggregated"
    transforms: Literal["auto", "permutations", "signs"] | Sequence[Any] = "auto"
    copies: Annotated[int, Range(low=2, whole=True)] = 4
    temperature: Annotated[float, Positive] = 1.0
    beta: Annotated[float, NonNegative] = 1.0

    card = Card(
        paper=18, year=2020, kind="learner", handles=frozenset({"few labels"}), cost="heavy", race=True,
        reference="Lee, Hwang and Shin, Self-supervised Label Augmentation via Input Transformations, ICML 2020.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {
        "inference": ["aggregated", "single", "distilled"],
        "train": [Train(lr=lr, epochs=40) for lr in (1e-3, 3e-3)],
    }

    def start(self, data: Data) -> None:
        """Make the transformations and the output layer of pairs."""
        features, width = trunk(self.net_)
        transforms = self._transforms(data)
        self.joint_ = Joint(features, transforms, width, self.n_outputs_, self.inference == "single")

    def phases(self) -> list[Phase]:
        """Return one stage; the ordinary output layer is trained only where it is distilled."""
        modules: list[nn.Module] = [self.joint_]
        if self.inference == "distilled":
            modules.append(self.head())
        return [Phase(self.loss, modules, self.train_.epochs)]

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy of pairs, and what the distilled output layer learns from."""
        hidden = self.joint_.features(torch.cat([transform(batch.weak) for transform in self.joint_.transforms]))
        joint = self.joint_.scores(hidden)
        parts = {"pairs": row_mean(pair_loss(joint, batch.y), batch.weight)}
        if self.inference == "distilled":
            own: Tensor = self.head()(hidden[: len(batch)])
            parts["distilled"] = row_mean(matching(own, aggregated(joint), self.temperature), batch.weight)
            labels = cross_entropy(own, batch.y, reduction="none")
            parts["labels"] = self.beta * row_mean(labels, batch.weight)
        return parts

    def head(self) -> nn.Module:
        """Return the network's ordinary output layer, which is distilled."""
        head: nn.Module = self.net_.get_submodule("head")
        return head

    def predictor(self) -> nn.Module:
        """Return both output layers and the features they share."""
        return nn.ModuleList([self.net_, self.joint_])

    def _forward(self, x: Tensor, module: Any = None) -> Tensor:
        if module is None:
            module = self.net_ if self.inference == "distilled" else self.joint_
        return super()._forward(x, module)

    def _transforms(self, data: Data) -> nn.ModuleList:
        modality, shape = self.inputs_.modality, tuple(self.inputs_.shape)
        if modality == "tokens":
            raise InputError(
                "X holds texts, for which there are no transformations here: encode them as vectors first."
            )
        if isinstance(self.transforms, str):
            made = named_transforms(self.transforms, modality, shape, self.copies)
        else:
            made = _checked(self.transforms, data)
        return nn.ModuleList([nn.Identity(), *made])


def named_transforms(name: str, modality: str, shape: tuple[int, ...], copies: int = 4) -> list[nn.Module]:
    """Return the transformations of a kind of input beside the identity; those of vectors are drawn."""
    if modality == "images":
        square = shape[1] == shape[2]
        return [Turn(1), Turn(2), Turn(3)] if square else [Turn(2), Mirror(2), Mirror(3)]
    if modality == "series":
        return [Mirror(2), SegmentSwap(), nn.Sequential(Mirror(2), SegmentSwap())]
    if name == "permutations":
        return [Permute(torch.randperm(shape[0])) for _ in range(copies - 1)]
    return [Signs(2.0 * torch.randint(0, 2, shape) - 1) for _ in range(copies - 1)]


def _checked(given: Sequence[Any], data: Data) -> list[nn.Module]:
    if not given:
        raise InputError("transforms is empty: give at least one module, or 'auto'.")
    x = data.batch(torch.arange(2, device=data.x.device)).x
    for number, transform in enumerate(given):
        if not isinstance(transform, nn.Module):
            raise InputError(f"transforms[{number}] must be an nn.Module. Got {type(transform).__name__}.")
        if transform(x).shape != x.shape:
            raise InputError(
                f"transforms[{number}] turns rows {tuple(x.shape[1:])} into {tuple(transform(x).shape[1:])}."
            )
    return list(given)


def aggregated(joint: Tensor) -> Tensor:
    """Return scores of classes ``(b, K)`` from scores of pairs ``(M, b, K, M)``: each copy asked about its own transform.

    >>> aggregated(torch.arange(8.0).reshape(2, 1, 2, 2))  # copy 0: [[0, 1], [2, 3]]; copy 1: [[4, 5], [6, 7]]
    tensor([[2.5000, 4.5000]])
    """
    return joint.diagonal(dim1=0, dim2=3).mean(2)


def pair_loss(joint: Tensor, y: Tensor) -> Tensor:
    """Return the cross-entropy of each row against its pairs (label, transformation), mean over copies, ``(b,)``."""
    m, b, k, _ = joint.shape
    target = y[None] * m + torch.arange(m, device=y.device)[:, None]
    return cross_entropy(joint.reshape(m * b, k * m), target.reshape(-1), reduction="none").reshape(m, b).mean(0)


def matching(own: Tensor, target: Tensor, temperature: float) -> Tensor:
    """Return ``t^2 KL(softmax(target / t) || softmax(own / t))`` of each row, the target detached."""
    wanted, found = log_softmax(target.detach() / temperature, 1), log_softmax(own / temperature, 1)
    return math.pow(temperature, 2) * (wanted.exp() * (wanted - found)).sum(1)
