from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.datasets import load_digits, load_iris
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB

from labelwise.base import InputError
from labelwise.calibration import CalibrationError, MatrixScaling, TemperatureScaling, VectorScaling
from labelwise.calibration.maps import Likelihood, fit_temperature, fit_weights
from labelwise.data.synthetic import calibrated_probabilities, pair_noise, symmetric_noise
from labelwise.data.synthetic.label_noise import pair_transition, symmetric_transition
from labelwise.parts.calibration_measures import calibration_error
from labelwise.parts.noise_matrix import NoiseMatrix
from labelwise.shift import EMPrior

EVERY = [TemperatureScaling, VectorScaling, MatrixScaling]


def logits_and_labels(seed=0, n=1500, k=4, temperature=2.0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, k)) * 1.5
    y = (softmax(z, axis=1).cumsum(1) > rng.random((n, 1))).argmax(1)
    return z * temperature, y


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0.2, 5.0))
def test_temperature_is_the_brute_force_optimum(seed, temperature):
    z, y = logits_and_labels(seed, 400, 3, temperature)

    def nll(t):
        return -log_softmax(z / np.exp(t), axis=1)[np.arange(len(y)), y].mean()

    brute = minimize_scalar(nll, bounds=(-6, 6), method="bounded", options={"xatol": 1e-10}).x
    found = TemperatureScaling().fit_scores(z, y).temperature_
    assert found == pytest.approx(np.exp(brute), rel=1e-5)
    assert nll(np.log(found)) <= nll(brute) + 1e-12


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
def test_weights_are_the_brute_force_optimum(full, noisy):
    z, y = logits_and_labels(1, 300, 3)
    noise = symmetric_transition(3, 0.2).T if noisy else None
    likelihood, strength = Likelihood(z, y, noise), 0.05 if full else 0.0
    found = fit_weights(likelihood, full=full, strength=strength)

    def objective(flat):
        weight = flat[:-3].reshape(3, 3) if full else np.diag(flat[:-3])
        p = softmax(z @ weight.T + flat[-3:], axis=1)
        p = p if noise is None else p @ noise.T
        off = weight - np.diag(np.diag(weight))
        return -np.log(p[np.arange(len(y)), y]).mean() + strength * ((off**2).sum() / 6 + (flat[-3:] ** 2).sum() / 3)

    start = np.r_[(np.eye(3) if full else np.ones(3)).ravel() * 0.5, np.zeros(3)]
    brute = minimize(objective, start, method="BFGS", options={"gtol": 1e-8})
    mine = objective(np.r_[found.weight.ravel(), found.bias])
    assert mine == pytest.approx(brute.fun, abs=2e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.booleans())
def test_gradient_is_the_slope_of_the_value(seed, noisy):
    z, y = logits_and_labels(seed, 50, 3)
    likelihood = Likelihood(z, y, pair_transition(3, 0.3).T if noisy else None)
    step = 1e-6

    def value(factor):
        return likelihood(np.array(factor), np.zeros(1))[0]

    assert likelihood.slope(0.7) == pytest.approx((value(0.7 + step) - value(0.7 - step)) / 2 / step, abs=1e-6)


@pytest.mark.parametrize("cls", EVERY)
@pytest.mark.parametrize("kind", ["proba", "logits"])
def test_works_in_every_precision(cls, kind):
    z, y = logits_and_labels(0, 3000, 10)
    scores = z if kind == "logits" else softmax(z, axis=1)
    exact = cls().fit_scores(scores, y).transform_scores(scores)
    for dtype, tolerance in ((np.float16, 0.06), (np.float32, 2e-3)):
        model = cls().fit_scores(scores.astype(dtype), y)
        found = model.transform_scores(scores.astype(dtype))
        assert found.dtype == np.float64
        assert model.scores_are_ == kind
        assert np.abs(found - exact).max() < tolerance
        assert calibration_error(y, found) < 0.03 < 0.1 < calibration_error(y, softmax(z, axis=1))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(0.3, 4.0))
def test_one_temperature_never_changes_a_prediction(seed, temperature):
    z, y = logits_and_labels(seed, 200, 5, temperature)
    p = TemperatureScaling().fit_scores(z, y).transform_scores(z)
    assert TemperatureScaling.preserves_argmax
    assert (p.argmax(1) == z.argmax(1)).all()
    assert np.allclose(p.sum(1), 1)


