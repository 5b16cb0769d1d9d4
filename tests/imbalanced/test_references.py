"""Decoupled training and post-hoc logit adjustment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.naive_bayes import GaussianNB
from torch import nn

from labelwise.base import InputError
from labelwise.imbalanced import DecoupledTraining, LogitAdjustment
from labelwise.imbalanced.decoupled import SecondHead
from labelwise.learner import LongTailClassifier, Train
from labelwise.parts.calibration_measures import calibration_error

SHARES = np.array([0.85, 0.12, 0.03])


def rows(seed: int = 0, n: int = 1500) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    y = rng.choice(3, n, p=SHARES)
    return (rng.normal(size=(n, 4)) + 1.5 * np.eye(3, 4)[y]).astype(np.float32), y


@pytest.mark.parametrize("kind", ["retrained", "scaled", "normalised"])
@pytest.mark.parametrize("bias", [True, False])
def test_the_merged_layer_gives_the_same_scores(kind: Any, bias: bool) -> None:
    first, z = nn.Linear(5, 3, bias=bias), torch.randn(7, 5)
    head = SecondHead(first, kind, tau=0.5)
    for part in head.second.parameters():
        nn.init.normal_(part)
    torch.testing.assert_close(head(z), first(z))
    if kind != "normalised":
        head.use_second()
        torch.testing.assert_close(head.merged()(z), head(z))
        return
    made = head.merged().weight
    torch.testing.assert_close(made.norm(dim=1), first.weight.norm(dim=1) ** 0.5)
    torch.testing.assert_close(nn.functional.cosine_similarity(made, first.weight), torch.ones(3))
    assert not bias or head.merged().bias.abs().sum() == 0


@pytest.mark.parametrize("kind", ["retrained", "scaled", "normalised"])
def test_the_representation_is_that_of_plain_training(kind: Any) -> None:
    X, y = rows(n=400)
    given: Any = {"train": Train(epochs=4), "random_state": 0}
    plain = LongTailClassifier(**given).fit(X, y)
    model = DecoupledTraining(classifier=kind, **given).fit(X, y)
    assert type(model.net_.head) is nn.Linear
    np.testing.assert_allclose(model.features(X), plain.features(X), rtol=1e-5, atol=1e-6)
    assert not np.allclose(model.outputs(X), plain.outputs(X))
    assert len(model.history_) == (4 if kind == "normalised" else 5)


def test_retraining_finds_more_of_the_rare_class() -> None:
    (X, y), (X_test, y_test) = rows(), rows(1, 4000)
    plain = LongTailClassifier(train=Train(epochs=30), random_state=0).fit(X, y)
    for kind, least in (("retrained", 0.05), ("scaled", 0.015)):
        model = DecoupledTraining(classifier=kind, train=Train(epochs=30), random_state=0).fit(X, y)  # type: ignore[arg-type]
        gain = balanced_accuracy_score(y_test, model.predict(X_test))
        gain -= balanced_accuracy_score(y_test, plain.predict(X_test))
        assert gain > least, kind


def test_decoupled_training_stops_early_and_refuses_what_it_cannot() -> None:
    X, y = rows(n=400)
    model = DecoupledTraining(train=Train(epochs=6, validation=0.3, patience=1), random_state=0).fit(X, y)
    assert type(model.net_.head) is nn.Linear
    with pytest.raises(InputError, match="must be 'linear'"):
        DecoupledTraining(head="cosine").fit(X, y)
    with pytest.raises(InputError, match="linear `head`"):
        DecoupledTraining(net=nn.Linear(4, 3)).fit(X, y)


# -- logit adjustment


def test_weights_inside_the_classifier_are_made_good() -> None:
    (X, y), (X_test, y_test) = rows(n=3000), rows(1, 10_000)
    weighted = LogisticRegression(class_weight="balanced")
    model = LogitAdjustment(estimator=weighted, random_state=0).fit(X, y)
    plain = LogisticRegression().fit(X, y)
    theirs, ours, best = (log_loss(y_test, m.predict_proba(X_test)) for m in (weighted.fit(X, y), model, plain))
    assert theirs > best + 0.1
    assert ours < best + 0.02
    assert calibration_error(y_test, model.predict_proba(X_test)) < 0.03
    np.testing.assert_allclose(model.predict_proba(X_test).mean(0), SHARES, atol=0.03)


def test_decides_for_balanced_accuracy_as_the_bayes_rule_does() -> None:
    """Normal classes: naive Bayes has the right posterior, and an even prior gives the best rule."""
    (X, y), (X_test, y_test) = rows(n=4000), rows(1, 20_000)
    model = LogitAdjustment(estimator=GaussianNB(), random_state=0).fit(X, y)
    even = GaussianNB(priors=np.full(3, 1 / 3)).fit(X, y)
    found = balanced_accuracy_score(y_test, model.predict(X_test))
    assert found > balanced_accuracy_score(y_test, even.predict(X_test)) - 0.03
    assert model.tau_ is not None
    assert 0.5 < model.tau_ < 1.5


@given(st.integers(0, 100), st.sampled_from([0.0, 0.7, 1.0]))
@settings(max_examples=6, deadline=None)
def test_decisions_are_the_formula(seed: int, tau: float) -> None:
    X, y = rows(seed, 300)
    model = LogitAdjustment(tau=tau, random_state=0).fit(X, y)
    p = model.predict_proba(X)
    assert (model.predict(X) == (p / model.class_prior_**tau).argmax(1)).all()
    np.testing.assert_allclose(model.decision_proba(X).sum(1), 1)


def test_costs_decide_by_the_least_expected_one() -> None:
    X, y = rows(n=600)
    costs = np.array([[0, 1, 1], [2, 0, 2], [40, 30, 0]])
    model = LogitAdjustment(costs=costs, random_state=0).fit(X, y)
    assert (model.predict(X) == (model.predict_proba(X) @ costs).argmin(1)).all()
    even = LogitAdjustment(costs=1 - np.eye(3), random_state=0).fit(X, y)
    assert (even.predict(X) == even.predict_proba(X).argmax(1)).all()


def test_the_metric_changes_the_decision() -> None:
    X, y = rows(n=2000)
    recall = LogitAdjustment(random_state=0).fit(X, y)
    f1 = LogitAdjustment(metric="macro F1", random_state=0).fit(X, y)
    assert f1.tau_ is not None
    assert recall.tau_ is not None
    assert f1.tau_ < recall.tau_
    np.testing.assert_array_equal(f1.predict_proba(X), recall.predict_proba(X))


def test_logit_adjustment_refuses() -> None:
    X, y = rows(n=100)
    y[:3] = [0, 1, 2]
    for costs, message in (
        (np.zeros((2, 2)), r"shape \(3, 3\)"), (np.full((3, 3), np.nan), "finite"), (np.eye(3), "diagonal"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            LogitAdjustment(costs=costs).fit(X, y)
    with pytest.raises(InputError, match="predict_proba"):
        LogitAdjustment(estimator=object()).fit(X, y)
