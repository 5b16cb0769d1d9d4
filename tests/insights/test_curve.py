"""Learning curves of known problems: they grow, their projection holds, and costs follow the labels."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from labelwise.base import InputError
from labelwise.insights import learning_curve
from labelwise.insights.curve import _needed, _solve


def blobs(n: int, k: int = 4, d: int = 70, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, d))
    y = rng.integers(0, k, n)
    return (centres[y] + 3 * rng.normal(size=(n, d))).astype(np.float32), y


def test_the_curve_grows_and_its_projection_meets_what_more_labels_bring():
    X, y = blobs(2400)
    told = learning_curve(X[:400], y[:400], real=False, seconds=2, seed=0)
    values = [point["value"] for point in told["points"]]
    assert values[-1] > values[0] and told["method"] == "ridge regression" and told["labels"] == 400
    more = learning_curve(X, y, real=False, seconds=2, seed=1)
    truth = np.interp(1600, [p["labels"] for p in more["points"]], [p["value"] for p in more["points"]])
    ahead = next(point for point in told["projection"] if point["labels"] == 1600)
    assert abs(ahead["value"] - truth) < 0.12
    assert all(p["low"] <= p["value"] <= p["high"] <= 1 for p in [*told["points"], *told["projection"]])


def test_projected_scores_never_fall():
    X, y = blobs(300)
    told = learning_curve(X, y, real=False, seconds=1, label_cost=0.5)
    ahead = [point["value"] for point in told["projection"]]
    assert ahead == sorted(ahead) and told["now"]["value"] == ahead[0]
    for step in told["next"]:
        for name, labels in step["labels"].items():
            assert step["cost"][name] == (None if labels is None else 0.5 * labels)


def test_the_baseline_is_measured_where_it_is_quick_and_left_where_it_fails():
    X, y = blobs(200, k=2, d=5)
    quick = ("logistic", lambda X, y: LogisticRegression().fit(X, y))
    assert learning_curve(X, y, real=False, baseline=quick, seconds=5)["method"] == "logistic"

    def fails(X: object, y: object) -> None:
        raise ValueError("too few rows")

    assert learning_curve(X, y, real=False, baseline=("bad", fails), seconds=1)["method"] == "a small forest of trees"


def test_numbers_and_rare_classes_and_images_have_curves():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    told = learning_curve(X, X[:, 0] + 0.1 * rng.normal(size=200), real=True, metric="MAE", seconds=1)
    assert told["metric"] == "R2" and told["now"]["value"] > 0.5
    y = np.r_[np.zeros(60, int), np.ones(60, int), [2]]
    images = rng.integers(0, 255, (121, 8, 8, 3)).astype(np.uint8)
    assert 0 <= learning_curve(images, y, real=False, metric="balanced accuracy", seconds=1)["now"]["value"] <= 1


@pytest.mark.parametrize("y", [np.zeros(100, int), np.arange(5)])
def test_too_little_to_draw_a_curve_is_said(y: np.ndarray):
    with pytest.raises(InputError, match="needs 40 labels"):
        learning_curve(np.zeros((len(y), 2)), y, real=False)


def test_labels_needed_by_hand():
    law = np.array([0.1, 2.0, 1.0])  # error 0.1 + 2 / n: 0.12 at 100, 0.11 at 200
    assert _solve(law, 100, 0.01) == pytest.approx(100)
    assert _solve(law, 100, 0.03) == np.inf  # below the floor
    told = _needed(law, np.tile(law, (5, 1)), 100, 0.01, 2.0, 0.9)
    assert told["labels"]["value"] == pytest.approx(100, abs=1) and told["cost"]["value"] == pytest.approx(200, abs=2)


def test_few_numbers_that_predict_worse_than_their_mean_do_not_bend_the_law():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 12))
    told = learning_curve(X, X @ rng.normal(size=12) + rng.normal(size=300), real=True, seconds=1)
    measured, ahead = told["points"][-1], told["projection"][0]
    assert told["points"][0]["labels"] >= 24 and ahead["value"] > measured["value"] - 0.1
