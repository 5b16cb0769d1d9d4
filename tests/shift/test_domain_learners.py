"""Learners with unlabelled rows of another place: who is read as what, what their losses are, and that they adapt."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.datasets import load_iris
from torch import nn

from labelwise.base import InputError
from labelwise.learner import Classifier, Train
from labelwise.nets import MLP
from labelwise.parts.domains import coral, mmd
from labelwise.parts.views import Views
from labelwise.shift import DANN, DeepCORAL, DeepMMD, DomainPseudoLabel, NoisyStudent
from labelwise.shift.dann import ClassShares
from labelwise.shift.pseudo_label import own_labels
from labelwise.training import Batch

ALL = [DANN, DeepCORAL, DeepMMD, DomainPseudoLabel, NoisyStudent]
SHORT = Train(epochs=3, batch_size=32, progress=False)


def flowers():
    """Iris here, and the same flowers a little off there."""
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(150)
    X, y = X[order], y[order]
    return np.concatenate([X[:100], X[100:] * [1, 1.2, 1, 1] + 0.3]), y


def moved(seed, n=400):
    """Two classes, and the same a step to the side, towards the other class."""
    rng = np.random.default_rng(seed)
    y = np.repeat([0, 1], n // 2)
    X, Z = (np.stack([4.0 * y, 0 * y], axis=1) + 0.8 * rng.normal(size=(n, 2)) for _ in range(2))
    return X, y, Z + np.array([1.5, 0.5]), y


def pair(X, y, Z):
    return np.concatenate([X, Z]), np.concatenate([y, np.full(len(Z), -1)])


@pytest.mark.parametrize("cls", ALL)
def test_target_labels_and_unlabelled_source_rows_change_nothing(cls):
    X, y = flowers()
    where = np.repeat(["lab", "field", "greenhouse"], [60, 40, 50])
    hidden = np.where(where == "greenhouse", -1, y)
    idle = np.arange(150) % 20 == 0  # source rows without a label: neither source nor target
    hidden[idle & (where != "greenhouse")] = -1
    one = cls(target="greenhouse", train=SHORT, random_state=0).fit(X, hidden, domains=where)
    told = np.where(where == "greenhouse", (y + 1) % 3, hidden)
    two = cls(target="greenhouse", train=SHORT, random_state=0).fit(X, told, domains=where)
    assert np.array_equal(one.predict_proba(X), two.predict_proba(X))
    assert one.domains_.tolist() == ["field", "lab", "greenhouse"]
    moved = X.copy()
    moved[idle & (hidden == -1) & (where != "greenhouse")] += [0.1, -0.1, 0.1, -0.1]
    three = cls(target="greenhouse", train=SHORT, random_state=0, net=MLP(4, 3)).fit(X, hidden, domains=where)
    four = cls(target="greenhouse", train=SHORT, random_state=0, net=MLP(4, 3))
    four.net.load_state_dict(three.net.state_dict())
    assert np.array_equal(three.predict(X), four.fit(moved, hidden, domains=where).predict(X))


@pytest.mark.parametrize("cls", ALL)
def test_the_target_is_named_or_clear(cls):
    X, y = flowers()
    where = np.repeat([0, 1, 2], 50)
    with pytest.raises(InputError, match="set target="):
        cls(train=SHORT).fit(X, y, domains=where)
    with pytest.raises(InputError, match="target must be one of"):
        cls(train=SHORT, target=7).fit(X, y, domains=where)
    with pytest.raises(InputError, match="one entry a row"):
        cls(train=SHORT, target=1).fit(X, y, domains=where[:-1])
    with pytest.raises(InputError, match="no labelled row outside"):
        cls(train=SHORT, target=1).fit(X, np.where(where == 1, y, -1), domains=where)


@pytest.mark.parametrize("cls", [DANN, DeepCORAL, DeepMMD, DomainPseudoLabel])
def test_without_target_rows_or_weight_it_is_plain_training(cls):
    X, y = flowers()
    net, still = MLP(4, 3), Views(nn.Identity(), nn.Identity())
    plain = Classifier(net=net, train=SHORT, random_state=0).fit(X[:100], y[:100]).predict_proba(X)
    alone = cls(net=net, views=still, train=SHORT, random_state=0).fit(X[:100], y[:100]).predict_proba(X)
    np.testing.assert_allclose(alone, plain, atol=1e-5)
    with_target = cls(net=net, views=still, weight=0.0, train=SHORT, random_state=0).fit(
        X, np.where(np.arange(150) < 100, y, -1)
    )
    assert (with_target.predict(X) == plain.argmax(1)).mean() > 0.95  # the same loss; other batches are drawn


def started(cls, **fields):
    X, y = flowers()
    model = cls(train=SHORT, random_state=0, **fields).fit(X, np.where(np.arange(150) < 100, y, -1))
    x = torch.as_tensor(model.inputs_.transform(X))
    there = Batch(x[100:116], torch.full((16,), -1), torch.arange(100, 116), domain=torch.ones(16, dtype=torch.long))
    here = Batch(
        x[:16], torch.as_tensor(y[:16]), torch.arange(16), domain=torch.zeros(16, dtype=torch.long), unlabelled=there
    )
    return model, here


@pytest.mark.parametrize(("cls", "distance"), [(DeepCORAL, coral), (DeepMMD, mmd)])
def test_alignment_adds_the_distance_of_features_times_a_weight_that_grows(cls, distance):
    model, batch = started(cls, weight=3.0)
    z = [model.net_.features(part.x) for part in (batch, batch.unlabelled)]
    plain = torch.nn.functional.cross_entropy(model.net_.head(z[0]), batch.y).detach()
    for done, strength in ((0, 0.0), (model.total_, 3 * np.tanh(5))):
        model.step_.fill_(done)
        parts = model.loss(batch)
        assert float(parts["supervised"].detach()) == pytest.approx(float(plain), rel=1e-5)
        assert float(parts["distance"].detach()) == pytest.approx(
            strength * float(distance(*z).detach()), rel=1e-4, abs=1e-7
        )


def test_the_features_climb_what_the_domain_head_descends():
    model, batch = started(DANN, weight=0.5)
    model.step_.fill_(model.total_)
    plain = started(DANN, weight=0.5)[0]  # the same model, asked without reversal
    model.loss(batch)["domain"].backward()
    both = torch.cat([batch.x, batch.unlabelled.x])
    told = plain.domain_(plain.net_.features(both))
    domain = torch.cat([batch.domain, batch.unlabelled.domain])
    torch.nn.functional.cross_entropy(told, domain).backward()
    for mine, theirs in zip(model.domain_.parameters(), plain.domain_.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)
    for mine, theirs in zip(model.net_.features.parameters(), plain.net_.features.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, -0.5 * np.tanh(5) * theirs.grad, rtol=1e-4, atol=1e-7)


def test_source_rows_count_by_the_estimated_ratio_of_their_class():
    model, batch = started(DANN, prior="estimated")
    model.step_.fill_(model.total_)
    model.ratio_ = torch.tensor([0.0, 1.0, 3.0])
    parts = model.loss(batch)
    count = np.array([0.0, 1.0, 3.0])[batch.y]
    scores = model.net_(batch.x).log_softmax(1).detach().numpy()
    expected = -scores[np.arange(16), batch.y].mean()
    assert float(parts["supervised"].detach()) == pytest.approx(expected, rel=1e-5)
    told = model.domain_(model.net_.features(torch.cat([batch.x, batch.unlabelled.x]))).log_softmax(1)
    here, there = -told[:16, 0].detach().numpy(), -told[16:, 1].detach().numpy()
    expected = ((count * here).sum() / count.sum() + there.mean()) / 2
    assert float(parts["domain"].detach()) == pytest.approx(expected, rel=1e-5)


def test_class_shares_of_the_target_are_recovered_from_a_confused_classifier():
    rng = np.random.default_rng(0)
    confusion = np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.1, 0.1, 0.8]])  # row: true class

    def scores(y):
        guess = np.array([rng.choice(3, p=confusion[k]) for k in y])
        return torch.as_tensor(30.0 * np.eye(3)[guess])

    here, there = np.repeat([0, 1, 2], 2000), np.repeat([0, 1, 2], [600, 1200, 4200])
    shares = ClassShares(3)
    for part in range(0, 6000, 1000):
        rows = rng.permutation(6000)[:1000]
        shares.see(scores(here[rows]), torch.as_tensor(here[rows]), scores(there[rows]))
        assert len(shares) == part + 1000
    np.testing.assert_allclose(shares.ratio(), [0.3, 0.6, 2.1], atol=0.15)
    shares.forget()
    assert len(shares) == 0


def test_pseudo_labels_count_rows_in_doubt_as_zero_and_carry_no_gradient():
    scores = torch.tensor([[3.0, 0.0], [0.2, 0.0], [0.0, 5.0]], dtype=torch.float64, requires_grad=True)
    values = own_labels(scores, 0.9)
    p = np.exp(scores.detach().numpy())
    p /= p.sum(1, keepdims=True)
    np.testing.assert_allclose(values.detach(), [-np.log(p[0, 0]), 0, -np.log(p[2, 1])])
    values.sum().backward()
    np.testing.assert_allclose(scores.grad, (p - np.eye(2)[[0, 0, 1]]) * [[1], [0], [1]])


def test_the_weight_of_pseudo_labels_is_full_after_its_share_of_training():
    model, batch = started(DomainPseudoLabel, weight=2.0, ramp=0.5, threshold=0.0)
    grown = []
    for done in (0.0, 0.25, 0.5, 1.0):
        model.step_.fill_(round(done * model.total_))
        grown.append(model.grown())
    np.testing.assert_allclose(grown, [0, 1, 2, 2], atol=2 * 2 / model.total_)
    assert float(model.loss(batch)["pseudo"].detach()) > 0


def test_every_student_starts_afresh_and_learns_from_the_one_before():
    X, y = flowers()
    y = np.where(np.arange(150) < 100, y, -1)
    stages = []

    class Watched(NoisyStudent):
        def epoch_end(self):
            before = self.net_.head.weight.detach().clone()
            super().epoch_end()
            if int(self.epochs_done_) % 3 == 0:
                stages.append((before, self.net_.head.weight.detach().clone(), self.teacher_.head.weight.clone()))

    model = Watched(rounds=2, train=SHORT, random_state=0).fit(X, y)
    assert len(stages) == 3
    for before, after, teacher in stages[:2]:
        assert torch.equal(after, model.origin_.head.weight) and torch.equal(teacher, before)
    assert torch.equal(stages[2][1], stages[2][0])  # the last student stays
    with pytest.raises(InputError, match="validation=0"):
        NoisyStudent(train=Train(validation=0.2)).fit(X, y)


def test_a_step_to_the_side_is_adapted_to_by_mean_discrepancy():
    X, y, Z, t = moved(0, n=200)
    train = Train(epochs=15, batch_size=32, lr=5e-3, progress=False)
    plain, model = (DeepMMD(weight=w, train=train, random_state=0).fit(*pair(X, y, Z)) for w in (0.0, 5.0))
    assert model.score(Z, t) > plain.score(Z, t)
    assert model.a_distance(X, Z).value < plain.a_distance(X, Z).value


def test_turned_features_confuse_the_domain_head():
    X, y, Z, _ = moved(0)
    train = Train(optimizer="sgd", lr=0.03, schedule="annealed", epochs=20, batch_size=32, progress=False)
    net = MLP(2, 2, (64, 64))
    plain, model = (DANN(net=net, weight=w, train=train, random_state=0).fit(*pair(X, y, Z)) for w in (0.0, 1.0))
    last = [np.mean([row["domain"] for row in fitted.history_[-5:]]) for fitted in (plain, model)]
    assert last[1] > last[0] + 0.03
    assert model.score(X, y) > 0.9


def test_shares_of_an_unequal_target_are_estimated():
    rng = np.random.default_rng(1)
    y, t = np.repeat([0, 1], 200), np.repeat([0, 1], [80, 320])
    X, Z = (2.5 * k[:, None] + rng.normal(size=(400, 2)) + off for k, off in ((y, 0.0), (t, 0.2)))
    model = DANN(prior="estimated", weight=0.1, random_state=0, train=Train(epochs=20, batch_size=32, progress=False))
    model.fit(*pair(X, y, Z))
    np.testing.assert_allclose(model.ratio_, [0.4, 1.6], atol=0.2)