def test_the_flag_is_honest():
    z, y = logits_and_labels(0, 2000, 4)
    crooked = z + np.array([0, 0, 3.0, -2.0])
    for cls in (VectorScaling, MatrixScaling):
        assert not cls.preserves_argmax
        p = cls().fit_scores(crooked, y).transform_scores(crooked)
        assert (p.argmax(1) != crooked.argmax(1)).any()
        assert (p.argmax(1) == y).mean() > (crooked.argmax(1) == y).mean()


def test_right_for_true_labels_through_known_noise():
    matrix = pair_transition(4, 0.3)  # rows: true, columns: given
    drawn = calibrated_probabilities(20_000, 4, overconfidence=2.0, noise=matrix, random_state=0)
    blind = TemperatureScaling().fit_scores(drawn.proba, drawn.y)
    told = TemperatureScaling(noise=NoiseMatrix(matrix.T)).fit_scores(drawn.proba, drawn.y)
    assert told.temperature_ == pytest.approx(2.0, abs=0.15)
    assert blind.temperature_ > 2.5
    error = [calibration_error(drawn.truth, model.transform_scores(drawn.proba)) for model in (blind, told)]
    assert error[1] < 0.02 < 0.1 < error[0]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1000), st.floats(0.5, 3.0), st.floats(0.05, 0.4))
def test_forward_fit_finds_the_planted_temperature(seed, overconfidence, rate):
    matrix = symmetric_transition(3, rate)
    drawn = calibrated_probabilities(8000, 3, overconfidence=overconfidence, noise=matrix, random_state=seed)
    found = TemperatureScaling(noise=NoiseMatrix(matrix.T)).fit_scores(drawn.proba, drawn.y).temperature_
    assert found == pytest.approx(overconfidence, rel=0.2)


@pytest.mark.parametrize("cls", EVERY)
def test_estimated_noise_brings_probabilities_nearer_to_the_truth(cls):
    drawn = calibrated_probabilities(
        3000, 4, sharpness=6.0, overconfidence=1.5, noise=pair_transition(4, 0.3), random_state=0
    )
    error = {
        noise: calibration_error(
            drawn.truth, cls(noise=noise).fit_scores(drawn.proba, drawn.y).transform_scores(drawn.proba)
        )
        for noise in (None, "auto")
    }
    assert error["auto"] < 0.5 * error[None]


@pytest.mark.parametrize("cls", EVERY)
def test_a_constant_added_to_a_row_changes_nothing(cls):
    z, y = logits_and_labels(2, 400, 3)
    moved = z + np.random.default_rng(0).normal(size=(400, 1)) * 5
    first, second = (cls(random_state=0).fit_scores(s, y) for s in (z, moved))
    assert np.allclose(first.transform_scores(z), second.transform_scores(moved), atol=1e-6)
    assert np.allclose(
        first.transform_scores(z),
        cls(random_state=0).fit_scores(softmax(z, axis=1), y).transform_scores(softmax(z, axis=1)),
        atol=1e-6,
    )


def test_many_rows_give_the_exact_optimum_too():
    z, y = logits_and_labels(0, 45_000, 3)
    likelihood = Likelihood(z, y)
    assert abs(likelihood.slope(fit_temperature(likelihood))) < 1e-10


def test_no_noise_is_the_identity_matrix():
    z, y = logits_and_labels(3)
    plain, identity = (TemperatureScaling(noise=n).fit_scores(z, y) for n in (None, NoiseMatrix(np.eye(4))))
    assert plain.temperature_ == pytest.approx(identity.temperature_, rel=1e-9)


def test_separable_scores_are_sharpened_to_the_limit_and_useless_ones_flattened():
    y = np.arange(40) % 2
    sure = np.where(np.eye(2)[y] > 0, 0.6, 0.4)
    assert TemperatureScaling().fit_scores(sure, y).temperature_ == pytest.approx(1e-3)
    wrong = TemperatureScaling().fit_scores(sure, 1 - y)
    assert np.allclose(wrong.transform_scores(sure), 0.5, atol=1e-3)
    assert np.isfinite(fit_temperature(Likelihood(np.zeros((4, 2)), np.array([0, 1, 0, 1]))))


def test_around_a_classifier():
    X, y = load_digits(return_X_y=True)
    X = X + np.random.default_rng(0).normal(size=X.shape) * 4
    train, test = np.arange(900), np.arange(900, 1797)
    plain = GaussianNB().fit(X[train], y[train])
    model = TemperatureScaling(estimator=GaussianNB(), random_state=0).fit(X[train], y[train])
    before, after = (
        CalibrationError(random_state=0).measure(m.predict_proba(X[test]), y[test]) for m in (plain, model)
    )
    assert after.ece.value < 0.6 * before.ece.value
    assert after.nll.value < before.nll.value
    assert (plain.predict(X[test]) == model.predict(X[test])).all()


