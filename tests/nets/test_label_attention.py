"""The attention core: weights against a loop, masks, and an encoder that does not read padding."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.nets.label_attention import LabelTable, StepEncoder, Steps, attend, read, real_mean, sinusoids


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_attention_and_reading_are_their_equations(seed):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(3, 2, 5, generator=generator, dtype=torch.float64) * 10
    hidden = torch.randn(3, 5, 4, generator=generator, dtype=torch.float64)
    real = torch.rand(3, 5, generator=generator) < 0.5
    weights = attend(scores, real)
    found = read(weights, hidden)
    for row in range(3):
        steps = np.flatnonzero(real[row])
        for label in range(2):
            expected, mean = np.zeros(5), np.zeros(4)
            if len(steps):
                powers = np.exp(scores[row, label, steps].numpy() - scores[row, label, steps].max().item())
                expected[steps] = powers / powers.sum()
                mean = expected @ hidden[row].numpy()
            np.testing.assert_allclose(weights[row, label], expected, atol=1e-12)
            np.testing.assert_allclose(found[row, label], mean, atol=1e-12)


def test_padding_gets_no_attention_and_no_gradient_however_large_its_score():
    scores = torch.tensor([[[1.0, 2.0, 1e9]]], requires_grad=True)
    weights = attend(scores, torch.tensor([[True, True, False]]))
    assert float(weights[0, 0, 2].detach()) == 0
    (slope,) = torch.autograd.grad(weights[0, 0, 0], scores)
    assert float(slope[0, 0, 2]) == 0
    assert float(slope[0, 0, 0]) > 0


def test_a_row_without_a_step_reads_nothing_and_has_finite_gradients():
    scores = torch.randn(2, 3, 4, requires_grad=True)
    weights = attend(scores, torch.zeros(2, 4, dtype=torch.bool))
    assert (weights == 0).all()
    weights.sum().backward()
    assert scores.grad.isfinite().all()
    assert (real_mean(Steps(torch.randn(2, 4, 3), torch.zeros(2, 4, dtype=torch.bool))) == 0).all()


def test_positions_are_those_of_the_paper():
    found = sinusoids(6, 5, torch.zeros(1, dtype=torch.float64))
    for t in range(6):
        for j in range(5):
            angle = t / 1e4 ** ((j - j % 2) / 5)
            assert float(found[t, j]) == pytest.approx(np.cos(angle) if j % 2 else np.sin(angle))


def test_words_are_not_changed_by_padding_or_by_longer_neighbours():
    torch.manual_seed(0)
    encoder = StepEncoder("tokens", (9, 50), width=8, layers=2, heads=2).eval()
    short = torch.tensor([[4, 7, 9, 0, 0, 0, 0, 0, 0]])
    long = torch.tensor([[5, 6, 7, 8, 9, 10, 11, 0, 0]])
    alone, beside = encoder(short), encoder(torch.cat([short, long]))
    assert alone.hidden.shape == (1, 3, 8)
    assert beside.hidden.shape == (2, 7, 8)
    torch.testing.assert_close(beside.hidden[0, :3], alone.hidden[0], atol=1e-5, rtol=1e-5)
    assert beside.real.sum(1).tolist() == [3, 7]


def test_pictures_become_patches_in_reading_order_and_series_pieces():
    encoder = StepEncoder("images", (1, 8, 12), width=4, layers=0, heads=1, patch=4).eval()
    picture = torch.zeros(1, 1, 8, 12)
    changed = picture.clone()
    changed[0, 0, 5, 9] = 1  # second row of patches, third column
    moved = (encoder(changed).hidden - encoder(picture).hidden).abs().sum(2)[0]
    assert moved.nonzero().ravel().tolist() == [5]
    series = StepEncoder("series", (2, 10), width=4, layers=1, heads=2, patch=4).eval()
    assert series(torch.randn(3, 2, 10)).hidden.shape == (3, 3, 4)


def test_every_layer_is_told_and_the_summary_comes_first():
    encoder = StepEncoder("images", (1, 8, 8), width=4, layers=3, heads=1, patch=4, summary=True).eval()
    depths = encoder.depths(torch.randn(2, 1, 8, 8))
    assert [step.hidden.shape for step in depths] == [(2, 5, 4)] * 3
    assert not torch.equal(depths[0].hidden, depths[1].hidden)


def test_labels_are_read_with_the_words_of_the_encoder():
    encoder = StepEncoder("tokens", (4, 20), width=6, layers=0, heads=1).eval()
    codes = torch.tensor([[3, 5, 0, 0], [7, 0, 0, 0]])
    found = LabelTable(2, 6, codes=codes)(encoder)
    places = sinusoids(2, 6, encoder.embed.weight)
    words = encoder.norm(encoder.embed.weight[[3, 5, 7]] * 6**0.5 + places[[0, 1, 0]])
    torch.testing.assert_close(found, torch.stack([words[:2].mean(0), words[2]]))
    known = LabelTable(2, 6, vectors=torch.randn(2, 9))
    torch.testing.assert_close(known(encoder), known.project(known.vectors))
    assert LabelTable(2, 6)(encoder).shape == (2, 6)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"modality": "vectors", "shape": (5,)}, "no steps"),
        ({"modality": "images", "shape": (1, 9, 8)}, "patch=4"),
        ({"modality": "tokens", "shape": (4, 9), "width": 10}, "heads=4"),
    ],
)
def test_what_does_not_fit(given, told):
    with pytest.raises(InputError, match=told):
        StepEncoder(**given)
