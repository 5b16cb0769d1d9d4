"""Soft contrast and the likeness of label sets against loops, value and gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.losses import SoftCon
from labelwise.losses.label_sets import jaccard, label_cosine, weighted_contrast


def slow_cosine(a, b):
    """Over labels known in both; None where there is none."""
    known = (a >= 0) & (b >= 0)
    if not known.any():
        return None
    u, v = (a[known] == 1).astype(float), (b[known] == 1).astype(float)
    if not u.any() and not v.any():
        return 1.0
    return float(u @ v / math.sqrt(max(1, u @ u) * max(1, v @ v)))


def slow(q, k, y, temperature, weight, target, bias):
    unit = [part / np.linalg.norm(part, axis=1, keepdims=True) for part in (q, k)]
    logits, n = unit[0] @ unit[1].T / temperature, len(q)
    instance = np.mean([math.log(sum(math.exp(s) for s in row)) - row[i] for i, row in enumerate(logits)])
    terms, rows = [], []
    for i in range(n):
        alike = [slow_cosine(y[i], y[j]) for j in range(n)]
        known = [j for j in range(n) if alike[j] is not None]
        terms += [math.log1p(math.exp(s)) - alike[j] * s for j in known for s in [logits[i, j] + bias]]
        total = sum(alike[j] for j in known)
        if total > 0:
            norm = math.log(sum(math.exp(logits[i, j]) for j in known))
            rows.append(sum(alike[j] * (norm - logits[i, j]) for j in known) / total)
    soft = terms if target == "bce" else rows
    return instance + weight * (np.mean(soft) if soft else 0.0)


def random_case(n, n_labels, seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 4)), rng.normal(size=(n, 4)), rng.choice([-1, 0, 1], (n, n_labels))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 6), st.integers(1, 4), st.integers(0, 1000), st.sampled_from(["bce", "softmax"]), st.floats(-3, 3)
)
def test_value_by_loops(n, n_labels, seed, target, bias):
    q, k, y = random_case(n, n_labels, seed)
    loss = SoftCon(temperature=0.5, weight=0.7, target=target).double()
    with torch.no_grad():
        loss.bias += bias
    found = float(loss(torch.as_tensor(q), torch.as_tensor(k), torch.as_tensor(y)).detach())
    assert found == pytest.approx(slow(q, k, y, 0.5, 0.7, target, bias), rel=1e-5)


@pytest.mark.parametrize("target", ["bce", "softmax"])
def test_gradient_by_differences(target):
    q, k, y = random_case(5, 3, 1)
    loss = SoftCon(temperature=0.5, target=target).double()
    free = torch.as_tensor(q).requires_grad_()
    loss(free, torch.as_tensor(k), torch.as_tensor(y)).backward()
    step, expected = 1e-6, np.zeros_like(q)
    for at in np.ndindex(*q.shape):
        up, down = q.copy(), q.copy()
        up[at] += step
        down[at] -= step
        expected[at] = (slow(up, k, y, 0.5, 1, target, 0) - slow(down, k, y, 0.5, 1, target, 0)) / (2 * step)
    assert free.grad.numpy() == pytest.approx(expected, abs=1e-5)
    if target == "bce":
        gap = slow(q, k, y, 0.5, 1, target, step) - slow(q, k, y, 0.5, 1, target, -step)
        assert float(loss.bias.grad) == pytest.approx(gap / (2 * step), abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 1000))
def test_likeness_of_label_sets_by_loops(n, n_labels, seed):
    y = np.random.default_rng(seed).choice([-1, 0, 1], (n, n_labels))
    found = label_cosine(torch.as_tensor(y))
    for i in range(n):
        for j in range(n):
            expected = slow_cosine(y[i], y[j])
            assert bool(found.known[i, j]) == (expected is not None)
            if expected is not None:
                assert float(found.value[i, j]) == pytest.approx(expected, abs=1e-6)
    part = label_cosine(torch.as_tensor(y), torch.as_tensor(y[:1]))
    assert torch.equal(part.value, found.value[:, :1])


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 7), st.integers(0, 1000))
def test_among_pairs_it_is_the_weighted_contrast_of_one_view(n, seed):
    """On disjoint views, softmax targets and the hybrid loss's contrast are one kernel; only the own pair is apart."""
    rng = np.random.default_rng(seed)
    h, y = torch.as_tensor(rng.normal(size=(n, 3))), torch.as_tensor(rng.integers(0, 2, (n, 3)))
    weight = jaccard(y).double()
    unit = torch.nn.functional.normalize(h, dim=1)
    logits = unit @ unit.T / 0.3
    values = []
    for i in range(n):
        other = [j for j in range(n) if j != i]
        w = weight[i, other]
        if w.sum() > 0:
            values.append(float((w * (torch.logsumexp(logits[i, other], 0) - logits[i, other])).sum() / w.sum()))
    expected = np.mean(values) if values else 0.0
    assert float(weighted_contrast(h, weight, 0.3)) == pytest.approx(expected, rel=1e-6)


def test_rows_without_a_label_take_part_in_the_first_part_alone():
    q, k, y = random_case(6, 3, 0)
    y[2:] = -1
    for target in ("bce", "softmax"):
        loss = SoftCon(target=target).double()
        free = torch.as_tensor(q).requires_grad_()
        loss.parts(free, torch.as_tensor(k), torch.as_tensor(y))["labels"].backward()
        assert float(free.grad[2:].abs().sum()) == 0 < float(free.grad[:2].abs().sum())
        nothing = loss.parts(torch.as_tensor(q), torch.as_tensor(k), torch.full((6, 3), -1))
        assert float(nothing["labels"].detach()) == 0
    assert set(SoftCon(instance=False).parts(*map(torch.as_tensor, (q, k, y)))) == {"labels"}


@pytest.mark.parametrize("arguments", [{"temperature": 0.0}, {"weight": -1.0}, {"target": "other"}])
def test_bad_arguments_are_named(arguments):
    with pytest.raises(InputError, match=next(iter(arguments))):
        SoftCon(**arguments)
    with pytest.raises(InputError, match="SoftCon expects"):
        SoftCon()(torch.ones(3, 2), torch.ones(3, 2), torch.ones(2, 2))
