from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score
from torch import nn

from labelwise.base import InputError
from labelwise.learner import Classifier, MultiLabelClassifier, Regressor, Train
from labelwise.losses import ALDR, ELR, GCE, CrossEntropy

X, Y = load_digits(return_X_y=True)
TRAIN, TEST = slice(0, 1000), slice(1000, None)
FAST = Train(epochs=12, batch_size=64)


def test_every_modality_learns() -> None:
    images = (15 * X).astype(np.uint8).reshape(-1, 8, 8, 1)
    texts = [f"please {'refund my money' if c % 2 else 'open an account'} {c}" for c in Y]
    kinds = {"vectors": X, "images": images, "series": X.reshape(-1, 8, 8)}
    for modality, rows in kinds.items():
        model = Classifier(train=Train(epochs=5, batch_size=32), random_state=0).fit(rows[:700], Y[:700])
        assert model.inputs_.modality == modality
        assert model.score(rows[TEST][:300], Y[TEST][:300]) > 0.6, modality
    model = Classifier(train=Train(epochs=3, batch_size=32), random_state=0).fit(texts[:200], Y[:200] % 2)
    assert model.score(texts[200:300], Y[200:300] % 2) > 0.95


def test_unlabelled_rows_are_left_out() -> None:
    few = np.where(np.arange(1000) < 300, Y[TRAIN], -1)
    with_pool = Classifier(net="linear", train=FAST, random_state=0).fit(X[TRAIN], few)
    names = np.where(few >= 0, few.astype(str), None)
    by_name = Classifier(net="linear", train=FAST, random_state=0).fit(X[TRAIN], names.astype(object))
    assert np.array_equal(with_pool.predict(X[TEST]).astype(str), by_name.predict(X[TEST]))
    changed = X[TRAIN].copy()
    changed[300:] = changed[300:][::-1]  # other rows without labels, the same scale
    same = Classifier(net="linear", train=FAST, random_state=0).fit(changed, few)
    np.testing.assert_allclose(same.predict_proba(X[TEST]), with_pool.predict_proba(X[TEST]), atol=1e-4)


def test_zero_weight_is_no_row() -> None:
    weight = (Y[TRAIN] != 3).astype(float)
    model = Classifier(train=FAST, random_state=0).fit(X[TRAIN], Y[TRAIN], sample_weight=weight)
    assert (model.predict(X[TEST]) != 3).mean() > 0.97


@pytest.mark.parametrize("criterion", [ELR(), ALDR(), GCE(0.7)], ids=repr)
def test_robust_losses_beat_cross_entropy_under_noise(criterion: object) -> None:
    rng = np.random.default_rng(0)
    flip = rng.random(1000) < 0.4
    noisy = np.where(flip, rng.integers(0, 10, 1000), Y[TRAIN])
    train = Train(epochs=60)
    plain, robust = (
        Classifier(criterion=c, train=train, random_state=0).fit(X[TRAIN], noisy).score(X[TEST], Y[TEST])
        for c in (CrossEntropy(), criterion)
    )
    assert robust > plain + 0.02


def test_predictions_do_not_depend_on_the_batch() -> None:
    model = Classifier(train=FAST, random_state=0).fit(X[TRAIN], Y[TRAIN])
    np.testing.assert_allclose(model.predict_proba(X[TEST])[5:6], model.predict_proba(X[TEST][5:6]), rtol=1e-12)
    np.testing.assert_allclose(model.predict_proba(X[TEST]).sum(1), 1)


def test_features_feed_the_head() -> None:
    model = Classifier(train=FAST, random_state=0).fit(X[TRAIN], Y[TRAIN])
    head = model.net_.head
    scores = model.features(X[TEST]) @ head.weight.detach().double().numpy().T + head.bias.detach().double().numpy()
    np.testing.assert_allclose(scores, model.outputs(X[TEST]), rtol=1e-6)


def test_a_net_of_ones_own_is_copied_and_reads_x_as_it_is() -> None:
    net = nn.Linear(64, 10)
    before = net.weight.detach().clone()
    model = Classifier(net=net, train=FAST, random_state=0).fit(X[TRAIN], Y[TRAIN])
    assert (net.weight == before).all()
    weight, bias = (p.detach().double().numpy() for p in model.net_.parameters())
    np.testing.assert_allclose(model.outputs(X[TEST]), X[TEST] @ weight.T + bias, rtol=1e-5, atol=1e-5)


