"""What classifiers of very many labels share: sparse labels in, the best few out, with calibrated probabilities."""

from __future__ import annotations

from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import normalize
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from labelwise.base import Count, Fields, InputError, Method, Range
from labelwise.inputs import check_texts, modality_of
from labelwise.parts.moments import centre_and_scale
from labelwise.parts.multilabel_measures import NO_LABEL, as_matrix, hits, is_sparse, precision_at_k
from labelwise.parts.sparse_labels import SparseLabels, read_labels
from labelwise.parts.top_calibration import TopCalibration, fit_top_calibration
from labelwise.parts.top_products import TopLabels
from labelwise.rows import checked_rows

CANDIDATES = 10
"""Labels a row that probabilities are calibrated on, where labels are sparse; at least `top`."""
LEAST_HELD_OUT = 10
"""Fewer held-out rows than this say nothing about probabilities."""


class ExtremeClassifier(ClassifierMixin, Method, Fields):  # type: ignore[misc]
    """Template: read rows and labels, learn, calibrate on held-out rows, hand out the best labels.

    A method writes `learn` and `best`.

    Parameters
    ----------
    top
        Labels that `predict_proba` keeps of each row where labels are sparse, >= 1.
    calibration_share
        Share of the rows held out to calibrate the probabilities, in [0, 0.5]; 0, or fewer than ten such rows: all rows
        train and the probabilities are those of uncalibrated scores.
    random_state
        Seed; None draws one.
    """

    top: Annotated[int, Count] = 5
    calibration_share: Annotated[float, Range(low=0, high=0.5)] = 0.1
    random_state: int | np.random.RandomState | None = None

    # -- what a method writes

    def learn(self, x: Any, labels: SparseLabels, rows: NDArray[Any], held: NDArray[Any]) -> None:
        """Learn from `rows` of the features `x` (CSR or array); `held` may choose among what was learned, not train."""
        raise NotImplementedError(f"{type(self).__name__} must define learn(x, labels, rows, held).")

    def best(self, x: Any, k: int) -> TopLabels:
        """Return the k labels of highest score of every row of the features."""
        raise NotImplementedError(f"{type(self).__name__} must define best(x, k).")

    # -- the template

    def fit(self, X: Any, y: Any) -> Self:
        """Learn from rows `X` with labels `y`.

        Parameters
        ----------
        X
            Features ``(n, p)``, a sparse matrix ``(n, p)``, or a list of texts (weighed words and pairs of words).
        y
            A sparse matrix ``(n, L)`` of 1 and 0: rows without any label are left out. Or an array ``(n, L)`` of 1 (yes),
            0 (no) and -1 (unknown); or one class a row ``(n,)``, -1 where there is none.

        Raises
        ------
        InputError, ValueError
            For fields out of range, X or y that do not fit, values other than 0 and 1 in a sparse y, no positive label.
        """
        self.check_fields()
        x = self._first_rows(X, y)
        labels = read_labels(y)
        if x.shape[0] != labels.positive.shape[0]:
            raise InputError(f"X has {x.shape[0]} rows but y has {labels.positive.shape[0]}: give one target per row.")
        self.classes_, self.single_, self.sparse_labels_ = labels.classes, labels.single, labels.sparse
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        few = min(labels.n_labels, max(self.top, CANDIDATES))
        self.candidates_ = few if labels.sparse else labels.n_labels
        rows, held = self._held_out(labels)
        self.learn(x, labels, rows, held)
        self.calibration_ = self._calibrated(x, labels, held)
        return self

    def predict_top(self, X: Any, k: int | None = None) -> TopLabels:
        """Return the best labels of every row, and their scores.

        Parameters
        ----------
        X
            Rows as in `fit`.
        k
            How many; None takes `top`. At most L.

        Returns
        -------
        ``labels`` int64 ``(n, k)``, columns of y or places in ``classes_``, and ``scores`` float64 ``(n, k)``.
        """
        check_is_fitted(self)
        k = self.top if k is None else k
        if k not in Count:
            raise InputError(f"k must be {Count}. Got {k!r}.")
        return self.best(self._rows(X), min(k, len(self.classes_)))

    def predict_proba(self, X: Any) -> Any:
        """Return calibrated probabilities of labels.

        Where labels were sparse in `fit`: a sparse matrix ``(n, L)`` of the `top` best labels of each row. Else an array
        ``(n, L)``; its rows sum to 1 where each row has one class.
        """
        check_is_fitted(self)
        labels, scores = self.best(self._rows(X), self.candidates_)
        proba = self.calibration_(scores)
        if self.sparse_labels_:
            return _placed(labels[:, : self.top], proba[:, : self.top], len(self.classes_))
        out = _placed(labels, proba, len(self.classes_)).toarray()
        if not self.single_:
            return out
        total = out.sum(1, keepdims=True)
        return np.divide(out, total, out=np.full_like(out, 1 / out.shape[1]), where=total > 0)

    def predict(self, X: Any) -> Any:
        """Return the labels more probable than one half as `y` was given: sparse ``(n, L)``, dense, or classes ``(n,)``."""
        check_is_fitted(self)
        if self.single_:
            return self.classes_[self.best(self._rows(X), 1).labels[:, 0]]
        proba = self.predict_proba(X)
        if not self.sparse_labels_:
            return (proba > 0.5).astype(np.int64)
        proba.data = (proba.data > 0.5).astype(np.int8)
        proba.eliminate_zeros()
        return proba

    def score(self, X: Any, y: Any) -> float:
        """Return the share of rows whose best label is right, among rows that have one (P@1, or accuracy)."""
        best = self.predict_top(X, 1).labels
        if self.single_:
            return float((self.classes_[best[:, 0]] == np.asarray(y)).mean())
        truth = as_matrix(y)
        some = np.diff(truth.indptr) > 0
        return precision_at_k(best[some], truth[some]) if some.any() else 0.0

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return what the common checks fit it on: digits, each with its number, whether even, whether above four."""
        from sklearn.datasets import load_digits

        X, digit = load_digits(return_X_y=True)
        X = X[:700] - X.mean(0)
        y = np.c_[np.eye(10)[digit], digit % 2 == 0, digit > 4].astype(np.int8)[:700]
        return {
            "X": X[:400], "y": y[:400], "X_test": X[400:], "y_test": y[400:], "floor": 0.7,
            "score": lambda model, X, y: float(model.score(X, y)),
        }  # fmt: skip

    # -- rows

    def _first_rows(self, X: Any, y: Any) -> Any:
        check_texts(X)
        modality = modality_of(X)
        if modality in ("images", "series"):
            raise InputError(
                f"X holds {modality}, but {type(self).__name__} reads features (n, p) or texts. Encode them."
            )
        self.of_texts_ = modality == "tokens"
        self.center_ = self.scale_ = None
        if self.of_texts_:
            return self._texts(X, first=True)
        if y is None:
            validate_data(self, X, None)  # raises the standard message for a missing y
        rows = checked_rows(self, X, accept_sparse="csr", dtype=[np.float64, np.float32])
        if not is_sparse(rows):
            centre, scale = centre_and_scale(rows)
            self.center_, self.scale_ = centre[0], scale[0] * np.sqrt(rows.shape[1])
        return self._scaled(rows)

    def _rows(self, X: Any) -> Any:
        check_texts(X)
        if (modality_of(X) == "tokens") != self.of_texts_:
            kind = "texts" if self.of_texts_ else "features"
            raise InputError(f"{type(self).__name__} was fitted on {kind}. Give X as then.")
        if self.of_texts_:
            return self._texts(X)
        rows = checked_rows(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        return self._scaled(rows)

    def _scaled(self, rows: Any) -> Any:
        """Return dense rows standardised, sparse ones (where `fit` saw sparse ones) of length 1."""
        if self.center_ is None:
            return sparse.csr_array(normalize(sparse.csr_array(rows)))
        return ((rows.toarray() if is_sparse(rows) else rows) - self.center_) / self.scale_

    def _texts(self, X: Any, first: bool = False) -> Any:
        if first:
            from sklearn.feature_extraction.text import TfidfVectorizer

            self.words_ = TfidfVectorizer(
                sublinear_tf=True, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", dtype=np.float32
            ).fit([*X, *self.more_texts()])
        return sparse.csr_array(self.words_.transform(X))

    def more_texts(self) -> list[str]:
        """Return texts beside X whose words count."""
        return []

    # -- held-out rows

    def _held_out(self, labels: SparseLabels) -> tuple[NDArray[Any], NDArray[Any]]:
        order = np.random.default_rng(self.seed_).permutation(labels.rows)
        count = int(self.calibration_share * len(order))
        count = count if count >= LEAST_HELD_OUT else 0
        return np.sort(order[count:]), np.sort(order[:count])

    def _calibrated(self, x: Any, labels: SparseLabels, held: NDArray[Any]) -> TopCalibration:
        if not len(held):
            return TopCalibration()
        best = self.best(x[held], self.candidates_)
        counted = np.isfinite(best.scores)
        if labels.unknown is not None:
            counted &= ~hits(best.labels, labels.unknown[held])
        return fit_top_calibration(np.where(counted, best.scores, -np.inf), hits(best.labels, labels.positive[held]))


def _placed(labels: NDArray[Any], values: NDArray[Any], n_labels: int) -> Any:
    there = labels != NO_LABEL
    indptr = np.concatenate([[0], np.cumsum(there.sum(1))])
    made = sparse.csr_array((values[there], labels[there], indptr), shape=(len(labels), n_labels))
    made.sort_indices()
    return made
