"""The spherical family: losses that see the scores only through their sum, their sum of squares and those of the targets."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.base import Card, InputError
from labelwise.losses.base import Loss

SPHERICAL = "de Brébisson and Vincent, Softmax Alternatives Belonging to the Spherical Loss Family, ICLR 2016."


def shares(y: Tensor) -> tuple[Tensor, Tensor]:
    """Return targets ``(b, K)`` and the share of each in its row, which is zero for the padding -1.

    >>> shares(torch.tensor([[3, 1], [2, -1]]))
    (tensor([[3, 1],
            [2, 0]]), tensor([[0.5000, 0.5000],
            [1.0000, 0.0000]]))
    """
    rows = y[:, None] if y.ndim == 1 else y
    given = (rows >= 0).to(torch.get_default_dtype())
    return rows.clamp_min(0), given / given.sum(1, keepdim=True).clamp_min(1)


class Spherical(Loss):
    """A loss of a target's score, the sum of squares and the sum of all scores; a row with several targets has their mean.

    A subclass writes `of_sums`. `labelwise.nets.FactoredOutput` trains with it in time independent of the number of classes.
    Labels are class codes ``(b,)``, or several a row ``(b, K)`` padded with -1; classes that are not named are all others.
    """

    reads_sets = True

    def of_sums(self, target: Tensor, q: Tensor, s: Tensor, n_classes: int) -> Tensor:
        """Return the loss of every target, shape ``(b, K)``.

        Parameters
        ----------
        target
            Scores of the targets ``(b, K)``.
        q, s
            Sum of squares and sum of all scores of the row, ``(b, 1)``.
        n_classes
            Number of scores.
        """
        raise NotImplementedError(f"{type(self).__name__} must define of_sums(target, q, s, n_classes).")

    def ranking(self, scores: Tensor) -> Tensor:
        """Return what is largest for the predicted class; by default the scores themselves."""
        return scores

    def floored(self, q: Tensor, s: Tensor, n_classes: int) -> Tensor:
        """Return the number of rows where rounding or a constant row made the loss fall back on a floor; by default 0."""
        return torch.zeros((), dtype=torch.int64, device=q.device)

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the loss of each row, the mean over its targets; a row without any has 0."""
        scores = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
        target, share = shares(y)
        q, s = scores.square().sum(1, keepdim=True), scores.sum(1, keepdim=True)
        value = self.of_sums(scores.gather(1, target), q, s, scores.shape[1])
        return (share.to(value.dtype) * value).sum(1).to(logits.dtype)