def test_regression_with_gaps_and_several_targets() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    y = np.c_[x[:, 0] + 2 * x[:, 1], 1000 + 50 * x[:, 2]]
    y[::5, 0] = np.nan
    model = Regressor(net="linear", train=Train(epochs=60, batch_size=32, lr=1e-2), random_state=0).fit(x, y)
    truth = np.c_[x[:, 0] + 2 * x[:, 1], 1000 + 50 * x[:, 2]]
    np.testing.assert_allclose(model.predict(x), truth, atol=3)
    assert model.predict(x).shape == (400, 2)


def test_multilabel_with_unknown_entries() -> None:
    y = np.stack([Y > 4, Y % 2 == 0, Y % 3 == 0], 1).astype(np.int8)
    known = y[TRAIN].copy()
    known[np.random.default_rng(0).random(known.shape) < 0.5] = -1
    model = MultiLabelClassifier(train=FAST, random_state=0).fit(X[TRAIN], known)
    assert accuracy_score(y[TEST].ravel(), model.predict(X[TEST]).ravel()) > 0.85


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X[:10], [1] * 10, "class"),
        (X[:10], Y[:9], r"rows|inconsistent"),
        (X[:10], [-1] * 10, r"missing|unlabelled|label"),
        (np.full((10, 3), np.nan), Y[:10], "NaN"),
        (np.full((10, 3), np.inf), Y[:10], "infinity"),
        (np.zeros((0, 3)), [], "0 sample"),
        ((15 * X[:10]).reshape(-1, 8, 8, 1).astype(np.float32) * np.nan, Y[:10], "first in row 0"),
    ],
)
def test_bad_input_is_refused(x: object, y: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Classifier(train=FAST).fit(x, y)


def test_another_modality_or_shape_at_predict_is_refused() -> None:
    model = Classifier(train=Train(epochs=1), random_state=0).fit(X[:50], Y[:50])
    with pytest.raises(ValueError, match="X has 63 features, but Classifier is expecting 64"):
        model.predict(X[:5, :63])
    with pytest.raises(InputError, match="X holds series, but Classifier was fitted on vectors"):
        model.predict(X[:5].reshape(-1, 8, 8))
    images = Classifier(train=Train(epochs=1), random_state=0).fit(X[:50].reshape(-1, 8, 8, 1), Y[:50])
    with pytest.raises(InputError, match=r"rows of shape \(1, 4, 16\)"):
        images.predict(X[:5].reshape(-1, 4, 16, 1))


def test_wrong_multilabel_entry_is_named() -> None:
    y = np.zeros((10, 2), int)
    y[4, 1] = 7
    with pytest.raises(InputError, match="row 4, column 1"):
        MultiLabelClassifier().fit(X[:10], y)


def test_domains_of_another_length_are_refused() -> None:
    with pytest.raises(InputError, match=r"domains must have one entry a row, shape \(10,\)"):
        Classifier().fit(X[:10], Y[:10], domains=[0, 1, 2])


def test_scores_of_a_multi_label_classifier_rank_as_its_probabilities() -> None:
    """One class per row is normalised over sigmoids, so the difference of the raw scores would rank otherwise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 4))
    model = MultiLabelClassifier(train=Train(epochs=8, batch_size=16, lr=0.05), random_state=0)
    for y in (X[:, 0] > 0.5, np.digitize(X[:, 0], [-0.5, 0.5])):
        model.fit(X, y.astype(int))
        p, score = model.predict_proba(X), model.decision_function(X)
        if score.ndim == 1:
            np.testing.assert_allclose(score, np.log(p[:, 1] / p[:, 0]), rtol=1e-6, atol=1e-9)
        else:
            np.testing.assert_allclose(np.exp(score) / np.exp(score).sum(1, keepdims=True), p, rtol=1e-6, atol=1e-9)
    two = model.fit(X, (X[:, :2] > 0).astype(int))
    assert two.decision_function(X).shape == (200, 2)
    np.testing.assert_allclose(1 / (1 + np.exp(-two.decision_function(X))), two.predict_proba(X), rtol=1e-6)
