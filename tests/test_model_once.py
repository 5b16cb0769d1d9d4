"""Predictions of a table: each row is predicted once, and previews of many rows are those of each."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from labelwise.data import TableEncoder
from labelwise.model import Model
from labelwise.outcome import preview, previews


class Counting:
    """A classifier that counts the rows it predicts."""

    classes_ = np.array([0, 1])

    def __init__(self) -> None:
        self.rows = 0

    def predict_proba(self, X: Any) -> Any:
        self.rows += len(X)
        p = 1 / (1 + np.exp(-X[:, 0].astype(np.float64)))
        return np.stack([1 - p, p], axis=1)


class Weighing(Counting):
    """One whose decisions weigh classes."""

    def decision_proba(self, X: Any) -> Any:
        return self.predict_proba(X)[:, ::-1]


def fitted(estimator: Any) -> tuple[Model, pd.DataFrame]:
    frame = pd.DataFrame({"size": np.linspace(-1, 1, 40)})
    return Model(encoder=TableEncoder().fit(frame), estimator=estimator, classes=["no", "yes"], method="m"), frame


def test_a_row_is_predicted_once():
    model, frame = fitted(Counting())
    table = model.predict_frame(frame)
    assert model.estimator.rows == len(frame)
    assert table["prediction"].tolist() == ["no"] * 20 + ["yes"] * 20
    np.testing.assert_array_equal(table["confidence"], table[["proba_no", "proba_yes"]].max(axis=1))


def test_decisions_that_weigh_classes_stay_apart_from_probabilities():
    model, frame = fitted(Weighing())
    table = model.predict_frame(frame)
    assert table["prediction"].tolist() == ["yes"] * 20 + ["no"] * 20
    assert (table["confidence"] <= 0.5).all()


FRAME = pd.DataFrame({
    "text": ["a long text " * 40, "short", None], "image": [b"png", "x/a.png", "b.png"],
    "f": np.float32([1.23456, np.nan, 3]),
    "n": [1, 2, 3], "c": pd.Categorical(["u", "v", "u"]), "d": pd.to_datetime(["2020-01-01", None, "2021-02-03"]),
    "m": [True, False, True], "i": pd.array([1, None, 3], dtype="Int64"), "o": [1.0, "two", None],
})  # fmt: skip


@pytest.mark.parametrize(
    ("roles", "third"),
    [
        ({"text": "text"}, "nan"), ({"image": "image"}, "b.png"),
        ({"features": list("fncd")}, "f=3, n=3, c=u, d=2021-02-03 00:00:00"),
        ({"features": list("mio")}, "m=True, i=3, o=None"), ({"features": []}, ""),
    ],
)  # fmt: skip
def test_previews_of_many_rows_are_those_of_each(roles, third):
    data: Any = SimpleNamespace(
        frame=FRAME, roles=SimpleNamespace(**{"text": None, "image": None, "features": [], **roles})
    )
    rows = np.array([2, 0, 1, 0])
    assert previews(data, rows) == [preview(data, int(row)) for row in rows]
    assert previews(data, rows)[0] == third
    assert all(len(line) <= 200 for line in previews(data, rows))
    assert previews(data, np.array([], dtype=np.int64)) == []
