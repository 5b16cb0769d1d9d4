"""What changed between source and target, and what to do about it: both tests, both estimates, one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.utils import _safe_indexing, indexable

from labelwise.base import Card, Estimate, Fields, Fraction, InputError, Method, Range
from labelwise.display import html_of
from labelwise.parts.density_ratio import held_out_odds, overlap_size
from labelwise.parts.out_of_fold import plain_classifier
from labelwise.parts.prior_intervals import ShiftTest
from labelwise.parts.two_samples import DomainResult, compare
from labelwise.shift.em import EMPrior
from labelwise.shift.target_rows import source_and_target
from labelwise.shift.weighting import LEAST, LEAST_SHARE
from labelwise.supervision import encode_classes

Kind = Literal["no shift", "label shift", "covariate shift", "both or worse"]
NEGLIGIBLE = 0.55
"""Inputs that are told apart with a smaller AUC differ too little to act on."""


@dataclass(frozen=True)
class ShiftFindings:
    """What `ShiftReport` finds.

    Attributes
    ----------
    kind
        ``no shift``, ``label shift``, ``covariate shift``, or ``both or worse`` where no correction is justified.
    advice
        What was found and what to do, in plain sentences.
    use
        Name of the class to use: ``EMPrior``, ``ImportanceWeighting``, or None.
    shares
        Class to its share in the target, an `Estimate`, assuming that only shares changed.
    source_shares
        Class to its share in the source.
    share_test
        Test of "the class shares are the same".
    inputs
        How well source and target rows are told apart, with the p-value of "not at all".
    rest
        The same after source rows were drawn in the target's class shares: what label shift does not explain.
    effective_size, n_source
        Rows that the source rows are worth once weighted to look like the target, and their number.
    """

    kind: Kind
    advice: str
    use: str | None
    shares: dict[Any, Estimate]
    source_shares: dict[Any, float]
    share_test: ShiftTest
    inputs: DomainResult
    rest: DomainResult
    effective_size: float
    n_source: int

    def __str__(self) -> str:
        return f"{self.kind}: {self.advice}"

    def _repr_html_(self) -> str:
        return html_of(self)


class ShiftReport(Method, Fields):
    """What changed, class shares or inputs, and is a correction justified or are a few target labels the better buy?

    Two tests ask whether anything changed: of the predicted class shares, and of how well a classifier tells source from
    target rows. Then source rows are drawn in the shares that `EMPrior` estimates. If the sets now look alike, label shift
    explains the change; if not, inputs changed, and weighting is justified where enough source rows look like the target.
    That ``p(y | x)`` stayed the same cannot be tested without target labels.

    Parameters
    ----------
    estimator
        Classifier of the classes, with ``predict_proba``. Default: logistic regression on scaled features.
    discriminator
        Classifier that tells source from target rows. Default: logistic regression on scaled features.
    target
        Domain of the target rows, when `measure` is given ``domains``.
    cv
        Folds of held-out predictions.
    significance
        Level of both tests together.
    level
        Confidence of the intervals.
    random_state
        Seed of folds and draws.

    Examples
    --------
    >>> from labelwise.data.synthetic import prior_shift
    >>> drawn = prior_shift(800, priors=[[0.5, 0.5], [0.8, 0.2]], n_classes=2, random_state=0)
    >>> found = ShiftReport(random_state=0).measure(drawn.X, np.where(drawn.domains == 0, drawn.y, -1))
    >>> found.kind, found.use
    ('label shift', 'EMPrior')
    """

    estimator: Any = None
    discriminator: Any = None
    target: Any = None
    cv: Annotated[int, Range(low=2, whole=True)] = 5
    significance: Annotated[float, Fraction] = 0.05
    level: Annotated[float, Range(low=0, high=1, low_open=True, high_open=True)] = 0.9
    random_state: int | None = None

    card = Card(kind="diagnostic", handles=frozenset({"label shift", "covariate shift"}), cost="light")

    def measure(self, X: Any, y: Any, domains: npt.ArrayLike | None = None) -> ShiftFindings:
        """Compare labelled source rows with target rows.

        Parameters
        ----------
        X
            (n, ...) inputs, whatever ``estimator`` and ``discriminator`` accept.
        y
            (n,) labels. Without `domains`, unlabelled rows (-1, None, NaN) are the target.
        domains
            (n,) domain of each row, as for `EMPrior`.
        """
        self.check_fields()
        _, codes = encode_classes(y)
        X, _ = indexable(X, codes)
        source, target = source_and_target(codes, domains, self.target)
        if min(source.sum(), target.sum()) < 2 * self.cv:
            raise InputError(
                f"ShiftReport needs {2 * self.cv} source and {2 * self.cv} target rows. Got {source.sum()} and "
                f"{target.sum()}: mark the target rows as unlabelled, or name their domain."
            )
        rng = np.random.default_rng(self.random_state)
        prior = EMPrior(
            estimator=self.estimator, target=self.target, cv=self.cv, level=self.level, random_state=self.random_state
        ).fit(X, y, domains)
        ratio = prior.prior_ / prior.source_prior_
        kept = source & (rng.random(len(codes)) * ratio.max() <= ratio[codes])
        inputs, size = self._tell_apart(X, source, target, rng)
        rest = inputs if (kept == source).all() else self._tell_apart(X, kept, target, rng)[0]
        names = prior.classes_.tolist()
        shares = {
            name: Estimate(float(value), float(low), float(high), self.level)
            for name, value, (low, high) in zip(names, prior.prior_, prior.prior_interval_, strict=True)
        }
        old = dict(zip(names, prior.source_prior_.tolist(), strict=True))
        kind = self._kind(prior.shift_test_.p_value, inputs, rest, size, int(source.sum()))
        use = {"label shift": "EMPrior", "covariate shift": "ImportanceWeighting"}.get(kind)
        advice = _ADVICE[kind].format(
            changes=_changes(old, shares), auc=f"{inputs.auc.value:.2f}", rest=f"{rest.auc.value:.2f}", size=round(size),
            n=int(source.sum()), m=int(target.sum()), few=max(20, 5 * len(names)),
        )  # fmt: skip
        return ShiftFindings(
            kind, advice, use, shares, old, prior.shift_test_, inputs, rest, size, int(source.sum())
        )  # fmt: skip

    def _tell_apart(self, X: Any, source: Any, target: Any, rng: np.random.Generator) -> tuple[DomainResult, float]:
        """Return how well the discriminator tells the sets apart, and how many source rows look like the target."""
        used = np.flatnonzero(source | target)
        probe, there = plain_classifier() if self.discriminator is None else self.discriminator, target[used]
        if min(there.sum(), (~there).sum()) < self.cv:
            return DomainResult(Estimate(0.5, 0.0, 1.0, self.level), 1.0), 0.0
        scores, odds = held_out_odds(probe, _safe_indexing(X, used), there, self.cv, rng)
        return compare(scores[~there], scores[there], self.level), overlap_size(odds, there)

    def _kind(self, share_p: float, inputs: DomainResult, rest: DomainResult, size: float, n_source: int) -> Kind:
        limit = self.significance / 2  # two tests ask whether anything changed
        if rest.p_value <= limit and rest.auc.low > NEGLIGIBLE:
            return "covariate shift" if size >= max(LEAST, LEAST_SHARE * n_source) else "both or worse"
        return "label shift" if share_p <= limit else "no shift"


_ADVICE: dict[Kind, str] = {
    "no shift": "nothing to correct was found between {n} source and {m} target rows (told apart with AUC {auc}; 0.5 is not "
    "at all). Use the classifier as it is.",
    "label shift": "the class shares changed: {changes}. With that taken into account source and target rows look alike "
    "(AUC {rest}). Use EMPrior, which corrects the classifier's probabilities.",
    "covariate shift": "the inputs changed, beyond what class shares explain (AUC {rest}). Weighted to look like the "
    "target, the {n} source rows are worth {size}. Use ImportanceWeighting; it assumes that alike inputs have alike "
    "labels, so check it on a few target labels.",
    "both or worse": "the inputs changed, beyond what class shares explain (AUC {rest}), and of {n} source rows only "
    "{size} are left if weighted to look like the target: neither correction is justified. A few target labels are the "
    "better buy: label about {few} target rows drawn at random, and train on both.",
}


def _changes(old: dict[Any, float], new: dict[Any, Estimate]) -> str:
    """Say how the shares changed that changed most, three at most."""
    most = sorted(old, key=lambda name: -abs(new[name].value - old[name]))[:3]
    told = ((name, old[name], new[name]) for name in most)
    return ", ".join(
        f"{name} from {was:.0%} to {now.value:.0%} [{now.low:.0%}, {now.high:.0%}]" for name, was, now in told
    )
