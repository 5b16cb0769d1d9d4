"""Checks of drop-in losses: values, gradients, precision, rows without weight, absent classes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import SkipTest

from labelwise.base import InputError
from labelwise.checks.check import Check, listed, raised, require
from labelwise.checks.trials import trial_of

ROWS, CLASSES, BATCH = 20, 4, 8


class Sample(NamedTuple):
    """Logits, targets and row numbers of one batch."""

    logits: Any
    y: Any
    index: Any


def checks(cls: type[Any]) -> Iterator[Check]:
    """Yield the checks of a loss."""
    yield from listed(
        cls, finite_loss_and_gradient, finite_at_extreme_scores, a_batch_of_one, keeps_single_and_double_precision,
        half_precision_is_finite, permuting_rows_permutes_values, rows_without_weight_do_not_matter,
        weights_scale_away, a_class_absent_from_the_batch, refuses_shapes_that_do_not_fit, copies_are_independent,
        beats_chance,
    )  # fmt: skip
    if cls.reads_index:
        yield from listed(cls, state_per_row_needs_the_index)


def bound(cls: type[Any]) -> Any:
    """Return the loss with room for `ROWS` rows and `CLASSES` outputs; `bind` must return the loss."""
    loss = cls()
    require(loss.bind(ROWS, CLASSES) is loss, "bind must return self")
    return loss


def sample(cls: type[Any], rows: int = BATCH, scale: float = 1.0, seed: int = 0, dtype: Any = None) -> Sample:
    """Return a random batch of the kind of targets that the card names."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    logits = (scale * torch.randn(rows, CLASSES, generator=generator)).to(dtype or torch.float32)
    index = torch.randperm(ROWS, generator=generator)[:rows]
    kinds = cls.card.supervision
    if "classes" in kinds:
        y = torch.randint(CLASSES, (rows,), generator=generator)
    elif "multilabel" in kinds:
        y = torch.randint(-1, 2, (rows, CLASSES), generator=generator)
    elif "real" in kinds:
        y = torch.randn(rows, CLASSES, generator=generator).to(logits.dtype)
    else:
        raise SkipTest(f"no batch for supervision {sorted(kinds)}")
    return Sample(logits.requires_grad_(), y, index)


def _finite(loss: Any, batch: Sample) -> Any:
    import torch

    value = loss(*batch)
    require(value.ndim == 0, f"forward must return one number. Got shape {tuple(value.shape)}")
    require(bool(torch.isfinite(value)), f"the loss is {value.item()}")
    (gradient,) = torch.autograd.grad(value, batch.logits)
    require(bool(torch.isfinite(gradient).all()), "the gradient is not finite")
    return gradient


def finite_loss_and_gradient(cls: type[Any]) -> None:
    """On random scores, twice in a row, the loss is finite and some gradient reaches the scores."""
    loss = bound(cls)
    for seed in range(5):
        require(bool(_finite(loss, sample(cls, seed=seed)).abs().sum() > 0), "no gradient reaches the scores")


def finite_at_extreme_scores(cls: type[Any]) -> None:
    """Scores of ten thousand, right or wrong, and scores of zero overflow nothing."""
    loss = bound(cls)
    for scale in (0.0, 100.0, 1000.0, 1e4):
        _finite(loss, sample(cls, scale=scale))


def a_batch_of_one(cls: type[Any]) -> None:
    """One row is enough, and its value is the mean."""
    loss, batch = bound(cls), sample(cls, rows=1)
    _finite(loss, batch)
    require(bound(cls).pointwise(*batch).shape == (1,), "pointwise must return one value per row")


def keeps_single_and_double_precision(cls: type[Any]) -> None:
    """float32 scores give a float32 loss, float64 scores a float64 loss, and both agree."""
    import torch

    values = []
    for dtype in (torch.float32, torch.float64):
        batch = sample(cls, dtype=dtype)
        value = bound(cls)(*batch)
        require(value.dtype == dtype, f"{dtype} scores give a {value.dtype} loss")
        values.append(value.item())
    require(abs(values[0] - values[1]) <= 1e-3 * (1 + abs(values[1])), f"float32 and float64 disagree: {values}")


