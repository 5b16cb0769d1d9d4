"""Scores by many, medium and few training rows, and of several labels a row."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labelwise import scores


def test_recall_by_part_is_the_mean_of_class_recalls():
    y = np.array([0] * 10 + [1] * 10 + [2] * 4)
    said = np.array([0] * 10 + [1] * 5 + [0] * 5 + [2, 0, 0, 0])
    told = scores.class_tail(y, np.eye(3)[said], counts=[500, 60, 5])
    assert told["measure"] == "recall"
    assert [(p["part"], p["value"], p["classes"]) for p in told["parts"]] == [
        ("many", 1.0, 1), ("medium", 0.5, 1), ("few", 0.25, 1)
    ]  # fmt: skip
    assert all(p["low"] <= p["value"] <= p["high"] for p in told["parts"])


@given(st.lists(st.integers(1, 3), min_size=2, max_size=6))
def test_even_classes_have_no_tail(counts):
    y = np.arange(len(counts))
    even = [10] * len(counts)
    assert scores.class_tail(y, np.eye(len(counts)), even) is None
    assert scores.label_tail(np.eye(len(counts), dtype=int), np.eye(len(counts)), even) is None


def test_unseen_classes_are_in_no_part():
    told = scores.class_tail(np.array([0, 0, 1]), np.eye(3)[[0, 0, 1]], counts=[500, 50, 2])
    assert [p["part"] for p in told["parts"]] == ["many", "medium"]


def test_the_interval_of_a_part_holds_the_truth():
    rng, inside = np.random.default_rng(0), 0
    for _ in range(200):
        y = np.repeat([0, 1], [40, 30])
        said = np.where(rng.random(70) < np.where(y == 0, 0.9, 0.6), y, 1 - y)
        few = scores.class_tail(y, np.eye(2)[said], counts=[900, 10])["parts"][-1]
        inside += few["low"] <= 0.6 <= few["high"]
    assert 160 <= inside <= 198  # 90 % of 200, with a wide margin for chance


def test_errors_of_numbers_by_part():
    trained = np.r_[np.zeros(300) + np.linspace(0, 1, 300), [5.0, 9.0]]
    y, error = np.r_[np.linspace(0.1, 0.9, 50), [8.5, 9.0]], np.r_[np.ones(50), [3.0, 5.0]]
    told = scores.real_tail(y, y + error, trained)
    values = {p["part"]: p["value"] for p in told["parts"]}
    assert values["many"] == 1 and values["few"] == 4
    assert scores.real_tail(y, y, np.ones(9)) is None


def test_scores_of_several_labels_leave_unknown_ones_out():
    rng = np.random.default_rng(0)
    y = rng.choice([-1, 0, 1], (50, 3))
    p = rng.random((50, 3))
    first = scores.label_scores(y, p, draws=20)
    other = scores.label_scores(y, np.where(y < 0, rng.random(p.shape), p), draws=20)
    assert {k: v["value"] for k, v in first.items()} == {k: v["value"] for k, v in other.items()}
    assert set(first) == {"mAP", "macro F1", "micro F1", "log loss", "calibration error"}
    rows = scores.per_label(y, p, ["a", "b", "c"])
    assert [row["support"] for row in rows] == (y == 1).sum(0).tolist()


def test_right_probabilities_are_calibrated():
    rng = np.random.default_rng(1)
    p = rng.random((4000, 2))
    y = (rng.random(p.shape) < p).astype(int)
    assert scores.label_scores(y, p, draws=2)["calibration error"]["value"] < 0.03
    assert scores.label_scores(y, p**3, draws=2)["calibration error"]["value"] > 0.1


def test_the_interval_of_a_ranking_score_holds_the_score():
    rng = np.random.default_rng(0)
    y = (rng.random((300, 20)) < 0.02).astype(int)
    p = np.clip(rng.random(y.shape) + 0.4 * y, 0, 1)
    told = scores.label_scores(y, p, draws=40)["mAP"]
    assert told["low"] < told["value"] < told["high"]