class ZLoss(Spherical):
    """Softplus of the target's score in standard deviations of its row: blind to shift and scale of the scores.

    ``z = (o_c - mean(o)) / std(o)``, loss ``softplus(a (b - z)) / a``. The target should stand `b` deviations above the mean
    of its row; those that do matter little. With `b` and `a` one tunes which of top-1, top-5, top-20 is served best.

    The scores' scale means nothing, so neither does their softmax: `labelwise.multilabel.ZLossClassifier` fits one.

    Parameters
    ----------
    a
        Sharpness of the bend, > 0; 0.1 to 10 are worth trying.
    b
        Where it bends, in standard deviations; 0 to 10 are worth trying, higher with more classes: no score of D can stand
        more than ``sqrt(D - 1)`` deviations above the mean.
    eps
        Smallest variance of a row's scores, > 0.

    References
    ----------
    de Brébisson, Vincent: The Z-loss: a shift and scale invariant classification loss belonging to the Spherical Family.
    2016 (paper 20).

    Examples
    --------
    >>> loss, y = ZLoss(a=1.0, b=2.0), torch.tensor([0])
    >>> scores = torch.tensor([[3.0, 0.0, 1.0]])
    >>> loss(scores, y), loss(100 * scores - 7, y)
    (tensor(1.0791), tensor(1.0791))
    """

    card = Card(
        paper=20, year=2016, kind="loss", handles=frozenset({"clean labels"}), cost="light",
        reference="de Brébisson and Vincent, The Z-loss: a shift and scale invariant classification loss, 2016.",
        apart="It is for very many classes; with few a softmax does as well and gives probabilities.",
    )  # fmt: skip
    tune = {"a": [0.3, 1.0, 3.0], "b": [0.0, 2.0, 5.0]}

    def __init__(self, a: float = 1.0, b: float = 2.0, eps: float = 1e-10) -> None:
        super().__init__()
        if not (a > 0 and eps > 0 and abs(b) < float("inf")):
            raise InputError(f"ZLoss needs a > 0, eps > 0 and a finite b. Got a={a}, b={b}, eps={eps}.")
        self.a, self.b, self.eps = a, b, eps

    def of_sums(self, target: Tensor, q: Tensor, s: Tensor, n_classes: int) -> Tensor:
        """Return the loss of every target, shape ``(b, K)``; see `Spherical.of_sums`."""
        mean = s / n_classes
        std = (q / n_classes - mean.square()).clamp_min(self.eps).sqrt()
        return F.softplus(self.a * (self.b - (target - mean) / std)) / self.a

    def floored(self, q: Tensor, s: Tensor, n_classes: int) -> Tensor:
        """Return the number of rows whose variance is not above `eps`, whose scores get no gradient through it."""
        return (q / n_classes - (s / n_classes).square() <= self.eps).sum()

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the loss of each row; the mean is taken off first, which changes nothing but rounding."""
        return super().pointwise(logits - logits.mean(1, keepdim=True), y)


class OneHotError(Spherical):
    """Squared distance of the scores to the one-hot label: ``sum(o^2) - 2 o_c + 1``.

    With very many classes it serves the target badly, since all others push the scores to zero.

    References
    ----------
    Least squares on indicators; as a spherical loss in Vincent, de Brébisson, Bouthillier: Efficient Exact Gradient Update
    for training Deep Networks with Very Large Sparse Targets. NeurIPS 2015.

    Examples
    --------
    >>> OneHotError()(torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([0]))
    tensor(4.)
    """

    card = Card(
        year=2015, kind="loss", handles=frozenset({"clean labels"}), cost="light",
        reference="Vincent, de Brébisson and Bouthillier, Efficient Exact Gradient Update, NeurIPS 2015.",
        apart="A member of the spherical family to compare the Z-loss with.",
    )  # fmt: skip

    def of_sums(self, target: Tensor, q: Tensor, s: Tensor, n_classes: int) -> Tensor:
        """Return the loss of every target, shape ``(b, K)``; see `Spherical.of_sums`."""
        return q - 2 * target + 1


class SphericalSoftmax(Spherical):
    """Cross-entropy of the squares of the scores: ``-log((o_c^2 + eps) / sum(o^2 + eps))``.

    The sign of a score means nothing: the class is the one of the largest *square* (`ranking`), so this is no loss for a
    classifier that takes the largest score. It is here to be compared with.

    Parameters
    ----------
    eps
        Added to every square, > 0.

    References
    ----------
    de Brébisson, Vincent: An Exploration of Softmax Alternatives Belonging to the Spherical Loss Family. ICLR 2016.

    Examples
    --------
    >>> loss = SphericalSoftmax(eps=1e-6)
    >>> round(float(loss(torch.tensor([[2.0, -2.0, 0.0]]), torch.tensor([0]))), 4)  # log 2
    0.6931
    """

    def __init__(self, eps: float = 1e-2) -> None:
        super().__init__()
        if not eps > 0:
            raise InputError(f"SphericalSoftmax needs eps > 0. Got {eps}.")
        self.eps = eps

    def of_sums(self, target: Tensor, q: Tensor, s: Tensor, n_classes: int) -> Tensor:
        """Return the loss of every target, shape ``(b, K)``; see `Spherical.of_sums`."""
        return (q + n_classes * self.eps).log() - (target.square() + self.eps).log()

    def ranking(self, scores: Tensor) -> Tensor:
        """Return the squares of the scores."""
        return scores.square()


class TaylorSoftmax(Spherical):
    """Cross-entropy of a softmax whose exponential is its second-order Taylor expansion ``1 + o + o^2 / 2``.

    References
    ----------
    de Brébisson, Vincent: An Exploration of Softmax Alternatives Belonging to the Spherical Loss Family. ICLR 2016.

    Examples
    --------
    >>> round(float(TaylorSoftmax()(torch.zeros(1, 4), torch.tensor([0]))), 4)  # log 4
    1.3863
    """

    card = Card(
        year=2016, kind="loss", handles=frozenset({"clean labels"}), cost="light", reference=SPHERICAL,
        apart="A member of the spherical family to compare the Z-loss with.",
    )  # fmt: skip

    def of_sums(self, target: Tensor, q: Tensor, s: Tensor, n_classes: int) -> Tensor:
        """Return the loss of every target, shape ``(b, K)``; see `Spherical.of_sums`."""
        return (n_classes + s + q / 2).log() - (1 + target + target.square() / 2).log()
