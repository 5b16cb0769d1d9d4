"""Sets in and out: order of elements is nothing, padding is nothing, probabilities of all sequences sum to one."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.nets import ReadProcess, SetWriter


@settings(deadline=None, max_examples=20)
@given(n=st.integers(1, 7), steps=st.integers(1, 4), seed=st.integers(0, 2**31))
def test_reading_knows_neither_order_nor_padding(n, steps, seed):
    torch.manual_seed(seed)
    block, x = ReadProcess(3, 5, steps).double(), torch.randn(2, 3, n, dtype=torch.float64)
    shuffled = x[:, :, torch.randperm(n)]
    padded = torch.cat([x, torch.zeros(2, 3, 4, dtype=torch.float64)], 2)[:, :, torch.randperm(n + 4)]
    assert torch.allclose(block(x), block(shuffled))
    assert torch.allclose(block(x), block(padded))


def test_reading_is_what_the_paper_says():
    """Written out in numpy for one set, with the LSTM's gates by hand."""
    torch.manual_seed(0)
    block, x = ReadProcess(2, 4, 3).double(), torch.randn(1, 2, 5, dtype=torch.float64)
    weights = {name: value.detach().numpy() for name, value in block.named_parameters()}
    memory = np.maximum(x[0].T.numpy() @ weights["read.0.weight"].T + weights["read.0.bias"], 0)
    memory = memory @ weights["read.2.weight"].T + weights["read.2.bias"]

    def sigmoid(v):
        return 1 / (1 + np.exp(-v))

    q, c, r = np.zeros(4), np.zeros(4), np.zeros(4)
    for _ in range(3):
        gates = weights["process.weight_ih"] @ np.r_[q, r] + weights["process.bias_ih"]
        i, f, g, o = np.split(gates + weights["process.weight_hh"] @ q + weights["process.bias_hh"], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        q = sigmoid(o) * np.tanh(c)
        share = np.exp(memory @ q)
        r = share @ memory / share.sum()
    assert np.allclose(block(x)[0].detach(), np.r_[q, r])


def test_an_empty_set_is_finite():
    block = ReadProcess(3, 4)
    x = torch.randn(2, 3, 2)
    x[0] = 0
    found = block(x)
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert (found[0, 4:] == 0).all()
    assert all(torch.isfinite(p.grad).all() for p in block.parameters())


def test_another_padding_element():
    torch.manual_seed(0)
    pad = torch.tensor([3.0, -1.0])
    block, x = ReadProcess(2, 4, pad=pad), torch.randn(1, 2, 3)
    assert torch.allclose(block(x), block(torch.cat([pad[None, :, None], x], 2)), atol=1e-6)


def sequence_chances(writer, hidden):
    """The probability of every sequence of labels that ends by a stop, by going through all of them."""
    found = {}
    labels = range(writer.labels)
    for size in range(writer.labels + 1):
        for sequence in permutations(labels, size):
            last, state = writer.started(hidden)
            closed = torch.zeros(1, writer.labels, dtype=torch.bool)
            total = 0.0
            for label in [*sequence, writer.labels]:
                log_p, state = writer.said(last, state, closed)
                total += float(log_p[0, label])
                closed = closed.clone()
                if label < writer.labels:
                    closed[0, label] = True
                last = torch.tensor([label])
            found[sequence] = np.exp(total)
    return found


@pytest.fixture(scope="module")
def small():
    torch.manual_seed(3)
    writer = SetWriter(4, 3, width=6, samples=3000).double()
    writer.out.weight.data *= 4
    hidden = torch.randn(1, 4, dtype=torch.float64)
    with torch.no_grad():
        return writer, hidden, sequence_chances(writer, hidden)


def test_all_sequences_together_have_probability_one(small):
    *_, chances = small
    assert len(chances) == 16
    assert sum(chances.values()) == pytest.approx(1)


def test_the_loss_in_a_given_order_is_minus_that_sequences_log_probability(small):
    writer, hidden, chances = small
    y = torch.tensor([[1, 0, 1]])
    for first, sequence in (([0, 1, 2], (0, 2)), ([2, 1, 0], (2, 0))):
        value = writer.order_loss(hidden, y, "given", torch.tensor(first)).detach()
        assert float(value) == pytest.approx(-np.log(chances[sequence]))
    nothing = writer.order_loss(hidden, torch.zeros(1, 3, dtype=torch.int64)).detach()
    assert float(nothing) == pytest.approx(-np.log(chances[()]))


@pytest.mark.parametrize("order", ["searched", "random"])
def test_orders_are_drawn_as_said(small, order):
    """Searched: in proportion to the renormalised next-label probability. Random: all alike."""
    writer, hidden, chances = small
    y = torch.ones(4000, 3, dtype=torch.int64)
    torch.manual_seed(0)
    with torch.no_grad():
        values = writer.order_loss(hidden.expand(4000, 4), y, order).numpy()
    full = {sequence: chance for sequence, chance in chances.items() if len(sequence) == 3}
    found = {s: np.isclose(values, -np.log(chance), atol=1e-9).mean() for s, chance in full.items()}
    assert sum(found.values()) == pytest.approx(1)
    for sequence in full:
        expected = 1 / 6 if order == "random" else _drawn(writer, hidden, sequence)
        assert found[sequence] == pytest.approx(expected, abs=0.04)


def _drawn(writer, hidden, sequence):
    """The chance of an order: at each place the label's probability among those still missing."""
    last, state = writer.started(hidden)
    closed, total = torch.zeros(1, 3, dtype=torch.bool), 1.0
    for place, label in enumerate(sequence):
        log_p, state = writer.said(last, state, closed)
        left = log_p[0, list(sequence[place:])].exp()
        total *= float((log_p[0, label].exp() / left.sum()).detach())
        closed = closed.clone()
        closed[0, label] = True
        last = torch.tensor([label])
    return total


def test_chances_of_labels_are_those_of_the_sequences(small):
    writer, hidden, chances = small
    expected = [sum(p for sequence, p in chances.items() if label in sequence) for label in range(3)]
    assert np.allclose(writer(hidden)[0], expected, atol=0.04)


def test_the_likeliest_sequence_takes_the_likeliest_label_each_time(small):
    writer, hidden, _ = small
    last, state = writer.started(hidden)
    closed, told = torch.zeros(1, 3, dtype=torch.bool), []
    while True:
        log_p, state = writer.said(last, state, closed)
        label = int(log_p.argmax())
        if label == 3:
            break
        told.append(label)
        closed = closed.clone()
        closed[0, label] = True
        last = torch.tensor([label])
    found = writer.likeliest(hidden)[0].tolist()
    assert [label for label in found if label >= 0] == told


def test_what_is_behind_an_unknown_label_changes_nothing():
    """The writer's weights of a label that is unknown in all rows can be anything."""
    torch.manual_seed(0)
    writer, hidden = SetWriter(4, 5), torch.randn(6, 4)
    y = torch.randint(0, 2, (6, 5))
    y[:, 2] = -1
    before = writer.order_loss(hidden, y, "given")
    before.sum().backward()
    assert (writer.out.weight.grad[2] == 0).all()
    with torch.no_grad():
        writer.out.weight[2] += 100
        writer.embed.weight[2] -= 50
        assert torch.equal(writer.order_loss(hidden, y, "given"), before)


@pytest.mark.parametrize("made", [lambda: ReadProcess(0), lambda: SetWriter(3, 0)])
def test_bad_sizes(made):
    with pytest.raises(InputError, match=">= 1"):
        made()
