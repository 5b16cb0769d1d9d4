from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from labelwise.base import InputError
from labelwise.calibration import AdversarialTraining, GatedSmoothing, RobustAccuracy
from labelwise.calibration.gated_smoothing import Gate
from labelwise.learner import Classifier, Train
from labelwise.nets import MLP
from labelwise.training import Batch

X, Y = load_digits(return_X_y=True)
X = X / 16
NET = MLP(64, 10, hidden=(64,))  # a network of one's own reads X as it is
FIT, TEST = slice(0, 600), slice(600, 900)


@pytest.fixture(scope="module")
def pair() -> tuple[Classifier, AdversarialTraining]:
    train = Train(epochs=15, lr=5e-3)
    plain = Classifier(net=NET, train=train, random_state=0)
    robust = AdversarialTraining(net=NET, radius=0.1, ascents=4, train=train, random_state=0)
    return plain.fit(X[FIT], Y[FIT]), robust.fit(X[FIT], Y[FIT])


@pytest.fixture(scope="module")
def gated(pair) -> GatedSmoothing:
    accurate, robust = pair
    return GatedSmoothing(
        accurate=accurate, robust=robust, radius=0.1, ascents=4, train=Train(epochs=8), random_state=0
    ).fit(X[FIT], Y[FIT])


def test_the_gate_is_its_definition() -> None:
    torch.manual_seed(0)
    gate, hidden = Gate(5, 8), torch.randn(30, 5)
    raw = gate.net(hidden).squeeze(1).detach().numpy()
    low, high = raw.mean() - 0.6 * raw.std(ddof=1), raw.mean() + 0.6 * raw.std(ddof=1)
    clamped = raw.clip(low, high)
    expected = 2 * (clamped - clamped.mean()) / math.sqrt(clamped.var() + 1e-5) + 0.4
    assert gate.train()(hidden).detach().numpy() == pytest.approx(expected, abs=1e-4)
    mean, spread = float(gate.norm.running_mean), math.sqrt(float(gate.norm.running_var) + 1e-5)
    assert gate.eval()(hidden).detach().numpy() == pytest.approx(2 * (raw - mean) / spread + 1.3, abs=1e-4)


def test_probabilities_mix_the_two_classifiers_by_the_share(pair, gated: GatedSmoothing) -> None:
    x = torch.as_tensor(gated.inputs_.transform(X[TEST]))
    with torch.no_grad():
        share = gated.net_.eval().share(x).numpy()[:, None]
    accurate, robust = pair
    expected = (1 - share) * accurate.predict_proba(X[TEST]) + share * robust.predict_proba(X[TEST])
    assert gated.predict_proba(X[TEST]) == pytest.approx(expected, abs=1e-4)
    assert share.min() >= 0.84
    assert share.max() <= 0.99


def test_the_loss_is_its_equation(gated: GatedSmoothing) -> None:
    x, y = torch.as_tensor(gated.inputs_.transform(X[:6])), torch.as_tensor(Y[:6])
    gated.net_.eval()
    torch.manual_seed(0)
    value = float(gated.loss(Batch(x, y, torch.arange(6))).detach())
    torch.manual_seed(0)
    both = torch.cat([x, gated.attacked(x, y)])
    mixed, g = (part.detach().numpy() for part in gated.net_.parts(both))
    expected = 0.0
    for row in range(12):
        p = 1 / (1 + math.exp(-g[row]))
        bce = -math.log(p if row >= 6 else 1 - p)
        expected += (1.5 * bce + 0.3 * bce * -mixed[row, int(y[row % 6])]) / 12
    assert value == pytest.approx(expected, rel=1e-4)


def test_attacked_rows_get_a_larger_share_and_the_classifiers_are_left_alone(pair, gated: GatedSmoothing) -> None:
    x, y = torch.as_tensor(gated.inputs_.transform(X[TEST])), torch.as_tensor(Y[TEST])
    torch.manual_seed(0)
    gated.net_.eval()
    with torch.no_grad():
        clean = gated.net_.share(x).mean()
        attacked = gated.net_.share(gated.attacked(x, y)).mean()
    assert attacked > clean
    for mine, theirs in zip((gated.net_.accurate.net, gated.net_.robust.net), pair, strict=True):
        for a, b in zip(mine.parameters(), theirs.net_.parameters(), strict=True):
            assert torch.equal(a, b)
            assert b.requires_grad


def test_it_is_more_accurate_than_the_robust_and_more_robust_than_the_accurate_classifier(pair) -> None:
    """With a robust classifier trained long enough that no rounding of training decides."""
    hardened = {"radius": 0.1, "ascents": 4, "random_state": 0}
    robust = AdversarialTraining(net=NET, train=Train(epochs=30, lr=5e-3), **hardened).fit(X[FIT], Y[FIT])
    gated = GatedSmoothing(accurate=pair[0], robust=robust, train=Train(epochs=8), **hardened).fit(X[FIT], Y[FIT])
    diagnostic = RobustAccuracy(radius=0.1, ascents=10, random_state=0)
    plain, hard, mixed = (diagnostic.measure(model, X[TEST], Y[TEST]) for model in (pair[0], robust, gated))
    assert mixed.clean.value >= hard.clean.value - 0.01
    assert mixed.robust.value > plain.robust.value + 0.1


def test_bad_input_is_told(pair) -> None:
    accurate, robust = pair
    with pytest.raises(InputError, match="both classifiers, or neither"):
        GatedSmoothing(robust=robust).fit(X[FIT], Y[FIT])
    with pytest.raises(InputError, match="low <= high"):
        GatedSmoothing(shares=(0.9, 0.1)).fit(X[FIT], Y[FIT])
    with pytest.raises(InputError, match="accurate knows classes"):
        GatedSmoothing(accurate=accurate, robust=robust).fit(X[FIT], np.minimum(Y[FIT], 5))
