"""Which rows a model fits only because it has seen them (Feldman 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from sklearn.base import clone
from sklearn.utils import _safe_indexing, check_array

from labelwise.base import UNLABELED, Card, Count, Estimate, Fields, InputError, Method, Range
from labelwise.display import html_of
from labelwise.parts.out_of_fold import fit_codes, plain_classifier
from labelwise.parts.threads import few_threads
from labelwise.supervision import encode_classes

Codes = NDArray[np.int64]
Inside = Range(low=0, high=1, low_open=True, high_open=True)


@dataclass(frozen=True, eq=False)
class MemorizationResult:
    """What `Memorization` finds.

    Attributes
    ----------
    table
        A row for each row of X: ``memorization`` with ``low`` and ``high``, ``error`` (its standard error), ``with_it`` and
        ``without_it`` (how often models that saw the row, and that did not, gave its label), ``rival`` (the other class that
        models without it predict most) and ``rival_share`` (how often). NaN where unlabelled, or never left out.
    mean
        Mean memorisation: accuracy on training rows minus accuracy on rows left out. Its interval allows for what the rows
        are, not for the number of models.
    """

    table: pd.DataFrame
    mean: Estimate

    def memorized(self, threshold: float = 0.5) -> NDArray[np.intp]:
        """Return the rows that are memorised beyond `threshold` for sure (``low`` above it), the most memorised first.

        Their label is wrong, or they are of a kind that the data hold hardly more of: look at them.
        """
        sure = np.flatnonzero(self.table["low"].to_numpy() > threshold)
        order: NDArray[np.intp] = sure[np.argsort(-self.table["memorization"].to_numpy()[sure], kind="stable")]
        return order

    def describe(self) -> str:
        """Say in words how much is memorised, and what of."""
        rows = self.memorized()
        rival = int((self.table["rival_share"].to_numpy()[rows] > 0.5).sum())
        return (
            f"Seeing a row raises the chance to get its label right by {self.mean} on average. {len(rows)} rows are surely "
            f"memorised (by more than 0.5); for {rival} of them models that never saw the row agree on another label, so "
            "check these labels first. The others are rare or ambiguous: keep them."
        )

    def __str__(self) -> str:
        return self.describe()

    def _repr_html_(self) -> str:
        return html_of(self)


class Memorization(Method, Fields):
    """How much each row's label is fitted only because the row was seen: candidates for wrong labels and for rare rows.

    ``mem(i) = P(h(x_i) = y_i | trained with i) - P(h(x_i) = y_i | trained without i)``, over models of random subsets. Rows
    that others explain have 0; a row that has to be learnt by heart has 1. Its mean is training minus test accuracy. Under
    long-tailed data learning by heart is needed for the lowest error (see `singleton_cost`): do not drop such rows unseen.

    Differs from the paper: the estimate from subsets of a share of the rows, in place of all rows but one (which
    ``share=1 - 1/n, n_models=n`` gives). Rows are left out in turns, so each is left out nearly equally often.

    Parameters
    ----------
    estimator
        A scikit-learn classifier; None takes scaled logistic regression. Its seeds are redrawn for every model.
    n_models
        Models to train, at least 2; 100 to 500 for small models. The standard error falls with its root.
    share
        Share of the rows that each model is trained on, in (0, 1).
    level
        Confidence of the intervals (Agresti and Caffo's for a difference of shares).
    jobs
        Models trained at the same time.
    random_state
        Seed of subsets and models.

    References
    ----------
    Feldman, Does Learning Require Memorization? A Short Tale about a Long Tail, STOC 2020 (paper 76); estimated from subsets
    as in Feldman and Zhang, What Neural Networks Memorize and Why, NeurIPS 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> y[7] = 2  # a wrong label
    >>> found = Memorization(estimator=KNeighborsClassifier(1), n_models=40, random_state=0).measure(X, y)
    >>> int(found.table["memorization"].argmax()), int(found.table.loc[7, "rival"])
    (7, 0)
    """

    estimator: Any = None
    n_models: Annotated[int, Range(low=2, whole=True)] = 100
    share: Annotated[float, Inside] = 0.7
    level: Annotated[float, Inside] = 0.9
    jobs: Annotated[int, Count] = 1
    random_state: int | None = None

    card = Card(
        paper=76, year=2020, kind="diagnostic", handles=frozenset({"noise", "representation"}), cost="light",
        reference="Feldman, Does Learning Require Memorization? A Short Tale about a Long Tail, STOC 2020.",
    )  # fmt: skip

    def measure(self, X: Any, y: ArrayLike) -> MemorizationResult:
        """Train on subsets and compare.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, d)
            Features.
        y : array of shape (n,)
            Labels; rows without one (-1, None) are left aside.
        """
        self.check_fields()
        X = check_array(X, accept_sparse="csr", input_name="X")
        classes, codes = encode_classes(y, least=2)
        if len(codes) != X.shape[0]:
            raise InputError(f"X has {X.shape[0]} rows but y has {len(codes)}: give one label per row.")
        labelled = np.flatnonzero(codes != UNLABELED)
        if len(labelled) < 4:
            raise InputError(f"y must label at least 4 rows. Got {len(labelled)}.")
        rng = np.random.default_rng(self.random_state)
        inside = np.array(list(self._subsets(len(labelled), rng)))
        rows, given = _safe_indexing(X, labelled), codes[labelled].astype(np.int64)
        seeds = rng.integers(2**31 - 1, size=self.n_models)
        model = plain_classifier() if self.estimator is None else self.estimator
        with few_threads(X):
            run = Parallel(n_jobs=self.jobs)
            predicted = np.array(
                run(delayed(_predict)(model, rows, given, *job) for job in zip(inside, seeds, strict=True))
            )
        found = self._table(predicted, inside, given, classes)
        mean, error = found["memorization"].mean(), found["memorization"].std() / np.sqrt(len(found))
        reach = float(norm.ppf(0.5 + self.level / 2)) * error
        estimate = Estimate(float(mean), float(mean - reach), float(mean + reach), self.level)
        return MemorizationResult(found.set_axis(labelled).reindex(np.arange(len(codes))), estimate)

    def _subsets(self, n: int, rng: np.random.Generator) -> Iterator[NDArray[np.bool_]]:
        """Yield masks of the rows to train on: blocks of random orders are left out in turn."""
        left_out = min(n - 2, max(1, round((1 - self.share) * n)))
        blocks = n // left_out
        for number in range(self.n_models):
            if number % blocks == 0:
                order = rng.permutation(n)
            mask = np.ones(n, dtype=bool)
            mask[order[number % blocks * left_out :][:left_out]] = False
            yield mask

    def _table(self, predicted: Codes, inside: NDArray[np.bool_], given: Codes, classes: Any) -> pd.DataFrame:
        """Return the table of the labelled rows from predictions and membership, both ``(models, n)``."""
        hit = predicted == given
        seen, missed = inside.sum(0), (~inside).sum(0)
        right = [(hit & inside).sum(0), (hit & ~inside).sum(0)]
        with np.errstate(invalid="ignore"):
            with_it, without_it = right[0] / seen, right[1] / missed
        votes = np.stack([((predicted == code) & ~inside).sum(0) for code in range(len(classes))], axis=1)
        votes[np.arange(len(given)), given] = -1
        smooth = [(hits + 1) / (trials + 2) for hits, trials in zip(right, (seen, missed), strict=True)]
        error = np.sqrt(sum(p * (1 - p) / (trials + 2) for p, trials in zip(smooth, (seen, missed), strict=True)))
        middle, reach = smooth[0] - smooth[1], float(norm.ppf(0.5 + self.level / 2)) * error
        value = with_it - without_it
        low, high = np.minimum(value, np.maximum(middle - reach, -1)), np.maximum(value, np.minimum(middle + reach, 1))
        return pd.DataFrame({
            "memorization": value, "low": low, "high": high, "error": error, "with_it": with_it,
            "without_it": without_it, "rival": classes[votes.argmax(1)], "rival_share": votes.max(1) / np.maximum(missed, 1),
        })  # fmt: skip


def _predict(estimator: Any, X: Any, codes: Codes, inside: NDArray[np.bool_], seed: int) -> Codes:
    """Return the predictions for all rows of a model trained on those `inside`."""
    names = [name for name in estimator.get_params() if name == "random_state" or name.endswith("__random_state")]
    model = clone(estimator).set_params(**dict.fromkeys(names, int(seed)))
    rows = np.flatnonzero(inside)
    fitted = fit_codes(model, _safe_indexing(X, rows), codes[rows])
    return np.asarray(fitted.predict(X), dtype=np.int64)
