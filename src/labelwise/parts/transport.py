"""Optimal transport of rows to clusters: entropic, whole or partial, cluster sizes fixed or only drawn towards a wish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from labelwise.base import InputError

Doubles = NDArray[np.float64]

LARGE = 1e50
"""Scalings beyond this are taken into the potentials, so that nothing overflows."""

SMALL = 1e-300


@dataclass
class Potentials:
    """Where a solver stopped: the logarithms of the plan's row and column scalings, times epsilon; a start for the next."""

    rows: Doubles
    columns: Doubles
    iterations: int = 0


def transport(
    cost: ArrayLike,
    rows: ArrayLike,
    columns: ArrayLike,
    epsilon: float = 0.1,
    relax: ArrayLike = np.inf,
    *,
    start: Potentials | None = None,
    tol: float = 1e-6,
    iterations: int = 1000,
) -> tuple[Doubles, Potentials]:
    """Return the plan Q ``(n, k)`` of least ``<Q, cost> + sum_j relax_j KL(mass_j || columns_j) + epsilon sum Q log Q``.

    Rows have exactly their mass. A column with ``relax = inf`` too; one with a finite value is drawn towards it, and one
    with 0 takes what comes. Solved by scaling rows and columns in turn; scalings that grow large are taken into the
    potentials (stabilised scaling), so that small `epsilon` neither overflows nor needs logarithms at every step.

    Parameters
    ----------
    cost
        ``(n, k)``, finite.
    rows, columns
        Masses ``(n,)`` > 0 and ``(k,)`` >= 0. Where every column is exact, their sums must agree.
    epsilon
        Weight of the entropy, > 0; small is nearly hard, and slow.
    relax
        Price of a column's deviation, >= 0, one number or one a column.
    start
        Potentials of an earlier solution of nearly the same problem.
    tol
        Stops when no column scaling changes by more, relative to itself.
    iterations
        Most rounds.

    Returns
    -------
    Doubles, Potentials
        The plan, and where the solver stopped.

    References
    ----------
    Chizat, Peyre, Schmitzer and Vialard, Scaling algorithms for unbalanced optimal transport problems, Mathematics of
    Computation 2018.

    Examples
    --------
    >>> plan, _ = transport([[0.0, 1.0], [0.1, 1.0]], rows=[0.5, 0.5], columns=[0.5, 0.5], epsilon=0.01)
    >>> plan.round(2)  # equal sizes: the row that would lose less has to move
    array([[0.5, 0. ],
           [0. , 0.5]])
    >>> transport([[0.0, 1.0], [0.1, 1.0]], [0.5, 0.5], [0.5, 0.5], epsilon=0.01, relax=0.1)[0].sum(0).round(2)
    array([1., 0.])
    """
    C, r, c, f = _checked(cost, rows, columns, epsilon, relax)
    u, v = _tight(C, np.zeros(len(c)) if start is None else start.columns)
    b, kernel, shift = _kernel(C, c, f, u, v, epsilon)
    rounds = 0
    while rounds < iterations:
        rounds += 1
        a = r / (kernel @ b)
        wanted = np.divide(c, kernel.T @ a, out=np.zeros_like(c), where=c > 0) ** f * shift
        change, b = float((np.abs(wanted - b) / np.maximum(np.maximum(wanted, b), SMALL)).max()), wanted
        if max(a.max(), b.max()) > LARGE:
            u, v = _tight(C, v + epsilon * _log(b))
            b, kernel, shift = _kernel(C, c, f, u, v, epsilon)
        elif change < tol:
            break
    a = r / (kernel @ b)
    return a[:, None] * kernel * b, Potentials(u + epsilon * np.log(a), v + epsilon * _log(b), rounds)


def _log(b: Doubles) -> Doubles:
    return np.asarray(np.log(np.maximum(b, SMALL)))


def _tight(C: Doubles, v: Doubles) -> tuple[Doubles, Doubles]:
    """Return potentials with ``u + v <= C`` and equality somewhere in every row and every column."""
    u = (C - v).min(1)
    return u, (C - u[:, None]).min(0)


def _kernel(
    C: Doubles, c: Doubles, f: Doubles, u: Doubles, v: Doubles, epsilon: float
) -> tuple[Doubles, Doubles, Doubles]:
    """Return scalings of one for columns with mass, the kernel, and what the potentials add to a relaxed scaling."""
    shift = np.exp(np.clip(v * (f - 1) / epsilon, -600, 600))
    return np.where(c > 0, 1.0, 0.0), np.exp((u[:, None] + v - C) / epsilon), shift