def half_precision_is_finite(cls: type[Any]) -> None:
    """float16 and bfloat16 scores give finite losses and gradients."""
    import torch

    for dtype in (torch.float16, torch.bfloat16):
        _finite(bound(cls), sample(cls, dtype=dtype))


def permuting_rows_permutes_values(cls: type[Any]) -> None:
    """The order of rows in a batch changes the order of the values and nothing else."""
    import torch

    batch, order = sample(cls), torch.randperm(BATCH, generator=torch.Generator().manual_seed(3))
    here = bound(cls).pointwise(*batch)
    there = bound(cls).pointwise(*(part[order] for part in batch))
    require(torch.allclose(here[order], there, atol=1e-6), "values depend on the order of rows")


def rows_without_weight_do_not_matter(cls: type[Any]) -> None:
    """Rows of weight zero give the value of the batch without them; all zero gives zero, not NaN."""
    import torch

    batch = sample(cls)
    keep = torch.arange(BATCH) % 2 == 0
    weighted = bound(cls)(*batch, weight=keep.float())
    alone = bound(cls)(*(part[keep] for part in batch))
    require(torch.allclose(weighted, alone, atol=1e-5), f"{weighted.item()} with zero weights, {alone.item()} without")
    nothing = bound(cls)(*batch, weight=torch.zeros(BATCH))
    require(nothing.item() == 0, f"a batch without any weight gives {nothing.item()}, not 0")


def weights_scale_away(cls: type[Any]) -> None:
    """Weights of one give the plain mean, and so do weights of seven."""
    import torch

    batch = sample(cls)
    plain = bound(cls)(*batch)
    for value in (1.0, 7.0):
        same = bound(cls)(*batch, weight=torch.full((BATCH,), value))
        require(torch.allclose(plain, same, atol=1e-5), f"equal weights of {value} change the loss")


def a_class_absent_from_the_batch(cls: type[Any]) -> None:
    """A batch of one class only is finite."""
    batch = sample(cls)
    y = batch.y.clone()
    y[:] = 1
    _finite(bound(cls), batch._replace(y=y))


def refuses_shapes_that_do_not_fit(cls: type[Any]) -> None:
    """Too few labels, or scores of one dimension, raise `InputError`."""
    batch = sample(cls)
    for wrong in (batch._replace(y=batch.y[:-1]), batch._replace(logits=batch.logits[:, 0])):
        error = raised(lambda wrong=wrong: bound(cls)(*wrong))  # type: ignore[misc]
        require(isinstance(error, InputError), f"must raise InputError. Got {error!r}")


def copies_are_independent(cls: type[Any]) -> None:
    """A deep copy shares no state: using one does not change the other."""
    loss, batch = bound(cls), sample(cls)
    twin = copy.deepcopy(loss)
    for seed in range(3):
        loss(*sample(cls, seed=seed))
    require(twin(*batch).item() == bound(cls)(*batch).item(), "using a loss changed its copy")


def state_per_row_needs_the_index(cls: type[Any]) -> None:
    """Without row numbers a loss with state per row refuses."""
    batch = sample(cls)
    error = raised(lambda: bound(cls)(batch.logits, batch.y))
    require(isinstance(error, InputError) and "index" in str(error), f"must ask for index=. Got {error!r}")


def beats_chance(cls: type[Any]) -> None:
    """A network trained with the loss scores clearly better than guessing on other rows."""
    from labelwise import learner

    names = {"classes": "Classifier", "multilabel": "MultiLabelClassifier", "real": "Regressor"}
    name = next((name for kind, name in names.items() if kind in cls.card.supervision), None)
    if name is None:
        raise SkipTest(f"no learner for supervision {sorted(cls.card.supervision)}")
    trainer = getattr(learner, name)
    trial = trial_of(trainer)
    trial.fields["criterion"] = cls()
    score = trial.score(trial.fitted(trainer), trial.X_test, trial.y_test)
    require(score > trial.floor, f"scores {score:.3f} on held-out rows; better than {trial.floor} is needed")
