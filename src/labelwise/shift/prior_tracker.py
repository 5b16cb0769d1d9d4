"""Class shares followed along a stream, for any classifier."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from sklearn.utils.validation import _num_samples

from labelwise.base import Card, Fraction
from labelwise.parts.out_of_fold import plain_classifier
from labelwise.parts.prior_intervals import em_prior_interval, score_test
from labelwise.parts.priors import bbse_prior, confusion, correct, predicted_shares
from labelwise.parts.scaling import fit_scaling
from labelwise.shift.moved import Shape, find_move
from labelwise.shift.test_time import Doubles, Imitation, TestTimeAdapter

RESAMPLES, LEVEL = 100, 0.9
TOLERANCE = 0.05
"""How far confidence may be from what the shares explain, and (doubled) the two estimates of the shares from each other."""


class PriorTracker(TestTimeAdapter):
    """Follows the class shares of a stream, and corrects any classifier's probabilities to them.

    The shares of the window are estimated by maximum likelihood on calibrated probabilities, with an interval.
    Probabilities are corrected to the shares *within the interval that are nearest to the source's*: a short window says
    little, and so changes little.

    With `guard`, three things must hold: the test of "no shift" fails; other shares explain what is seen, that is, the
    scores of each class (and the inputs, where they are numbers) are where they were on the source, the confusion matrix
    (BBSE) finds much the same shares, and the corrected model is as sure of the stream as of source rows with those shares;
    and on those source rows the correction gains accuracy.

    Parameters
    ----------
    significance
        Largest p-value of "no shift" at which probabilities are corrected.

    Attributes
    ----------
    stream_ : what the stream has shown so far: shares with interval, which model answers and why.
    estimator_, classes_ : the source model and its classes.
    scaling_ : the calibration, fitted on held-out rows.

    References
    ----------
    Saerens, Latinne, Decaestecker: Adjusting the outputs of a classifier to new a priori probabilities. 2002.
    Wu, Guo, Su, Weinberger: Online adaptation to label distribution shift. NeurIPS 2021.

    Examples
    --------
    >>> from labelwise.data.synthetic import labelled_stream
    >>> stream = labelled_stream("prior", concentration=0.3, separation=2, random_state=0)
    >>> model = PriorTracker(random_state=0).fit(stream.X_source, stream.y_source)
    >>> right = [model.score(stream.X[i : i + 50], stream.y[i : i + 50]) for i in range(0, 1000, 50)]
    >>> plain = model.estimator_.score(stream.X, stream.y)
    >>> bool(np.mean(right) > plain)
    True
    """

    significance: Annotated[float, Fraction] = 0.01

    card = Card(
        year=2002, kind="post-hoc", handles=frozenset({"label shift"}), cost="seconds",
        reference="Saerens, Latinne, Decaestecker 2002; Wu et al., NeurIPS 2021.",
        apart="It adapts to rows of another place as they arrive; folds of the training rows cannot show what that gains.",
    )  # fmt: skip

    def _default(self) -> Any:
        return plain_classifier()

    def _rows(self, X: Any) -> Doubles:
        """Return probabilities, and beside them the inputs where they are numbers."""
        proba = np.asarray(self.estimator_.predict_proba(X), dtype=np.float64)
        inputs, held = _numbers(X), getattr(self, "held_", None)
        if held is not None and held.shape[1] != proba.shape[1] + inputs.shape[1]:  # now with gaps: surely another look
            inputs = np.zeros((len(proba), held.shape[1] - proba.shape[1]))
        return np.hstack([proba, inputs])

    def _describe_source(self) -> None:
        self.scaling_ = fit_scaling(self._source(self.held_), self.held_codes_)
        self.shapes_ = [Shape.of(part, self.held_codes_, len(self.classes_)) for part in self._looks(self.held_)]

    def _parted(self, rows: Doubles) -> tuple[Doubles, Doubles]:
        return rows[:, : len(self.classes_)], rows[:, len(self.classes_) :]

    def _looks(self, rows: Doubles) -> list[Doubles]:
        """Return what shows whether rows look as they did: the scores, and the inputs if they are numbers."""
        inputs = self._parted(rows)[1]
        return [_scores(self._calibrated(rows)), *([inputs] if inputs.shape[1] else [])]

    def _calibrated(self, rows: Doubles) -> Doubles:
        return np.asarray(self.scaling_(self._parted(rows)[0]), dtype=np.float64)

    def _source(self, rows: Doubles) -> Doubles:
        return self._parted(rows)[0]

    def _adapted(self, rows: Doubles) -> Doubles:
        proba = self._source(rows) if self.held_ is None else self._calibrated(rows)
        return np.asarray(correct(proba, self.source_prior_, self._aim()), dtype=np.float64)

    def _aim(self) -> Doubles:
        """Shares within the interval that are nearest to the source's."""
        stream = self.stream_
        aim = np.clip(self.source_prior_, stream.prior_low, stream.prior_high) if self.guard else stream.prior
        aim = np.maximum(aim, 1e-3 / len(aim))
        return np.asarray(aim / aim.sum())

    def _learn(self, rows: Doubles) -> bool:
        stream = self.stream_
        if self.held_ is None:
            return False
        seen, window = self._calibrated(self.held_), self._calibrated(stream.window)
        interval = em_prior_interval(
            window, self.source_prior_, source_proba=seen, source_codes=self.held_codes_, level=LEVEL,
            n_resamples=RESAMPLES if self.guard else 0, rng=np.random.default_rng(0),
        )  # fmt: skip
        stream.prior, stream.prior_low, stream.prior_high = interval.prior, interval.low, interval.high
        return score_test(seen, window).p_value <= self.significance and self._explains(seen, window)

    def _explains(self, seen: Doubles, window: Doubles) -> bool:
        """Whether other shares explain the window: the scores of the classes, their confusion and the confidence agree."""
        looks = self._looks(self.stream_.window)
        if any(find_move(shape, look).suspicious for shape, look in zip(self.shapes_, looks, strict=True)):
            return False
        prior, reach = self.stream_.prior, 2 / np.sqrt(len(window))
        joint = confusion(seen, self.held_codes_, soft=True) + np.diag(1e-3 * self.source_prior_)  # one may have no row
        other = bbse_prior(joint, predicted_shares(window, soft=True))
        if np.abs(other - prior).sum() / 2 > 2 * TOLERANCE + reach:
            return False
        weight = (prior / self.source_prior_)[self.held_codes_]
        there, here = (correct(part, self.source_prior_, _positive(prior)).max(axis=1) for part in (seen, window))
        mean = np.average(there, weights=weight)
        noise = np.sqrt(here.var() / len(here) + (weight**2 @ (there - mean) ** 2) / weight.sum() ** 2)
        return bool(abs(here.mean() - mean) <= TOLERANCE / 2 + 2 * noise)

    def _imitation(self) -> Imitation:
        weight = (self.stream_.prior / self.source_prior_)[self.held_codes_]
        return Imitation(self.held_, self.held_codes_, [weight])


def _positive(prior: Doubles) -> Doubles:
    prior = np.maximum(prior, 1e-6)
    return np.asarray(prior / prior.sum())


def _scores(proba: Any) -> Doubles:
    """Logarithms of probabilities, centred in each row: their differences are those of the classifier's scores."""
    logs = np.log(np.maximum(np.asarray(proba, dtype=np.float64), 1e-4))
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))


def _numbers(X: Any) -> Doubles:
    """Return dense rows (n, d) of finite numbers as they are, anything else as rows without columns."""
    values = X.to_numpy() if hasattr(X, "to_numpy") else X
    if (
        isinstance(values, np.ndarray)
        and values.ndim == 2
        and values.dtype.kind in "fiub"
        and np.isfinite(values).all()
    ):
        return np.asarray(values, dtype=np.float64)
    return np.empty((_num_samples(X), 0))
