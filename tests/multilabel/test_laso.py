"""LaSO: label sets by three-valued logic, every term under its own weight, the mask, identities that training reaches."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.learner import MultiLabelClassifier, Train
from labelwise.multilabel import LaSO
from labelwise.multilabel.laso import OPERATIONS, SetNetwork, guess, set_labels
from labelwise.training import Batch

QUICK = Train(epochs=4, batch_size=32, progress=False)
TERMS = ("symmetry", "twice", "through_intersection", "recovery", "repeated")


def truth(name, a, b):
    return {"union": a | b, "intersection": a & b, "subtraction": a & (1 - b)}[name]


@pytest.mark.parametrize("name", OPERATIONS)
def test_labels_are_what_every_completion_agrees_on(name):
    for a, b in itertools.product((-1, 0, 1), repeat=2):
        found = {truth(name, x, y) for x in ([a] if a >= 0 else [0, 1]) for y in ([b] if b >= 0 else [0, 1])}
        expected = found.pop() if len(found) == 1 else -1
        assert int(set_labels(name, torch.tensor(a), torch.tensor(b))) == expected


@given(st.integers(0, 1000))
@settings(max_examples=20)
def test_arithmetic_on_indicators_is_the_set_operation(seed):
    a, b = torch.randint(0, 2, (2, 5, 4), generator=torch.Generator().manual_seed(seed)).float()
    assert torch.equal(guess("union", a, b).clamp(max=1), set_labels("union", a, b))
    for name in ("intersection", "subtraction"):
        assert torch.equal(guess(name, a, b), set_labels(name, a, b))


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_set_network_against_numpy(name):
    torch.manual_seed(0)
    net = SetNetwork(name, 5).eval()
    a, b = torch.rand(2, 7, 5)
    w = {key: value.detach().numpy() for key, value in net.state_dict().items()}

    def linear(x, layer):
        return x @ w[f"{layer}.weight"].T + w[f"{layer}.bias"]

    def normal(x, layer):
        return (x - w[f"{layer}.running_mean"]) / np.sqrt(w[f"{layer}.running_var"] + 1e-5)

    def leaky(x):
        return np.where(x > 0, x, 0.2 * x)

    x, y = a.numpy(), b.numpy()
    naive = {"union": x + y, "intersection": np.minimum(x, y), "subtraction": np.maximum(x - y, 0)}[name]
    hidden = leaky(normal(linear(np.concatenate([x, y], 1), "join"), "norm_join"))
    hidden = leaky(normal(linear(hidden, "refine"), "norm_refine") + naive)
    expected = np.maximum(linear(hidden, "out"), 0)
    assert np.allclose(net(a, b).detach().numpy(), expected, atol=1e-5)


def table(seed=0, n=400):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 6))
    return X, (X[:, :4] + 0.3 * rng.normal(size=(n, 4)) > 0.3).astype(np.int8)


@pytest.fixture(scope="module")
def fitted():
    X, y = table()
    return LaSO(train=Train(epochs=25, batch_size=32, progress=False), set_steps=150, random_state=0).fit(X, y)


def bce(features, labels, net):
    labels = torch.as_tensor(labels)
    known = (labels >= 0).float()
    value = F.binary_cross_entropy_with_logits(net.head(features), labels.clamp_min(0).float(), reduction="none")
    return float(((known * value).sum(1) / known.sum(1).clamp_min(1)).mean())


def test_every_term_is_its_equation(fitted):
    X, y = table(1, 24)
    net, (U, I, S) = fitted.net_, (fitted.sets_.eval()[name] for name in OPERATIONS)
    with torch.no_grad():
        h = net.features(torch.as_tensor(fitted.inputs_.transform(X)))
        a, b, A, B = h[:12], h[12:], torch.as_tensor(y[:12]), torch.as_tensor(y[12:])
        mse = lambda p, q: float(((p - q) ** 2).mean())  # noqa: E731
        back = U(S(a, I(b, a)), I(a, b))
        expected = {
            "labels": bce(U(a, b), A | B, net) + bce(I(a, b), A & B, net)
            + bce(S(a, b), A & (1 - B), net) + bce(S(b, a), B & (1 - A), net),
            "symmetry": mse(U(a, b), U(b, a)) + mse(I(a, b), I(b, a)) + bce(U(b, a), A | B, net) + bce(I(b, a), A & B, net),
            "twice": mse(S(S(a, b), b), S(a, b)),
            "through_intersection": mse(S(a, I(b, a)), S(a, b)),
            "recovery": mse(back, a) + bce(back, A, net),
            "repeated": bce(U(U(a, b), b), A | B, net) + bce(I(I(a, b), b), A & B, net),
        }  # fmt: skip
        for name, value in expected.items():
            assert float(fitted.term(name, a, b, A, B)) == pytest.approx(value, rel=1e-4), name


@pytest.mark.parametrize("name", TERMS)
def test_each_term_has_its_own_weight(name):
    """Weight 0 takes out this term and no other; the official code tied one term to another's switch."""
    X, y = table(n=64)
    model = LaSO(train=QUICK, set_steps=5, random_state=0, **{name: 0.0}).fit(X, y)
    batch = Batch(torch.as_tensor(model.inputs_.transform(X)), torch.as_tensor(y), torch.arange(64))
    assert set(model.set_loss(batch)) == {"labels", *TERMS} - {name}
    model.set_params(**{name: 2.0})
    twice = float(model.set_loss(batch)[name].detach())
    model.set_params(**{name: 1.0})
    assert twice == pytest.approx(2 * float(model.set_loss(batch)[name].detach()), rel=1e-3)


