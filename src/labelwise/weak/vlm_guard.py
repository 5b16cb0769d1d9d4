"""VLMGuard: a detector of malicious inputs from an unlabelled mixture."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm
from sklearn.base import ClassifierMixin, clone
from sklearn.metrics import roc_auc_score
from sklearn.utils.validation import check_is_fitted

from labelwise.base import UNLABELED, Card, Count, Estimate, Fields, InputError, Method, Range
from labelwise.rows import checked_rows

Floats = NDArray[np.floating[Any]]
SHARES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
"""Shares of the mixture that may be taken for malicious, tried on the validation rows."""
DIRECTIONS = (1, 2, 3, 5, 10)


class Setting(NamedTuple):
    """What a score is made of: how many directions, which sign, and what share of the rows lies above the threshold."""

    directions: int
    sign: int
    share: float


class VLMGuard(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Find the few malicious rows of an unlabelled mixture by its leading directions, and learn to detect others.

    Rows are scored by ``mean over the leading singular directions of s_j <f, v_j>^2``, as malicious inputs are taken to
    stretch the mixture in some directions. Rows above a threshold are positive, the others negative, and a classifier is
    trained on them; it, not the score, is used to predict. A few labelled rows choose the number of directions, the
    threshold and the sign of the score, and others of them tell whether it works at all.

    Parameters
    ----------
    directions
        Singular directions of the score; ``auto`` tries 1 to 10 on the labelled rows, and takes 1 without them.
    share
        Share of the mixture above the threshold, in (0, 1); ``auto`` tries 1 % to 50 % on the labelled rows, and takes 10 %
        without them.
    estimator
        Classifier of rows, which takes ``sample_weight``; by default a network with one hidden layer and the sigmoid loss,
        every class weighing the same.
    random_state
        Seed.

    Attributes
    ----------
    classes_ : array([0, 1])
        Harmless, malicious.
    setting_ : Setting
        Directions, sign and share that are used.
    score_auroc_, auroc_ : Estimate or None
        AUROC of the score and of the classifier with 90 % intervals, on the half of the labelled rows that did not choose
        the setting; None with fewer than two labelled rows of either class.
    reliable_ : bool or None
        Whether the lower end of `auroc_` is above 0.5; None where nothing could be checked.
    why_ : str
        The same in words.

    Notes
    -----
    Fails, and says so given labelled rows, where malicious rows are so few, or differ in directions of so little variance,
    that others lead the mixture. The sigmoid loss of two classes is the mean absolute error of their probabilities.

    References
    ----------
    VLMGuard: Defending VLMs against Malicious Prompts via Unlabeled Data, 2024 (paper 143).

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> bad = np.arange(600) % 10 == 0
    >>> X = rng.normal(size=(600, 8)) + 6 * bad[:, None] * np.eye(8)[0]
    >>> y = np.where(np.arange(600) < 80, bad, -1)  # a few labels, the rest unknown
    >>> guard = VLMGuard(estimator=LogisticRegression()).fit(X, y)
    >>> guard.reliable_, bool((guard.predict(X) == bad).mean() > 0.95)
    (True, True)
    """

    directions: Literal["auto"] | Annotated[int, Count] = "auto"
    share: Literal["auto"] | Annotated[float, Range(low=0, high=1, low_open=True, high_open=True)] = "auto"
    estimator: Any = None
    random_state: int | None = 0

    card = Card(
        paper=143, year=2024, reference="VLMGuard: Defending VLMs against Malicious Prompts via Unlabeled Data, 2024.",
        kind="estimator", handles=frozenset({"missing labels", "poisoning", "outliers"}), supervision=frozenset(),
        needs=frozenset({"unlabelled rows"}),
        apart="It needs a mixture in which one class is rare and stretches it; a race cannot know.",
    )  # fmt: skip
    tune = {"directions": [1, 2, 5], "share": [0.05, 0.1, 0.2]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return a mixture with a tenth of shifted rows, for the common checks."""
        from sklearn.linear_model import LogisticRegression

        rng = np.random.default_rng(0)
        bad = (np.arange(500) % 10 == 0).astype(int)
        X = rng.normal(size=(500, 6)) + 6 * bad[:, None] * np.eye(6)[0]
        return {
            "X": X[:300], "y": None, "X_test": X[300:], "y_test": bad[300:], "floor": 0.8, "features": False,
            "fields": {"estimator": LogisticRegression()},
        }  # fmt: skip

    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Score the mixture, split it, and train the detector.

        Parameters
        ----------
        X
            Features ``(n, d)``, such as hidden states of a model.
        y
            0 harmless, 1 malicious, -1 unknown; the known ones only choose and check the setting. None: all unknown.

        Raises
        ------
        InputError
            Labels other than -1, 0 and 1, or no unlabelled row.
        """
        self.check_fields()
        X = checked_rows(self, X, dtype=np.float64)
        marks = read_marks(y, len(X))
        mixture = X[marks == UNLABELED]
        self.classes_, self.mean_ = np.array([0, 1]), mixture.mean(0)
        _, spread, self.axes_ = np.linalg.svd(mixture - self.mean_, full_matrices=False)
        self.spread_ = spread
        chosen, held = halves(marks)
        checked = bool(len(held))
        self.setting_ = self._choose(mixture, X[chosen], marks[chosen]) if checked else self._unchecked()
        scores = self.score_rows(mixture)
        above = scores > np.quantile(scores, 1 - self.setting_.share)
        if not above.any() or above.all():
            raise InputError(
                f"X has {len(mixture)} unlabelled rows, none of which stands out from the others along a direction: "
                "nothing can be told apart. Give more rows, or rows that differ."
            )
        self.estimator_ = self._learn(mixture, above.astype(int))
        self._tell(X[held], marks[held])
        return self

    def score_rows(self, X: Any) -> Floats:
        """Return how malicious each row looks by the leading directions alone, (n,); higher is worse."""
        check_is_fitted(self)
        X = checked_rows(self, X, dtype=np.float64, reset=False)
        return self.setting_.sign * self._score(X, self.setting_.directions)

    def predict_proba(self, X: Any) -> Floats:
        """Return the probabilities of harmless and malicious, (n, 2)."""
        check_is_fitted(self)
        X = checked_rows(self, X, dtype=np.float64, reset=False)
        return np.asarray(self.estimator_.predict_proba(X))

    def predict(self, X: Any) -> NDArray[np.integer[Any]]:
        """Return 1 for rows that look malicious, else 0, (n,)."""
        return np.asarray(self.predict_proba(X).argmax(1))

    def _score(self, X: Floats, k: int) -> Floats:
        return np.asarray(((X - self.mean_) @ self.axes_[:k].T) ** 2 @ self.spread_[:k] / min(k, len(self.spread_)))

    def _choose(self, mixture: Floats, known: Floats, truth: Any) -> Setting:
        """Directions and sign by AUROC, then the threshold by balanced accuracy, on the labelled rows."""
        tried = [k for k in DIRECTIONS if k <= len(self.spread_)] if self.directions == "auto" else [self.directions]
        aurocs = {k: roc_auc_score(truth, self._score(known, k)) for k in tried}
        k = max(tried, key=lambda k: abs(aurocs[k] - 0.5))
        sign = 1 if aurocs[k] >= 0.5 else -1
        shares = SHARES if self.share == "auto" else (self.share,)
        scores, own = sign * self._score(known, k), sign * self._score(mixture, k)

        def balanced(share: float) -> float:
            above = scores > np.quantile(own, 1 - share)
            return float(above[truth == 1].mean() - above[truth == 0].mean())

        return Setting(k, sign, max(shares, key=balanced))

    def _unchecked(self) -> Setting:
        directions = 1 if self.directions == "auto" else self.directions
        return Setting(directions, 1, 0.1 if self.share == "auto" else self.share)

    def _learn(self, X: Floats, codes: Any) -> Any:
        weight = len(codes) / (2 * np.bincount(codes, minlength=2)[codes])
        return self._model().fit(X, codes, sample_weight=weight)

    def _model(self) -> Any:
        if self.estimator is not None:
            return clone(self.estimator)
        from labelwise.learner import Classifier, Train
        from labelwise.losses import MAE

        train = Train(epochs=30, batch_size=64, progress=False)
        return Classifier(net="mlp", criterion=MAE(), train=train, random_state=self.random_state)

    def _tell(self, known: Floats, truth: Any) -> None:
        if not len(truth):
            self.score_auroc_ = self.auroc_ = self.reliable_ = None
            self.why_ = "Not checked: that takes at least two labelled rows of each class, better fifty."
            return
        self.score_auroc_ = auroc(truth, self.score_rows(known))
        self.auroc_ = auroc(truth, self.predict_proba(known)[:, 1])
        self.reliable_ = bool(self.auroc_.low > 0.5)
        told = f"AUROC {self.auroc_} on {len(truth)} labelled rows"
        verdict = "It tells the classes apart" if self.reliable_ else "Do not use it, it may be guessing"
        self.why_ = f"{verdict}: {told}."


def halves(marks: Any) -> tuple[Any, Any]:
    """Return labelled rows that choose and labelled rows that check, each with both classes; none where that cannot be."""
    rows = [np.flatnonzero(marks == code) for code in (0, 1)]
    if min(map(len, rows)) < 2:
        return np.empty(0, int), np.empty(0, int)
    return np.concatenate([own[::2] for own in rows]), np.concatenate([own[1::2] for own in rows])


def read_marks(y: ArrayLike | None, n: int) -> NDArray[np.integer[Any]]:
    """Return -1, 0 or 1 for each of n rows; refuse anything else."""
    marks = np.full(n, UNLABELED) if y is None else np.asarray(y)
    if marks.shape != (n,):
        raise InputError(f"y must have one mark for each of the {n} rows. Got shape {marks.shape}.")
    wrong = ~np.isin(marks, [UNLABELED, 0, 1])
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(f"y must be 0 (harmless), 1 (malicious) or -1 (unknown). Row {row} is {marks[row]!r}.")
    if (marks == UNLABELED).sum() < 2:
        raise InputError(
            "y leaves no unlabelled rows (-1), but these are what VLMGuard learns from. Use a plain classifier."
        )
    return marks.astype(int)


def auroc(truth: Any, scores: Floats, level: float = 0.9) -> Estimate:
    """Return the AUROC with its interval after Hanley and McNeil (1982)."""
    value = float(roc_auc_score(truth, scores))
    one, zero = int((truth == 1).sum()), int((truth == 0).sum())
    twice, thrice = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + (one - 1) * (twice - value**2) + (zero - 1) * (thrice - value**2)
    half = float(norm.ppf(0.5 + level / 2) * np.sqrt(max(variance, 0) / (one * zero)))
    return Estimate(value, max(value - half, 0.0), min(value + half, 1.0), level)
