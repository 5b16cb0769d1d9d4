"""Projection heads: fixed weights, starts at the identity, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from labelwise.base import InputError
from labelwise.nets import FixedReweighting, SoftThreshold, projection_head, similar_decay


@pytest.mark.parametrize("decay", [1.0, 1.05, 3.0])
def test_fixed_reweighting_is_its_formula_and_is_not_trained(decay):
    head = FixedReweighting(5, decay)
    z = torch.randn(3, 5)
    expected = np.stack([z[:, j - 1].numpy() * decay ** -(j - 1) for j in range(1, 6)], axis=1)
    assert np.allclose(head(z).numpy(), expected, atol=1e-6)
    assert list(head.parameters()) == []


def test_the_default_decay_spans_the_same_range_at_any_width():
    spans = [width * np.log(similar_decay(width)) for width in (16, 128, 2048)]
    assert np.allclose(spans, spans[0])
    assert similar_decay(2048) == pytest.approx(1.05)


def test_soft_threshold_against_its_definition():
    unit, u = SoftThreshold(), torch.linspace(-3, 3, 25)
    with torch.no_grad():
        unit.threshold.fill_(0.8)
    expected = torch.sign(u) * (u.abs() - 0.8).clamp_min(0)
    assert torch.allclose(unit(u), expected)
    unit(u).square().sum().backward()
    assert unit.threshold.grad is not None and unit.threshold.grad != 0


@pytest.mark.parametrize("kind", ["threshold", "none"])
def test_these_start_as_the_identity(kind):
    z = torch.randn(4, 6)
    assert torch.allclose(projection_head(kind, 6)(z), z, atol=1e-6)


@pytest.mark.parametrize("kind", ["mlp", "linear", "fixed"])
def test_every_head_keeps_the_width(kind):
    assert projection_head(kind, 6)(torch.randn(4, 6)).shape == (4, 6)


def test_bad_input():
    with pytest.raises(InputError, match="decay must be at least 1"):
        FixedReweighting(3, 0.5)
    with pytest.raises(InputError, match="kind must be 'mlp'"):
        projection_head("deep", 3)
