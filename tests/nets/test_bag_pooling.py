"""Poolings of bags, each against a loop over bags, and none that knows the order of rows or the neighbours of a bag."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from labelwise.base import InputError
from labelwise.nets.bag_pooling import AttentionPooling, Pooling, SetTransformer, bag_pooling

NAMES = get_args(Pooling)


def pooled(name: str, seed: int = 0, width: int = 8) -> nn.Module:
    torch.manual_seed(seed)
    return bag_pooling(name, width).double().eval()


def rows(seed: int, n_bags: int = 4, width: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    bag = rng.permutation(np.concatenate([np.arange(n_bags), rng.integers(0, n_bags, 9)]))
    return torch.tensor(rng.normal(size=(len(bag), width))), torch.tensor(bag)


@pytest.mark.parametrize("name", NAMES)
@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_a_bag_is_the_same_alone_and_among_others_and_in_any_order(name, seed):
    pool, (hidden, bag) = pooled(name), rows(seed)
    head = nn.Linear(8, 3).double()
    together = pool.classify(hidden, bag, 4, head)
    for b in range(4):
        alone = hidden[bag == b].flip(0)
        one = pool.classify(alone, torch.zeros(len(alone), dtype=torch.long), 1, head)
        torch.testing.assert_close(one[0], together[b])


@pytest.mark.parametrize("gated", [True, False])
def test_attention_is_the_papers_formula(gated):
    pool, (hidden, bag) = AttentionPooling(8, 5, gated=gated).double(), rows(1)
    h = hidden.numpy()
    v, bias = pool.project.weight.detach().numpy(), pool.project.bias.detach().numpy()
    inner = np.tanh(h @ v.T + bias)
    if gated:
        u, offset = pool.gate.weight.detach().numpy(), pool.gate.bias.detach().numpy()
        inner = inner / (1 + np.exp(-(h @ u.T + offset)))
    energy = np.exp(inner @ pool.score.weight.detach().numpy()[0])
    for b in range(4):
        share = energy[bag.numpy() == b] / energy[bag.numpy() == b].sum()
        np.testing.assert_allclose(pool(hidden, bag, 4)[b].detach(), share @ h[bag.numpy() == b])


def test_means_and_maxima_of_scores_and_features():
    (hidden, bag), head = rows(2), nn.Linear(8, 3).double()
    scores = head(hidden).detach().numpy()
    found = {name: pooled(name).classify(hidden, bag, 4, head).detach().numpy() for name in ("mean", "max score")}
    for b in range(4):
        of_bag = scores[bag.numpy() == b]
        np.testing.assert_allclose(found["mean"][b], of_bag.mean(0))
        np.testing.assert_allclose(found["max score"][b], of_bag.max(0))
    largest = pooled("max")(hidden, bag, 4)[0].numpy()
    np.testing.assert_array_equal(largest, hidden[bag == 0].numpy().max(0))


def test_a_seed_reads_a_bag_as_torchs_own_attention_does():
    torch.manual_seed(0)
    block, (hidden, bag) = SetTransformer(8).double().read, rows(3)
    own = nn.MultiheadAttention(8, 4, batch_first=True).double()
    with torch.no_grad():
        layers = (block.query, block.key, block.value)
        own.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
        own.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]))
        own.out_proj.weight.copy_(torch.eye(8))
        own.out_proj.bias.zero_()
    for b in range(4):
        members = hidden[bag == b][None]
        asked = block._finish(block.query(block.seeds) + own(block.seeds[None], members, members)[0][0])
        torch.testing.assert_close(block.ask_bags(hidden, bag, 4)[b], asked)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_row(name):
    (hidden, bag), head = rows(4), nn.Linear(8, 8).double()
    hidden.requires_grad_()
    pooled(name).classify(hidden, bag, 4, head).square().sum().backward()
    reached = (hidden.grad != 0).any(1)
    assert reached.any() if name.startswith("max") else reached.all()


def test_bad_names_and_widths():
    with pytest.raises(InputError, match="pooling must be one of 'gated'"):
        bag_pooling("sum", 8)
    with pytest.raises(InputError, match="4 heads divide"):
        bag_pooling("set transformer", 6)
    with pytest.raises(InputError, match="attends to no row"):
        pooled("mean").weights(*rows(0), 4)
