"""Class shares of domains from which cells their rows fall into: histogram, factors, and the classes of rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning

from labelwise.parts.threads import one_thread

Doubles = NDArray[np.float64]
Codes = NDArray[np.integer[Any]]

SMALL = 1e-9
SLACK = 1.05
"""Factors are as good as the nearest when their distance is at most this many times the least."""
RARE = 0.3
"""A cell with less than this part of the average mass is not taken for a corner: few rows make it a corner by chance."""


def histogram(cells: Codes, domains: Codes, n_cells: int, n_domains: int) -> Doubles:
    """Return ``p(cell | domain)``, shape (n_cells, n_domains); columns sum to one.

    >>> histogram(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 1]), 2, 2).round(2)
    array([[0.67, 0.  ],
           [0.33, 1.  ]])
    """
    counts = np.bincount(cells * n_domains + domains, minlength=n_cells * n_domains).reshape(n_cells, n_domains)
    return np.asarray(counts / counts.sum(0))


def corners(centres: Doubles, mass: Doubles, n_classes: int) -> Doubles:
    """Return the rows of `centres` that the others are mixtures of: successive projection (Araujo and others 2001)."""
    rest, found = centres.copy(), []
    heavy = mass >= RARE * mass.mean()
    for _ in range(n_classes):
        best = int(np.where(heavy, (rest**2).sum(1), -1).argmax())
        found.append(best)
        axis = rest[best] / max(np.linalg.norm(rest[best]), SMALL)
        rest -= np.outer(rest @ axis, axis)
    return np.asarray(centres[found])


def factorise(table: Doubles, starts: list[Doubles], n_random: int, rng: np.random.Generator) -> Doubles:
    """Return ``p(class | domain)`` (K, r) of factors ``p(cell | class) p(class | domain)`` near to `table`.

    The Kullback-Leibler distance is minimised from every start. Many factors come equally near: of those the ones are
    kept whose ``p(domain | class)`` span the smallest volume, as they do when every class has cells of its own.

    Parameters
    ----------
    table
        ``p(cell | domain)`` (m, r).
    starts
        Guesses of ``p(domain | class)`` (K, r).
    n_random
        Random starts beside them.
    rng
        Draws those.
    """
    n_classes, n_domains = starts[0].shape
    guesses = [*starts, *(rng.dirichlet(np.ones(n_domains), n_classes) for _ in range(n_random))]
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = [_factors(table, guess) for guess in guesses]
    least = min(distance for distance, _ in found)
    near = [shares for distance, shares in found if distance <= SLACK * least + 1e-9]
    return min(near, key=_volume)


def _volume(shares: Doubles) -> float:
    """Return the logarithm of the volume that the classes' distributions over domains span, but for a constant."""
    spread = shares / shares.sum(1, keepdims=True)
    return float(np.linalg.slogdet(spread @ spread.T + SMALL * np.eye(len(spread)))[1])


def _factors(table: Doubles, guess: Doubles) -> tuple[float, Doubles]:
    shares = np.maximum(guess, SMALL)
    cells = np.maximum(table @ np.linalg.pinv(guess), SMALL)
    model = NMF(
        len(guess), init="custom", solver="mu", beta_loss="kullback-leibler", max_iter=1000, tol=1e-5
    )  # fmt: skip
    left = model.fit_transform(table, W=cells, H=shares)
    shares = model.components_ * left.sum(0)[:, None] + SMALL
    return float(model.reconstruction_err_), np.asarray(shares / shares.sum(0))


def class_given_row(domain_proba: Doubles, domain_given_class: Doubles, rounds: int = 100) -> Doubles:
    """Return ``p(class | row)`` (n, K) whose mixture of ``p(domain | class)`` (r, K) is nearest to ``p(domain | row)``.

    Nearest in Kullback-Leibler distance, by multiplicative steps that keep the rows on the simplex.
    """
    n_classes = domain_given_class.shape[1]
    proba = np.full((len(domain_proba), n_classes), 1 / n_classes)
    for _ in range(rounds):
        proba *= (domain_proba / np.maximum(proba @ domain_given_class.T, SMALL)) @ domain_given_class
        proba /= proba.sum(1, keepdims=True)
    return proba


def cluster(rows: Doubles, n_cells: int, rng: np.random.Generator) -> tuple[Codes, Doubles]:
    """Return the k-means cell of each row, and the centres."""
    with one_thread(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different rows than cells
        model = KMeans(n_cells, n_init=5, max_iter=100, random_state=int(rng.integers(2**31))).fit(rows)
    return model.labels_, np.asarray(model.cluster_centers_, dtype=np.float64)


def overlap(table: Doubles) -> Doubles:
    """Return how much of two domains' rows falls into the same cells, (r, r) in [0, 1]; the diagonal is 0."""
    shared = np.minimum(table[:, :, None], table[:, None, :]).sum(0)
    np.fill_diagonal(shared, 0)
    return np.asarray(shared)


def directions(
    cells: Codes, domains: Codes, n_cells: int, n_domains: int, rng: np.random.Generator, draws: int = 50
) -> int:
    """Return in how many directions the domains' histograms spread beyond chance: the most classes they can tell apart.

    Singular values of the histogram are compared with the second one where the domains are dealt out at random.
    """
    observed = np.linalg.svd(histogram(cells, domains, n_cells, n_domains), compute_uv=False)
    chance = [
        np.linalg.svd(histogram(cells, rng.permutation(domains), n_cells, n_domains), compute_uv=False)[1]
        for _ in range(draws)
    ]
    return 1 + int((observed[1:] > np.quantile(chance, 0.95)).sum())
