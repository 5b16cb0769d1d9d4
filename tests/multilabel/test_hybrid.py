"""The contrastive term against slow loops; stacking: what the meta models see, missing labels, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import jaccard_score
from sklearn.model_selection import cross_val_predict
from sklearn.multioutput import MultiOutputClassifier

from labelwise.base import InputError
from labelwise.data.synthetic import partial_multilabel
from labelwise.learner import MultiLabelClassifier, Train
from labelwise.losses import MaskedBCE
from labelwise.losses.label_sets import jaccard, weighted_contrast
from labelwise.multilabel import HybridMultiLabelClassifier, StackedEmbeddings

QUICK = Train(epochs=5, batch_size=32, progress=False)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_jaccard_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(-1, 2, (8, 5))
    found = jaccard(torch.as_tensor(y))
    for a in range(8):
        for b in range(8):
            known = (y[a] >= 0) & (y[b] >= 0)
            expected = jaccard_score(y[a][known], y[b][known], zero_division=0) if known.any() else 0.0
            assert found[a, b].item() == pytest.approx(expected)


@given(st.integers(0, 10_000), st.floats(0.05, 2))
@settings(max_examples=30, deadline=None)
def test_contrast_is_its_equation(seed, temperature):
    generator = torch.Generator().manual_seed(seed)
    h = torch.randn(6, 3, generator=generator, dtype=torch.float64)
    w = torch.rand(6, 6, generator=generator, dtype=torch.float64) * (torch.rand(6, 6, generator=generator) < 0.4)
    values = []
    for i in range(6):
        others = [j for j in range(6) if j != i]
        similar = {j: float(h[i] @ h[j] / h[i].norm() / h[j].norm()) / temperature for j in others}
        total = sum(math.exp(v) for v in similar.values())
        mass = sum(float(w[i, j]) for j in others)
        if mass:
            values.append(-sum(float(w[i, j]) * (similar[j] - math.log(total)) for j in others) / mass)
    expected = sum(values) / len(values) if values else 0.0
    assert float(weighted_contrast(h, w, temperature)) == pytest.approx(expected, abs=1e-9)


def test_contrast_without_partners_or_rows_is_zero_with_a_gradient():
    for rows in (1, 4):
        h = torch.randn(rows, 3, requires_grad=True)
        value = weighted_contrast(h, torch.zeros(rows, rows), 0.1)
        value.backward()
        assert float(value.detach()) == 0
        assert h.grad is not None
        assert h.grad.isfinite().all()


def test_without_its_terms_it_is_plain_training():
    drawn = partial_multilabel(200, 3, random_state=0)
    plain = MultiLabelClassifier(train=QUICK, random_state=0).fit(drawn.X, drawn.y)
    same = HybridMultiLabelClassifier(criterion=MaskedBCE(), contrast=0.0, train=QUICK, random_state=0)
    np.testing.assert_array_equal(same.fit(drawn.X, drawn.y).predict_proba(drawn.X), plain.predict_proba(drawn.X))


def test_criterion_knows_all_training_labels():
    drawn = partial_multilabel(200, 3, random_state=0)
    model = HybridMultiLabelClassifier(train=QUICK, random_state=0).fit(drawn.X, drawn.y)
    yes = torch.as_tensor((drawn.y == 1).sum(0), dtype=torch.float64)
    torch.testing.assert_close(model.criterion_.together.diagonal(), yes)
    assert not model.criterion.fixed


class Keep(ClassifierMixin, BaseEstimator):
    """Keeps what it is given."""

    def fit(self, X, y):
        self.X_, self.classes_ = X, np.arange(y.shape[1])
        return self

    def predict(self, X):
        self.seen_ = X
        return np.zeros((len(X), len(self.classes_)), int)


def test_meta_predictions_are_out_of_fold_in_training_and_of_all_rows_after():
    drawn = partial_multilabel(
        300, 2, 8, positive_rate=0.5, observed_positive=1.0, observed_negative=1.0, random_state=0
    )
    meta = LogisticRegression()
    model = StackedEmbeddings(blocks=[3, 5], meta=meta, final=Keep(), random_state=0).fit(drawn.X, drawn.y)
    np.testing.assert_array_equal(model.final_.X_[:, :8], drawn.X)
    stacked = model.final_.X_[:, 8:]
    model.predict(drawn.X)
    for number, (block, label) in enumerate((b, c) for b in (drawn.X[:, :3], drawn.X[:, 3:]) for c in range(2)):
        peer = cross_val_predict(meta, block, drawn.y[:, label], cv=5, method="predict_proba")[:, 1]
        assert np.abs(stacked[:, number] - peer).mean() < 0.04  # of other folds
        every = meta.fit(block, drawn.y[:, label]).predict_proba(block)[:, 1]
        np.testing.assert_allclose(model.final_.seen_[:, 8 + number], every, atol=1e-9)


def test_a_label_of_noise_cannot_leak_into_its_own_meta_prediction():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 40)), rng.integers(0, 2, (60, 1))
    y = np.hstack([y, 1 - y])
    model = StackedEmbeddings(meta=LogisticRegression(C=1e3), final=Keep(), random_state=0).fit(X, y)
    assert abs(np.corrcoef(model.final_.X_[:, 40], y[:, 0])[0, 1]) < 0.4
    model.predict(X)
    assert np.corrcoef(model.final_.seen_[:, 40], y[:, 0])[0, 1] > 0.95


def test_unknown_and_constant_labels():
    drawn = partial_multilabel(120, 4, random_state=0)
    y = drawn.y.copy()
    y[:, 1], y[:, 2] = -1, 0
    model = StackedEmbeddings(final=HybridMultiLabelClassifier(train=QUICK), random_state=0).fit(drawn.X, y)
    assert np.isfinite(model.predict_proba(drawn.X)).all()


def test_any_multi_label_estimator_may_be_final():
    drawn = partial_multilabel(150, 3, observed_positive=1.0, observed_negative=1.0, random_state=0)
    final = MultiOutputClassifier(LogisticRegression())
    model = StackedEmbeddings(blocks=[8, 8], final=final, random_state=0).fit(drawn.X, drawn.y)
    assert (model.predict(drawn.X) == drawn.truth).mean() > 0.8


@pytest.mark.parametrize("blocks", [[8], [8, 8, 1], [], [16, 0]])
def test_bad_blocks(blocks):
    drawn = partial_multilabel(60, 3, random_state=0)
    with pytest.raises(InputError, match="blocks"):
        StackedEmbeddings(blocks=blocks).fit(drawn.X, drawn.y)


def test_contrast_needs_a_hidden_layer():
    drawn = partial_multilabel(60, 3, random_state=0)
    with pytest.raises(InputError, match="contrast"):
        HybridMultiLabelClassifier(net=torch.nn.Linear(16, 3), train=QUICK).fit(drawn.X, drawn.y)
