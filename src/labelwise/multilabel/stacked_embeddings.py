"""Several encoders' embeddings, stacked with what simple models make of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from labelwise.base import UNLABELED, Card, Fields, InputError, Method, Range
from labelwise.learner import MultiLabelClassifier
from labelwise.multilabel.hybrid_multilabel import HybridMultiLabelClassifier
from labelwise.parts.out_of_fold import fit_codes, out_of_fold_proba, plain_classifier, predict_all
from labelwise.parts.threads import few_threads
from labelwise.rows import checked_rows

Floats = NDArray[np.float64]


class StackedEmbeddings(ClassifierMixin, Method, Fields):  # type: ignore[misc]
    """Several embeddings of the same rows side by side, each with the label probabilities of a simple model on it alone.

    For each block of columns and each label a `meta` model is fitted; its out-of-fold probabilities go beside the
    embeddings, and `final` is trained on all of it. At prediction the meta models are those of all rows. Labels may be
    unknown (-1): meta models are fitted on the rows where they are known.

    Differs from the paper: `final` is a network of vectors by default, not a Bi-LSTM over the blocks.

    Parameters
    ----------
    blocks
        Numbers of columns of the embeddings in X, in order; None takes X as one block.
    meta
        A scikit-learn classifier with ``predict_proba`` for one label on one block; None takes scaled logistic regression.
    final
        A multi-label estimator; None takes `HybridMultiLabelClassifier`. Its ``random_state`` is set.
    folds
        Folds of the meta models' predictions, >= 2.
    random_state
        Seed of folds and of `final`.

    References
    ----------
    Improving Arabic Multi-Label Emotion Classification using Stacked Embeddings and Hybrid Loss Function, 2024 (paper 62).

    Examples
    --------
    >>> from labelwise.data.synthetic import partial_multilabel
    >>> drawn = partial_multilabel(200, 3, 8, observed_negative=0.8, random_state=0)
    >>> rng = np.random.default_rng(0)
    >>> encoders = [drawn.X @ rng.normal(size=(8, 5)) for _ in range(2)]
    >>> model = StackedEmbeddings(blocks=[5, 5], random_state=0).fit(np.hstack(encoders), drawn.y)
    >>> model.predict_proba(np.hstack(encoders)).shape
    (200, 3)
    """

    blocks: Sequence[int] | None = None
    meta: Any = None
    final: Any = None
    folds: Annotated[int, Range(low=2, whole=True)] = 5
    random_state: int | np.random.RandomState | None = None

    card = Card(
        paper=62, year=2024, kind="estimator", handles=frozenset({"imbalance", "missing labels", "representation"}),
        supervision=frozenset({"multilabel"}), task="multi-label", cost="light",
        reference="Improving Arabic Multi-Label Emotion Classification using Stacked Embeddings and Hybrid Loss, 2024.",
    )  # fmt: skip

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the meta models and the final one.

        Parameters
        ----------
        X
            The embeddings side by side, ``(n, d_1 + ... + d_M)``.
        y
            Labels ``(n, L)``, 1 yes, 0 no, -1 unknown; or one class per row ``(n,)``.
        """
        self.check_fields()
        if y is None:
            validate_data(self, X, None)  # raises the standard message for a missing y
        X = checked_rows(self, X, dtype=np.float64)
        labels, _, _ = MultiLabelClassifier().read_targets(y)
        if len(labels) != len(X):
            raise InputError(f"X has {len(X)} rows but y has {len(labels)}: give one row of labels per row.")
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        meta = plain_classifier() if self.meta is None else self.meta
        with few_threads(X):
            stacked = [
                self._out_of_fold(meta, block, column, rng)
                for block in self._cut(X)
                for column in labels.T.astype(np.int64)
            ]
            self.meta_ = [[_fit_known(meta, block, column) for column in labels.T] for block in self._cut(X)]
        self.final_ = clone(HybridMultiLabelClassifier() if self.final is None else self.final)
        if "random_state" in self.final_.get_params():
            self.final_.set_params(random_state=int(rng.integers(2**31 - 1)))
        self.final_.fit(np.column_stack([X, *stacked]), y)
        self.classes_ = self.final_.classes_
        return self

    def _out_of_fold(self, meta: Any, block: Floats, column: NDArray[Any], rng: np.random.Generator) -> Floats:
        """Return the probability of one label from models that have not seen the row; 0 for a label never known."""
        if (column == UNLABELED).all():
            return np.zeros(len(block))
        return np.asarray(out_of_fold_proba(meta, block, column, 2, folds=self.folds, rng=rng)[:, 1])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """Return 1 where a label is more probable than not, ``(n, L)``, or the class ``(n,)``."""
        return np.asarray(self._final().predict(self._stack(X)))

    def predict_proba(self, X: ArrayLike) -> Floats:
        """Return the probability of each label, ``(n, L)``."""
        return np.asarray(self._final().predict_proba(self._stack(X)))

    def _final(self) -> Any:
        check_is_fitted(self)
        return self.final_

    def _stack(self, X: Any) -> Floats:
        X = checked_rows(self, X, dtype=np.float64, reset=False)
        pairs = zip(self._cut(X), self.meta_, strict=True)
        return np.column_stack(
            [X, *(predict_all(model, block, 2)[:, 1] for block, models in pairs for model in models)]
        )

    def _cut(self, X: Floats) -> list[Floats]:
        widths = [X.shape[1]] if self.blocks is None else list(self.blocks)
        if sum(widths) != X.shape[1] or min(widths, default=0) < 1:
            raise InputError(f"blocks must be widths >= 1 that add up to the {X.shape[1]} columns of X. Got {widths}.")
        return np.split(X, np.cumsum(widths)[:-1], axis=1)


def _fit_known(meta: BaseEstimator, block: Floats, column: NDArray[Any]) -> Any:
    """Fit a model of one label on the rows where it is known; a label never known is never predicted."""
    known = column != UNLABELED
    if not known.any():
        return fit_codes(meta, block[:1], np.zeros(1, dtype=np.int64))
    return fit_codes(meta, block[known], column[known].astype(np.int64))
