"""Maximum likelihood label shift: expectation maximisation over the target's class shares."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np

from labelwise.base import Card, Positive
from labelwise.parts.prior_intervals import PriorInterval, ShiftTest, em_prior_interval, score_test
from labelwise.parts.scaling import fit_scaling
from labelwise.shift.base import LabelShift, Scores


class EMPrior(LabelShift):
    """Alternates target posteriors and their mean until the class shares settle, and reweighs the classifier.

    ``prior_k <- mean_i ratio_k p_ik / sum_j ratio_j p_ij`` with ``ratio = prior / source_prior`` climbs to the maximum
    likelihood of the target rows (MLLS). It needs calibrated probabilities, so the classifier is calibrated first, on
    held-out source predictions.

    Differs from the papers: predictions are cross-fitted instead of one split; the classifier is corrected only where a
    test finds a shift; the interval and the test are additions.

    Parameters
    ----------
    estimator
        Any classifier with ``predict_proba``; refitted on the source rows unless wrapped in
        `sklearn.frozen.FrozenEstimator`, which must not have been trained on the rows given here.
        Default: logistic regression on scaled features.
    target
        Domain of the target rows, when ``fit`` is given ``domains``.
    calibrate
        ``"bcts"``: one temperature and a bias a class; ``"ts"``: one temperature; None: take probabilities as they are.
    tol
        The iteration ends when it moves no share by more.
    cv
        Folds of the held-out predictions.
    significance
        Correct only where the test of "no shift" has a p-value of at most this; 1 always corrects, as in the paper.
    level
        Confidence level of the intervals.
    n_resamples
        Resamples behind the intervals.
    random_state
        Seed of folds and resampling.

    Attributes
    ----------
    prior_, source_prior_ : (K,) class shares of target and source.
    ratio_ : (K,) what probabilities are multiplied by: the ratio of the shares, or ones if not significant.
    corrects_ : whether the test found a shift.
    prior_interval_ : (K, 2) lower and upper ends of the target's shares.
    shift_test_ : statistic, p-value and degrees of freedom of "the predicted shares are the same".
    scaling_ : the calibration, None without one.
    estimator_, classes_ : the classifier fitted on the source, and its classes.

    References
    ----------
    Saerens, Latinne, Decaestecker: Adjusting the outputs of a classifier to new a priori probabilities. 2002.
    Alexandari, Kundaje, Shrikumar: Maximum likelihood with bias-corrected calibration is hard-to-beat at label shift
    adaptation. ICML 2020.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = np.r_[np.repeat([0, 1], 500), np.repeat([0, 1], [900, 100])]
    >>> X, y = rng.normal(2 * truth[:, None]), np.where(np.arange(2000) < 1000, truth, -1)
    >>> EMPrior(random_state=0).fit(X, y).prior_.round(1)
    array([0.9, 0.1])
    """

    calibrate: Literal["bcts", "ts"] | None = "bcts"
    tol: Annotated[float, Positive] = 1e-6

    card = Card(
        year=2002,
        reference="Saerens, Latinne, Decaestecker 2002; Alexandari, Kundaje, Shrikumar. ICML 2020.",
        kind="post-hoc",
        handles=frozenset({"label shift"}),
        needs=frozenset({"target rows"}),
        cost="light",
        apart="It fits a model to the class shares of other rows; folds of the training rows cannot show what that gains.",
    )

    def _estimate(self, scores: Scores, rng: np.random.Generator) -> tuple[PriorInterval, ShiftTest]:
        if self.calibrate is not None:
            self.scaling_ = fit_scaling(scores.source, scores.codes, bias=self.calibrate == "bcts")
        interval = em_prior_interval(
            self._calibrated(scores.target), self.source_prior_,
            source_proba=self._calibrated(scores.source), source_codes=scores.codes,
            level=self.level, n_resamples=self.n_resamples, tol=self.tol, rng=rng,
        )  # fmt: skip
        return interval, score_test(scores.source, scores.target)
