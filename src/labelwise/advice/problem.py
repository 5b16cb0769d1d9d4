"""The data of a race as the splits, the metric and the candidates see it."""

from __future__ import annotations

import hashlib
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import _safe_indexing

from labelwise.advice.blend import proba_of
from labelwise.advice.ledger import Prediction
from labelwise.advice.score import METRICS, Metric, choose, corrected
from labelwise.advice.splits import Rows, Split, label_strata, real_strata
from labelwise.base import InputError
from labelwise.parts.threads import single_thread
from labelwise.supervision import Kind, Targets, infer


@dataclass(frozen=True, eq=False)
class Problem:
    """X with class codes or real targets, what may be scored, and how.

    Parameters
    ----------
    X
        Rows in any form that the candidates read.
    y
        Class codes (n,), ``UNLABELED`` for no label; real targets (n,) or (n, m), NaN for none; or labels (n, L) of 1, 0
        and ``UNLABELED``.
    n_classes
        Classes or labels; 0 for real targets.
    rows
        Strata, groups, domains, and which rows score.
    metric
        Higher is better.
    """

    X: Any
    y: NDArray[Any]
    n_classes: int
    rows: Rows
    metric: Metric
    classes: NDArray[Any] | None = None

    @classmethod
    def read(
        cls, X: Any, targets: Any, *, metric: str = "auto", groups: ArrayLike | None = None,
        domains: ArrayLike | None = None, trusted: ArrayLike | None = None, noise_matrix: ArrayLike | None = None,
    ) -> Problem:  # fmt: skip
        """Check the arguments of `race` and put them together.

        Trusted rows, where there are some, are the only ones that score, and are not corrected for noise.
        """
        n = X.shape[0] if hasattr(X, "shape") else len(X)
        targets = targets if isinstance(targets, Targets) else infer(targets, n_rows=n)
        if targets.kind not in (Kind.CLASSES, Kind.REAL, Kind.MULTILABEL):
            raise InputError(
                f"A race needs one class, one number or several labels a row. Got {targets.kind}; aggregate it first."
            )
        if targets.n_rows != n:
            raise InputError(f"X has {n} rows, but the targets have {targets.n_rows}.")
        kind, y = str(targets.kind), targets.array()
        labelled = targets.labelled if kind != "real" else ~np.isnan(y.reshape(n, -1)).any(axis=1)
        known = _mask(targets.trusted if trusted is None else trusted, n, "trusted")
        scorable = labelled if known is None or not (known & labelled).any() else known & labelled
        strata = {"classes": lambda y: y, "real": real_strata, "multilabel": label_strata}[kind](y)
        rows = Rows(strata, scorable, _codes(groups, n, "groups"),
                    _codes(targets.domains if domains is None else domains, n, "domains"))  # fmt: skip
        counts = np.bincount(y[scorable], minlength=targets.n_classes) if kind == "classes" else None
        chosen = choose(metric, counts, kind)
        if noise_matrix is not None and kind == "classes" and (scorable == labelled).all():
            chosen = corrected(chosen, noise_matrix, targets.n_classes)
        return cls(X, y, targets.n_classes, rows, chosen, targets.classes)

    @property
    def kind(self) -> str:
        """What the targets are: ``classes``, ``real`` or ``multilabel``."""
        return "real" if self.n_classes == 0 else "classes" if self.y.ndim == 1 else "multilabel"

    @property
    def n_columns(self) -> int:
        """Number of columns of a prediction: classes, labels or targets."""
        return self.n_classes or (1 if self.y.ndim == 1 else self.y.shape[1])

    @property
    def row_size(self) -> float:
        """Numbers in a row; infinite where rows are no arrays."""
        return math.prod(self.X.shape[1:]) if hasattr(self.X, "shape") else math.inf

    def out_of_fold(self, estimator: Any, split: Split) -> tuple[dict[str, float], Prediction]:
        """Fit on the training rows and return the scores and the predictions of the test rows.

        Those are (b, K) or (b, m); or (b, 2 K) of an estimator with ``decision_proba``: probabilities, and behind them what
        it decides by.
        """
        with warnings.catch_warnings(), single_thread():
            warnings.simplefilter("ignore")  # of many fits that nobody watches; failures are kept in the leaderboard
            estimator.fit(_safe_indexing(self.X, split.train), self.y[split.train])
            prediction = self._predict(estimator, _safe_indexing(self.X, split.test))
        fits = [(len(split.test), times * self.n_columns) for times in (1, 2)]
        if prediction.shape not in fits or not np.isfinite(prediction).all():
            raise ValueError(f"predictions of shape {prediction.shape} are not finite, or not of the shape asked for")
        return self.scores(split.test, prediction), prediction

    def scores(self, rows: NDArray[Any], prediction: Prediction) -> dict[str, float]:
        """Return the metric's score, and a finer one that decides between equal scores."""
        y = self.y[rows]
        finer = METRICS[self.kind]["MAE" if self.kind == "real" else "log loss"]
        return {"score": self.metric(y, self.judged(prediction)), "finer": finer(y, self.probabilities(prediction))}

    def probabilities(self, prediction: Prediction) -> Prediction:
        """Return the probabilities, or the predicted targets, of predictions as `out_of_fold` returns them."""
        return prediction[:, : self.n_columns]

    def decisions(self, prediction: Prediction) -> Prediction:
        """Return what predictions decide by: the class with the largest entry, the labels above one half."""
        return prediction[:, -self.n_columns :]

    def blended(self, first: Prediction, second: Prediction) -> Prediction:
        """Return what the average of two models predicts."""
        return (self.probabilities(first) + self.probabilities(second)) / np.float32(2)

    def judged(self, prediction: Prediction) -> Prediction:
        """Return what the metric reads: probabilities for log loss, else what is decided by."""
        return (self.probabilities if self.metric.name == "log loss" else self.decisions)(prediction)

    def _predict(self, model: Any, X: Any) -> Prediction:
        if self.kind == "real":
            return np.asarray(model.predict(X), dtype=np.float32).reshape(-1, self.n_columns)
        columns = np.arange(self.n_classes) if self.kind == "classes" else None
        said = [proba_of(model, X, columns)]
        if hasattr(model, "decision_proba"):
            said.append(proba_of(model, X, columns, decisions=True))
        return np.hstack(said).astype(np.float32)

    def fingerprint(self, *settings: Any) -> str:
        """Return a digest of the data and of `settings`, to know a checkpoint by."""
        digest = hashlib.sha256(repr(settings).encode())
        rows = self.rows
        for part in (self.X, self.y, rows.scorable, rows.groups, rows.domains, self.metric.noise_matrix):
            digest.update(_bytes(part))
        return digest.hexdigest()


