"""DDFA: classes and their shares in every domain, from rows without labels."""

from __future__ import annotations

import warnings
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClusterMixin, clone
from sklearn.utils import _safe_indexing, indexable
from sklearn.utils.validation import check_is_fitted

from labelwise.base import Card, Count, Fields, InputError, Method, Natural, Range
from labelwise.parts.matching import hungarian_accuracy
from labelwise.parts.out_of_fold import out_of_fold_proba, plain_classifier
from labelwise.parts.priors import correct
from labelwise.parts.scaling import fit_scaling
from labelwise.shift.latent import (
    Codes,
    Doubles,
    class_given_row,
    cluster,
    corners,
    directions,
    factorise,
    histogram,
    overlap,
)
from labelwise.supervision.beside import row_names

APART = 0.02
"""Two domains that share less of their cells than this do not overlap."""


class DDFA(Method, ClusterMixin, Fields):  # type: ignore[misc]
    """Find classes without labels, as what changes its share from domain to domain: discriminate, factorise.

    Under latent label shift ``p(x | class)`` is the same in every domain, and only the classes' shares differ. Then what
    a row tells about its domain, ``q(x) = p(domain | x)``, depends on its class alone: rows are put into cells by q, the
    table ``p(cell | domain)`` is factorised into ``p(cell | class) p(class | domain)`` with non-negative factors, and
    ``p(class | x)`` is the mixture of ``p(domain | class)`` nearest to q(x). Classes are numbers without a name; they need
    not be clusters of similar rows.

    It needs more domains than classes to work well (as many suffice in theory), shares that differ much, and for every
    class rows that can be of no other.

    Differs from the paper: q is cross-fitted, calibrated, and corrected to equal domain weights instead of resampled.
    The factors minimise the Kullback-Leibler distance, from corners and centres of q beside random starts, and of those
    that come near the ones of the smallest volume are kept. ``p(class | x)`` minimises that distance too, where a
    pseudo-inverse can be negative. No network is pre-trained: give embeddings.

    Parameters
    ----------
    n_classes
        Classes to find, >= 2 and at most as many as domains.
    estimator
        Domain discriminator: any classifier with ``predict_proba``. Default: logistic regression on scaled features.
    n_cells
        Cells of the histogram, at least `n_classes`; None: three a class.
    n_init
        Random starts of the factors.
    cv
        Folds of the held-out discriminator.
    random_state
        Seed of folds, cells and starts.

    Attributes
    ----------
    domains_ : (r,) names of the domains, sorted.
    priors_ : (r, K) class shares of every domain.
    labels_ : (n,) class of every row, 0 .. K - 1, given its domain.
    directions_ : in how many directions the domains differ beyond chance: the most classes that can be found.
    overlap_ : (r, r) part of two domains' rows that falls into the same cells.
    estimator_, scaling_ : the discriminator fitted on all rows, and its calibration.

    References
    ----------
    Manley Roberts, Pranav Mani, Saurabh Garg, Zachary Lipton: Unsupervised Learning under Latent Label Shift. NeurIPS 2022
    (paper 2).

    Examples
    --------
    >>> from labelwise.data.synthetic import topic_shift
    >>> drawn = topic_shift(300, n_classes=3, n_domains=6, random_state=0)
    >>> model = DDFA(n_classes=3, random_state=0).fit(drawn.X, domains=drawn.domains)
    >>> bool(hungarian_accuracy(drawn.y, model.labels_) > 0.9)
    True
    """

    n_classes: Annotated[int, Range(low=2, whole=True)] = 2
    estimator: Any = None
    n_cells: Annotated[int, Count] | None = None
    n_init: Annotated[int, Natural] = 10
    cv: Annotated[int, Range(low=2, whole=True)] = 5
    random_state: int | None = None

    card = Card(
        paper=2, year=2022, kind="estimator", handles=frozenset({"label shift", "unseen classes"}),
        supervision=frozenset(), needs=frozenset({"domains"}), cost="light",
        apart="It finds classes without labels, so a comparison by labels cannot rank it.",
        reference="Roberts, Mani, Garg, Lipton: Unsupervised Learning under Latent Label Shift. NeurIPS 2022.",
    )  # fmt: skip

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return the data of the common checks: iris dealt out to six domains with different shares."""
        from sklearn.datasets import load_iris

        X, y = load_iris(return_X_y=True)
        X = (X - X.mean(0)) / X.std(0)
        order = np.random.default_rng(0).permutation(150)
        X, y = X[order], y[order]
        domains = np.where(np.random.default_rng(1).random(150) < 0.8, y, (y + 1) % 3)
        score = lambda model, X, y: hungarian_accuracy(y, model.predict(X))  # noqa: E731
        return {
            "X": X[:105], "y": None, "X_test": X[105:], "y_test": y[105:], "score": score, "features": False,
            "fields": {"n_classes": 3}, "fit": {"domains": domains[:105]}, "floor": 0.6,
        }  # fmt: skip

    def fit(self, X: Any, y: Any = None, domains: npt.ArrayLike | None = None) -> Self:
        """Find the classes of the rows of `X` and their shares in every domain.

        Parameters
        ----------
        X
            (n, ...) inputs, whatever ``estimator`` accepts.
        y
            Ignored.
        domains
            (n,) domain of each row, numbers or names.
        """
        self.check_fields()
        X, codes = self._read(X, domains)
        rng = np.random.default_rng(self.random_state)
        q = self._discriminate(X, codes, rng)
        cells, centres = cluster(q, min(self.n_cells or 3 * self.n_classes, len(codes)), rng)
        table = histogram(cells, codes, len(centres), len(self.domains_))
        self._check_overlap(table)
        self._check_directions(cells, codes, len(centres), rng)
        groups = cluster(q, self.n_classes, rng)[1]
        starts = [groups, corners(centres, table.mean(1), self.n_classes)]
        shares = factorise(table, starts, self.n_init, rng)
        self.priors_ = shares.T.copy()
        self.labels_ = self._classes(q, codes).argmax(1)
        return self

    def _read(self, X: Any, domains: npt.ArrayLike | None) -> tuple[Any, Codes]:
        if domains is None:
            raise InputError("DDFA.fit needs domains, the domain of every row: it learns from how domains differ.")
        where = row_names(domains)
        X, where = indexable(X, where)
        self.domains_, codes, counts = np.unique(where, return_inverse=True, return_counts=True)
        if len(counts) == 0:
            raise InputError("X and domains are empty: there is no row to learn from.")
        if len(counts) < 2:
            raise InputError(
                f"domains holds one domain only, {self.domains_.tolist()[0]!r}: classes are found by how their shares "
                "differ between domains. Name the sources of the rows, or cluster them."
            )
        if len(counts) < self.n_classes:
            raise InputError(
                f"DDFA.n_classes is {self.n_classes}, but domains holds {len(counts)} domains: at most as many classes "
                "as domains can be told apart. Ask for fewer classes, or split the domains further (by day, by place)."
            )
        if counts.min() < self.cv:
            raise InputError(
                f"domains: {self.domains_.tolist()[counts.argmin()]!r} has {counts.min()} rows, fewer than cv={self.cv}. "
                "Leave the domain out, or join it to another."
            )
        return X, codes

    def _discriminate(self, X: Any, codes: Codes, rng: np.random.Generator) -> Doubles:
        """Fit the discriminator, and return q of every row by a model that did not train on it."""
        base = plain_classifier() if self.estimator is None else self.estimator
        if not hasattr(base, "predict_proba"):
            raise InputError(f"DDFA.estimator must have predict_proba. Got {base!r}.")
        count = len(self.domains_)
        proba = out_of_fold_proba(base, X, codes, count, folds=self.cv, rng=rng)
        self.scaling_, self._weights = fit_scaling(proba, codes), np.bincount(codes) / len(codes)
        self.estimator_ = clone(base).fit(_safe_indexing(X, np.arange(len(codes))), codes)
        return self._domain_proba(proba)

    def _domain_proba(self, proba: Any) -> Doubles:
        """Return q: calibrated, under equal domain weights."""
        equal = np.full(len(self.domains_), 1 / len(self.domains_))
        return np.asarray(correct(self.scaling_(proba), self._weights, equal), dtype=np.float64)

    def _check_overlap(self, table: Doubles) -> None:
        self.overlap_ = overlap(table)
        alone = self.overlap_.max(1) < APART
        if alone.all():
            raise InputError(
                f"domains: no two of the {len(alone)} domains overlap, every row tells its domain. Then classes cannot be "
                "told from domains: the domains differ in more than class shares. Use features that look alike in all."
            )
        if alone.any():
            names = self.domains_[alone].tolist()[:10]
            warnings.warn(
                f"domains {names} share no kind of row with another domain: each counts as a class.", stacklevel=4
            )

    def _check_directions(self, cells: Codes, codes: Codes, n_cells: int, rng: np.random.Generator) -> None:
        self.directions_ = directions(cells, codes, n_cells, len(self.domains_), rng)
        if self.directions_ < self.n_classes:
            warnings.warn(
                f"DDFA.n_classes is {self.n_classes}, but the domains differ in {self.directions_} directions beyond "
                f"chance: not all shares of {self.n_classes} classes can be told apart. Ask for fewer classes, or give more "
                "rows or domains.",
                stacklevel=4,
            )

    def _classes(self, q: Doubles, codes: Codes | None) -> Doubles:
        domain_given_class = self.priors_ / self.priors_.sum(0)
        proba = class_given_row(q, domain_given_class)
        if codes is not None:
            proba = proba * domain_given_class[codes] + 1e-12
        return np.asarray(proba / proba.sum(1, keepdims=True))

    def predict_proba(self, X: Any, domains: npt.ArrayLike | None = None) -> Doubles:
        """Return (n, K) class probabilities.

        Parameters
        ----------
        X
            (n, ...) inputs.
        domains
            (n,) domain of each row, one of ``domains_``; None: rows of all domains alike.
        """
        check_is_fitted(self)
        q = self._domain_proba(self.estimator_.predict_proba(X))
        return self._classes(q, None if domains is None else self._known(domains, len(q)))

    def predict(self, X: Any, domains: npt.ArrayLike | None = None) -> npt.NDArray[Any]:
        """Return the most probable class (n,), a number 0 .. K - 1; arguments as of `predict_proba`."""
        return np.asarray(self.predict_proba(X, domains).argmax(1))

    def _known(self, domains: npt.ArrayLike, n_rows: int) -> Codes:
        where = row_names(domains, n_rows)
        new = ~np.isin(where, self.domains_)
        if new.any():
            raise InputError(
                f"domains: row {int(new.argmax())} is of {where[new].tolist()[0]!r}, which was not among the domains of "
                f"fit, {self.domains_.tolist()[:10]}. Leave domains out to predict rows of a new one."
            )
        return np.searchsorted(self.domains_, where)
