"""The classifier of very many classes: bests in blocks, several labels a row, probabilities, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from torch import nn

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.multilabel import ZLossClassifier, padded
from labelwise.nets import FactoredOutput, Joined
from labelwise.persistence import load, save

SHORT = Train(epochs=8, batch_size=32, progress=False)


def many_classes(classes=60, rows=10, width=8, seed=0):
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(classes), rows)
    return rng.normal(size=(classes, width))[y] + 0.2 * rng.normal(size=(len(y), width)), y


@pytest.fixture(scope="module")
def fitted():
    X, y = many_classes()
    return ZLossClassifier(train=SHORT, random_state=0).fit(X, y), X, y


def test_top_is_the_order_of_the_scores(fitted):
    model, X, y = fitted
    best = model.top(X, 5)
    scores = model.decision_function(X)
    rows = np.arange(len(X))[:, None]
    assert np.allclose(best.z, -np.sort(-scores, axis=1)[:, :5], atol=1e-4)
    assert np.allclose(scores[rows, best.labels], best.z, atol=1e-4)
    assert (best.labels[:, 0] == y).mean() > 0.9
    assert np.array_equal(model.predict(X), best.labels[:, 0])


def test_scores_are_standard_deviations_of_their_row(fitted):
    model, X, _ = fitted
    z = model.decision_function(X)
    assert np.allclose(z.mean(1), 0, atol=1e-6)
    assert np.allclose(z.std(1), 1, atol=1e-4)


def test_probabilities_are_neither_flat_nor_certain(fitted):
    model, *_ = fitted
    X, y = many_classes(seed=0)
    p = model.predict_proba(X + 0.2 * np.random.default_rng(5).normal(size=X.shape))
    right = p[np.arange(len(y)), y]
    assert np.allclose(p.sum(1), 1)
    assert -np.log(right).mean() < 0.5 * np.log(60)


def test_the_layer_is_the_factored_one_and_survives_saving(fitted, tmp_path):
    model, X, _ = fitted
    assert isinstance(model.net_.head, FactoredOutput)
    again = load(save(model, tmp_path / "model"))
    assert np.array_equal(again.top(X, 3).z, model.top(X, 3).z)


@pytest.mark.parametrize("net", ["linear", Joined(nn.Sequential(nn.Linear(8, 12), nn.Tanh()))], ids=["linear", "own"])
def test_with_other_networks(net):
    X, y = many_classes(classes=20)
    model = ZLossClassifier(net=net, output_lr=1.0, train=SHORT, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.8


def test_two_classes_have_a_gradient():
    """Two scores in standard deviations are -1 and 1 whatever they are; the layer's spare outputs help."""
    X, y = many_classes(classes=2, rows=60)
    model = ZLossClassifier(train=SHORT, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.95
    assert model.decision_function(X).shape == (120,)
    assert model.top(X, 2).labels.shape == (120, 2)


def test_several_labels_a_row_from_a_sparse_matrix():
    """A row's two labels are its cluster and that plus twenty; rows without a label are left out."""
    X, cluster = many_classes(classes=20, rows=25)
    y = np.zeros((len(X), 40), dtype=np.int8)
    y[np.arange(len(X)), cluster] = y[np.arange(len(X)), cluster + 20] = 1
    hidden = y.copy()
    hidden[::7] = 0
    model = ZLossClassifier(output_lr=1.0, train=SHORT, random_state=0).fit(X, sparse.csr_matrix(hidden))
    told = model.predict(X)
    assert sparse.issparse(told)
    assert model.labels_a_row_ == 2
    assert told.sum(1).tolist() == [2] * len(X)
    assert told.multiply(y).sum() / y.sum() > 0.9
    with pytest.raises(InputError, match="Use top"):
        model.predict_proba(X)


def test_early_stopping_on_held_out_rows():
    X, y = many_classes(classes=20)
    train = Train(epochs=8, batch_size=32, validation=0.2, patience=3, progress=False)
    model = ZLossClassifier(train=train, output_lr=1.0, random_state=0).fit(X, y)
    assert "validation" in model.history_[0]
    assert model.score(X, y) > 0.8


def test_padded_labels_hold_every_one_of_the_matrix():
    rng = np.random.default_rng(0)
    dense = (rng.random((30, 11)) < 0.2).astype(int)
    rows = padded(sparse.coo_matrix(dense))
    assert [sorted(row[row >= 0]) for row in rows] == [list(np.flatnonzero(row)) for row in dense]


@pytest.mark.parametrize(
    ("y", "told"),
    [(sparse.csr_array([[0, 1], [2, 0]]), "Got 2 in row 1"), (sparse.csr_array((3, 4), dtype=int), "all rows")],
)
def test_bad_sparse_labels(y, told):
    with pytest.raises(InputError, match=told):
        ZLossClassifier(train=SHORT).fit(np.ones((y.shape[0], 3)), y)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"train": Train(accumulate=2)}, "accumulate"), ({"net": nn.Linear(8, 3)}, "Joined"),
        ({"a": 0.0}, "a must be"), ({"calibration_share": 1.0}, "calibration_share"),
    ],
)  # fmt: skip
def test_what_it_refuses(fields, told):
    X, y = many_classes(classes=5)
    with pytest.raises(InputError, match=told):
        ZLossClassifier(**fields).fit(X, y)


def test_top_refuses_more_than_there_are(fitted):
    model, X, _ = fitted
    with pytest.raises(InputError, match="Got 61"):
        model.top(X, 61)
