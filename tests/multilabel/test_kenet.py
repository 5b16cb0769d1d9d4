"""KeNet: its equations step by step, switches that take parts out, knowledge that is found, and bad knowledge."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.multilabel import Glossary, KeNet
from labelwise.multilabel.kenet import co_occurrence
from labelwise.multilabel.trials import triggered_texts
from labelwise.nets.label_attention import Reading, Steps
from labelwise.persistence import load, save

SMALL = {"width": 16, "heads": 2, "random_state": 0}
QUICK = Train(epochs=2, batch_size=32)
KNOWN = {"fever": "heat of the body", "Skin rash": "red spots", "rash": "spots"}


@pytest.fixture(scope="module")
def trial():
    return triggered_texts()


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_graph_counts_only_what_is_known_of_both(seed):
    y = np.random.default_rng(seed).integers(-1, 2, (9, 4))
    found = co_occurrence(torch.as_tensor(y))
    expected = np.zeros((4, 4))
    for i in range(4):
        for j in range(4):
            both = (y[:, i] == 1) & (y[:, j] >= 0)
            if i != j and both.any():
                expected[i, j] = (y[both, j] == 1).mean()
    total = expected.sum(1, keepdims=True)
    np.testing.assert_allclose(found, np.divide(expected, total, out=expected, where=total > 0), atol=1e-6)


def test_one_head_of_attention_is_torchs():
    torch.manual_seed(0)
    own, peer = Reading(6), torch.nn.MultiheadAttention(6, 1, bias=False, batch_first=True)
    peer.in_proj_weight.data = torch.cat([own.query.weight, own.key.weight, own.value.weight]).data
    peer.out_proj.weight.data = torch.eye(6)
    queries, hidden = torch.randn(2, 3, 6), torch.randn(2, 5, 6)
    real = torch.tensor([[True] * 5, [True, True, False, False, False]])
    expected, _ = peer(queries, hidden, hidden, key_padding_mask=~real)
    torch.testing.assert_close(own(queries, Steps(hidden, real)), expected)


def test_a_document_without_knowledge_is_read_as_it_is(trial):
    model = KeNet(knowledge=KNOWN, train=QUICK, **SMALL).fit(trial["X"], trial["y"])
    net = model.net_.eval()
    x = torch.as_tensor(model.inputs_.transform(["w1 w2 w3", "w1 w2 fever"]))
    assert x.shape == (2, 64 + 64)
    plain, knowing = net.encoder(x[:, :64]), net.document(x)
    torch.testing.assert_close(knowing.hidden[0], plain.hidden[0])
    assert not torch.allclose(knowing.hidden[1], plain.hidden[1])


def test_scores_are_their_equations(trial):
    model = KeNet(knowledge=KNOWN, layers=0, train=QUICK, **SMALL).fit(trial["X"], trial["y"])
    net = model.net_.eval()
    x = torch.as_tensor(model.inputs_.transform(["w1 rash w2 fever"]))
    with torch.no_grad():
        E = net.table.change
        E = E + net.graph @ (E @ net.spread.weight.T)
        H, K = net.encoder(x[:, :64]).hidden[0], net.encoder(x[:, 64:]).hidden[0]
        ask = (H @ net.ask.query.weight.T) @ (K @ net.ask.key.weight.T).T / 4
        H = H + ask.softmax(1) @ (K @ net.ask.value.weight.T)
        v = torch.stack([(H @ e / 4).softmax(0) @ H for e in E])
        relate = (v @ net.relate.query.weight.T) @ (v @ net.relate.key.weight.T).T / 4
        v = v + relate.softmax(1) @ (v @ net.relate.value.weight.T)
        u = H.mean(0).expand(3, -1)
        g = net.gate(torch.cat([v, u], 1)).sigmoid()
        r = g * v + (1 - g) * u
        expected = [float(net.head(torch.tanh(net.hidden(torch.cat([r[i], E[i]]))))) for i in range(3)]
        np.testing.assert_allclose(net(x)[0], expected, atol=1e-5)


@pytest.mark.parametrize("switch", ["use_knowledge", "use_label_attention", "use_label_graph"])
def test_a_part_that_is_switched_off_has_no_weights(switch, trial):
    whole = KeNet(knowledge=KNOWN, train=QUICK, **SMALL).fit(trial["X"], trial["y"])
    less = KeNet(knowledge=KNOWN, train=QUICK, **SMALL, **{switch: False}).fit(trial["X"], trial["y"])
    sizes = [sum(p.numel() for p in model.net_.parameters()) for model in (whole, less)]
    assert sizes[1] < sizes[0]
    assert np.isfinite(less.predict_proba(trial["X_test"])).all()
    if switch == "use_label_attention":
        with pytest.raises(InputError, match="use_label_attention"):
            less.attention(trial["X_test"])


def test_knowledge_switched_off_is_no_knowledge(trial):
    models = [
        KeNet(train=QUICK, **SMALL, **given).fit(trial["X"], trial["y"])
        for given in ({}, {"knowledge": KNOWN, "use_knowledge": False}, {"knowledge": {}, "use_knowledge": False})
    ]
    first = models[0].predict_proba(trial["X_test"])
    for model in models[1:]:
        np.testing.assert_array_equal(model.predict_proba(trial["X_test"]), first)


def test_terms_are_found_whole_in_the_order_of_the_text_once_and_whatever_their_case():
    known = Glossary(KNOWN)
    assert known("Rash, FEVER and skin rash; fever!") == "spots heat of the body red spots"
    assert known("feverish") == ""
    assert Glossary({})("fever") == ""


def test_a_function_may_know(trial):
    seen = []

    def retrieve(text):
        seen.append(text)
        return "heat" if "fever" in text else ""

    model = KeNet(knowledge=retrieve, train=QUICK, **SMALL).fit(trial["X"], trial["y"])
    assert seen[:160] == trial["X"]
    assert [m.shape for m in model.attention(["w1 fever", ""])] == [(3, 2), (3, 0)]


def test_it_is_saved_with_its_knowledge(tmp_path, trial):
    model = KeNet(knowledge=KNOWN, labels=["fever", "rash", "pain"], train=QUICK, **SMALL).fit(trial["X"], trial["y"])
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(trial["X_test"]), model.predict_proba(trial["X_test"]))


def test_order_of_labels_does_not_matter_to_an_untrained_network(trial):
    """All labels share the weights: permuting the label vectors and the graph permutes the scores."""
    net = KeNet(train=QUICK, **SMALL).fit(trial["X"], trial["y"]).net_.eval()
    x = torch.randint(0, 50, (5, 64))
    before, order = net(x), torch.tensor([2, 0, 1])
    net.table.change.data, net.graph = net.table.change.data[order], net.graph[order][:, order]
    torch.testing.assert_close(net(x), before[:, order], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("wrong", [["fever"], {"fever": 3}, {4: "heat"}, lambda text: None])
def test_bad_knowledge(wrong, trial):
    with pytest.raises(InputError, match="knowledge"):
        KeNet(knowledge=wrong, train=QUICK, **SMALL).fit(trial["X"], trial["y"])


def test_other_rows_than_texts():
    with pytest.raises(InputError, match="texts"):
        KeNet(train=QUICK).fit(np.zeros((10, 4)), np.eye(10, 2, dtype=int))
