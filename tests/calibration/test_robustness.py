from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import nn

from labelwise.base import InputError
from labelwise.calibration import AdversarialTraining, RobustAccuracy
from labelwise.calibration.robustness import dlr_objective, margin_objective, suspicions
from labelwise.learner import Classifier, Train
from labelwise.nets import MLP

X, Y = load_digits(return_X_y=True)
X = X / 16
NET = MLP(64, 10, hidden=(64,))  # a network of one's own reads X as it is
TRAIN = Train(epochs=15, lr=5e-3)
FIT, TEST = slice(0, 600), slice(600, 900)


@pytest.fixture(scope="module")
def plain() -> Classifier:
    return Classifier(net=NET, train=TRAIN, random_state=0).fit(X[FIT], Y[FIT])


@given(st.integers(0, 10_000), st.integers(2, 5))
@settings(max_examples=30, deadline=None)
def test_objectives_are_their_definitions(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    logits, y = 3 * rng.normal(size=(8, classes)), rng.integers(classes, size=8)
    margins, ratios = (f(torch.as_tensor(logits), torch.as_tensor(y)) for f in (margin_objective, dlr_objective))
    for row, (z, label) in enumerate(zip(logits, y, strict=True)):
        margin = max(v for k, v in enumerate(z) if k != label) - z[label]
        ranked = sorted(z, reverse=True)
        ratio = margin if classes == 2 else margin / (ranked[0] - ranked[2])
        assert float(margins[row]) == pytest.approx(margin)
        assert float(ratios[row]) == pytest.approx(ratio)
        assert (margin > 0) == (z.argmax() != label)


def linear(scale: float = 1.0) -> Classifier:
    """Return a classifier of two classes that is right where ``x @ w`` has the sign of the class, ``w = (3, 4)``."""
    net = nn.Linear(2, 2, bias=False)
    net.weight.data = scale * torch.tensor([[-1.5, -2.0], [1.5, 2.0]])
    grid = np.array([[-1.0, -1.0], [1.0, 1.0], [-2.0, -1.0], [2.0, 1.0]])
    return Classifier(net=net, train=Train(epochs=1, lr=1e-12, warmup=0.0), random_state=0).fit(grid, [0, 1, 0, 1])


@pytest.mark.parametrize("norm", ["inf", "2"])
def test_it_finds_the_exact_robust_accuracy_of_a_linear_classifier(norm: str) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(200, 2))
    score = rows @ [3.0, 4.0]
    y = np.where(rng.random(200) < 0.9, score > 0, score < 0).astype(int)
    radius, dual = 0.2, 7.0 if norm == "inf" else 5.0
    expected = (np.where(y == 1, score, -score) > radius * dual).mean()
    found = RobustAccuracy(radius=radius, norm=norm, random_state=0).measure(linear(), rows, y)
    assert found.robust.value == pytest.approx(expected, abs=0.006)
    assert found.suspicions == ()


def test_radius_zero_is_the_clean_accuracy(plain: Classifier) -> None:
    found = RobustAccuracy(radius=0.0, ascents=3, random_state=0).measure(plain, X[TEST], Y[TEST])
    assert found.clean.value == pytest.approx(plain.score(X[TEST], Y[TEST]))
    assert found.robust.value == found.noise.value == found.clean.value


def test_the_worst_case_is_no_better_than_any_attack_and_noise_is_weaker(plain: Classifier) -> None:
    found = RobustAccuracy(radius=0.1, ascents=15, random_state=0).measure(plain, X[TEST], Y[TEST])
    assert found.robust.value <= min(estimate.value for estimate in found.by_attack.values())
    assert found.robust.value < found.noise.value <= found.clean.value
    assert found.survived.mean() == pytest.approx(found.robust.value)
    assert found.suspicions == ()
    assert "whatever is tried within radius 0.1" in str(found)


def test_adversarial_training_is_more_robust_than_plain_training(plain: Classifier) -> None:
    robust = AdversarialTraining(net=NET, radius=0.1, train=TRAIN, random_state=0).fit(X[FIT], Y[FIT])
    diagnostic = RobustAccuracy(radius=0.1, ascents=15, random_state=0)
    gain = [diagnostic.measure(model, X[TEST], Y[TEST]).robust for model in (plain, robust)]
    assert gain[1].value > gain[0].value + 0.05


class Quantised(nn.Module):
    """Rounds its inputs, so that no gradient passes: not robust, only hard to attack."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net((x * 20).round() / 20)


def test_masked_gradients_are_suspected(plain: Classifier) -> None:
    class Hidden:
        def differentiable(self):
            from labelwise.calibration.differentiable import differentiable

            module, inputs, classes = differentiable(plain)
            return nn.Sequential(module[0], Quantised(module[1])), inputs, classes

    found = RobustAccuracy(radius=0.1, ascents=5, random_state=0).measure(Hidden(), X[TEST], Y[TEST])
    assert any("gradient is exactly zero" in told for told in found.suspicions)
    assert "Beware" in found.describe()


def test_suspicions_need_more_than_chance() -> None:
    right, wrong = np.ones(100, bool), np.zeros(100, bool)
    assert suspicions({1: wrong, 5: right}, right, right, wrong)[0].startswith("accuracy rises from 0.0% to 100.0%")
    assert "random noise" in suspicions({1: right, 5: right}, wrong, right, wrong)[0]
    assert suspicions({1: right}, right, right, wrong) == ()
    few = right.copy()
    few[:2] = False
    assert suspicions({1: few, 5: right}, right, right, wrong) == ()


def test_the_same_seed_gives_the_same_answer_and_leaves_the_global_one(plain: Classifier) -> None:
    state = torch.get_rng_state()
    first, second = (
        RobustAccuracy(radius=0.1, ascents=3, random_state=3).measure(plain, X[TEST], Y[TEST]) for _ in range(2)
    )
    assert (first.survived == second.survived).all()
    assert torch.equal(state, torch.get_rng_state())


def test_bad_input_is_told(plain: Classifier) -> None:
    diagnostic = RobustAccuracy(random_state=0)
    with pytest.raises(InputError, match="LogisticRegression"):
        diagnostic.measure(LogisticRegression(), X[TEST], Y[TEST])
    with pytest.raises(InputError, match="label 11 in row 0"):
        diagnostic.measure(plain, X[TEST], Y[TEST] * 0 + 11)
    with pytest.raises(InputError, match="one label per row"):
        diagnostic.measure(plain, X[TEST], Y[TEST][:-1])
