from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.metrics import average_precision_score

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.multilabel import HyperPAVE
from labelwise.nets.bipartite import LinkNet, mean_of_linked
from labelwise.parts.hypergraph import incidence, mixed_over_hyperedges, over_hyperedges
from labelwise.persistence import load, save

QUICK = Train(epochs=40, batch_size=64, lr=5e-3, progress=False)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8), st.integers(0, 6), st.integers(0, 1000))
def test_averages_over_hyperedges_by_their_definition(n, e, seed):
    rng = np.random.default_rng(seed)
    H = (rng.random((n, e)) < 0.5).astype(float)
    x = rng.normal(size=(n, 3))
    groups = [np.flatnonzero(column).tolist() for column in H.T]
    H = H[:, H.sum(0) >= 2]
    alone = np.flatnonzero(H.sum(1) == 0)
    H = np.c_[H, np.eye(n)[:, alone]]  # an item in no hyperedge gets one of its own
    expected = np.diag(1 / H.sum(1)) @ H @ np.diag(1 / H.sum(0)) @ H.T @ x
    members = incidence(groups, n)
    assert over_hyperedges(x, members) == pytest.approx(expected)
    assert over_hyperedges(x, incidence(members, n)) == pytest.approx(expected)
    mixed = mixed_over_hyperedges(x, [members, incidence([], n)], [1, 3])
    assert mixed == pytest.approx(expected / 4 + 3 * x / 4)
    assert mixed_over_hyperedges(x, []) is x


def test_messages_by_loops():
    rng = np.random.default_rng(0)
    net = LinkNet(3, 5, 4).double()
    with torch.no_grad():
        for weight in net.parameters():
            weight += 0.3 * torch.as_tensor(rng.normal(size=weight.shape))
    items, over, values = (torch.as_tensor(rng.normal(size=shape)) for shape in ((6, 3), (6, 3), (4, 5)))
    linked = rng.random((6, 4)) < 0.5
    linked[0] = False
    links = torch.as_tensor(np.argwhere(linked).T)
    h = p = net.item_in(items) + net.around * net.item_in(over)
    v = q = net.value_in(values)
    for layer in (net.first, net.second):
        zero = torch.zeros(4, dtype=torch.float64)
        of = [[v[j] for j in range(4) if linked[i, j]] for i in range(6)]
        at = [[h[i] for i in range(6) if linked[i, j]] for j in range(4)]
        new_h = [layer.item(h[i]) + layer.to_item(torch.stack(of[i]).mean(0) if of[i] else zero) for i in range(6)]
        new_v = [layer.value(v[j]) + layer.to_value(torch.stack(at[j]).mean(0) if at[j] else zero) for j in range(4)]
        h, v = torch.stack(new_h), torch.stack(new_v)
        if layer is net.first:
            h, v = h.relu(), v.relu()
    expected = net.scale * (p + h) @ (q + v).T + net.bias
    assert net(items, over, values, links).detach().numpy() == pytest.approx(expected.detach().numpy())
    assert mean_of_linked(items, links[0], links[1], 4).shape == (4, 3)


def test_training_starts_at_the_inner_product_of_the_features():
    generator = torch.Generator().manual_seed(0)
    x, v = torch.randn(7, 5, generator=generator), torch.randn(4, 5, generator=generator)
    links = torch.tensor([[0, 1], [2, 3]])
    scores = LinkNet(5, 5, 16)(x, torch.zeros_like(x), v, links)
    assert torch.allclose(scores, x @ v.T / 4, atol=1e-5)