def _codes(values: ArrayLike | None, n: int, name: str) -> NDArray[np.int64] | None:
    """Number the values of a column from 0; missing values are refused."""
    if values is None:
        return None
    codes = pd.factorize(np.asarray(values))[0]
    if codes.shape != (n,):
        raise InputError(f"{name} must have one value a row, shape ({n},). Got {len(codes)} values.")
    if (codes < 0).any():
        raise InputError(f"{name} is missing in row {int(np.argmax(codes < 0))}; give every row a value.")
    return codes.astype(np.int64)


def _mask(values: ArrayLike | None, n: int, name: str) -> NDArray[np.bool_] | None:
    if values is None:
        return None
    mask = np.asarray(values)
    if mask.dtype != bool or mask.shape != (n,):
        raise InputError(f"{name} must be {n} booleans. Got {mask.dtype} of shape {mask.shape}.")
    return mask


def _bytes(part: Any) -> Any:
    if part is None:
        return b"none"
    if sparse.issparse(part):
        rows: Any = part
        rows = rows.tocsr()
        return b"".join(_bytes(x).tobytes() for x in (rows.data, rows.indices, rows.indptr))
    if isinstance(part, pd.DataFrame):
        return pd.util.hash_pandas_object(part, index=False).to_numpy().tobytes()
    array = np.asarray(part)
    if array.dtype.kind in "OU":
        return "\0".join(map(str, array.ravel())).encode()
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8)  # no copy of what may be a large file on disk
