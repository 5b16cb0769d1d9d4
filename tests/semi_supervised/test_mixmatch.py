from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.parts.views import Views
from labelwise.semi_supervised import FixMatch, MixMatch, ReMixMatch
from labelwise.semi_supervised.mixing import across, mixed_across, strong_views, weak_views
from labelwise.semi_supervised.remixmatch import Rearrange, rearrangements
from labelwise.training import Batch

X, Y = load_digits(return_X_y=True)
X, Y = X[:200].astype(np.float32), Y[:200]
FEW = np.where(np.arange(200) < 50, Y, -1)


def quick(**fields: object) -> Train:
    return Train(**{"epochs": 2, "batch_size": 25, **fields})


@settings(max_examples=30)
@given(st.integers(1, 12), st.integers(1, 40), st.floats(0.1, 5), st.integers(0, 10**6))
def test_mixing_across_keeps_each_rows_own_part_the_larger(labelled: int, pool: int, alpha: float, seed: int) -> None:
    torch.manual_seed(seed)
    mix = across(labelled, pool, alpha)
    own, share = mix.partners, mix.shares
    assert torch.equal(own[0], torch.arange(labelled + pool))
    assert bool((own[1, :labelled] >= labelled).all() and (own[1] < labelled + pool).all())
    assert bool((own[1, labelled:] < labelled).all() and (own[1] >= 0).all())
    assert bool((share[0] >= share[1]).all()) and torch.allclose(share.sum(0), torch.ones(labelled + pool))
    torch.manual_seed(seed)
    a, b = torch.zeros(labelled, 2), torch.ones(pool, 2)
    first, second = mixed_across(a, b, alpha)
    torch.testing.assert_close(first[:, 0], share[1, :labelled])
    torch.testing.assert_close(second[:, 0], share[0, labelled:])


def test_views_are_drawn_apart_and_the_first_is_the_batchs_own() -> None:
    class Noise(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.randn_like(x)

    batch = Batch(torch.zeros(5, 2), torch.zeros(5), torch.arange(5), views=Views(Noise(), Noise()))
    for views, own in ((weak_views(batch, 3), batch.weak), (strong_views(batch, 3), batch.strong)):
        assert len(views) == 3 and views[0] is own
        assert not any(torch.equal(a, b) for a, b in ((views[0], views[1]), (views[1], views[2])))


@pytest.mark.parametrize("shape", [(1, 4, 4), (3, 5, 5)])
def test_pictures_are_turned_by_quarter_turns(shape: tuple[int, ...]) -> None:
    rearrange, x = Rearrange(rearrangements("images", shape)), torch.randn(4, *shape)
    turned = rearrange(x, torch.arange(4))
    for k in range(4):
        torch.testing.assert_close(turned[k], torch.rot90(x[k], k, (1, 2)))


def test_pictures_that_are_not_square_are_turned_upside_down() -> None:
    rearrange, x = Rearrange(rearrangements("images", (1, 3, 5))), torch.randn(2, 1, 3, 5)
    torch.testing.assert_close(rearrange(x, torch.tensor([0, 1])), torch.stack([x[0], x[1].flip(-1, -2)]))


def test_series_are_reversed_in_time_and_vectors_permuted() -> None:
    x = torch.randn(2, 3, 7)
    told = Rearrange(rearrangements("series", (3, 7)))(x, torch.tensor([1, 0]))
    torch.testing.assert_close(told, torch.stack([x[0].flip(1), x[1]]))
    torch.manual_seed(0)
    orders = rearrangements("vectors", (9,))
    assert orders.shape == (4, 9) and torch.equal(orders[0], torch.arange(9))
    assert all(torch.equal(order.sort().values, torch.arange(9)) for order in orders)


def test_weights_of_the_pool_grow_linearly() -> None:
    model = MixMatch(ramp=0.5)
    model.total_ = 100
    grown = []
    for step in (0, 25, 50, 100):
        model.step_ = torch.tensor(step)
        grown.append(model.grown())
    assert grown == [0.0, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("method", [MixMatch, ReMixMatch])
@pytest.mark.parametrize("shape", [(200, 8, 8, 1), (200, 8, 8), (200, 64)], ids=["pictures", "series", "vectors"])
def test_every_kind_of_input_that_can_be_mixed_is_learnt(method: type, shape: tuple[int, ...]) -> None:
    rows = X.reshape(shape) / 16
    model = method(train=quick(), random_state=0).fit(rows, FEW)
    assert model.predict_proba(rows[:3]).shape == (3, 10)
    assert all(np.isfinite(row["loss"]) for row in model.history_)


@pytest.mark.parametrize(
    "model", [MixMatch(), ReMixMatch(), FixMatch(mixup=0.5)], ids=lambda model: type(model).__name__
)
def test_texts_are_refused(model: MixMatch) -> None:
    with pytest.raises(InputError, match=r"X holds texts, but .* mixes rows"):
        model.fit(["a b", "c d", "e f", "g h"], [0, 1, -1, -1])


def test_fixmatch_without_mixup_reads_texts() -> None:
    texts = ["good film", "bad film"] * 8
    model = FixMatch(train=quick(epochs=1), random_state=0).fit(texts, [0, 1] * 4 + [-1] * 8)
    assert model.predict(texts).shape == (16,)


def test_the_task_without_labels_needs_features_and_can_be_left_out() -> None:
    net = nn.Sequential(nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
    with pytest.raises(InputError, match="Sequential has no features"):
        ReMixMatch(net=net, train=quick(), random_state=0).fit(X, FEW)
    model = ReMixMatch(net=net, pretext=0, train=quick(), random_state=0).fit(X, FEW)
    assert "pretext" not in model.history_[0] and not hasattr(model, "pretext_head_")


def test_the_head_of_the_task_without_labels_learns() -> None:
    """With nothing else to learn from the pool, it tells quarter turns of digits from one another."""
    pictures = X.reshape(-1, 8, 8, 1) / 16
    still = Views(nn.Identity(), nn.Identity())
    model = ReMixMatch(weight=0, unmixed=0, ramp=0, views=still, train=quick(epochs=20, lr=5e-3), random_state=0)
    model.fit(pictures, FEW)
    assert model.history_[-1]["pretext"] < 0.7 * 0.5 * np.log(4)
