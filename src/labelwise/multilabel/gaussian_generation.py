"""Zero-shot classes by generation: a Gaussian for every class, its mean regressed from the class vector."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from sklearn.base import clone
from sklearn.covariance import ledoit_wolf
from sklearn.utils import check_random_state

from labelwise.base import Card, Count, InputError
from labelwise.multilabel.ridge_mapping import SURVEY
from labelwise.multilabel.zero_shot import Doubles, Ints, ZeroShot, class_means, regressed_means


class GaussianGeneration(ZeroShot):
    """Gives every class a Gaussian whose mean is regressed from its vector, and classifies by them or by rows drawn.

    The covariance is one for all classes, that of the seen ones (Ledoit-Wolf). Means of unseen classes come from the
    regression, those of classes with rows lie between it and their rows, the nearer to these the more there are. Without
    a `classifier` the most probable Gaussian wins: what a classifier of endlessly many drawn rows would learn. With one,
    `n_samples` rows of every unseen class are drawn and the classifier is trained on them and the real rows.

    Differs from the paper, a survey that lists generators trained against a critic: a Gaussian is the closed form.

    Parameters
    ----------
    classifier
        Any classifier with ``predict_proba`` or ``decision_function``, or None.
    n_samples
        Rows drawn of each unseen class, >= 1.

    Attributes
    ----------
    classes_ : (N,) all classes, what `predict` can return.
    seen_ : (N,) whether a class had training rows.
    means_, covariance_ : of the Gaussians, (N, d) and (d, d).
    strength_, offset_ : what was used.

    References
    ----------
    Chen, Geng, Chen, Pan, He, Zhang, Horrocks, Chen: Zero-shot and few-shot learning with knowledge graphs: a comprehensive
    survey. Proceedings of the IEEE 2023 (paper 48): data augmentation.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> attributes = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])  # of four classes, the last without a row
    >>> labels = np.r_[np.repeat([0, 1, 2], 30), 3, 3]
    >>> X = attributes[labels] @ rng.normal(size=(2, 5)) + 0.1 * rng.normal(size=(92, 5))
    >>> model = GaussianGeneration(class_vectors=attributes, strength=0.1, offset=0.0)
    >>> model.fit(X[:90], labels[:90]).predict(X[90:])
    array([3, 3])
    """

    classifier: Any = None
    n_samples: Annotated[int, Count] = 100

    card = Card(
        paper=48, year=2023, reference=SURVEY, kind="estimator", handles=frozenset({"unseen classes"}), cost="seconds",
        apart="It needs vectors or descriptions of the classes, which a table of rows does not hold.",
    )  # fmt: skip
    tune = {"strength": [0.01, 0.1, 1.0, 10.0]}

    def look(self, X: Doubles, codes: Ints, V: Doubles) -> Any:
        """Set the covariance within classes; return class means, and the rows where a classifier needs them."""
        means, counts = class_means(X, codes, len(V))
        freedom = len(X) / max(1, len(X) - int((counts > 0).sum()))
        within = ledoit_wolf(X - means[codes], assume_centered=True)[0] * freedom
        self.covariance_ = within + 1e-9 * (1 + np.trace(within)) * np.eye(len(within))
        return means, counts, X, codes

    def learn(self, found: Any, V: Doubles, strength: float) -> None:
        """Set the means, and train the classifier if there is one."""
        means, counts, X, codes = found
        centred = V - V[counts > 0].mean(axis=0)
        self.means_ = regressed_means(means, counts, float(np.trace(self.covariance_)), centred, strength)
        if self.classifier is None:
            self.weights_ = np.linalg.solve(self.covariance_, self.means_.T)
            self.bias_ = -np.einsum("nd,dn->n", self.means_, self.weights_) / 2
        else:
            self.classifier_ = self._trained(X, codes, np.flatnonzero(counts == 0))

    def _trained(self, X: Doubles, codes: Ints, unseen: Ints) -> Any:
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        drawn = np.repeat(unseen, self.n_samples)
        noise = rng.multivariate_normal(np.zeros(X.shape[1]), self.covariance_, len(drawn), method="cholesky")
        if not (hasattr(self.classifier, "predict_proba") or hasattr(self.classifier, "decision_function")):
            raise InputError(f"classifier must have predict_proba or decision_function. Got {self.classifier!r}.")
        return clone(self.classifier).fit(np.r_[X, self.means_[drawn] + noise], np.r_[codes, drawn])

    def scores(self, X: Doubles) -> Doubles:
        """Return logarithmic densities up to a row's constant, or the classifier's log probabilities, (n, N)."""
        if self.classifier is None:
            return np.asarray(X @ self.weights_ + self.bias_)
        model = self.classifier_
        if hasattr(model, "predict_proba"):
            told = np.log(np.maximum(model.predict_proba(X), 1e-12))
        else:
            told = model.decision_function(X)
            told = np.c_[-told, told] / 2 if told.ndim == 1 else told
        scores = np.full((len(X), len(self.means_)), -np.inf)
        scores[:, model.classes_] = told
        return scores
