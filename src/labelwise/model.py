"""What a run leaves behind: the encoder and the estimator together, from a table to predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.base import Fields

BLOCK_ROWS = 50_000


class Model(Fields):
    """A fitted encoder and a fitted estimator: reads a table as `run` read it and predicts row for row.

    Parameters
    ----------
    encoder
        A fitted `labelwise.data.Encoder`.
    estimator
        A fitted estimator of class codes ``0 .. K-1``, or of real targets.
    classes
        Names of the classes in the order of the codes, or of the labels; None for real targets.
    method
        Name of the method, as in the leaderboard.
    several
        Whether a row has several labels.
    """

    encoder: Any
    estimator: Any
    classes: list[Any] | None = None
    method: str = ""
    several: bool = False

    def proba(self, X: Any) -> NDArray[np.float64]:
        """Return probabilities ``(n, K)`` of encoded rows, a column for every class; one the estimator never saw gets 0."""
        return self._columns(self.estimator.predict_proba(X))

    def decision(self, X: Any) -> NDArray[np.float64]:
        """Return what encoded rows are decided by, ``(n, K)``: the class with the largest entry, the labels above one half.

        The probabilities, but for an estimator whose decisions weigh classes (``decision_proba``).
        """
        return self.said(X)[1]

    def said(self, X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return `proba` and `decision` of encoded rows: one array, computed once, where they are the same."""
        proba = self.proba(X)
        if not hasattr(self.estimator, "decision_proba"):
            return proba, proba
        return proba, self._columns(self.estimator.decision_proba(X))

    def _columns(self, proba: Any) -> NDArray[np.float64]:
        if self.several:
            return np.asarray(proba, dtype=np.float64)
        out = np.zeros((len(proba), len(self.classes or [])))
        out[:, np.asarray(self.estimator.classes_, dtype=np.int64)] = proba
        return out

    def predict_frame(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return ``prediction``, ``confidence`` and ``proba_<class>`` columns, row for row of `frame`.

        ``confidence`` is the probability of the prediction, which need not be the most probable class where the method's
        decisions weigh classes. Real targets have a ``prediction`` only. Of several labels a row, ``prediction`` lists those
        said to be there, joined by "; ", and ``confidence`` is the chance that the least sure label is right.

        Raises
        ------
        InputError
            When a column the model reads is missing or does not fit.
        """
        blocks = [frame.iloc[i : i + BLOCK_ROWS] for i in range(0, max(1, len(frame)), BLOCK_ROWS)]
        return pd.concat([self._predict(self.encoder.transform(block)) for block in blocks], ignore_index=True)

    def _predict(self, X: NDArray[Any]) -> pd.DataFrame:
        if self.classes is None:
            return pd.DataFrame({"prediction": np.asarray(self.estimator.predict(X), dtype=np.float64)})
        return (labels_frame if self.several else proba_frame)(*self.said(X), self.classes)


def proba_frame(proba: NDArray[Any], decision: NDArray[Any], classes: list[Any]) -> pd.DataFrame:
    """Return ``prediction``, ``confidence`` and one ``proba_<class>`` column a class.

    `proba` ``(n, K)`` are the probabilities, `decision` ``(n, K)`` is largest at the class that is predicted.
    """
    best = decision.argmax(1)
    names = pd.Series(classes)
    columns = {"prediction": names.iloc[best].to_numpy(), "confidence": proba[np.arange(len(best)), best]}
    columns |= {f"proba_{name}": proba[:, code] for code, name in enumerate(classes)}
    return pd.DataFrame(columns)


def labels_frame(proba: NDArray[Any], decision: NDArray[Any], names: list[Any]) -> pd.DataFrame:
    """Return ``prediction``, ``confidence`` and a ``proba_<label>`` each; a label is said where `decision` exceeds 1/2."""
    said = decision > 0.5
    columns: dict[str, Any] = {"prediction": label_lists(said, names)}
    columns |= {"confidence": np.where(said, proba, 1 - proba).min(axis=1)}
    columns |= {f"proba_{name}": proba[:, code] for code, name in enumerate(names)}
    return pd.DataFrame(columns)


def label_lists(has: NDArray[np.bool_], names: list[Any]) -> NDArray[Any]:
    """Return the names of the labels of each row (n, L), joined by "; ".

    >>> label_lists(np.array([[True, True], [False, False]]), ["red", "round"]).tolist()
    ['red; round', '']
    """
    words, out = [str(name) for name in names], np.empty(len(has), dtype=object)
    out[:] = ["; ".join(words[i] for i in np.flatnonzero(row)) for row in has]
    return out
