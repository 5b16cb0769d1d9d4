"""Confident learning: find wrong labels by what a model confidently says instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils import get_tags
from sklearn.utils.validation import _check_sample_weight, check_consistent_length, check_is_fitted, validate_data

from labelwise.base import UNLABELED, Card, Estimate, Fields, InputError, Method, Range
from labelwise.noisy.multilabel import find_multilabel_issues
from labelwise.noisy.reading import Proba, read_labels, read_proba
from labelwise.parts import confident_joint as cj
from labelwise.parts.label_noise import LabelNoiseResult, estimate_noise
from labelwise.parts.label_pruning import Rule, flag
from labelwise.parts.label_quality import Score, label_quality
from labelwise.parts.noise_anchors import noise_interval
from labelwise.parts.out_of_fold import fit_codes, out_of_fold_proba, plain_classifier, predict_all
from labelwise.supervision import encode_classes

if TYPE_CHECKING:
    import pandas as pd

Bools = NDArray[np.bool_]
Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


class ConfidentLearning(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Find wrong labels with out-of-fold probabilities, drop them, and train on the rest.

    A row counts as confidently of class j if its probability P_j reaches the mean P_j of the rows labelled j. These
    counts, scaled to the class totals, estimate the joint distribution of given and true labels; it says how many
    labels of each class are wrong, and a pruning rule says which.

    Parameters
    ----------
    estimator
        Any scikit-learn classifier with ``predict_proba``; by default logistic regression on scaled features.
    rule
        ``prune_by_noise_rate``: for each pair of classes as many as the joint says, by margin. ``prune_by_class``: for
        each class as many as the joint says, by self-confidence. ``both`` of these. ``confident_learning``: the rows
        counted off the diagonal. ``predicted_neq_given``: all where the model disagrees. ``low_normalized_margin``,
        ``low_self_confidence``: as many as ``confident_learning`` gives, by score alone.
    quality
        How `scores_`, `label_quality` and `rank` grade a label: ``self_confidence`` P_given, ``normalized_margin``
        P_given - max of the others, ``confidence_weighted_entropy``.
    folds
        Folds of the cross-validation.
    random_state
        Seed of the folds.

    Attributes
    ----------
    classes_ : array of shape (K,)
    issues_ : bool array of shape (n,)
        Rows whose label is probably wrong. Never an unlabelled row.
    scores_ : float array of shape (n,)
        Label quality in [0, 1], low where suspicious, NaN where unlabelled.
    suggested_ : array of shape (n,)
        The class the model would give instead where `issues_`, and where there is no label; else the given label.
    out_of_fold_proba_ : float array of shape (n, K)
    thresholds_ : float array of shape (K,)
    joint_ : float array of shape (K, K)
        Estimated probability of (given, true) classes.
    noise_matrix_ : float array of shape (K, K)
        P(given i | true j) in ``[i, j]``: columns sum to 1.
    noise_matrix_interval_ : pair of float arrays of shape (K, K)
        Ends of the 90 % intervals of `noise_matrix_`, as far as counting goes.
    noise_ : LabelNoiseResult
        Share of wrong labels, noise matrix and error probabilities that do not count overlap as noise.
    n_errors_ : Estimate
        Expected number of wrong labels, see `number_of_errors`.
    estimator_
        The estimator, fitted on the labelled rows that are not issues.

    Notes
    -----
    Given the same probabilities, every rule flags exactly the rows that cleanlab 2.9 flags.

    Where classes overlap, the joint counts rows on which the model is confidently wrong as errors: `joint_` and
    `noise_matrix_` then have too much noise, and many flags are false. `noise_`, `number_of_errors` and
    `expected_precision` tell them apart, see `labelwise.parts.label_noise`.

    References
    ----------
    Curtis G. Northcutt, Anish Athalye, Jonas Mueller: Pervasive Label Errors in Test Sets Destabilize Machine Learning
    Benchmarks. NeurIPS Datasets and Benchmarks 2021. The method: Northcutt, Jiang, Chuang, JAIR 70 (2021).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 2, 200)
    >>> X = rng.normal(6 * truth[:, None], 1, (200, 2))
    >>> y = np.where(np.arange(200) < 20, 1 - truth, truth)
    >>> found = ConfidentLearning(random_state=0).fit(X, y)
    >>> int(found.issues_[:20].sum()), int(found.issues_[20:].sum())
    (18, 0)
    """

    estimator: Any = None
    rule: Rule = "prune_by_noise_rate"
    quality: Score = "self_confidence"
    folds: Annotated[int, Range(low=2, whole=True)] = 5
    random_state: int | None = None

    card = Card(
        paper=71,
        year=2021,
        reference="Northcutt, Athalye, Mueller: Pervasive Label Errors in Test Sets ... (NeurIPS 2021)",
        kind="estimator",
        handles=frozenset({"noise"}),
        cost="light",
        race=True,
        expected_failed_checks={
            f"check_sample_weight_equivalence_on_{kind}_data": "rows repeated instead of weighted fall into other folds"
            for kind in ("dense", "sparse")
        },
    )
    tune = {"rule": ["prune_by_noise_rate", "both", "confident_learning"]}

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Find the wrong labels of `y` and fit the estimator on the other rows.

        Parameters
        ----------
        X : array, sparse matrix or frame of shape (n, d)
            Features.
        y : array of shape (n,)
            Class labels; -1, None or NaN where unlabelled. Such rows are not used, but they get probabilities.
        sample_weight : array of shape (n,), optional
            Passed to the estimator; the joint counts every row once.

        Raises
        ------
        InputError
            Fewer than two classes, a class with one row, labels that cannot be read, or weights that the estimator does
            not take.
        """
        self.check_fields()
        X = self._check(X, "no_validation" if y is not None else None, reset=True)
        self.classes_, codes = self._encode(X, y)
        weight = None if sample_weight is None else _check_sample_weight(sample_weight, X)
        self._check_folds(codes)
        k, rng = len(self.classes_), np.random.default_rng(self.random_state)
        model = self._model()
        proba = out_of_fold_proba(model, X, codes, k, folds=self.folds, sample_weight=weight, rng=rng)
        self._describe(cj.read(codes, proba))
        kept = (codes != UNLABELED) & ~self.issues_
        self.estimator_ = fit_codes(model, X[kept], codes[kept], None if weight is None else weight[kept])
        return self

    def _encode(self, X: Any, y: Any) -> tuple[NDArray[Any], Ints]:
        classes, codes = encode_classes(y if hasattr(y, "__len__") else np.asarray(y))
        check_consistent_length(X, codes)
        return classes, codes

    def _check_folds(self, codes: Ints) -> None:
        counts = np.bincount(codes[codes != UNLABELED], minlength=len(self.classes_))
        if counts.min() < 2:
            name = self.classes_[int(counts.argmin())]
            raise InputError(
                f"y: class {name!s} has {counts.min()} labelled row; out-of-fold probabilities need at least 2 a class. "
                "Leave the class out, merge it with another, or label more."
            )

    def _describe(self, reading: cj.Reading) -> None:
        self.out_of_fold_proba_ = reading.proba
        self.thresholds_ = cj.thresholds(reading)
        counts = cj.count_joint(reading, cj.confident_classes(reading, self.thresholds_))
        calibrated = cj.calibrate(counts, reading.counts)
        self.joint_, self.noise_matrix_ = cj.joint(calibrated), cj.noise_matrix(calibrated)
        self.noise_matrix_interval_ = noise_interval(counts, reading.counts)
        self.noise_ = estimate_noise(reading)
        self.n_errors_ = _number(self.noise_)
        self.issues_ = flag(reading, self.rule)
        self.scores_ = label_quality(reading, self.quality)
        given = np.where(self.issues_ | ~reading.labelled, reading.top, reading.codes)
        self.suggested_ = self.classes_[given]

    def predict_proba(self, X: Any) -> Floats:
        """Return class probabilities of shape (n, K) from the estimator fitted without the issues."""
        check_is_fitted(self)
        return predict_all(self.estimator_, self._check(X, reset=False), len(self.classes_))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of every row, (n,)."""
        winners = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[winners])

    def find_issues(self, y: Any, proba: Proba) -> Bools:
        """Return which labels are probably wrong, given probabilities from any model; no `fit` needed.

        Parameters
        ----------
        y : array of shape (n,), or (n, L) for several labels a row
            Class codes 0 to K - 1, or labels, whose sorted values are the columns of `proba`; -1, None or NaN where
            unlabelled. With two dimensions: 1 yes, 0 no, -1 unknown.
        proba : float array of shape (n, K), or path of a ``.npy`` file
            Out-of-sample probabilities. Memory-mapped arrays and files are read in blocks.

        Returns
        -------
        bool array of the shape of `y`

        Raises
        ------
        InputError
            Lengths or classes that do not fit together, values outside [0, 1], rows that do not sum to 1, or a labelled
            class that is never predicted.
        """
        self.check_fields()
        if np.ndim(y) == 2:
            return find_multilabel_issues(y, proba, self.rule)
        return flag(self._read(y, proba), self.rule)

    def label_quality(self, y: Any, proba: Proba) -> Floats:
        """Return the score of every label in [0, 1], (n,): low where suspicious, NaN where unlabelled."""
        self.check_fields()
        return label_quality(self._read(y, proba), self.quality)

    def rank(self, y: Any, proba: Proba) -> Ints:
        """Return the numbers of the labelled rows, the most suspicious first."""
        quality = self.label_quality(y, proba)
        return np.argsort(quality, kind="stable")[: np.count_nonzero(~np.isnan(quality))]

    def noise_matrix(self, y: Any, proba: Proba) -> Floats:
        """Return P(given i | true j) in ``[i, j]`` as the confident joint has it, (K, K)."""
        reading = self._read(y, proba)
        counts = cj.count_joint(reading, cj.confident_classes(reading, cj.thresholds(reading)))
        return cj.noise_matrix(cj.calibrate(counts, reading.counts))

    def error_probability(self, y: Any, proba: Proba) -> Floats:
        """Return P(given label wrong) of every row, (n,), NaN where unlabelled; see `labelwise.parts.label_noise`."""
        return estimate_noise(self._read(y, proba)).error_probability

    def number_of_errors(self, y: Any, proba: Proba, *, level: float = 0.9) -> Estimate:
        """Return the expected number of wrong labels, the sum of `error_probability`, with its interval."""
        return _number(estimate_noise(self._read(y, proba), level=level))

    def expected_precision(self, y: Any, proba: Proba, *, level: float = 0.9) -> pd.DataFrame:
        """Return how many of the flagged labels are expected to be wrong, for every length of the list.

        Parameters
        ----------
        y, proba
            As in `find_issues`. After `fit`: its `y` and ``out_of_fold_proba_``.
        level
            Confidence of the intervals.

        Returns
        -------
        DataFrame
            A row for each flagged row, the most suspicious first: ``flagged`` (1, 2, ...), ``row`` (its number), and
            the expected ``precision`` of the list so far with ``low`` and ``high``.
        """
        import pandas as pd

        self.check_fields()
        reading = self._read(y, proba)
        rows = np.flatnonzero(flag(reading, self.rule))
        rows = rows[np.argsort(label_quality(reading, self.quality)[rows], kind="stable")]
        curve = estimate_noise(reading, level=level).precision_curve(rows)
        columns = dict(zip(("precision", "low", "high"), curve, strict=True))
        return pd.DataFrame({"flagged": np.arange(1, len(rows) + 1), "row": rows, **columns})

    def _read(self, y: Any, proba: Proba) -> cj.Reading:
        values = read_proba(proba)
        reading = cj.read(read_labels(y, values), values)
        cj.check_predicted(reading)
        return reading

    def _model(self) -> Any:
        return plain_classifier() if self.estimator is None else self.estimator

    def _check(self, X: Any, y: Any = "no_validation", *, reset: bool) -> Any:
        tags = get_tags(self._model()).input_tags
        finite = "allow-nan" if tags.allow_nan else True
        return validate_data(
            self, X, y, reset=reset, accept_sparse="csr" if tags.sparse else False, ensure_all_finite=finite
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = get_tags(self._model()).input_tags
        tags.input_tags.sparse, tags.input_tags.allow_nan = inner.sparse, inner.allow_nan
        return tags


def _number(noise: LabelNoiseResult) -> Estimate:
    n = int(np.count_nonzero(~np.isnan(noise.error_probability)))
    return Estimate(noise.share.value * n, noise.share.low * n, noise.share.high * n, noise.share.level)
