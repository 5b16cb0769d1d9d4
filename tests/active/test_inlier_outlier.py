"""The ensemble with a class for outliers: what is labelled how, which rows it asks for, and that the pool helps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from labelwise.active import InlierOutlierEnsemble, Pool, RandomQuery, VarianceRatio, simulate
from labelwise.base import InputError
from labelwise.data.synthetic import open_pool
from labelwise.learner import Train
from labelwise.nets.dense import MLP

TRAIN = Train(epochs=15, batch_size=16, progress=False)


@pytest.fixture(scope="module")
def drawn():
    return open_pool(n_labelled=30, n_unlabelled=200, n_features=6, separation=5, unknown_share=0.5, random_state=0)


@pytest.fixture(scope="module")
def fitted(drawn):
    outliers = drawn.is_unknown & (np.arange(230) < 90)
    return InlierOutlierEnsemble(members=3, train=TRAIN, random_state=0).fit(
        drawn.X, drawn.y, outliers=outliers
    ), outliers


def test_opinions_and_predictions_hang_together(drawn, fitted):
    model, _ = fitted
    passes = model.passes(drawn.X)
    assert passes.shape == (3, 230, 4)
    np.testing.assert_allclose(passes.sum(2), 1)
    mean = passes.mean(0)
    np.testing.assert_allclose(model.outlier_score(drawn.X), mean[:, 3])
    np.testing.assert_array_equal(model.is_outlier(drawn.X), mean.argmax(1) == 3)
    np.testing.assert_allclose(model.predict_proba(drawn.X), mean[:, :3] / mean[:, :3].sum(1, keepdims=True))
    np.testing.assert_array_equal(model.predict(drawn.X), mean[:, :3].argmax(1))
    refused = model.predict_open(drawn.X)
    assert ((refused == -1) == (mean[:, 3] >= 0.5)).all()


def test_pseudo_labels_cover_the_pool_with_entropy_weights(drawn, fitted):
    model, outliers = fitted
    given = model.pseudo_labels_
    np.testing.assert_array_equal(given.rows, np.flatnonzero((drawn.y < 0) & ~outliers))
    assert ((given.weights >= -1e-6) & (given.weights <= 1)).all()
    truth = np.where(drawn.is_unknown, 3, drawn.truth)[given.rows]
    assert (given.labels == truth).mean() > 0.9
    assert len(model.history_) == 3 * (15 + 3)


def test_weights_are_one_minus_the_entropy_of_the_mean(drawn):
    model = InlierOutlierEnsemble(members=2, pool_epochs=1, train=Train(epochs=3, progress=False), random_state=0)
    seen = []

    class Watching(InlierOutlierEnsemble):
        def _label_pool(self, data):
            super()._label_pool(data)
            p = torch.stack([net.eval()(data.x[self.pool_]).softmax(1) for net in self.networks()]).mean(0)
            seen.append((p.detach(), self.pseudo_[self.pool_].clone(), self.trust_[self.pool_].clone()))

    Watching(**model.get_params(deep=False)).fit(drawn.X, drawn.y, outliers=drawn.is_unknown & (np.arange(230) < 60))
    (p, pseudo, trust), *more = seen
    assert not more  # one labelling of the pool for all members
    bits = -(p * p.log2()).sum(1) / np.log2(4)
    torch.testing.assert_close(trust, 1 - bits)
    assert (pseudo == p.argmax(1)).all()


def test_the_first_round_has_one_stage(drawn):
    model = InlierOutlierEnsemble(members=2, train=Train(epochs=2, progress=False), random_state=0).fit(
        drawn.X, drawn.y
    )
    assert len(model.pseudo_labels_) == 0
    assert len(model.history_) == 4
    always = model.set_params(use_pool=True).fit(drawn.X, drawn.y)
    assert len(always.pseudo_labels_) == 200


def test_a_network_passed_in_is_shared_but_for_its_head(drawn):
    torch.manual_seed(0)
    net = MLP(6, 4, (8,))
    model = InlierOutlierEnsemble(net=net, members=3, train=Train(epochs=1, lr=1e-9, weight_decay=0.0, progress=False),
                                  random_state=0).fit(drawn.X, drawn.y)  # fmt: skip
    first, second, third = model.networks()
    torch.testing.assert_close(first.features[0].weight, net.features[0].weight, atol=1e-6, rtol=0)
    torch.testing.assert_close(second.features[0].weight, net.features[0].weight, atol=1e-6, rtol=0)
    assert not torch.allclose(second.head.weight, net.head.weight, atol=1e-3)
    assert not torch.allclose(second.head.weight, third.head.weight, atol=1e-3)
    plain = nn.Sequential(nn.Linear(6, 4))
    InlierOutlierEnsemble(net=plain, members=2, train=Train(epochs=1, progress=False), random_state=0).fit(
        drawn.X, drawn.y
    )


def test_names_of_classes_and_ignored_labels_of_outliers(drawn):
    names = np.array(["a", "b", "c", "rubbish", "rubbish"], dtype=object)[drawn.truth]
    shown = np.where(np.arange(230) < 120, names, None)
    outliers = np.asarray(shown == "rubbish", dtype=bool)
    model = InlierOutlierEnsemble(members=2, train=TRAIN, random_state=0).fit(drawn.X, shown, outliers=outliers)
    assert list(model.classes_) == ["a", "b", "c"]
    assert (model.predict(drawn.X) == names)[~drawn.is_unknown].mean() > 0.9
    assert set(model.predict_open(drawn.X)) == {"a", "b", "c", None}


def test_it_asks_for_inliers_in_a_loop(drawn):
    y = np.where(drawn.is_unknown, "none", np.array(["a", "b", "c", "", ""])[drawn.truth])
    queries = {"random": RandomQuery(), "ratio": VarianceRatio()}
    model = InlierOutlierEnsemble(members=2, train=Train(epochs=6, batch_size=16, progress=False))
    told = simulate(drawn.X, y, queries, estimator=model, outlier="none", start=3, batch=20, rounds=2, repeats=2,
                    random_state=0)  # fmt: skip
    later = told.table[told.table["round"] > 1]
    assert (later["n_pseudo"] > 0).all()
    assert later["pseudo_accuracy"].mean() > 0.7
    fitted = model.set_params(random_state=0).fit(drawn.X, drawn.y)
    assert (drawn.y[VarianceRatio(random_state=0).select(Pool(drawn.X, drawn.y, fitted), 5)] == -1).all()


def test_bad_masks(drawn):
    for mask in (np.ones(3, bool), np.zeros(230)):
        with pytest.raises(InputError, match="outliers must be a mask"):
            InlierOutlierEnsemble().fit(drawn.X, drawn.y, outliers=mask)
