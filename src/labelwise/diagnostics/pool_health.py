"""The health report of an unlabelled pool: is it likely to help a method that learns from pseudo-labels?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import UNLABELED, Card, Estimate, Fields, Fraction, InputError, Method, NonNegative
from labelwise.diagnostics.frechet import (
    FrechetDistance,
    FrechetResult,
    PriorShift,
    PriorShiftResult,
    class_coverage,
    pseudo_labels,
)  # fmt: skip
from labelwise.diagnostics.linear import out_of_fold
from labelwise.diagnostics.spectrum import as_embeddings
from labelwise.display import html_of
from labelwise.parts.interval import share

Doubles = NDArray[np.float64]
Codes = NDArray[np.int64]
Verdict = Literal["likely", "unclear", "unlikely"]

FEW = 5
"""Labelled rows a class below which the paper saw no gain."""


@dataclass(frozen=True, eq=False)
class PoolHealthResult:
    """What `PoolHealth` finds.

    Attributes
    ----------
    mask_rate
        Share of the pool whose pseudo-label passes the threshold.
    impurity
        Share of those that is wrong; None without the pool's labels.
    histogram
        (K,) share of every class among the pseudo-labels that pass; empty intervals 0 to 1 where none passes.
    prior
        (K,) class shares of the labelled rows.
    coverage
        (K,) share of the pool nearest to the labelled mean of each class.
    frechet
        Distance of the features of pool and labelled rows, with that of no shift.
    prior_shift
        Estimated class shares of the pool, and whether they warn.
    relative_distance
        Fréchet distance, extrapolated to infinitely many rows, relative to the total variance of the labelled features.
    against, doubts
        Why the pool is unlikely to help, and why one cannot be sure.
    """

    mask_rate: Estimate
    impurity: Estimate | None
    histogram: list[Estimate]
    prior: Doubles
    coverage: Doubles
    frechet: FrechetResult
    prior_shift: PriorShiftResult
    relative_distance: Estimate
    against: list[str]
    doubts: list[str]

    @property
    def helps(self) -> Verdict:
        """Whether pseudo-labels of this pool are likely to help."""
        return "unlikely" if self.against else "unclear" if self.doubts else "likely"

    def describe(self) -> str:
        """Say it in words."""
        wrong = "" if self.impurity is None else f", {self.impurity} of them wrong"
        told = {
            "likely": "nothing speaks against learning from this pool",
            "unclear": "whether this pool helps is unclear",
            "unlikely": "pseudo-labels of this pool are unlikely to help",
        }[self.helps]
        reasons = "; ".join(self.against or self.doubts)
        return (
            f"{told[0].upper()}{told[1:]}{': ' if reasons else ''}{reasons}. {self.mask_rate} of its rows get a sure "
            f"pseudo-label{wrong}. No number here replaces training with and without the pool."
        )

    def _repr_html_(self) -> str:
        return html_of(self)


class PoolHealth(Method, Fields):
    """Mask rate, impurity, class histogram, Fréchet distance and prior shift of a pool, and what they say together.

    Against a pool speak: class shares other than the labelled ones, features at a distance that no chance explains and that
    is a good part of their variance, hardly any sure pseudo-label, and (where its labels are known after all) many wrong
    ones. Doubts are raised by few labels, by an interval of the distance that reaches across the limit, and by pseudo-labels
    that leave a class out.

    Differs from the paper: the paper reports the numbers; the limits and the verdict are this library's. Class shares of the
    pool are estimated with out-of-fold probabilities of a linear model on the same features, because those of a model on its
    own training rows are no guide.

    Parameters
    ----------
    threshold
        Least probability of a pseudo-label that is used, in [0, 1].
    most_distance
        Relative distance above which features differ too much, >= 0.
    most_impurity
        Share of wrong pseudo-labels above which they hurt, in [0, 1].
    least_mask_rate
        Share of the pool below which too few pseudo-labels are used, in [0, 1].
    level
        Confidence of the intervals.
    random_state
        Seed of folds and resamples.

    References
    ----------
    Inigo V. Slijepcevic et al.: Radio Galaxy Zoo: Using semi-supervised learning to leverage large unlabelled data-sets
    for radio galaxy classification under data-set shift. MNRAS 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = load_digits(return_X_y=True)
    >>> model = LogisticRegression(max_iter=2000).fit(X[:200] / 16, y[:200])
    >>> health = PoolHealth(random_state=0, threshold=0.8).measure(model, X[:200] / 16, y[:200], X[200:] / 16, y[200:])
    >>> print(health.helps, health.impurity.high < 0.1)
    likely True
    """

    threshold: Annotated[float, Fraction] = 0.95
    most_distance: Annotated[float, NonNegative] = 0.2
    most_impurity: Annotated[float, Fraction] = 0.2
    least_mask_rate: Annotated[float, Fraction] = 0.05
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        paper=14,
        year=2022,
        reference="Slijepcevic et al.: Radio Galaxy Zoo: Using semi-supervised learning ... (MNRAS 2022)",
        kind="diagnostic",
        handles=frozenset({"few labels", "covariate shift", "label shift"}),
        cost="seconds",
    )

    def measure(
        self, model: Any, X: ArrayLike, y: ArrayLike, pool: ArrayLike, y_pool: ArrayLike | None = None
    ) -> PoolHealthResult:
        """Report on `pool` for a classifier fitted on the labelled rows.

        Parameters
        ----------
        model
            Fitted on `X` and `y`, with ``predict_proba`` and ``classes_``; its ``features(X)`` are compared where it has
            them (every learner of this library), otherwise the rows themselves.
        X, y
            Labelled rows, at least 20, and their classes; rows of ``-1`` are left out.
        pool
            Unlabelled rows like those of `X`, at least 20.
        y_pool
            Their classes, if known after all.
        """
        self.check_fields()
        rows, unlabelled = np.asarray(X), np.asarray(pool)
        codes = _codes(model, y, "y", len(rows))
        rows, codes = rows[codes != UNLABELED], codes[codes != UNLABELED]
        known, unknown = _features(model, rows), _features(model, unlabelled)
        if len(known) < 20 or len(unknown) < 20:
            raise InputError(
                f"20 rows of each kind are needed. Got {len(known)} labelled and {len(unknown)} in the pool."
            )
        proba = np.asarray(model.predict_proba(unlabelled), dtype=np.float64)
        truth = np.full(len(unlabelled), UNLABELED)
        if y_pool is not None:
            truth = _codes(model, y_pool, "y_pool", len(unlabelled))
        kept, wrong = pseudo_labels(proba, truth, threshold=self.threshold, level=self.level)
        frechet = FrechetDistance(level=self.level, random_state=self.random_state).measure(known, unknown)
        limit, total = frechet.limit, float(known.astype(np.float64).var(0).sum()) or 1.0
        return self._judged(
            mask_rate=kept,
            impurity=None if y_pool is None else wrong,
            histogram=self._histogram(proba),
            prior=np.bincount(codes, minlength=proba.shape[1]) / len(codes),
            coverage=class_coverage(known, codes, unknown, proba.shape[1]),
            frechet=frechet,
            prior_shift=self._prior_shift(known, codes, unknown),
            relative_distance=Estimate(limit.value / total, limit.low / total, limit.high / total, self.level),
            per_class=np.bincount(codes, minlength=proba.shape[1]),
        )

    def _histogram(self, proba: Doubles) -> list[Estimate]:
        sure = proba.max(1) >= self.threshold
        counts = np.bincount(proba[sure].argmax(1), minlength=proba.shape[1])
        return [share(int(count), int(sure.sum()), self.level) for count in counts]

    def _prior_shift(self, known: Any, codes: Codes, pool: Any) -> PriorShiftResult:
        """Estimate the pool's class shares with out-of-fold probabilities of a linear model on the features."""
        present, own = np.unique(codes, return_inverse=True)
        if len(present) < 2:
            raise InputError("y has one class only: class shares of a pool need at least two.")
        both = np.vstack([known, pool]).astype(np.float32)
        rng = np.random.default_rng(self.random_state)
        proba = np.asarray(out_of_fold(both, np.r_[own, np.full(len(pool), UNLABELED)], len(present), rng=rng))
        return PriorShift(level=self.level, random_state=self.random_state).measure(
            proba[len(known) :], np.bincount(own) / len(own), source_proba=proba[: len(known)], source_codes=own
        )

    def _judged(self, per_class: Codes, **found: Any) -> PoolHealthResult:
        """Weigh the numbers: what clearly speaks against the pool, and what leaves it open."""
        mask, wrong, far = found["mask_rate"], found["impurity"], found["relative_distance"]
        shifted, warned = found["frechet"].shift, found["prior_shift"].warn
        distant = shifted and far.low > self.most_distance
        empty = [code for code, part in enumerate(found["histogram"]) if part.value == 0 and found["prior"][code] > 0]
        against = {
            "its classes have other shares than the labelled ones": warned and not distant,
            f"its features lie far from the labelled ones ({far} of their variance)": distant,
            f"only {mask} of its rows get a sure pseudo-label": mask.high < self.least_mask_rate,
            f"{wrong} of the sure pseudo-labels are wrong": wrong is not None and wrong.low > self.most_impurity,
        }
        doubts = {
            f"a class has {per_class.min()} labelled rows": per_class.min() < FEW,
            f"its distance is not known well enough ({far} of the variance)": shifted and far.high > self.most_distance,
            "its classes may have other shares, or only seem so at that distance": warned and distant,
            f"no sure pseudo-label of {len(empty)} classes": bool(empty),
            "few of its pseudo-labels are sure": mask.low < self.least_mask_rate,
            f"up to {0 if wrong is None else wrong.high:.0%} of the sure pseudo-labels may be wrong": wrong is not None
            and wrong.high > self.most_impurity,
        }
        return PoolHealthResult(
            **found,
            against=[reason for reason, holds in against.items() if holds],
            doubts=[reason for reason, holds in doubts.items() if holds],
        )


def _features(model: Any, X: NDArray[Any]) -> NDArray[np.floating[Any]]:
    """Return the model's representation of rows, or the rows, flat."""
    rows = model.features(X) if hasattr(model, "features") else X.reshape(len(X), -1)
    return as_embeddings(rows, "X", 1)


def _codes(model: Any, y: ArrayLike, name: str, n_rows: int) -> Codes:
    """Return the places of classes among the model's, -1 for unlabelled rows and classes that it does not know."""
    labels = np.asarray(y)
    if labels.shape != (n_rows,):
        raise InputError(f"{name} must have one class a row ({n_rows},). Got shape {labels.shape}.")
    classes = np.asarray(model.classes_)
    place = np.searchsorted(classes, labels).clip(0, len(classes) - 1)
    return np.where(classes[place] == labels, place, UNLABELED).astype(np.int64)
