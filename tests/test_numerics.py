"""Losses stay finite, in value and gradient, wherever scores may go."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from labelwise import losses
from labelwise.losses import Loss
from labelwise.weak.bag_losses import BagCrossEntropy, BagSquaredError

CLASSES, ROWS = 4, 20
PRECISIONS = (torch.float32, torch.bfloat16)
EXTREMES = (-1e4, -80.0, -1.0, -1e-30, 0.0, 1e-30, 1.0, 80.0, 1e4)

NO_LOSS = {
    "draw_mixtures": "draws rows to mix", "from_ratings": "counts ratings", "in_batch": "collects candidates",
    "navigators": "returns transport plans", "prototypes_of": "returns means", "soft_levels": "returns target shares",
    "two_hot": "returns target shares", "with_pair_means": "adds outputs", "Loss": "the base of all",
}  # fmt: skip
"""Public names of `labelwise.losses` that are no loss, and what they are."""


class Case(NamedTuple):
    """A loss as a function of one tensor of scores or embeddings and of a seed for everything else."""

    name: str
    of: Callable[[Tensor, int], Tensor]


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def kinds(cls: type[Loss]) -> frozenset[str]:
    return frozenset(getattr(getattr(cls, "card", None), "supervision", None) or {"classes"})


def targets(cls: type[Loss], rows: int, seed: int, dtype: torch.dtype) -> Tensor:
    """Return targets of the loss's kind; by the seed at random, of one class only, or with nothing known."""
    way = seed % 4
    if "multilabel" in kinds(cls):
        y = torch.randint(-1, 2, (rows, CLASSES), generator=generator(seed))
        return y if way == 0 else torch.full_like(y, (-1, 0, 1)[way - 1])
    if "real" in kinds(cls):
        return (1e4 if way == 1 else float(way)) * torch.randn(rows, CLASSES, generator=generator(seed)).to(dtype)
    y = torch.randint(CLASSES, (rows,), generator=generator(seed))
    return y if way else torch.ones_like(y)


def drop_in(cls: type[Loss], *, weighted: bool = False) -> Case:
    """Return the case of a loss of (scores, targets, row)."""

    def of(scores: Tensor, seed: int) -> Tensor:
        loss = cls().bind(ROWS, CLASSES)
        loss.count(targets(cls, ROWS, 2 if "classes" in kinds(cls) else 0, scores.dtype))
        weight = torch.zeros(len(scores)) if weighted else None
        value: Tensor = loss(scores, targets(cls, len(scores), seed, scores.dtype), torch.arange(len(scores)), weight)
        return value

    return Case(f"{cls.__name__}{' without weight' if weighted else ''}", of)


def codes(z: Tensor, seed: int) -> Tensor:
    """Return classes of rows: at random, or all the same."""
    y = torch.randint(3, (len(z),), generator=generator(seed))
    return y if seed % 3 else torch.zeros_like(y)


def yes(z: Tensor, seed: int, share: float = 0.4) -> Tensor:
    """Return a mask of the scores' shape; some seeds mark nothing, or all."""
    if seed % 4 < 2:
        return torch.full(z.shape, bool(seed % 4))
    return torch.rand(z.shape, generator=generator(seed)) < share


def on_embeddings() -> Iterator[Case]:
    """Yield the losses of embeddings, scores of candidates and distributions, each with arguments of its own."""
    yield Case("sup_con", lambda z, seed: losses.sup_con(z, codes(z, seed)))
    yield Case("sup_con, cold", lambda z, seed: losses.sup_con(z, codes(z, seed), temperature=1e-3))
    yield Case("pair_contrast", lambda z, seed: losses.pair_contrast(z, yes(z, seed)).mean())
    yield Case("pair_contrast, weighed", lambda z, seed: losses.pair_contrast(
        z, yes(z, seed), torch.where(yes(z, seed + 1), 0.0, -torch.inf).to(z.dtype)
    ).mean())  # fmt: skip
    yield Case("multi_similarity", lambda z, seed: losses.multi_similarity(z, yes(z, seed), ~yes(z, seed)).mean())
    yield Case("HierarchicalMultiSimilarity", lambda z, seed: losses.HierarchicalMultiSimilarity()(
        z, (codes(z, seed)[:, None] - codes(z, seed)).abs().to(z.dtype)
    ))  # fmt: skip
    yield Case("aggressive_triplet", lambda z, seed: losses.aggressive_triplet(z, z[:, 0], yes(z, seed)))
    yield Case("con_r", lambda z, seed: losses.con_r(
        z, codes(z, seed).float(), codes(z, seed + 1).float(), window=0.5, eta=0.1
    ).mean())  # fmt: skip
    yield Case("ProtoTriplet", lambda z, seed: losses.ProtoTriplet()(
        z, codes(z, seed), torch.randn(3, CLASSES, generator=generator(seed)).to(z.dtype)
    ))  # fmt: skip
    yield Case("ThresholdConsistentMargin", lambda z, seed: losses.ThresholdConsistentMargin()(z, codes(z, seed)))
    yield Case("SoftTopK", lambda z, seed: losses.SoftTopK(k=2)(z, yes(z, seed).to(z.dtype)))
    yield Case("BagCrossEntropy", lambda z, seed: BagCrossEntropy()(z, shares(z, seed), torch.zeros(len(z)).long()))
    yield Case("BagSquaredError", lambda z, seed: BagSquaredError()(z, shares(z, seed), torch.zeros(len(z)).long()))
    yield from of_several_tensors()
    yield Case("CrossEntropy, soft targets", lambda z, seed: losses.CrossEntropy()(z, shares(z, seed).expand(z.shape)))
    yield Case(
        "LogConfidence, soft targets", lambda z, seed: losses.LogConfidence()(z, shares(z, seed).expand(z.shape))
    )


