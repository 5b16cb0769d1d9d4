"""Adapt without labels, or buy a few from the new place? An answer from the labels that are there."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from labelwise.base import UNLABELED, Count, Estimate, Fields, InputError
from labelwise.display import html_of
from labelwise.learner import ClassLearner
from labelwise.shift.source_free import FewShotTuning
from labelwise.supervision import encode_classes

Floats = NDArray[np.float64]


class FewLabels(NamedTuple):
    """What `few_labels_better` finds.

    Attributes
    ----------
    better
        True: a few labels are the better buy; False: they are not; None: it cannot be told from these rows.
    with_labels, without
        Accuracy at the new place after fine-tuning on `per_class` rows of each class, and of the model without labels.
    gain
        Their difference.
    per_class
        Labels of each class.
    text
        The answer in plain words.
    """

    better: bool | None
    with_labels: Estimate
    without: Estimate
    gain: Estimate
    per_class: int
    text: str

    def _repr_html_(self) -> str:
        return html_of(self)


class _Draws(Fields):
    per_class: Annotated[int, Count] = 3
    repeats: Annotated[int, Count] = 10


def few_labels_better(
    model: ClassLearner,
    X: Any,
    y: ArrayLike,
    *,
    without: Any = None,
    per_class: int = 3,
    repeats: int = 10,
    tuner: FewShotTuning | None = None,
    level: float = 0.9,
    random_state: int | None = None,
) -> FewLabels:
    """Compare fine-tuning on a few labels of the new place with a model that has none (paper 228).

    Labelled rows of the new place are needed to know; label some at random, a few more than are to be used. Again and
    again `per_class` rows of each class are drawn, a copy of the model is fine-tuned on them, and both models answer *the
    other* labelled rows. The interval counts both how much depends on which rows were drawn and how few are left to check.

    Parameters
    ----------
    model
        The fitted source model.
    X, y
        Labelled rows of the new place; rows without a label are not used.
    without
        The model adapted without labels: anything with ``predict``, fitted without these labels. None: the source model.
    per_class
        Labels of each class, >= 1.
    repeats
        How often they are drawn, >= 1.
    tuner
        How to fine-tune; its `estimator` is set to `model`.
    level
        Confidence of the intervals.
    random_state
        Seed of the draws.

    Raises
    ------
    InputError
        If a class the model knows has labelled rows, but not more than `per_class`.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from labelwise.learner import Classifier, Train
    >>> X, y = load_iris(return_X_y=True)
    >>> model = Classifier(train=Train(epochs=20, batch_size=16), random_state=0).fit(X, y)
    >>> few_labels_better(model, X * [1, 1, 0.4, 3], y, repeats=5, random_state=0).better
    True
    """
    _Draws(per_class=per_class, repeats=repeats).check_fields()
    names, codes = encode_classes(y)
    known = np.flatnonzero(codes != UNLABELED)
    counts = np.bincount(codes[known], minlength=len(names))
    if counts.min() <= per_class:
        rare = int(counts.argmin())
        raise InputError(
            f"y has {counts[rare]} labelled rows of class {names.tolist()[rare]!r}; more than per_class={per_class} are "
            "needed, so that some are left to compare on. Label a few more rows of the new place, or lower per_class."
        )
    rng = np.random.default_rng(random_state)
    rows = [X[i] for i in known] if isinstance(X, list) else np.asarray(X)[known]
    truth = names[codes[known]]
    plain = np.asarray((model if without is None else without).predict(rows)) == truth
    tuned = np.full((repeats, len(known)), np.nan)
    tuner = FewShotTuning() if tuner is None else tuner
    for draw in range(repeats):
        order = rng.permutation(len(known))
        place = _place_in_class(codes[known][order])
        taken = np.zeros(len(known), bool)
        taken[order[place < per_class]] = True
        copy = FewShotTuning(
            **{**tuner.get_params(deep=False), "estimator": model, "random_state": int(rng.integers(2**31))}
        )
        copy.fit(_take(rows, taken), truth[taken])
        tuned[draw, ~taken] = np.asarray(copy.predict(_take(rows, ~taken))) == truth[~taken]
    return _answer(tuned, plain.astype(np.float64), per_class, len(names), without is not None, level)


def _place_in_class(codes: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many earlier rows have the same class ``(n,)``."""
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], codes[order])
    place = np.empty(len(codes), np.int64)
    place[order] = np.arange(len(codes)) - starts
    return place


def _take(rows: Any, mask: NDArray[np.bool_]) -> Any:
    return [row for row, kept in zip(rows, mask, strict=True) if kept] if isinstance(rows, list) else rows[mask]


def _answer(tuned: Floats, plain: Floats, per_class: int, n_classes: int, adapted: bool, level: float) -> FewLabels:
    used = ~np.isnan(tuned).all(axis=0)
    gain = _estimate((tuned - plain)[:, used], level)
    same = np.where(np.isnan(tuned), np.nan, plain)  # the rows that each draw left to compare on
    labels, none = _estimate(tuned[:, used], level), _estimate(same[:, used], level)
    labels, none = (Estimate(e.value, max(0.0, e.low), min(1.0, e.high), level) for e in (labels, none))
    better = True if gain.low > 0 else False if gain.high <= 0.01 else None
    other = "adapting without labels" if adapted else "the model as it is"
    told = (
        f"{per_class} labels of each class ({per_class * n_classes} in all) get {labels.value:.1%} of the other labelled "
        f"rows right, {other} {none.value:.1%}: a difference of {100 * gain.value:+.1f} points ({100 * gain.low:+.1f} to "
        f"{100 * gain.high:+.1f})."
    )
    advice = {
        True: "Label these few rows: they are the better buy.",
        False: f"Labels are not worth their price here: stay with {other}.",
        None: "These rows are too few to tell: label some more at random, and ask again.",
    }[better]
    return FewLabels(better, labels, none, gain, per_class, f"{told} {advice}")


def _estimate(values: Floats, level: float) -> Estimate:
    """Mean over draws and rows; its error adds the spread over rows and that over draws."""
    each, draws = np.nanmean(values, axis=0), np.nanmean(values, axis=1)
    variance = each.var(ddof=1) / len(each) if len(each) > 1 else np.inf
    variance += draws.var(ddof=1) if len(draws) > 1 else 0.0  # one draw will be bought, so not divided by their number
    reach = float(norm.ppf(0.5 + level / 2) * np.sqrt(variance))
    mean = float(draws.mean())
    return Estimate(mean, mean - reach, mean + reach, level)