def test_a_frozen_classifier_is_left_as_it_is():
    X, y = load_iris(return_X_y=True)
    names = np.array(["a", "b", "c"])[y]
    inside = LogisticRegression(max_iter=500).fit(X[::2], names[::2])
    model = VectorScaling(estimator=FrozenEstimator(inside)).fit(X[1::2], names[1::2])
    assert model.estimator_.estimator is inside
    same = VectorScaling().fit_scores(inside.predict_proba(X[1::2]), names[1::2], classes=inside.classes_)
    assert np.allclose(same.map_.weight, model.map_.weight)
    with pytest.raises(InputError, match="same classes"):
        VectorScaling(estimator=FrozenEstimator(inside)).fit(X, y)


def test_calibrate_then_correct_for_shift_then_predict():
    rng = np.random.default_rng(0)
    truth = np.r_[np.repeat([0, 1], 600), np.repeat([0, 1], [900, 100])]
    X = rng.normal(2 * truth[:, None], size=(len(truth), 2))
    y = np.where(np.arange(len(truth)) < 1200, truth, -1)
    chain = EMPrior(
        estimator=TemperatureScaling(estimator=GaussianNB(), random_state=0), calibrate=None, random_state=0
    )
    chain.fit(X, y)
    target = X[1200:]
    assert chain.prior_[0] == pytest.approx(0.9, abs=0.05)
    assert (chain.predict(target) == truth[1200:]).mean() >= (
        GaussianNB().fit(X[:1200], truth[:1200]).predict(target) == truth[1200:]
    ).mean()
    inside_out = TemperatureScaling(estimator=FrozenEstimator(chain)).fit(target, truth[1200:])
    assert inside_out.predict_proba(target).shape == (1000, 2)


def test_the_learner_guesses_even_noise_and_a_part_of_one_sided_noise():
    X, y = load_digits(return_X_y=True)
    even, one_way = (noise(y, 0.3, random_state=0).y for noise in (symmetric_noise, pair_noise))
    guessed = [TemperatureScaling(noise="auto", random_state=0).fit(X, given).noise_ for given in (even, one_way)]
    assert guessed[0].wrong_rate() == pytest.approx(0.3, abs=0.06)
    assert 0.1 < guessed[1].wrong_rate() < 0.3  # the classifier has learnt the rest


def test_regularisation_pulls_towards_the_diagonal():
    z, y = logits_and_labels(0, 500, 5)
    sizes = []
    for strength in (0.0, 0.1, 1000.0):
        weight = MatrixScaling(strength=strength).fit_scores(z, y).map_.weight
        sizes.append(np.abs(weight - np.diag(np.diag(weight))).max())
    assert sizes[0] > sizes[1] > sizes[2]
    assert sizes[2] < 0.05 * sizes[0]
    chosen = MatrixScaling(random_state=0).fit_scores(z, y).strength_
    assert chosen >= 0.01


@pytest.mark.parametrize(
    ("scores", "y", "told"),
    [
        (np.zeros(4), [0, 1, 0, 1], r"\[0, s\]"),
        (np.zeros((4, 2)), [0, 1, 2, 1], "row 2 has label"),
        (np.zeros((4, 2)), [0, 1], r"shape \(4,\)"),
        (np.zeros((2, 2)), [-1, -1], "every label is missing"),
        (np.array([[0.0, np.nan], [1.0, 2.0]]), [0, 1], "row 0"),
        (np.array([[0.0, 1.0], [np.inf, 2.0]]), [0, 1], "row 1"),
    ],
)
def test_bad_scores_are_named(scores, y, told):
    with pytest.raises(InputError, match=told):
        TemperatureScaling().fit_scores(scores, y)


def test_other_scores_than_fitted_on_are_refused():
    z, y = logits_and_labels()
    model = TemperatureScaling().fit_scores(softmax(z, axis=1), y)
    with pytest.raises(InputError, match="row 0"):
        model.transform_scores(z)
    with pytest.raises(InputError, match="columns"):
        model.transform_scores(np.full((2, 3), 1 / 3))
    with pytest.raises(InputError, match="matrix of 3 classes"):
        TemperatureScaling(noise=NoiseMatrix(np.eye(3))).fit_scores(z, y)
    with pytest.raises(InputError, match="noise"):
        TemperatureScaling(noise="guess").fit_scores(z, y)