def of_several_tensors() -> Iterator[Case]:
    """Yield the losses of two views, of class vectors, of sets, of means and variances, of mixtures."""
    yield Case("DecoupledSoftmax", lambda z, seed: losses.DecoupledSoftmax()(z, yes(z, seed)))
    yield Case("DisjInfoNCE", lambda z, seed: losses.DisjInfoNCE()(z, yes(z, seed).long() - yes(z, seed + 1).long()))
    yield Case("DisjInfoNCE, conjunctive", lambda z, seed: losses.DisjInfoNCE("conjunctive")(z, yes(z, seed).long()))
    yield Case("HardContrastive", lambda z, seed: losses.HardContrastive()(pair(z), pair(z).roll(seed, 0)))
    yield Case("SimpleContrastive", lambda z, seed: losses.SimpleContrastive()(pair(z), pair(z).roll(seed, 0)))
    for target in ("bce", "softmax"):
        soft = losses.SoftCon(target=target)
        yield Case(f"SoftCon, {target}", lambda z, seed, soft=soft: soft(z, z.roll(seed, 0), yes(z, seed).long()))
    for head in ("cosface", "arcface"):
        unpg = losses.UNPG(head=head)
        yield Case(f"UNPG, {head}", lambda z, seed, unpg=unpg: unpg(
            z, torch.randn(3, CLASSES, generator=generator(seed)).to(z.dtype), codes(z, seed)
        ))  # fmt: skip
    yield Case("ICNN", lambda z, seed: losses.ICNN(k=2)(pair(z), codes(pair(z), seed)))
    yield Case("icnn_score", lambda z, seed: losses.icnn_score(pair(z), codes(pair(z), seed)).score)
    yield Case("conditional_transport", lambda z, seed: losses.conditional_transport(
        z[:, None], torch.eye(CLASSES, dtype=z.dtype), yes(z, seed)
    ).mean())  # fmt: skip
    yield Case("fidelity", lambda z, seed: losses.fidelity(
        z[:, 0], z[:, 1].abs(), codes(z, seed).to(z.dtype), codes(z, seed + 1).to(z.dtype)
    ).mean())  # fmt: skip
    yield Case("sup_re_mix", mixed)


def mixed(z: Tensor, seed: int) -> Tensor:
    y = codes(pair(z), seed).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        mixtures = losses.draw_mixtures(y, window=0.5, pairs=2)
    return losses.sup_re_mix(pair(z), y, mixtures).mean()


def pair(z: Tensor) -> Tensor:
    """Return every row twice: losses of pairs need two rows, and equal ones are the hard case."""
    return torch.cat([z, z])


def shares(z: Tensor, seed: int) -> Tensor:
    """Return shares of classes ``(1, K)``: any, or all in one class."""
    one = torch.rand(1, z.shape[1], generator=generator(seed)).softmax(1)
    return (one if seed % 2 else nn.functional.one_hot(one.argmax(1), z.shape[1])).to(z.dtype)


def drop_ins() -> list[type[Loss]]:
    public = [getattr(losses, name) for name in losses.__all__]
    own = ("DisjInfoNCE",)  # whose targets are marks of candidates
    return [cls for cls in public if inspect.isclass(cls) and issubclass(cls, Loss) and cls is not Loss
            and cls.__name__ not in own]  # fmt: skip


CASES = [
    *(drop_in(cls) for cls in drop_ins()),
    *(drop_in(cls, weighted=True) for cls in drop_ins()),
    *on_embeddings(),
]


def check(case: Case, scores: Tensor, seed: int) -> None:
    """The loss of `scores` and its gradient are finite."""
    scores = scores.clone().requires_grad_()
    value = case.of(scores, seed)
    assert torch.isfinite(value).all(), f"the loss is {value}"
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(value.sum(), scores, allow_unused=True)
        assert gradient is None or torch.isfinite(gradient).all(), f"the gradient is {gradient}"


def patterns(rows: int, seed: int = 0) -> Iterator[Tensor]:
    """Yield scores at the ends: saturated and right or wrong, all equal, of mixed signs, tiny, zero."""
    hot = nn.functional.one_hot(torch.randint(CLASSES, (rows,), generator=generator(seed)), CLASSES).float()
    signs = torch.randint(2, (rows, CLASSES), generator=generator(seed)) * 2.0 - 1
    for scale in (1e4, 80.0):
        yield from (scale * hot, -scale * hot, torch.full_like(hot, scale), torch.full_like(hot, -scale), scale * signs)
    yield from (torch.zeros_like(hot), 1e-30 * signs, hot)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_loss_is_finite_at_the_ends(case: Case) -> None:
    for dtype in PRECISIONS:
        for rows in (6, 1):
            for seed, scores in enumerate(patterns(rows)):
                check(case, scores.to(dtype), seed)
                check(case, scores.to(dtype), seed + 1)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_loss_is_finite_under_autocast(case: Case) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        for seed, scores in enumerate(patterns(5)):
            check(case, scores, seed)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_loss_is_finite_for_any_mixture_of_extremes(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(CASES))
    rows, seed = data.draw(st.integers(1, 5)), data.draw(st.integers(0, 50))
    cells = st.sampled_from(EXTREMES) | st.floats(-100, 100, width=32)
    values = data.draw(st.lists(cells, min_size=rows * CLASSES, max_size=rows * CLASSES))
    check(case, torch.tensor(values).reshape(rows, CLASSES).to(data.draw(st.sampled_from(PRECISIONS))), seed)


def test_every_public_loss_is_here() -> None:
    """A loss that is added must be added above, or be told to be none."""
    told = {case.name.split(" ")[0].rstrip(",") for case in CASES} | set(NO_LOSS)
    assert sorted(set(losses.__all__) - told) == []
