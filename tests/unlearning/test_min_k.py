"""Min-K% and its companions: values against plain loops, signs, bad input."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from labelwise.base import InputError
from labelwise.parts.interval import auc
from labelwise.unlearning import PretrainingDetector, min_k


class Table:
    """A language model that only knows the log-probabilities it was given."""

    def __init__(self, known: dict[str, list[float]]) -> None:
        self.known = known

    def token_log_proba(self, texts):
        return [np.array(self.known[text]) for text in texts]


@given(st.lists(st.lists(st.floats(-20, 0), min_size=1, max_size=40), min_size=1, max_size=5), st.floats(0.05, 1))
def test_min_k_is_the_mean_of_the_least_likely(values, k) -> None:
    def plain(lp: list[float]) -> float:
        keep = sorted(lp)[: max(1, int(np.floor(k * len(lp))))]
        return sum(keep) / len(keep)

    np.testing.assert_allclose(min_k(values, k), [plain(lp) for lp in values], atol=1e-9)


def test_all_tokens_are_the_loss() -> None:
    model = Table({"a": [-1.0, -2.0], "b": [-0.5]})
    np.testing.assert_allclose(PretrainingDetector(k=1.0).scores(model, ["a", "b"]), [-1.5, -0.5])
    np.testing.assert_allclose(PretrainingDetector(score="loss").scores(model, ["a", "b"]), [-1.5, -0.5])


def test_companion_scores_by_their_formulas() -> None:
    model, other = Table({"Ab": [-1.0, -3.0], "ab": [-4.0, -4.0]}), Table({"Ab": [-5.0, -3.0]})
    assert PretrainingDetector(score="reference").scores(model, ["Ab"], other) == pytest.approx([2.0])
    assert PretrainingDetector(score="lowercase").scores(model, ["Ab"]) == pytest.approx([2.0])
    assert PretrainingDetector(score="zlib").scores(model, ["Ab"]) == pytest.approx([-2.0 / len(zlib.compress(b"Ab"))])


@given(st.lists(st.integers(0, 5), min_size=2, max_size=30), st.lists(st.integers(0, 5), min_size=2, max_size=30))
def test_auc_is_scikit_learns(low, high) -> None:
    found = auc(low, high)
    y = np.repeat([0, 1], [len(low), len(high)])
    assert found.value == pytest.approx(roc_auc_score(y, [*low, *high]))
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_measure_counts_members_above_the_threshold() -> None:
    rng = np.random.default_rng(0)
    seen = {f"s{i}": rng.normal(-2, 0.1, 20).clip(max=0).tolist() for i in range(100)}
    new = {f"n{i}": rng.normal(-3, 0.1, 20).clip(max=0).tolist() for i in range(100)}
    found = PretrainingDetector().measure(Table(seen | new), list(seen), list(new))
    assert found.auc.value == 1 and found.tpr.value == 1
    none = PretrainingDetector().measure(Table(seen | new), list(new)[:50], list(new)[50:])
    assert none.auc.low < 0.5 < none.auc.high


@pytest.mark.parametrize(("values", "says"), [([[]], "text 0 has no token"), ([[-1.0], [0.5]], "text 1 holds 0.5")])
def test_bad_log_probabilities_are_told(values, says) -> None:
    with pytest.raises(InputError, match=says):
        min_k(values)


def test_reference_must_be_given() -> None:
    with pytest.raises(InputError, match="reference is missing"):
        PretrainingDetector(score="reference").scores(Table({"a": [-1.0]}), ["a"])
