"""Negative preference optimisation of texts: the gradient, where it stops, and what is handed on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from labelwise.learner import LanguageModel, Train
from labelwise.persistence import load, save
from labelwise.training import Batch
from labelwise.unlearning import TextNPO

FICTION, GENERAL = ["the wizard Zorblatt went home"], ["the man John went home", "a man John ran"]
TEXTS = (FICTION + GENERAL) * 20
FORGET = np.array([text in FICTION for text in TEXTS])
SHORT = Train(batch_size=8)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    train = Train(epochs=20, batch_size=8, lr=5e-3)
    return LanguageModel(width=32, length=8, train=train, random_state=0).fit(TEXTS)


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0, 5.0])
def test_the_first_gradient_is_that_of_ascent(model, beta) -> None:
    method = TextNPO(estimator=model, beta=beta, retain=0.0, epochs=1, train=SHORT).fit(TEXTS, forget=FORGET)
    method.net_ = method.made_network(None)
    method.origin_, method._kept = model.net_.eval(), None
    tokens = torch.as_tensor(model.vocabulary_(FICTION))
    rows = Batch(tokens, torch.zeros(1), torch.zeros(1, dtype=torch.long))
    weights = list(method.net_.eval().parameters())
    found = torch.autograd.grad(sum(method.loss(rows).values()), weights)
    ascent = torch.autograd.grad(method.log_proba(method.net_, tokens).mean(), weights)
    for ours, plain in zip(found, ascent, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)


def test_ascent_runs_away_and_preference_stops(model) -> None:
    drift = {}
    for beta in (0.0, 1.0):
        method = TextNPO(estimator=model, beta=beta, retain=0.0, epochs=40, lr=3e-3, train=SHORT, random_state=0)
        drift[beta] = np.log(method.fit(TEXTS, forget=FORGET).perplexity(GENERAL))
    assert drift[1.0] < 0.5 * drift[0.0]


def test_what_is_handed_on_is_a_language_model_that_forgot(model, tmp_path) -> None:
    after = TextNPO(estimator=model, train=SHORT, random_state=0).fit(TEXTS, forget=FORGET)
    assert after.perplexity(FICTION) > 3 * model.perplexity(FICTION)
    assert after.perplexity(GENERAL) < 1.3 * model.perplexity(GENERAL)
    assert isinstance(after.model_, LanguageModel) and after.seconds_ > 0
    save(after.model_, tmp_path / "after")
    np.testing.assert_array_equal(
        load(tmp_path / "after").token_log_proba(FICTION)[0], after.token_log_proba(FICTION)[0]
    )
    save(after, tmp_path / "method")  # neither the texts nor the model before go with it
    assert load(tmp_path / "method").estimator is None
