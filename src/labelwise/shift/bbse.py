"""Black box shift estimation: the target's class shares from a confusion matrix."""

from __future__ import annotations

import numpy as np

from labelwise.base import Card
from labelwise.parts.prior_intervals import PriorInterval, ShiftTest, bbse_prior_interval, predicted_test
from labelwise.shift.base import LabelShift, Scores


class BBSE(LabelShift):
    """Solves confusion @ ratio = predicted shares of the target, and reweighs the classifier by the ratio.

    With ``C[i, j]`` the share of held-out source rows predicted i and truly j, and ``mu[i]`` the share of target rows
    predicted i, label shift means ``C w = mu`` with ``w_j = p_target(j) / p_source(j)``. Valid for any classifier whose
    confusion matrix is invertible, calibrated or not.

    Differs from the paper: predictions are cross-fitted instead of one split; the classifier is corrected after fitting
    instead of refitted with weights, and only where the test finds a shift; interval and soft variant are additions.

    Parameters
    ----------
    estimator
        Any classifier with ``predict_proba``; refitted on the source rows unless wrapped in
        `sklearn.frozen.FrozenEstimator`, which must not have been trained on the rows given here.
        Default: logistic regression on scaled features.
    target
        Domain of the target rows, when ``fit`` is given ``domains``.
    soft
        Use mean probabilities instead of decisions in the confusion matrix.
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
    estimator_, classes_ : the classifier fitted on the source, and its classes.

    References
    ----------
    Lipton, Wang, Smola: Detecting and correcting for label shift with black box predictors. ICML 2018.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = np.r_[np.repeat([0, 1], 500), np.repeat([0, 1], [900, 100])]
    >>> X, y = rng.normal(2 * truth[:, None]), np.where(np.arange(2000) < 1000, truth, -1)
    >>> BBSE(random_state=0).fit(X, y).prior_.round(1)
    array([0.9, 0.1])
    """

    soft: bool = False

    card = Card(
        year=2018,
        reference="Lipton, Wang, Smola: Detecting and correcting for label shift with black box predictors. ICML 2018.",
        kind="post-hoc",
        handles=frozenset({"label shift"}),
        needs=frozenset({"target rows"}),
        cost="light",
        apart="It fits a model to the class shares of other rows; folds of the training rows cannot show what that gains.",
    )

    def _estimate(self, scores: Scores, rng: np.random.Generator) -> tuple[PriorInterval, ShiftTest]:
        interval = bbse_prior_interval(
            scores.source, scores.codes, scores.target,
            soft=self.soft, level=self.level, n_resamples=self.n_resamples, rng=rng,
        )  # fmt: skip
        return interval, predicted_test(scores.source, scores.target)
