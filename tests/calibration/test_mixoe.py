from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score

from labelwise.base import InputError
from labelwise.calibration import MixOE
from labelwise.calibration.mixoe import energy_margin, exposed_targets, outlyingness, shuffled_entries, to_uniform
from labelwise.learner import Train
from labelwise.training import Batch

X, Y = load_digits(return_X_y=True)
KNOWN = Y < 7
PICTURES = (X * 15).astype(np.uint8).reshape(-1, 8, 8, 1)
SHORT = Train(epochs=8)
SEEDS = st.integers(0, 10_000)


def logits_of(seed: int, rows: int = 6, classes: int = 4) -> np.ndarray:
    return 4 * np.random.default_rng(seed).normal(size=(rows, classes))


def softmax(z: np.ndarray) -> np.ndarray:
    p = np.exp(z - z.max())
    return p / p.sum()


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_outlyingness_is_its_definition(seed: int) -> None:
    logits = logits_of(seed)
    for row, z in enumerate(logits):
        p = softmax(z)
        assert outlyingness(logits, "probability")[row] == pytest.approx(1 - p.max(), abs=1e-12)
        assert outlyingness(logits, "entropy")[row] == pytest.approx(-sum(p * np.log(p)), abs=1e-9)
        assert outlyingness(logits, "energy")[row] == pytest.approx(-math.log(sum(math.exp(v) for v in z)))


@given(SEEDS, st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_targets_are_mixed_towards_uniform(seed: int, share: float) -> None:
    y = torch.as_tensor(np.random.default_rng(seed).integers(5, size=8))
    targets = exposed_targets(y, share, 5)
    for row, label in enumerate(y.tolist()):
        for k in range(5):
            assert float(targets[row, k]) == pytest.approx(share * (k == label) + (1 - share) / 5, abs=1e-6)


@given(SEEDS)
@settings(max_examples=25, deadline=None)
def test_outlier_exposure_is_the_cross_entropy_to_uniform(seed: int) -> None:
    logits = logits_of(seed)
    expected = [-np.log(softmax(z)).mean() for z in logits]
    assert to_uniform(torch.as_tensor(logits)).numpy() == pytest.approx(np.array(expected))
    targets = exposed_targets(torch.zeros(6, dtype=torch.long), 0.0, 4).double()
    mixed = torch.nn.functional.cross_entropy(torch.as_tensor(logits), targets, reduction="none")
    assert mixed.numpy() == pytest.approx(np.array(expected), rel=1e-6)  # MixOE at share 0 is outlier exposure


def test_energy_margins_punish_from_both_sides_only_beyond_the_margin() -> None:
    logits = torch.tensor([[30.0, 0.0], [3.0, 0.0]])
    inside, outside = energy_margin(logits, logits, -20.0, -5.0)
    energy = math.log(math.exp(3) + 1)
    assert inside.tolist() == pytest.approx([0.0, (20 - energy) ** 2], rel=1e-5)
    assert outside.tolist() == pytest.approx([25.0**2, 0.0], rel=1e-5)


def learner(exposure: str, images: bool = True) -> tuple[MixOE, Batch]:
    rows = PICTURES if images else X
    model = MixOE(exposure=exposure, train=Train(epochs=1), random_state=0)
    model.fit(rows[KNOWN][:80], Y[KNOWN][:80], outliers=rows[~KNOWN][:40])
    x, o = (torch.as_tensor(model.inputs_.transform(rows[m][:6])) for m in (KNOWN, ~KNOWN))
    x, o = (r.float() / 255 if images else r for r in (x, o))
    y = torch.as_tensor(Y[KNOWN][:6])
    return model, Batch(x, y, torch.arange(6), unlabelled=Batch(o, y, torch.arange(6)))


@pytest.mark.parametrize(("exposure", "images"), [("mixup", False), ("mixup", True), ("cutmix", True)])
def test_the_exposed_part_is_the_soft_cross_entropy_of_the_mixture(exposure: str, images: bool) -> None:
    model, batch = learner(exposure, images)
    model.net_.eval()
    torch.manual_seed(5)
    parts = model.loss(batch)
    torch.manual_seed(5)
    mixed, share = model.mix(batch.x, batch.unlabelled.x)
    logits = model.net_(mixed).detach().numpy()
    expected = np.mean(
        [
            -sum((share * (k == label) + (1 - share) / 7) * np.log(softmax(z)[k]) for k in range(7))
            for z, label in zip(logits, batch.y.tolist(), strict=True)
        ]
    )
    assert float(parts["exposed"].detach()) == pytest.approx(expected, rel=1e-4)


def test_a_pasted_patch_covers_one_minus_the_share() -> None:
    model, batch = learner("cutmix")
    for seed in range(20):
        torch.manual_seed(seed)
        x, o = torch.zeros_like(batch.x), torch.ones_like(batch.x)
        mixed, share = model.mix(x, o)
        assert float(mixed.mean()) == pytest.approx(1 - share, abs=1e-6)


def test_shuffled_entries_keep_every_column_and_break_rows() -> None:
    torch.manual_seed(0)
    x = torch.arange(40.0).reshape(10, 4)
    out = shuffled_entries(x)
    for column in range(4):
        assert set(out[:, column].tolist()) <= set(x[:, column].tolist())
    assert not any((x == row).all(1).any() for row in out)


@pytest.mark.parametrize("exposure", ["mixup", "uniform", "energy"])
def test_what_it_was_exposed_to_scores_higher(exposure: str) -> None:
    noise = np.random.default_rng(0).uniform(0, 16, size=(600, 64))
    weight, score = (0.1, "energy") if exposure == "energy" else (1.0, "probability")
    reached = []
    for epochs in (0, 10):
        model = MixOE(exposure=exposure, weight=weight, exposure_epochs=epochs, train=SHORT, random_state=0)
        model.fit(X[KNOWN], Y[KNOWN], outliers=noise[:400])
        scores = model.ood_score(np.r_[X[KNOWN][:200], noise[400:]], score)
        reached.append(roc_auc_score(np.repeat([0, 1], 200), scores))
    assert reached[1] > max(0.9, reached[0] + 0.05)
    assert model.score(X[KNOWN], Y[KNOWN]) > 0.95


def test_outliers_are_not_kept_in_the_model() -> None:
    model, _ = learner("mixup")
    assert not [name for name in vars(model) if "outliers" in name]
    assert {row["phase"] for row in model.history_} == {0, 1}


def test_no_exposure_is_one_phase() -> None:
    model = MixOE(exposure_epochs=0, train=Train(epochs=1), random_state=0).fit(X[:100], Y[:100])
    assert {row["phase"] for row in model.history_} == {0}


def test_bad_input_is_told() -> None:
    model = MixOE(train=Train(epochs=1), random_state=0)
    with pytest.raises(InputError, match="outliers must be rows like those of X"):
        model.fit(X[:50], Y[:50], outliers=X[:50, :5])
    with pytest.raises(InputError, match="both as bytes"):
        model.fit(PICTURES[:50], Y[:50], outliers=PICTURES[:50] / 255)
    with pytest.raises(InputError, match="cutmix"):
        MixOE(exposure="cutmix", random_state=0).fit(X[:50], Y[:50], outliers=X)
    with pytest.raises(InputError, match="cannot mix texts"):
        MixOE(random_state=0).fit(["a", "b", "c", "d"], [0, 1, 0, 1], outliers=["e"])
    with pytest.raises(InputError, match="score must be"):
        model.fit(X[:50], Y[:50]).ood_score(X[:5], "margin")
