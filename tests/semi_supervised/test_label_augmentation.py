from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy, kl_div

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.parts.views import Views
from labelwise.semi_supervised import LabelAugmentation
from labelwise.semi_supervised.label_augmentation import (
    Joint,
    aggregated,
    matching,
    named_transforms,
    pair_loss,
)
from labelwise.training import Batch

X, Y = load_digits(return_X_y=True)
PICTURES = (X / 16).astype(np.float32).reshape(-1, 8, 8, 1)
SHORT = Train(epochs=2, batch_size=32)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(2, 4), st.integers(2, 4), st.integers(0, 1000))
def test_rules_are_their_loops(b: int, k: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    joint, y = rng.normal(size=(m, b, k, m)), rng.integers(0, k, b)
    scores, loss = np.zeros((b, k)), np.zeros(b)
    for row in range(b):
        for copy in range(m):
            flat = [joint[copy, row, c, t] for c in range(k) for t in range(m)]
            right = joint[copy, row, y[row], copy]
            loss[row] += (math.log(sum(math.exp(v) for v in flat)) - right) / m
            for c in range(k):
                scores[row, c] += joint[copy, row, c, copy] / m
    np.testing.assert_allclose(aggregated(torch.tensor(joint)), scores, atol=1e-12)
    np.testing.assert_allclose(pair_loss(torch.tensor(joint), torch.tensor(y)), loss, atol=1e-12)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_matching_is_torchs_kl_and_moves_only_the_own_scores(temperature: float) -> None:
    own, target = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    own.requires_grad_(), target.requires_grad_()
    expected = kl_div((own / temperature).log_softmax(1), (target / temperature).softmax(1), reduction="none").sum(1)
    value = matching(own, target, temperature)
    torch.testing.assert_close(value, temperature**2 * expected)
    value.sum().backward()
    assert target.grad is None


@pytest.mark.parametrize(
    ("name", "modality", "shape"),
    [("auto", "images", (2, 5, 5)), ("auto", "images", (1, 4, 6)), ("auto", "series", (2, 7)), ("auto", "vectors", (9,)),
     ("permutations", "vectors", (9,))],
)  # fmt: skip
def test_transformations_keep_every_value_and_differ(name: str, modality: str, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(3, *shape)
    made = [x, *[transform(x) for transform in named_transforms(name, modality, shape)]]
    for number, one in enumerate(made):
        assert one.shape == x.shape
        torch.testing.assert_close(one.abs().flatten(1).sort(1).values, x.abs().flatten(1).sort(1).values)
        assert not any(torch.equal(one, other) for other in made[:number])


def test_turning_four_times_is_the_identity() -> None:
    x = torch.randn(2, 1, 3, 3)
    quarter = named_transforms("auto", "images", (1, 3, 3))[0]
    torch.testing.assert_close(quarter(quarter(quarter(quarter(x)))), x)


def test_single_inference_asks_the_untransformed_copy() -> None:
    torch.manual_seed(0)
    transforms = nn.ModuleList([nn.Identity(), *named_transforms("signs", "vectors", (5,), 3)])
    net, x = Joint(nn.Linear(5, 4), transforms, 4, 2, single=False), torch.randn(6, 5)
    every = net.joint(x)
    torch.testing.assert_close(net(x), aggregated(every))
    net.single = True
    torch.testing.assert_close(net(x), every[0, :, :, 0])


def test_the_loss_is_its_equation() -> None:
    model = LabelAugmentation(inference="distilled", beta=0.3, views=Views(nn.Identity(), nn.Identity()), train=SHORT)
    model = model.set_params(random_state=0).fit(X[:60], Y[:60])
    x, y = torch.as_tensor(model.inputs_.transform(X[:8])), torch.as_tensor(Y[:8])
    parts = model.loss(Batch(x, y, torch.arange(8)))
    copies = [model.joint_.head(model.net_.features(transform(x))) for transform in model.joint_.transforms]
    expected = torch.stack([cross_entropy(scores, y * 4 + m) for m, scores in enumerate(copies)]).mean()
    torch.testing.assert_close(parts["pairs"], expected)
    own = model.net_(x)
    torch.testing.assert_close(parts["labels"], 0.3 * cross_entropy(own, y))
    torch.testing.assert_close(parts["distilled"], matching(own, model.joint_(x), 1.0).mean())


def test_without_distillation_the_ordinary_head_stays_as_it_was() -> None:
    first, second = (
        LabelAugmentation(train=Train(epochs=epochs, batch_size=32), random_state=0).fit(X[:60], Y[:60]) for epochs in (1, 3)
    )  # fmt: skip
    torch.testing.assert_close(first.net_.head.weight, second.net_.head.weight)
    assert not torch.equal(first.joint_.head.weight, second.joint_.head.weight)


@pytest.mark.parametrize("inference", ["aggregated", "single", "distilled"])
def test_series_are_learnt_and_the_rule_is_predicted(inference: str) -> None:
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    series = rng.normal(size=(80, 1, 12)) + np.where(y[:, None, None] == 1, np.linspace(0, 3, 12), 0)
    model = LabelAugmentation(inference=inference, train=Train(epochs=8, batch_size=16), random_state=0)
    assert model.fit(series, y).score(series, y) > 0.8


def test_own_transforms_are_used_and_bad_ones_refused() -> None:
    model = LabelAugmentation(transforms=[nn.Tanh()], train=SHORT, random_state=0).fit(X[:60], Y[:60])
    assert model.joint_.head.out_features == 20
    with pytest.raises(InputError, match="transforms is empty"):
        LabelAugmentation(transforms=[]).fit(X[:60], Y[:60])
    with pytest.raises(InputError, match=r"transforms\[1\]"):
        LabelAugmentation(transforms=[nn.Tanh(), abs]).fit(X[:60], Y[:60])
    with pytest.raises(InputError, match="texts"):
        LabelAugmentation(train=SHORT).fit(["a b", "c d", "a c"] * 5, [0, 1, 0] * 5)


def test_early_stopping_keeps_the_best_epoch_of_both_heads() -> None:
    train = Train(epochs=6, batch_size=32, validation=0.2, patience=2)
    for inference in ("aggregated", "distilled"):
        model = LabelAugmentation(inference=inference, train=train, random_state=0).fit(X[:150], Y[:150])
        assert "validation" in model.history_[0]
