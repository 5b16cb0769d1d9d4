"""RCAL: calibrate the representation of noisy, long-tailed classes (Zhang et al. 2023)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.covariance import ledoit_wolf
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from labelwise.base import UNLABELED, Card, Count, Fields, Fraction, Method, NonNegative, Positive, Range
from labelwise.rows import checked_rows
from labelwise.supervision import encode_classes

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
Codes = NDArray[np.integer[Any]]

REFERENCE = 2000
"""Rows of a class among which the outlier factor looks for neighbours: its cost stays linear in the class."""
SMALLEST = 5
"""A class of fewer rows has no outliers: nothing says what is usual there."""
BLOCK = 4096


class RCAL(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Clean Gaussians of each class, tails borrowing from near heads, and a linear classifier on balanced draws.

    For frozen embeddings whose labels are wrong *and* lopsided. (1) The local outlier factor of a row among those with
    its label drops outliers; mean ``m_k`` and covariance ``S_k`` are those of the inliers. (2) A tail class k takes part
    of the statistics of its `heads` nearest head classes c, weighted by their cleaned sizes ``w_c``:
    ``m_k <- g sum_c w_c m_c + (1 - g) m_k``, ``S_k <- g sum_c w_c S_c + (1 - g) S_k + e I``. (3) Draws from the Gaussians
    fill every class up to the largest, and logistic regression is fitted on rows and draws.

    Differs from the paper: works on embeddings as they are given, so the terms of fine-tuning an encoder (distance to
    the frozen embedding, mixup of its inputs) are left out. ``e`` is relative to the mean variance of the features, and
    is added to every class. A tail class is one below half the mean cleaned size. The outlier factor sees half the rows
    of a class and cuts relative to the class's own spread, because its usual settings (20 neighbours, 1.5) flag
    nothing in more than a few dimensions, and nothing where wrong rows are more than 20.

    Parameters
    ----------
    neighbours
        Neighbours of the outlier factor as a share of the class's rows: clusters of wrong rows smaller than that stand
        out.
    contamination
        Share of each class dropped as outliers; ``auto`` drops rows whose log factor is more than 2.5 (robust) standard
        deviations above the class's median.
    borrow
        g, the part a tail class takes from heads; 0 borrows nothing.
    heads
        q, the number of head classes it takes from.
    ridge
        e, added to the covariances in units of the mean variance of a feature.
    C
        Inverse penalty of the logistic regression on standardised features.
    random_state
        Seed of the draws.

    Attributes
    ----------
    classes_ : array (K,)
    means_, covariances_ : (K, d), (K, d, d)
        Of the Gaussians drawn from, after borrowing. Shrunk (Ledoit-Wolf) for classes of at most d inliers.
    inliers_ : bool (n,)
        Rows that made their class's Gaussian; False also where unlabelled.
    heads_ : bool (K,)
        Which classes lend.
    model_
        The fitted pipeline of scaling and logistic regression.

    References
    ----------
    Manyi Zhang, Xuyang Zhao, Jun Yao, Chun Yuan, Weiran Huang: When Noisy Labels Meet Long Tail Dilemmas: A Representation
    Calibration Method. ICCV 2023.

    Examples
    --------
    >>> from labelwise.data.synthetic import blobs, long_tail, symmetric_noise
    >>> sample = blobs(400, 3, 8, separation=7.0, prior=long_tail(3, 10), random_state=0)
    >>> noise = symmetric_noise(sample.y, 0.1, random_state=0)
    >>> model = RCAL(random_state=0).fit(sample.X, noise.y)
    >>> model.heads_.tolist(), model.score(sample.X, sample.y) > 0.95
    ([True, True, False], True)
    >>> bool(noise.is_corrupted[~model.inliers_].mean() > 5 * noise.is_corrupted[model.inliers_].mean())
    True
    """

    neighbours: Annotated[float, Fraction] = 0.5
    contamination: Annotated[float, Range(low=0, high=1, high_open=True)] | Literal["auto"] = "auto"
    borrow: Annotated[float, Fraction] = 0.1
    heads: Annotated[int, Count] = 3
    ridge: Annotated[float, NonNegative] = 0.05
    C: Annotated[float, Positive] = 0.1
    random_state: int | None = None

    card = Card(
        paper=44, year=2023, kind="estimator", handles=frozenset({"noise", "imbalance"}), cost="seconds", race=True,
        reference="Zhang et al.: When Noisy Labels Meet Long Tail Dilemmas. ICCV 2023.",
    )  # fmt: skip
    tune = {"contamination": ["auto", 0.2, 0.4], "borrow": [0.0, 0.1, 0.3], "C": [0.01, 0.1, 1.0]}

    def fit(self, X: Any, y: Any) -> Self:
        """Estimate the classes' Gaussians and fit the classifier.

        Parameters
        ----------
        X
            Embeddings (n, d).
        y
            Labels (n,); rows with -1, None or NaN are left out.

        Raises
        ------
        InputError
            Fields out of range, fewer than two classes, or labels that cannot be read.
        """
        self.check_fields()
        X = checked_rows(self, X, y if y is None else "no_validation", dtype=np.float64)
        self.classes_, codes = encode_classes(y)
        check_consistent_length(X, codes)
        rng = np.random.default_rng(self.random_state)
        self.inliers_ = self._inliers(X, codes, rng)
        counts = np.bincount(codes[self.inliers_], minlength=len(self.classes_))
        self.heads_ = counts >= counts.mean() / 2
        floor = self.ridge * X[codes != UNLABELED].var(0).mean()
        self._borrow(*class_gaussians(X[self.inliers_], codes[self.inliers_], len(self.classes_)), counts, floor)
        self._classify(X[codes != UNLABELED], codes[codes != UNLABELED], rng)
        return self

    def _inliers(self, X: Doubles, codes: Codes, rng: np.random.Generator) -> Bools:
        inside = np.zeros(len(X), dtype=bool)
        for code in range(len(self.classes_)):
            rows = np.flatnonzero(codes == code)
            inside[rows] = ~outliers(outlier_factor(X[rows], self.neighbours, rng), self.contamination)
        return inside

    def _borrow(self, means: Doubles, covariances: Doubles, counts: Codes, floor: float) -> None:
        """Mix the statistics of tail classes with those of their nearest heads, and add the ridge to all."""
        self.means_, self.covariances_ = means.copy(), covariances.copy()
        heads, g = np.flatnonzero(self.heads_), self.borrow
        for tail in np.flatnonzero(~self.heads_):
            distance = np.linalg.norm(means[heads] - means[tail], axis=1)
            near = heads[np.argsort(distance, kind="stable")[: self.heads]]
            weight = counts[near] / counts[near].sum()
            self.means_[tail] = g * weight @ means[near] + (1 - g) * means[tail]
            self.covariances_[tail] = g * np.tensordot(weight, covariances[near], 1) + (1 - g) * covariances[tail]
        self.covariances_ += floor * np.eye(means.shape[1])

    def _classify(self, X: Doubles, codes: Codes, rng: np.random.Generator) -> None:
        """Fit logistic regression on all labelled rows, and on draws that make the classes equally large."""
        counts = np.bincount(codes, minlength=len(self.classes_))
        drawn = [
            draw(mean, covariance, counts.max() - count, rng)
            for mean, covariance, count in zip(self.means_, self.covariances_, counts, strict=True)
        ]
        filled = np.repeat(np.arange(len(counts)), counts.max() - counts)
        self.model_ = make_pipeline(StandardScaler(), LogisticRegression(C=self.C, max_iter=1000))
        self.model_.fit(np.concatenate([X, *drawn]), np.concatenate([codes, filled]))

    def predict_proba(self, X: Any) -> Doubles:
        """Return class probabilities (n, K), columns in the order of `classes_`."""
        check_is_fitted(self)
        return np.asarray(self.model_.predict_proba(checked_rows(self, X, dtype=np.float64, reset=False)))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each row, (n,)."""
        best = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[best])


def outlier_factor(X: Doubles, neighbours: float, rng: np.random.Generator) -> Doubles:
    """Return the local outlier factor of each row (n,), about 1 where usual.

    Neighbours are a share `neighbours` of the rows; above `REFERENCE` rows they are looked for in a random part.
    """
    if len(X) < SMALLEST:
        return np.ones(len(X))
    if len(X) <= REFERENCE:
        return np.asarray(-_factor(X, neighbours, novelty=False).negative_outlier_factor_)
    chosen = rng.permutation(len(X))[:REFERENCE]
    others = np.setdiff1d(np.arange(len(X)), chosen)
    factor, model = np.empty(len(X)), _factor(X[chosen], neighbours, novelty=True)
    factor[chosen] = -model.negative_outlier_factor_
    for start in range(0, len(others), BLOCK):
        rows = others[start : start + BLOCK]
        factor[rows] = -model.score_samples(X[rows])
    return factor


def _factor(X: Doubles, neighbours: float, novelty: bool) -> Any:
    k = min(len(X) - 1, max(2, round(neighbours * len(X))))
    return LocalOutlierFactor(n_neighbors=k, novelty=novelty).fit(X)


def outliers(factor: Doubles, contamination: float | str) -> Bools:
    """Return which rows are outliers (n,): a share of them, or those beyond 2.5 robust deviations of the log factor.

    >>> outliers(np.array([1.0, 1.01, 0.99, 1.02, 3.0]), "auto")
    array([False, False, False, False,  True])
    >>> outliers(np.array([1.0, 1.01, 0.99, 1.02, 3.0]), 0.4)
    array([False, False, False,  True,  True])
    """
    log = np.log(np.maximum(factor, 1e-300))
    if contamination == "auto":
        middle = np.median(log)
        return np.asarray(log > middle + 2.5 * 1.4826 * np.median(np.abs(log - middle)) + 1e-9)
    flagged = np.zeros(len(log), dtype=bool)
    dropped = min(int(float(contamination) * len(log)), len(log) - 1)
    flagged[np.argsort(-log, kind="stable")[:dropped]] = True
    return flagged


def class_gaussians(X: Doubles, codes: Codes, n_classes: int) -> tuple[Doubles, Doubles]:
    """Return means (K, d) and covariances (K, d, d), shrunk (Ledoit-Wolf) for classes of at most d rows.

    A class of one row has no covariance of its own and takes the mean of the others'.
    """
    d = X.shape[1]
    means, covariances = np.zeros((n_classes, d)), np.full((n_classes, d, d), np.nan)
    for code in range(n_classes):
        rows = X[codes == code]
        means[code] = rows.mean(0)
        if len(rows) > d:
            covariances[code] = np.cov(rows, rowvar=False, ddof=1)
        elif len(rows) > 1:
            covariances[code] = ledoit_wolf(rows)[0]
    single = np.isnan(covariances[:, 0, 0])
    covariances[single] = np.eye(d) * X.var(0).mean() if single.all() else covariances[~single].mean(0)
    return means, covariances


def draw(mean: Doubles, covariance: Doubles, n: int, rng: np.random.Generator) -> Doubles:
    """Return `n` rows (n, d) of a Gaussian, whose covariance may be singular."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0))
    return np.asarray(mean + rng.standard_normal((n, len(mean))) @ root.T)
