"""Conditional transport against loops over steps and labels, its properties, and exact transport beside it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.losses.conditional_transport import conditional_transport, navigators


def drawn(seed, rows=3, steps=5, labels=4, width=3, unit=False):
    generator = torch.Generator().manual_seed(seed)
    e = torch.randn(rows, steps, width, generator=generator, dtype=torch.float64)
    l = torch.randn(labels, width, generator=generator, dtype=torch.float64)
    if unit:
        e, l = torch.nn.functional.normalize(e, dim=2), torch.nn.functional.normalize(l, dim=1)
    members = torch.rand(rows, labels, generator=generator) < 0.6
    members[0, 0] = True
    share = torch.rand(rows, steps, generator=generator, dtype=torch.float64) + 0.1
    return e.requires_grad_(), l.requires_grad_(), members, share / share.sum(1, keepdim=True)


def looped(e, l, members, share, temperature):
    """The definition, one row, step and label at a time."""
    total = []
    for row in range(len(e)):
        own = [m for m in range(len(l)) if members[row, m]]
        steps = range(e.shape[1])
        cost = {(n, m): 1 - e[row, n] @ l[m] / (e[row, n].norm() * l[m].norm()) for n in steps for m in own}
        pull = {(n, m): torch.exp(e[row, n] @ l[m] / temperature) for n in steps for m in own}
        value = torch.zeros((), dtype=e.dtype)
        for n in steps:
            for m in own:
                to_label = pull[n, m] / sum(pull[n, k] for k in own)
                to_step = share[row, n] * pull[n, m] / sum(share[row, k] * pull[k, m] for k in steps)
                value = value + share[row, n] * to_label * cost[n, m] + to_step * cost[n, m] / len(own)
        total.append(value)
    return torch.stack(total)


@given(st.integers(0, 10_000), st.floats(0.3, 3), st.booleans())
@settings(max_examples=25, deadline=None)
def test_value_and_gradients_are_those_of_a_loop(seed, temperature, weighted):
    e, l, members, share = drawn(seed)
    theta = share if weighted else torch.full_like(share, 1 / share.shape[1])
    expected = looped(e, l, members, theta, temperature)
    found = conditional_transport(e, l, members, share=share if weighted else None, temperature=temperature)
    torch.testing.assert_close(found, expected)
    for mine, theirs in zip(
        torch.autograd.grad(found.sum(), (e, l)), torch.autograd.grad(expected.sum(), (e, l)), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_plans_are_conditional_and_the_cost_is_never_negative(seed):
    e, l, members, share = drawn(seed)
    plans = navigators(e, l, members, share=share)
    torch.testing.assert_close(plans.to_steps.sum(1), torch.ones(3, 4, dtype=torch.float64))
    torch.testing.assert_close(plans.to_labels.sum(2), members.any(1).double()[:, None].expand(3, 5))
    assert (plans.to_labels[~members[:, None].expand(3, 5, 4)] == 0).all()
    values = conditional_transport(e, l, members, share=share)
    assert (values >= 0).all()
    assert (values <= 4).all()
    assert (values[~members.any(1)] == 0).all()


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_order_of_steps_and_of_labels_does_not_matter(seed):
    e, l, members, share = drawn(seed)
    generator = torch.Generator().manual_seed(seed)
    n, m = torch.randperm(5, generator=generator), torch.randperm(4, generator=generator)
    same = conditional_transport(e[:, n], l[m], members[:, m], share=share[:, n])
    torch.testing.assert_close(same, conditional_transport(e, l, members, share=share))


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_labels_outside_the_set_are_not_read(seed):
    e, l, members, share = drawn(seed)
    members[:, 3] = False
    moved = l.detach().clone()
    moved[3] = 100.0
    here = conditional_transport(e, l, members, share=share)
    torch.testing.assert_close(conditional_transport(e, moved, members, share=share), here)
    assert (torch.autograd.grad(here.sum(), l)[0][3] == 0).all()


def test_it_is_zero_where_the_sets_coincide_sharply_and_large_where_they_oppose():
    e = torch.eye(4, dtype=torch.float64)
    everything = torch.ones(1, 4, dtype=torch.bool)
    assert float(conditional_transport(e[None], e, everything, temperature=0.01)) < 1e-12
    assert float(conditional_transport(e[None], -e[:1], everything[:, :1], temperature=0.01)) > 1


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_twice_exact_transport_lies_between_sharp_and_even_plans(seed):
    ot = pytest.importorskip("ot")
    e, l, members, share = drawn(seed, unit=True)
    e, l = e.detach(), l.detach()
    sharp = conditional_transport(e, l, members, share=share, temperature=1e-3)
    even = conditional_transport(e, l, members, share=share, temperature=1e3)
    for row in range(3):
        own = members[row].numpy()
        if own.any():
            cost = 1 - (e[row] @ l.T).numpy()[:, own]
            exact = 2 * ot.emd2(share[row].numpy(), np.full(own.sum(), 1 / own.sum()), cost)
            assert float(sharp[row]) - 1e-6 <= exact <= float(even[row]) + 2e-3


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"labels": torch.zeros(4, 2)}, "steps"),
        ({"members": torch.ones(2, 4)}, "members"),
        ({"temperature": 0.0}, "temp"),
    ],
)
def test_bad_shapes(wrong, told):
    given = {"steps": torch.zeros(3, 5, 3), "labels": torch.zeros(4, 3), "members": torch.ones(3, 4)} | wrong
    with pytest.raises(InputError, match=told):
        conditional_transport(given.pop("steps"), given.pop("labels"), given.pop("members"), **given)