def test_what_is_behind_an_unknown_label_changes_nothing():
    """The gradient of a label's scores is zero where neither row's label is known; results of known ones stay."""
    X, y = table(n=64)
    hidden = np.random.default_rng(0).random(y.shape) < 0.4
    masked = np.where(hidden, -1, y).astype(np.int8)
    model = LaSO(train=QUICK, set_steps=5, random_state=0).fit(X, masked)
    a, b = torch.as_tensor(masked), torch.as_tensor(np.roll(masked, 1, 0))
    for name in OPERATIONS:
        made = set_labels(name, a, b)
        for fill in (0, 1):
            whole = set_labels(name, torch.where(a < 0, fill, a), torch.where(b < 0, fill, b))
            assert (whole[made >= 0] == made[made >= 0]).all()
    nothing = torch.full((4, 4), -1, dtype=torch.int8)
    h = torch.rand(4, 256)
    for term in ("labels", "repeated"):
        assert float(model.term(term, h, h.roll(1, 0), nothing, nothing).detach()) == 0


def test_prediction_is_the_plain_classifiers(fitted):
    """The second stage leaves the network alone."""
    X, y = table()
    train = Train(epochs=25, batch_size=32, progress=False)
    plain = MultiLabelClassifier(train=train, random_state=0).fit(X, y)
    assert np.allclose(plain.predict_proba(X), fitted.predict_proba(X), atol=1e-6)


def test_operations_give_the_sets_on_new_rows(fitted):
    X, y = table(5, 600)
    a, b = slice(0, 300), slice(300, 600)
    for name in OPERATIONS:
        labels = truth(name, y[a].astype(int), y[b].astype(int))
        p = fitted.combine_proba(name, X[a], X[b])
        assert ((p > 0.5) == labels).mean() > max(labels.mean(), 1 - labels.mean()) + 0.05


def test_augmented_rows_have_the_labels_of_their_sets(fitted):
    X, _ = table(6, 12)
    new = np.eye(3, dtype=np.int8)[np.arange(12) % 3]  # classes that fit never saw
    features, labels = fitted.augmented(X, new, 30, random_state=0)
    assert features.shape == (42, 256)
    assert np.array_equal(labels[:12], new)
    assert np.allclose(features[:12], fitted.features(X))
    assert (labels[12:] == 1).any(1).all()
    again = fitted.augmented(X, new, 30, random_state=0)
    assert np.array_equal(features, again[0])
    only = fitted.augmented(X, new, 10, ("union",), random_state=0)[1]
    assert (only[12:].sum(1) >= 1).all()


def test_bad_input_is_refused(fitted):
    X, y = table(n=10)
    with pytest.raises(InputError, match="operation"):
        fitted.combine("sum", X, X)
    with pytest.raises(InputError, match="as many rows"):
        fitted.combine("union", X, X[:3])
    with pytest.raises(InputError, match="two rows"):
        fitted.augmented(X[:1], y[:1], 3)
    with pytest.raises(InputError, match="validation"):
        LaSO(train=Train(validation=0.2)).fit(X, y)
