"""Concatenated representations: what the head computes, what stays frozen, where the members differ."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from labelwise.base import InputError
from labelwise.baselines import ConcatenatedProbe, TwoStageFineTuning
from labelwise.learner import Train
from labelwise.nets import MLP
from labelwise.persistence import load, save

SHORT = Train(epochs=8, batch_size=32, progress=False)


def digits():
    X, y = load_digits(return_X_y=True)
    return X[:400] / 16, y[:400]


@pytest.fixture(scope="module")
def fitted():
    X, y = digits()
    net = MLP(64, 5, hidden=(12,))
    return ConcatenatedProbe(members=3, net=net, train=SHORT, random_state=0).fit(X[y < 5], y[y < 5])


def test_the_head_is_logistic_regression_on_standardised_features(fitted):
    """The head of the network, with the standardisation folded in, against scikit-learn's two steps."""
    X, y = digits()
    Z, y = fitted.features(X[y < 5]), y[y < 5]
    scaler = StandardScaler().fit(Z)
    plain = LogisticRegression(C=1 / (fitted.penalty_ * len(y)), max_iter=300).fit(scaler.transform(Z), y)
    assert np.allclose(fitted.predict_proba(X), plain.predict_proba(scaler.transform(fitted.features(X))), atol=1e-3)


def test_two_classes_get_two_columns():
    X, y = digits()
    model = ConcatenatedProbe(members=2, train=SHORT, random_state=0).fit(X, y % 2)
    scaler = StandardScaler().fit(model.features(X))
    plain = LogisticRegression(C=1 / (model.penalty_ * len(y)), max_iter=300)
    plain.fit(scaler.transform(model.features(X)), y % 2)
    expected = plain.predict_proba(scaler.transform(model.features(X)))
    assert np.allclose(model.predict_proba(X), expected, atol=1e-3)


def test_features_are_the_blocks_of_the_members(fitted):
    X, _ = digits()
    assert fitted.features(X).shape == (400, 36)
    assert np.allclose(np.concatenate(fitted.blocks(X), axis=1), fitted.features(X))
    for block, member in zip(fitted.blocks(X), fitted.members_, strict=True):
        assert np.allclose(block, member.features(X), atol=1e-5)


def test_members_of_one_given_network_start_from_different_weights(fitted):
    first, second = (member.net_.features[0].weight.detach() for member in fitted.members_[:2])
    assert float((first - second).abs().mean()) > 0.05


def test_a_new_probe_leaves_the_first_as_it_was(fitted):
    X, y = digits()
    before = fitted.predict_proba(X)
    other = fitted.probe(X[y >= 5], y[y >= 5])
    assert list(other.classes_) == [5, 6, 7, 8, 9]
    assert list(fitted.classes_) == [0, 1, 2, 3, 4]
    assert np.array_equal(fitted.predict_proba(X), before)
    assert np.array_equal(other.features(X), fitted.features(X))
    assert other.score(X[y >= 5], y[y >= 5]) > 0.9


def test_the_probe_reads_only_labelled_rows(fitted):
    X, y = digits()
    known = np.arange(len(y)) % 2 == 0
    half = fitted.probe(X, np.where(known, y, -1))
    assert np.allclose(half.predict_proba(X), fitted.probe(X[known], y[known]).predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("net", ["auto", "own"])
def test_distilled_features_predict_those_of_the_members(net):
    """One network of the members' width, from which a linear map finds the concatenation back."""
    X, y = digits()
    given = MLP(64, 2, hidden=(32,)) if net == "own" else net
    train = Train(epochs=25, batch_size=32, progress=False)
    model = ConcatenatedProbe(members=2, distill=True, net=given, train=train, random_state=0).fit(X, y % 2)
    Z = np.concatenate([member.features(X) for member in model.members_], axis=1)
    S = np.c_[model.features(X), np.ones(len(X))]
    left = Z - S @ np.linalg.lstsq(S, Z, rcond=None)[0]
    assert S.shape[1] - 1 == (32 if net == "own" else 256)
    assert (left**2).sum() < 0.2 * ((Z - Z.mean(0)) ** 2).sum()


def test_the_second_stage_starts_as_the_ensemble_of_the_members(fitted):
    """With a vanishing learning rate it stays there: the mean of the members' scores."""
    X, y = digits()
    tuned = TwoStageFineTuning(estimator=fitted, head_lr=1e-12, random_state=0).fit(X, y)
    mean = np.mean([member.outputs(X) for member in tuned.members_], axis=0)
    assert np.allclose(tuned.outputs(X), mean, atol=1e-4)
    assert tuned.score(X, y) > 0.9


def test_fine_tuning_leaves_the_source_as_it_was(fitted):
    X, y = digits()
    before = fitted.predict_proba(X)
    together = TwoStageFineTuning(estimator=fitted, together=True, train=SHORT, random_state=0).fit(X, y)
    assert together.members_ == [] and together.score(X, y) > 0.8
    assert np.array_equal(fitted.predict_proba(X), before)


def test_pictures(tmp_path):
    X, y = digits()
    pictures = (X * 255).astype(np.uint8).reshape(-1, 8, 8, 1)[:150]
    model = ConcatenatedProbe(members=2, train=Train(epochs=3, progress=False), random_state=0).fit(pictures, y[:150])
    tuned = TwoStageFineTuning(estimator=model, train=Train(epochs=1, progress=False), random_state=0)
    tuned.fit(pictures, y[:150])
    save(tuned, tmp_path / "model")
    again = load(tmp_path / "model")
    assert np.array_equal(again.predict_proba(pictures), tuned.predict_proba(pictures))


def test_an_estimator_that_is_not_fitted_is_named():
    X, y = digits()
    with pytest.raises(InputError, match=r"TwoStageFineTuning.estimator is not fitted"):
        TwoStageFineTuning(estimator=ConcatenatedProbe()).fit(X, y)


def test_a_network_without_features_is_refused():
    X, y = digits()
    with pytest.raises(InputError, match="Sequential must have `features`"):
        ConcatenatedProbe(members=1, net=torch.nn.Sequential(torch.nn.Linear(64, 10)), train=SHORT).fit(X, y)
