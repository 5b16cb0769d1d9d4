"""ROLE against its equation and on hidden truth; PU-MLC's mixed rows and averaged weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.batch import Batch
from labelwise.data.synthetic import partial_multilabel
from labelwise.learner import LongTailMultiLabelClassifier, Train
from labelwise.losses import PUMLC, AssumeNegative
from labelwise.multilabel import ROLE, PUMLCClassifier
from labelwise.multilabel.pu_mlc import mixed_consistency
from labelwise.multilabel.role import Estimates, count_gap
from labelwise.parts.multilabel_measures import average_precision

QUICK = Train(epochs=5, batch_size=32, progress=False)


def positives_only(seed: int, observed: float = 0.3):
    return partial_multilabel(
        2400, 6, positive_rate=0.25, observed_positive=observed, observed_negative=0.0, random_state=seed
    )  # fmt: skip


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_role_is_its_equation(seed):
    rng = np.random.default_rng(seed)
    z, own, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.integers(-1, 2, (5, 3))
    model = ROLE(count_weight=0.7)
    model.net_ = torch.nn.Identity()
    model.estimates_ = Estimates(torch.as_tensor(own))
    model.expected_ = 0.8
    model.criterion_ = model.criterion
    found = model.loss(Batch(torch.as_tensor(z), torch.as_tensor(y), torch.arange(5)))
    p, q = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(-own))

    def side(a, b):
        soft = -(b * np.log(a) + (1 - b) * np.log(1 - a)).mean(1)
        hard = np.where(y >= 0, -np.log(np.where(y == 1, a, 1 - a)), 0).sum(1) / np.maximum(1, (y >= 0).sum(1))
        return (soft + hard).mean()

    assert found["network"].item() == pytest.approx((side(p, q) + side(q, p)) / 2)
    gap = [((a.sum(1).mean() - 0.8) / 3) ** 2 for a in (p, q)]
    assert found["count"].item() == pytest.approx(0.7 * sum(gap) / 2)
    assert count_gap(torch.as_tensor(z), 0.8).item() == pytest.approx(gap[0])


def test_role_finds_unstated_positives_and_knows_what_was_stated():
    drawn = positives_only(0)
    train = Train(epochs=30, batch_size=64, progress=False)
    model = ROLE(expected_positives=1.5, train=train, random_state=0).fit(drawn.X, drawn.y)
    told = model.estimated_labels_.numpy()
    used = np.ones(len(told), bool)
    used[model.calibration_rows_.numpy()] = False
    assert told[(drawn.y == 1) & used[:, None]].min() > 0.5
    hidden = (drawn.y < 0) & used[:, None]
    right, wrong = told[hidden & (drawn.truth == 1)], told[hidden & (drawn.truth == 0)]
    assert right.mean() > wrong.mean() + 0.1
    assert not hasattr(model, "estimates_")


def test_role_counts_from_known_entries_else_from_what_was_stated():
    known = partial_multilabel(2000, 5, positive_rate=0.3, observed_positive=0.3, observed_negative=0.3, random_state=0)
    share = known.truth.mean(0).sum()
    assert ROLE(train=QUICK, random_state=0).fit(known.X, known.y).expected_ == pytest.approx(share, rel=0.15)
    stated = positives_only(0)
    found = ROLE(train=QUICK, random_state=0).fit(stated.X, stated.y)
    rows = np.setdiff1d(np.arange(2400), found.calibration_rows_.numpy())
    assert found.expected_ == pytest.approx((stated.y[rows] == 1).sum(1).mean())
    with pytest.raises(InputError, match="expected_positives"):
        ROLE(expected_positives=7.0, train=QUICK).fit(stated.X, stated.y)


def test_mixed_consistency_is_its_equation():
    rng = np.random.default_rng(0)
    z, t = rng.normal(size=(4, 3)), rng.random((4, 3))
    expected = ((np.log(t + 1e-10) - np.log(1 / (1 + np.exp(-z)))) ** 2).mean()
    assert mixed_consistency(torch.as_tensor(z), torch.as_tensor(t)).item() == pytest.approx(expected)


def test_without_its_terms_pu_mlc_is_plain_training():
    drawn = positives_only(1)
    plain = LongTailMultiLabelClassifier(criterion=AssumeNegative(), train=QUICK, random_state=0)
    same = PUMLCClassifier(criterion=AssumeNegative(), consistency=0.0, ema=0.0, train=QUICK, random_state=0)
    got = [model.fit(drawn.X[:300], drawn.y[:300]).predict_proba(drawn.X[:300]) for model in (plain, same)]
    np.testing.assert_allclose(got[0], got[1], atol=1e-12)


def test_stated_negatives_are_unlabelled_to_pu_mlc():
    """Its training hears positives only: hiding every stated no changes no score."""
    drawn = partial_multilabel(300, 4, observed_positive=0.6, observed_negative=0.6, random_state=0)
    hidden = np.where(drawn.y == 0, -1, drawn.y)
    hidden[:, :][~(drawn.y == 1).any(1)] = drawn.y[~(drawn.y == 1).any(1)]  # the same rows stay labelled
    got = [
        PUMLCClassifier(train=QUICK, calibration_share=0.0, random_state=0).fit(drawn.X, y).outputs(drawn.X)
        for y in (drawn.y, hidden)
    ]
    np.testing.assert_allclose(got[0], got[1], atol=1e-9)


@pytest.mark.parametrize("make", [PUMLCClassifier, ROLE])
def test_ranks_from_a_few_stated_positives(make):
    drawn = positives_only(2)
    model = make(train=Train(epochs=30, batch_size=64, progress=False), random_state=0).fit(
        drawn.X[:1200], drawn.y[:1200]
    )
    found = np.nanmean(average_precision(model.predict_proba(drawn.X[1200:]), drawn.truth[1200:]))
    assert found > drawn.truth.mean() + 0.25


def test_averaged_weights_and_the_users_own_decay():
    drawn = positives_only(3)
    model = PUMLCClassifier(criterion=PUMLC(gamma=0.0), train=QUICK, random_state=0).fit(drawn.X[:300], drawn.y[:300])
    assert model.train_.ema == 0.98
    assert QUICK.ema is None
    own = Train(epochs=1, batch_size=64, ema=0.5, progress=False)
    assert PUMLCClassifier(train=own, random_state=0).fit(drawn.X[:300], drawn.y[:300]).train_.ema == 0.5
    with pytest.raises(InputError, match="consistency"):
        PUMLCClassifier(train=QUICK).fit(["a b", "c"] * 20, drawn.y[:40])
