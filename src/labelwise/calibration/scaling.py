"""Temperature, vector and matrix scaling: the standard maps, exact, in double precision, and for wrong labels too."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import numpy as np

from labelwise.base import Card, Handles, NonNegative
from labelwise.calibration.base import Calibrator
from labelwise.calibration.maps import Likelihood, ScoreMap, fit_temperature, fit_weights
from labelwise.parts.out_of_fold import stratified_folds

STRENGTHS = (1e-3, 1e-2, 0.1, 1.0, 10.0)
"""Strengths of regularisation that cross-validation chooses from."""
CHOOSING_ROWS = 5000
"""Most rows that the strength is chosen on."""
GUO = "Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks. ICML 2017."
HANDLES: frozenset[Handles] = frozenset({"calibration", "noise"})


class TemperatureScaling(Calibrator):
    """One temperature for all scores: ``softmax(z / T)``, which softens or sharpens and never changes a prediction.

    T minimises the log loss of held-out rows, found to machine precision and in double precision whatever the type of the
    scores. With `noise`, the loss is that of the given labels through the noise matrix, so that the probabilities are
    right for the true labels.

    Differs from the paper: around a classifier, predictions are cross-fitted instead of one validation split.

    Parameters
    ----------
    estimator
        Any classifier with ``predict_proba``; refitted unless wrapped in `sklearn.frozen.FrozenEstimator`, which must
        not have been trained on the rows given here. Default: logistic regression on scaled features.
    noise
        How labels of the calibration rows are wrong: a `labelwise.parts.noise_matrix.NoiseMatrix`, ``"auto"`` to estimate
        one from the held-out scores (confident joint, refined by likelihood), None if they are right.
    cv
        Folds of the held-out predictions.
    random_state
        Seed of the folds.

    Attributes
    ----------
    temperature_ : T; above 1 softens.
    map_ : the map from logits to probabilities.
    noise_ : the noise matrix used, None without.
    estimator_, classes_ : the classifier fitted on all rows (after `fit`), and its classes.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks. ICML 2017.
    Patrini, Rozza, Menon, Nock, Qu: Making Deep Neural Networks Robust to Label Noise. CVPR 2017 (forward correction).

    Examples
    --------
    >>> from labelwise.data.synthetic import calibrated_probabilities
    >>> drawn = calibrated_probabilities(20_000, 4, overconfidence=2.0, random_state=0)
    >>> scaling = TemperatureScaling().fit_scores(drawn.proba, drawn.truth)
    >>> round(scaling.temperature_, 1)
    2.0
    >>> scaling.transform_scores(drawn.proba).shape
    (20000, 4)
    """

    card = Card(
        year=2017,
        reference=GUO,
        kind="post-hoc",
        handles=HANDLES,
        cost="light",
        race=True,
        apart="It mends probabilities more than predictions, so it races where the metric is log loss.",
    )
    preserves_argmax: ClassVar[bool] = True

    def _fit_map(self, likelihood: Likelihood) -> ScoreMap:
        factor = fit_temperature(likelihood)
        self.temperature_ = 1 / factor
        return ScoreMap(np.array(factor), np.zeros(likelihood.z.shape[1]))


class VectorScaling(Calibrator):
    """A weight and a bias for every class: ``softmax(w * z + b)``, which also mends wrong class shares.

    May change predictions. The log loss is convex; a vanishing ridge (1e-6) keeps separable data from infinity.

    Parameters
    ----------
    estimator, noise, cv, random_state
        As in `TemperatureScaling`.

    Attributes
    ----------
    map_ : the map from logits to probabilities.
    noise_ : the noise matrix used, None without.
    estimator_, classes_ : the classifier fitted on all rows (after `fit`), and its classes.

    References
    ----------
    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks. ICML 2017.

    Examples
    --------
    >>> from labelwise.data.synthetic import calibrated_probabilities
    >>> drawn = calibrated_probabilities(20_000, 3, overconfidence=2.0, random_state=0)
    >>> VectorScaling().fit_scores(drawn.proba, drawn.truth).map_.weight.round(1)
    array([0.5, 0.5, 0.5])
    """

    card = Card(
        year=2017,
        reference=GUO,
        kind="post-hoc",
        handles=HANDLES,
        cost="light",
        race=True,
        apart="It mends probabilities more than predictions, so it races where the metric is log loss.",
    )

    def _fit_map(self, likelihood: Likelihood) -> ScoreMap:
        return fit_weights(likelihood, full=False)


class MatrixScaling(Calibrator):
    """A full matrix and a bias: ``softmax(W z + b)`` with weights off the diagonal held small (ODIR).

    On probabilities (their logarithms) this is Dirichlet calibration. The penalty is ``strength`` times the mean squared
    off-diagonal weight plus the mean squared bias; without it, K x K weights fit noise. May change predictions.

    Parameters
    ----------
    strength
        Of the penalty; ``"auto"`` chooses by cross-validation on the calibration rows.
    estimator, noise, cv, random_state
        As in `TemperatureScaling`.

    Attributes
    ----------
    strength_ : strength used.
    map_ : the map from logits to probabilities.
    noise_ : the noise matrix used, None without.
    estimator_, classes_ : the classifier fitted on all rows (after `fit`), and its classes.

    References
    ----------
    Kull, Perello-Nieto, Kaengsepp, Silva Filho, Song, Flach: Beyond temperature scaling: Obtaining well-calibrated
    multiclass probabilities with Dirichlet calibration. NeurIPS 2019.

    Examples
    --------
    >>> from labelwise.data.synthetic import calibrated_probabilities
    >>> drawn = calibrated_probabilities(5000, 3, overconfidence=2.0, random_state=0)
    >>> MatrixScaling(strength=0.1).fit_scores(drawn.proba, drawn.truth).map_.weight.shape
    (3, 3)
    """

    strength: Annotated[float, NonNegative] | Literal["auto"] = "auto"

    card = Card(
        year=2019, kind="post-hoc", handles=HANDLES, cost="light",
        reference="Kull, Perello-Nieto, Kaengsepp, Silva Filho, Song, Flach. NeurIPS 2019.",
        race=True,
        apart="It mends probabilities more than predictions, so it races where the metric is log loss.",
    )  # fmt: skip

    def _fit_map(self, likelihood: Likelihood) -> ScoreMap:
        self.strength_ = self._chosen(likelihood) if isinstance(self.strength, str) else float(self.strength)
        return fit_weights(likelihood, full=True, strength=self.strength_)

    def _chosen(self, likelihood: Likelihood) -> float:
        rng = np.random.default_rng(self.random_state)
        if len(likelihood.y) > CHOOSING_ROWS:
            likelihood = likelihood.part(rng.choice(len(likelihood.y), CHOOSING_ROWS, replace=False))
        folds = min(3, len(likelihood.y))
        fold = stratified_folds(likelihood.y, folds, rng)
        losses = np.zeros(len(STRENGTHS))
        for number in range(folds):
            train, test = likelihood.part(fold != number), likelihood.part(fold == number)
            for place, strength in enumerate(STRENGTHS):
                found = fit_weights(train, full=True, strength=strength)
                losses[place] += test(found.weight, found.bias)[0] * len(test.y)
        return STRENGTHS[int(losses.argmin())]
