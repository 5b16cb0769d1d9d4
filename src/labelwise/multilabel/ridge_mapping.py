"""Zero-shot classes by a ridge map between features and class vectors, and the nearest class."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from sklearn.preprocessing import normalize

from labelwise.base import Card, InputError
from labelwise.multilabel.zero_shot import TINY, Doubles, Ints, ZeroShot, class_means, regressed_means

SURVEY = "Chen et al.: Zero-shot and few-shot learning with knowledge graphs: a comprehensive survey. Proc. IEEE 2023."


class RidgeMapping(ZeroShot):
    """Maps class vectors to features, or features to class vectors, by ridge regression; the nearest class wins.

    ``to="features"`` regresses the mean row of a class on its vector and gives every class, seen or not, a prototype; a
    class with few rows gets one between regression and rows. ``to="classes"`` regresses the class vector on the row,
    every class counting alike. The score is the cosine, after centring both sides on the seen classes.

    Differs from the paper, a survey: the estimators, the choice of penalty and offset on hidden classes and the drawing of
    few-shot classes to their rows are ours.

    Parameters
    ----------
    to
        Into which space the other is mapped. ``"features"`` suffers less from classes that are everybody's neighbour.
    same_space
        Whether class vectors are made by the same encoder as X. Then the regression learns only how class means differ from
        class vectors, and a strong penalty ends at the nearest class vector. Only with ``to="features"``.

    Attributes
    ----------
    classes_ : (N,) all classes, what `predict` can return.
    seen_ : (N,) whether a class had training rows.
    strength_, offset_ : what was used.

    References
    ----------
    Chen, Geng, Chen, Pan, He, Zhang, Horrocks, Chen: Zero-shot and few-shot learning with knowledge graphs: a comprehensive
    survey. Proceedings of the IEEE 2023 (paper 48): mapping-based methods.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> attributes = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])  # of four classes, the last without a row
    >>> y = np.repeat([0, 1, 2], 30)
    >>> draw = lambda labels: attributes[labels] @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(len(labels), 5))
    >>> rng = np.random.default_rng(0); X = draw(np.r_[y, 3, 3])
    >>> RidgeMapping(class_vectors=attributes, strength=0.1, offset=0.0).fit(X[:90], y).predict(X[90:])
    array([3, 3])
    """

    to: Literal["features", "classes"] = "features"
    same_space: bool = False

    card = Card(
        paper=48, year=2023, reference=SURVEY, kind="estimator", handles=frozenset({"unseen classes"}), cost="seconds",
        apart="It needs vectors or descriptions of the classes, which a table of rows does not hold.",
    )  # fmt: skip
    tune = {"to": ["features", "classes"]}

    def look(self, X: Doubles, codes: Ints, V: Doubles) -> Any:
        """Centre both sides; return class means, or the moments of the regression of vectors on rows."""
        self._check_same_space(X, V)
        means, counts = class_means(X, codes, len(V))
        seen = counts > 0
        self.x_centre_, self.v_centre_ = means[seen].mean(axis=0), V[seen].mean(axis=0)
        if self.to == "features":
            return means - self.x_centre_, counts, float((X - means[codes]).var(axis=0).sum())
        root = 1 / np.sqrt(counts[codes])[:, None]
        R = (X - self.x_centre_) * root
        return R.T @ R, R.T @ ((V[codes] - self.v_centre_) * root)

    def learn(self, found: Any, V: Doubles, strength: float) -> None:
        """Regress on class vectors, or class vectors on rows."""
        V = V - self.v_centre_
        if self.to == "classes":
            gram, moment = found
            penalty = strength * max(float(np.trace(gram)) / len(gram), TINY)
            self.map_ = np.linalg.solve(gram + penalty * np.eye(len(gram)), moment)
            self.prototypes_ = V
        else:
            means, counts, spread = found
            base = V if self.same_space else np.zeros_like(means)
            self.prototypes_ = base + regressed_means(means - base, counts, spread, V, strength)

    def _check_same_space(self, X: Doubles, V: Doubles) -> None:
        if not self.same_space:
            return
        if self.to != "features" or V.shape[1] != X.shape[1]:
            raise InputError(
                f'same_space=True needs to="features" and class vectors of {X.shape[1]} columns, those of X. '
                f"Got to={self.to!r} and {V.shape[1]} columns."
            )

    def scores(self, X: Doubles) -> Doubles:
        """Return cosines to the classes, (n, N)."""
        rows = X - self.x_centre_
        rows = rows @ self.map_ if self.to == "classes" else rows
        return np.asarray(normalize(rows) @ normalize(self.prototypes_).T)
