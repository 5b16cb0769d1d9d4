"""Several labels a row: calibration on held-out known entries, thresholds, positives only, bad and awkward labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import expit

from labelwise.base import InputError
from labelwise.data.synthetic import partial_multilabel
from labelwise.learner import LongTailMultiLabelClassifier, MultiLabelClassifier, Train
from labelwise.learner.long_tail_multilabel import LabelRecalibration, log_odds, standing_for, stated
from labelwise.losses import AssumeNegative, AsymmetricLoss, HybridMultiLabel
from labelwise.parts.calibration_measures import width_places
from labelwise.parts.multilabel_measures import f1

QUICK = Train(epochs=5, batch_size=32, progress=False)


def calibration_error(p: np.ndarray, y: np.ndarray) -> float:
    p, y = p[y >= 0], y[y >= 0]
    place = width_places(p, 10)
    return float(np.abs(np.bincount(place, p - y)).sum() / len(p))


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_recalibration_is_where_the_gradient_of_a_penalised_logistic_regression_vanishes(seed):
    rng = np.random.default_rng(seed)
    z, odds = rng.normal(size=(200, 4)), rng.normal(size=4)
    y = np.where(rng.random((200, 4)) < 0.2, -1, rng.random((200, 4)) < expit(0.5 * z + odds - 1)).astype(np.int8)
    weight = rng.random((200, 4)) + 0.5
    found = LabelRecalibration.fit(z, y, odds, weight)
    known = y >= 0
    columns = np.c_[z[known], np.broadcast_to(odds, y.shape)[known], np.ones(known.sum())]
    w = weight[known] * known.sum() / weight[known].sum()
    at = np.array([found.scale, found.power, found.shift])
    slope = columns.T @ (w * (expit(columns @ at) - y[known])) + (at - (1, 0, 0))
    np.testing.assert_allclose(slope, 0, atol=0.05)


@pytest.mark.parametrize(
    "criterion", [AssumeNegative(), AsymmetricLoss(gamma_negative=4.0), HybridMultiLabel(cap=20.0)], ids=str
)
def test_calibrated_whatever_the_loss_did_to_the_scores(criterion):
    drawn = partial_multilabel(
        3000, 6, positive_rate=0.15, observed_positive=0.6, observed_negative=0.6, random_state=0
    )
    train, test = slice(0, 1200), slice(1200, None)
    settings = {"train": Train(epochs=15, batch_size=64, progress=False), "random_state": 0}
    plain = MultiLabelClassifier(**settings).fit(drawn.X[train], drawn.y[train])
    raw = MultiLabelClassifier(criterion=criterion, **settings).fit(drawn.X[train], drawn.y[train])
    model = LongTailMultiLabelClassifier(criterion=criterion, **settings).fit(drawn.X[train], drawn.y[train])
    errors = [calibration_error(m.predict_proba(drawn.X[test]), drawn.truth[test]) for m in (plain, raw, model)]
    assert errors[2] < errors[0] + 0.015
    assert errors[2] < errors[1]


def test_f1_thresholds_help_rare_labels():
    drawn = partial_multilabel(4000, 8, positive_rate=0.06, sharpness=2.0, random_state=1)
    found = {}
    for decide in ("half", "f1", "micro f1"):
        model = LongTailMultiLabelClassifier(
            decide=decide, train=Train(epochs=15, batch_size=64, progress=False), random_state=0
        ).fit(drawn.X[:2000], drawn.y[:2000])  # fmt: skip
        found[decide] = f1(model.predict(drawn.X[2000:]), drawn.truth[2000:])
        above = model.decision_function(drawn.X[2000:]) >= 0
        np.testing.assert_array_equal(above, model.predict(drawn.X[2000:]) == 1)
    assert found["f1"]["macro"] > found["half"]["macro"] + 0.03
    assert found["micro f1"]["micro"] > found["half"]["micro"]


def test_positives_only_gives_the_probability_of_being_stated():
    drawn = partial_multilabel(
        4000, 4, positive_rate=0.3, observed_positive=0.5, observed_negative=0.0, random_state=0
    )  # fmt: skip
    train = Train(epochs=15, batch_size=64, progress=False)
    model = LongTailMultiLabelClassifier(criterion=AssumeNegative(), train=train, random_state=0)
    model.fit(drawn.X[:2000], drawn.y[:2000])
    p = model.predict_proba(drawn.X[2000:])
    assert model.meaning_ == "stated"
    assert calibration_error(p, (drawn.y[2000:] == 1).astype(int)) < 0.03
    assert p.mean() == pytest.approx(0.5 * drawn.truth.mean(), abs=0.02)


def test_rare_labels_keep_their_positives_and_weights_give_back_the_shares():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 3)), (rng.random((200, 3)) < 0.5).astype(np.int8)
    y[:, 0] = np.arange(200) < 5
    y[rng.random(y.shape) < 0.2] = -1
    y[:5, 0] = 1
    model = LongTailMultiLabelClassifier(train=QUICK, random_state=0).fit(X, y)
    held = model.calibration_rows_.numpy()
    assert 15 <= len(held) <= 30
    assert (y[held] == 1).sum(0)[0] == 0
    assert ((y[held] == 1).sum(0) <= 0.15 * (y == 1).sum(0)).all()
    weight = rng.random(200)
    got = standing_for(y, weight, held)
    assert (got[:, 0] == 0).all()  # its positives are all in training: it has no say
    for value in (0, 1):
        inside = (got * (y[held] == value)).sum(0)
        np.testing.assert_allclose(inside[1:], (weight @ (y == value))[1:])


def test_log_odds_are_of_known_entries():
    y = np.array([[1, 1], [1, -1], [0, -1], [0, -1]], dtype=np.int8)
    np.testing.assert_allclose(expit(log_odds(y, np.ones(4))), [(2 + 0.6) / 5, (1 + 0.6) / 2])
    assert stated(np.array([[1, -1]], dtype=np.int8)).tolist() == [[1, 0]]


def test_a_label_never_positive_is_told_and_constant():
    drawn = partial_multilabel(200, 3, random_state=0)
    y = drawn.y.copy()
    y[:, 1] = np.where(y[:, 1] == 1, -1, y[:, 1])
    with pytest.warns(UserWarning, match="label 1 has no positive"):
        model = LongTailMultiLabelClassifier(decide="f1", train=QUICK, random_state=0).fit(drawn.X, y)
    p = model.predict_proba(drawn.X)
    assert np.ptp(p[:, 1]) == 0
    assert 0 < p[0, 1] < 0.05
    assert (model.predict(drawn.X)[:, 1] == 0).all()


def test_rows_without_a_known_label_are_left_out():
    drawn = partial_multilabel(200, 3, random_state=0)
    y = drawn.y.copy()
    y[:50] = -1
    other = drawn.X.copy()
    other[:50] = drawn.X[:50][::-1]  # the same rows for the scale of the inputs, in another order
    settings = {"train": QUICK, "random_state": 0}
    one = LongTailMultiLabelClassifier(**settings).fit(drawn.X, y)
    two = LongTailMultiLabelClassifier(**settings).fit(other, y)
    np.testing.assert_allclose(one.predict_proba(drawn.X), two.predict_proba(drawn.X), atol=1e-6)


def test_sparse_labels_are_read_and_other_values_named():
    drawn = partial_multilabel(200, 3, random_state=0)
    rows, columns = np.nonzero(drawn.y >= 0)
    thin = sparse.csr_matrix((drawn.y[rows, columns], (rows, columns)), shape=drawn.y.shape)
    settings = {"train": QUICK, "random_state": 0}
    one, two = (LongTailMultiLabelClassifier(**settings).fit(drawn.X, y) for y in (drawn.y, thin))
    np.testing.assert_array_equal(one.predict_proba(drawn.X), two.predict_proba(drawn.X))
    thin.data[7] = 3
    row, label = int(rows[7]), int(columns[7])
    with pytest.raises(InputError, match=f"[Rr]ow {row}, column {label} stores 3"):
        LongTailMultiLabelClassifier(**settings).fit(drawn.X, thin)


def test_bad_input():
    drawn = partial_multilabel(60, 3, random_state=0)
    with pytest.raises(InputError, match="no positive"):
        LongTailMultiLabelClassifier(train=QUICK).fit(drawn.X, np.zeros((60, 3), int))
    with pytest.raises(InputError, match="calibration_share"):
        LongTailMultiLabelClassifier(calibration_share=1.0).fit(drawn.X, drawn.y)


def test_without_a_held_out_share_it_is_plain_training():
    drawn = partial_multilabel(100, 3, random_state=0)
    one = LongTailMultiLabelClassifier(calibration_share=0.0, train=QUICK, random_state=0).fit(drawn.X, drawn.y)
    two = MultiLabelClassifier(train=QUICK, random_state=0).fit(drawn.X, drawn.y)
    np.testing.assert_allclose(one.predict_proba(drawn.X), two.predict_proba(drawn.X))
    assert torch.equal(one.calibration_rows_, torch.zeros(0, dtype=torch.long))