def partial_transport(
    cost: ArrayLike,
    mass: float,
    epsilon: float = 0.1,
    relax: float = 1.0,
    *,
    start: Potentials | None = None,
    tol: float = 1e-6,
    iterations: int = 1000,
) -> tuple[Doubles, Potentials]:
    """Return a plan ``(n, k)`` that moves only `mass` of all rows, the cheapest ones, to columns drawn towards equal sizes.

    A virtual column of cost 0 takes the rest, ``1 - mass``, exactly; so rows sum to at most ``1 / n``, and what a row
    keeps is how much it is trusted. The columns' wish is ``mass / k`` each, at the price `relax`.

    Parameters
    ----------
    cost
        ``(n, k)``, such as minus the logarithms of probabilities; not negative, as the virtual column costs 0.
    mass
        In (0, 1].
    relax
        Price of unequal sizes, >= 0; ``inf`` makes them equal.
    epsilon, start, tol, iterations
        As in `transport`.

    References
    ----------
    Zhang, Ren and He, P2OT: Progressive Partial Optimal Transport for Deep Imbalanced Clustering, ICLR 2024.
    SP2OT: Semantic-Regularized Progressive Partial Optimal Transport for Imbalanced Clustering (paper 241).

    Examples
    --------
    >>> plan, _ = partial_transport([[0.1, 3.0], [3.0, 0.1], [1.5, 1.5]], mass=2 / 3, epsilon=0.01)
    >>> (3 * plan.sum(1)).round(2)  # the row that fits neither column waits
    array([1., 1., 0.])
    """
    C = np.asarray(cost, dtype=np.float64)
    if C.ndim != 2 or not C.size:
        raise InputError(f"cost must have shape (n, k) with a row and a column at least. Got {C.shape}.")
    if not 0 < mass <= 1:
        raise InputError(f"mass must be in (0, 1]. Got {mass}.")
    n, k = C.shape
    extended = np.concatenate([C, np.zeros((n, 1))], 1)
    wish = np.append(np.full(k, mass / k), 1 - mass)
    price = np.append(np.full(k, float(relax)), np.inf)
    whole, ends = transport(
        extended, np.full(n, 1 / n), wish, epsilon, price, start=start, tol=tol, iterations=iterations
    )
    return whole[:, :k], ends


def semantic_transport(
    cost: ArrayLike,
    similarity: Any,
    mass: float,
    smoothness: float,
    epsilon: float = 0.1,
    relax: float = 1.0,
    *,
    start: Potentials | None = None,
    tol: float = 1e-6,
    rounds: int = 100,
) -> tuple[Doubles, Potentials]:
    """Return a `partial_transport` that also draws similar rows to the same column: ``- smoothness / n <S, (n Q) (n Q)'>``.

    The quadratic term is replaced by its slope at the last plan, ``cost - smoothness (S + S') n Q``, and the transport
    solved again, from the even plan on, until it stands still. Where ``S + S'`` has no negative eigenvalue no round can
    raise the objective; for other similarities that usually holds too, without a guarantee.

    Parameters
    ----------
    cost
        ``(n, k)``, as in `partial_transport`.
    similarity
        S ``(n, n)``, sparse or dense, not negative.
    mass, epsilon, relax, start, tol
        As in `partial_transport`.
    smoothness
        Weight per row and neighbour, >= 0. The paper's 1000 for 5,120 rows is 0.2 here.
    rounds
        Most transports solved.

    References
    ----------
    SP2OT: Semantic-Regularized Progressive Partial Optimal Transport for Imbalanced Clustering (paper 241).

    Examples
    --------
    >>> unsure = [[0.1, 2.0], [0.8, 0.7]]  # the second row leans to the second column, its neighbour to the first
    >>> plan, _ = semantic_transport(unsure, [[0, 1], [1, 0]], mass=1.0, smoothness=1.0, relax=0.1)
    >>> plan.argmax(1)
    array([0, 0])
    """
    C = np.asarray(cost, dtype=np.float64)
    if smoothness == 0:
        return partial_transport(C, mass, epsilon, relax, start=start, tol=tol)
    n, k = C.shape
    both = sparse.csr_matrix(similarity, dtype=np.float64)
    both = both + both.T
    plan, ends = np.full((n, k), mass / (n * k)), start
    for _ in range(rounds):
        slope = C - smoothness * n * np.asarray(both @ plan)
        moved, ends = partial_transport(slope, mass, epsilon, relax, start=ends, tol=tol)
        change = np.abs(moved - plan).sum()
        plan = moved
        if change < tol * mass:
            break
    assert ends is not None
    return plan, ends


def _checked(
    cost: ArrayLike, rows: ArrayLike, columns: ArrayLike, epsilon: float, relax: ArrayLike
) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Return cost, masses, and the exponents ``relax / (relax + epsilon)`` of the columns' scalings."""
    C, r, c = (np.asarray(each, dtype=np.float64) for each in (cost, rows, columns))
    if C.ndim != 2 or r.shape != C.shape[:1] or c.shape != C.shape[1:]:
        raise InputError(
            f"cost must have shape (n, k), rows (n,) and columns (k,). Got {C.shape}, {r.shape} and {c.shape}."
        )
    if not np.isfinite(C).all():
        raise InputError(
            f"cost must be finite. The first value that is not is in row {np.argwhere(~np.isfinite(C))[0][0]}."
        )
    if (r <= 0).any() or (c < 0).any() or not c.any():
        raise InputError("rows must hold masses above 0, columns masses of at least 0, one of them above.")
    if not epsilon > 0:
        raise InputError(f"epsilon must be above 0. Got {epsilon}.")
    price = np.broadcast_to(np.asarray(relax, dtype=np.float64), c.shape)
    if np.isnan(price).any() or (price < 0).any():
        raise InputError(f"relax must not be negative. Got {price.min()}.")
    if np.isinf(price).all() and abs(r.sum() - c.sum()) > 1e-8 * r.sum():
        raise InputError(f"rows sum to {r.sum():g} but columns to {c.sum():g}: give equal sums, or a finite relax.")
    return C, r, c, np.where(np.isinf(price), 1.0, price / (np.where(np.isinf(price), 0, price) + epsilon))
