"""Linear regression from the means of bags, in closed form (Javanmard et al. 2024)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.linalg import eigh
from sklearn.base import RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from labelwise.base import Card, Count, Fields, Fraction, InputError, Method
from labelwise.rows import checked_rows
from labelwise.supervision import infer
from labelwise.supervision.beside import moderate
from labelwise.weak.bag_trials import real_bags

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RHOS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""What ``rho="auto"`` tries."""


class BagLinearRegression(RegressorMixin, Method, Fields):  # type: ignore[misc]
    """Least squares of rows from the mean targets of bags, between bag level and instance level, in closed form.

    With bags' mean features ``Xb (B, d)`` and rows' deviations from them ``Xw (n, d)``, each divided by the square root of
    its bag's size, ``w = pinv(Xb' Xb / B + rho * Xw' Xw / B) Xb' y / B``: the minimum of ``(1 - rho) * L_bag + rho * L_ins``
    (see `BagRegressor`), and the shortest such `w` where there are several. Features and means are centred first, so that
    the intercept is not penalised.

    Parameters
    ----------
    rho
        Weight of the instance level in [0, 1], or ``auto``: of `RHOS`, the one with the smallest squared error of the means
        of bags left out, in `folds` folds.
    folds
        Folds of bags for ``auto``, >= 2 (fewer where there are fewer bags).
    random_state
        Seed of the folds.

    Attributes
    ----------
    coef_ : float array of shape (d,) or (m, d)
    intercept_ : float or float array of shape (m,)
    rho_ : float
    bag_losses_ : dict
        Mean squared error of the means of bags left out for every `rho` tried.

    References
    ----------
    Javanmard, Chen, Mirrokni, Badanidiyuru, Fu: Learning from Aggregate responses: Instance Level versus Bag Level Loss
    Functions, ICLR 2024 (paper 42).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X, bags = rng.normal(size=(400, 2)), np.repeat(np.arange(100), 4)
    >>> means = np.bincount(bags, X @ [1.0, -2.0]) / 4
    >>> BagLinearRegression(rho=0.0).fit(X, means, bags=bags).coef_.round(6)
    array([ 1., -2.])
    """

    rho: Annotated[float, Fraction] | Literal["auto"] = "auto"
    folds: Annotated[int, Count] = 5
    random_state: int | np.random.RandomState | None = 0

    card = Card(
        paper=42, year=2024, kind="estimator", handles=frozenset({"few labels"}), supervision=frozenset({"bags"}),
        task="regression", reference="Javanmard et al., Learning from Aggregate responses, ICLR 2024.", cost="seconds",
        needs=frozenset({"bags"}), apart="A race compares methods by the targets of rows, and here only bags have any.",
    )  # fmt: skip
    tune = {"rho": [*RHOS]}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X: Any, y: Any, bags: ArrayLike | None = None) -> Self:
        """Fit to the means of bags.

        Parameters
        ----------
        X
            Features ``(n, d)``.
        y
            Mean targets of the bags ``(B,)`` or ``(B, m)``; bags with NaN are left out.
        bags
            Number of each row's bag ``(n,)``, 0 to B - 1; bags of one row are allowed. None: every row is a bag.

        Raises
        ------
        InputError
            Means or bags that do not fit each other or X.
        """
        self.check_fields()
        Z = np.asarray(checked_rows(self, X, None if y is None else "no_validation", dtype=np.float64))
        found = infer(y, bags=np.arange(len(Z)) if bags is None else bags, kind="bags", n_rows=len(Z))
        values, bag = found.need("values"), found.need("bags")
        targets = moderate(values).reshape(len(values), -1)
        known = np.asarray(np.isfinite(targets).all(1))
        if not known.any():
            raise InputError("y: every bag has a missing mean (NaN). At least one bag needs all of its means.")
        means, deviations = split_up(Z, bag)
        self.bag_losses_: dict[float, float] = {}
        self.rho_ = self.rho if not isinstance(self.rho, str) else self._chosen(means, deviations, bag, targets, known)
        coef, intercept = solve(means[known], scatter(deviations[known[bag]]), targets[known], self.rho_)
        self.intercept_: Any
        self.coef_, self.intercept_ = (coef[:, 0], float(intercept[0])) if values.ndim == 1 else (coef.T, intercept)
        return self

    def _chosen(self, means: Floats, deviations: Floats, bag: Ints, targets: Floats, known: NDArray[np.bool_]) -> float:
        """Return the `rho` with which the means of bags left out are foretold best."""
        folds = min(self.folds, int(known.sum()))
        if folds < 2:
            return 0.0
        fold = np.full(len(means), -1)
        fold[known] = check_random_state(self.random_state).permutation(int(known.sum())) % folds
        each = [scatter(deviations[fold[bag] == f]) for f in range(folds)]
        error = np.zeros(len(RHOS))
        for f in range(folds):
            kept, held = known & (fold != f), fold == f
            for r, rho in enumerate(RHOS):
                coef, intercept = solve(means[kept], sum(each) - each[f], targets[kept], rho)
                error[r] += float(((means[held] @ coef + intercept - targets[held]) ** 2).sum())
        self.bag_losses_ = dict(zip(RHOS, (error / known.sum()).tolist(), strict=True))
        return RHOS[int(error.argmin())]

    def predict(self, X: Any) -> Floats:
        """Return targets of rows ``(n,)``, or ``(n, m)`` when y had several columns."""
        check_is_fitted(self)
        Z = checked_rows(self, X, dtype=np.float64, reset=False)
        return np.asarray(Z @ self.coef_.T + self.intercept_)

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return bags of diabetes for the common checks."""
        return real_bags()


def split_up(Z: Floats, bag: Ints) -> tuple[Floats, Floats]:
    """Return mean features of bags ``(B, d)``, and rows' deviations from them over the root of the bag's size ``(n, d)``."""
    size = np.bincount(bag)
    member = sparse.csr_array((1 / size[bag], (bag, np.arange(len(Z)))), shape=(len(size), len(Z)))
    means = np.asarray(member @ Z)
    return means, (Z - means[bag]) / np.sqrt(size[bag])[:, None]


def scatter(rows: Floats) -> Floats:
    """Return the sum of outer products ``(d, d)``."""
    return rows.T @ rows


def solve(means: Floats, within: Floats, targets: Floats, rho: float) -> tuple[Floats, Floats]:
    """Return the shortest minimiser of the interpolated loss, ``(d, m)``, and its intercepts ``(m,)``."""
    centre, level = means.mean(0), targets.mean(0)
    Xb, yb = means - centre, targets - level
    values, vectors = eigh((scatter(Xb) + rho * within) / len(means))
    kept = values > len(values) * np.finfo(float).eps * values[-1]
    inverse = np.divide(1, values, out=np.zeros_like(values), where=kept)
    coef = vectors @ (inverse[:, None] * (vectors.T @ (Xb.T @ yb / len(means))))
    return coef, level - centre @ coef