def catalogue(seed=0, n=300, n_values=24, n_unseen=6, width=12):
    """Items with one to three values of which their text mentions a part; groups of items that share a value."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n_values, width))
    y = np.zeros((n, n_values), dtype=np.int8)
    for row in y:
        row[rng.choice(n_values, rng.integers(1, 4), replace=False)] = 1
    told = y * (rng.random(y.shape) < 0.6)
    X = told @ values + 0.5 * rng.normal(size=(n, width))
    groups = [rng.permutation(np.flatnonzero(y[:, v]))[:6] for v in rng.integers(n_values, size=150)]
    known = y.copy()
    test = (y[:, :n_unseen] == 1).any(1)
    known[test] = -1
    known[:, :n_unseen] = -1
    return X, y, known, values, groups, test, n_unseen


def unseen_precision(model, y, test, n_unseen):
    return average_precision_score(y[test][:, :n_unseen], model.transduction_[test][:, :n_unseen], average="macro")


def test_values_never_seen_are_found():
    X, y, known, values, groups, test, n_unseen = catalogue()
    model = HyperPAVE(value_vectors=values, train=QUICK, random_state=0).fit(X, known, hyperedges=groups)
    assert model.seen_.tolist() == [False] * n_unseen + [True] * (24 - n_unseen)
    assert unseen_precision(model, y, test, n_unseen) > y[test][:, :n_unseen].mean() + 0.15


def test_what_is_behind_an_unknown_entry_changes_nothing():
    """Unknown is neither a link nor an absence: marking more absences as unknown removes them from the loss."""
    X, _, known, values, groups, _, _ = catalogue(n=120)
    model = HyperPAVE(value_vectors=values, train=Train(epochs=1, batch_size=64, progress=False), random_state=0)
    model.fit(X, known, hyperedges=groups)
    batch = type("Rows", (), {"x": model.items_[:40], "index": torch.arange(40), "weight": None})()
    part = torch.as_tensor(known[:40])
    model.drawn_, model.hidden = torch.tensor(1.0), 0.0

    def loss(labels):
        batch.y = labels
        return float(model.loss(batch).detach())

    net = model.net_
    shown = model.links_[:, model.links_[0] >= 40]
    scores = net(model.raw_, model.items_, model.values_, shown)[:40].detach().double().numpy()
    mask, truth = part.numpy() >= 0, part.numpy() == 1
    entry = np.logaddexp(0, scores) - scores * truth
    assert loss(part) == pytest.approx(entry[mask].mean(), rel=1e-4)
    more = torch.where((part == 0) & (torch.arange(24) % 2 == 0), -1, part)
    kept = more.numpy() >= 0
    assert loss(more) == pytest.approx(entry[kept].mean(), rel=1e-4)


def test_new_items_and_their_hyperedges(tmp_path):
    X, _, known, values, *_ = catalogue()
    model = HyperPAVE(value_vectors=values, train=QUICK, random_state=0).fit(
        X[:200], known[:200], hyperedges=[[0, 1, 2]]
    )
    alone = model.predict_proba(X[200:])
    assert alone == pytest.approx(model.predict_proba(X[200:], hyperedges=[[0, 1, 2]]))
    among = model.predict_proba(X[200:], hyperedges=[[0, 1, 2], [200, 201]])
    assert not np.allclose(among[:2], alone[:2]) and among[2:] == pytest.approx(alone[2:])
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert np.array_equal(again.predict_proba(X[200:]), alone)
    assert np.array_equal(again.transduction_, model.transduction_)


def test_a_sparse_matrix_holds_links_and_absences():
    X, y, _, values, groups, _, _ = catalogue(n=100)
    fits = [
        HyperPAVE(value_vectors=values, train=Train(epochs=2, progress=False), random_state=0).fit(
            X, labels, hyperedges=groups
        )
        for labels in (y, sparse.csr_array(y))
    ]
    assert np.array_equal(fits[0].transduction_, fits[1].transduction_)


def test_texts_of_values_and_kinds_of_hyperedges():
    X, y, _, values, groups, _, _ = catalogue(n=100)
    names = [f"value {k}" for k in range(24)]
    model = HyperPAVE(
        value_vectors=names, encoder=lambda texts: values[[int(text.split()[1]) for text in texts]], mix=(0.5, 0.5),
        train=Train(epochs=2, progress=False), random_state=0,
    )  # fmt: skip
    model.fit(X, y, hyperedges=(groups, incidence(groups[:5], 100)))
    assert model.predict(X).shape == (100, 24)


@pytest.mark.parametrize(
    ("fields", "arguments", "message"),
    [
        ({}, {"hyperedges": [[0, 100]]}, "row numbers from 0 to 99. Got 100 in hyperedge 0"),
        ({}, {"hyperedges": np.full((100, 2), 2)}, "entries 0 and 1"),
        ({}, {"hyperedges": np.ones((99, 2))}, r"\(100, e\)"),
        ({"mix": (0.5, 0.5)}, {"hyperedges": [[0, 1]]}, "each of 1 kinds"),
        ({"value_vectors": np.eye(5)}, {}, "each of the 24 columns of y. Got 5"),
        ({}, {"y": sparse.csr_array(np.diag(np.full(100, 3)))}, "Got 3 in row 0"),
    ],
)
def test_bad_input_is_named(fields, arguments, message):
    X, y, _, values, _, _, _ = catalogue(n=100)
    given = {"y": y, **arguments}
    with pytest.raises(InputError, match=message):
        HyperPAVE(**{"value_vectors": values, "train": Train(epochs=1), **fields}).fit(X, **given)
