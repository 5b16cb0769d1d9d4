"""Splitting and merging clusters by a Bayesian score, so that their number need not be known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import gammaln, multigammaln

from labelwise.parts.semi_kmeans import Clustering, Doubles, Ints, lloyd, nearest_center, semi_kmeans, squared_distances

STRAY = 0.1
"""A known class loses a half of its cluster that holds less than this share of its labelled rows."""


@dataclass(frozen=True)
class NormalInverseWishart:
    """Prior of a Gaussian's mean and covariance: ``N(mean, Sigma / kappa) IW(scale * I, nu)``, with nu >= dimensions."""

    mean: Doubles
    scale: float = 0.005
    kappa: float = 1e-4
    nu: float = 0.0

    @classmethod
    def of(cls, Z: Doubles, scale: float = 0.005, kappa: float = 1e-4) -> NormalInverseWishart:
        """Return the prior of rows ``(n, d)``: their mean, and d + 2 degrees of freedom."""
        return cls(Z.mean(0), scale, kappa, Z.shape[1] + 2.0)

    def log_marginal(self, X: Doubles) -> float:
        """Return the log probability of rows ``(n, d)`` as draws of one Gaussian, mean and covariance integrated out."""
        n, d = X.shape
        centre = X.mean(0)
        kappa, nu, shift = self.kappa + n, self.nu + n, centre - self.mean
        spread = (X - centre).T @ (X - centre) + self.kappa * n / kappa * np.outer(shift, shift)
        after = float(np.linalg.slogdet(self.scale * np.eye(d) + spread)[1])
        gammas = multigammaln(nu / 2, d) - multigammaln(self.nu / 2, d)
        volumes = (self.nu * d * np.log(self.scale) - nu * after + d * np.log(self.kappa / kappa)) / 2
        return float(gammas + volumes - n * d / 2 * np.log(np.pi))


def split_score(one: Doubles, other: Doubles, prior: NormalInverseWishart, alpha: float = 1.0) -> float:
    """Return the log Hastings ratio of two clusters against one: above 0 two are more probable.

    >>> prior = NormalInverseWishart.of(np.zeros((2, 1)), scale=1.0)
    >>> a = np.linspace(-1, 1, 30)[:, None]
    >>> split_score(a - 9, a + 9, prior) > 0 > split_score(a, a + 0.1, prior)
    True
    """
    joined = np.concatenate([one, other])
    weights = gammaln(len(one)) + gammaln(len(other)) - gammaln(len(joined))
    likelihoods = prior.log_marginal(one) + prior.log_marginal(other) - prior.log_marginal(joined)
    return float(np.log(alpha) + weights + likelihoods)


@dataclass(frozen=True)
class SplitMerge:
    """One E-step of paper 9: k-means with pinned rows, then splits and merges of clusters without labelled rows.

    Differs from the paper: a known class may lose a half of its cluster that holds hardly any labelled row, and absorb a
    cluster only when the score says so; otherwise a new class once swallowed by a known one would never come back.

    Parameters
    ----------
    prior
        Of every cluster.
    chance
        With which a split or merge that the score refuses is made all the same.
    least
        A cluster of so many rows or fewer is never split, nor into such.
    only_new
        The pool joins no known class, and no cluster is merged with one.
    """

    prior: NormalInverseWishart
    chance: float = 0.1
    least: int = 5
    only_new: bool = False

    def run(self, Z: Doubles, codes: Ints, n_new: int, rng: np.random.Generator, rounds: int = 20) -> Clustering:
        """Start from `n_new` free centres, take `rounds` steps, then steps without chance until nothing changes."""
        found = semi_kmeans(Z, codes, n_new, rng, only_new=self.only_new, starts=3)
        sure = replace(self, chance=0.0)
        for at in range(3 * rounds + 10):
            centers = found.centers
            found = (self if at < rounds else sure).step(Z, codes, found, rng)
            if at >= rounds and len(found.centers) == len(centers):
                break
        return found

    def step(self, Z: Doubles, codes: Ints, found: Clustering, rng: np.random.Generator) -> Clustering:
        """Return the clustering after one round of splits and merges."""
        n_known = int(codes.max(initial=-1)) + 1
        groups = [Z[found.labels == k] for k in range(len(found.centers))]
        split, untouched = self._splits(groups, n_known, rng)
        merged = self._merges(groups, found.centers, untouched, n_known, rng)
        shed = [] if self.only_new else self._shed(Z, codes, found.labels, n_known, rng)
        centers = np.concatenate([found.centers[:n_known], *split, *merged, *shed])
        if self.only_new and len(centers) == n_known:
            return found
        return lloyd(Z, codes, centers, first=n_known if self.only_new else 0)

    def _splits(self, groups: list[Doubles], n_known: int, rng: np.random.Generator) -> tuple[list[Doubles], list[int]]:
        """Return the centres of halves of clusters that are split, and the numbers of those that are not."""
        centers: list[Doubles] = []
        untouched: list[int] = []
        for k in range(n_known, len(groups)):
            halves = self._halves(groups[k], rng)
            if halves and (split_score(*halves, self.prior) > 0 or rng.random() < self.chance):
                centers.append(np.stack([half.mean(0) for half in halves]))
            elif len(groups[k]):
                untouched.append(k)
        return centers, untouched

    def _shed(
        self, Z: Doubles, codes: Ints, labels: Ints, n_known: int, rng: np.random.Generator
    ) -> list[Doubles]:  # fmt: skip
        """Return the centres of halves that known classes lose: those the score splits off with hardly a labelled row."""
        lost = []
        for k in range(n_known):
            rows = np.flatnonzero(labels == k)
            halves = self._halves(Z[rows], rng)
            if halves and split_score(*halves, self.prior) > 0:
                centers = np.stack([half.mean(0) for half in halves])
                side = nearest_center(Z[rows[codes[rows] == k]], centers)
                share = np.bincount(side, minlength=2) / len(side)
                lost += [centers[share < STRAY]] if share.min() < STRAY else []
        return lost

    def _halves(self, rows: Doubles, rng: np.random.Generator) -> tuple[Doubles, Doubles] | None:
        if len(rows) <= 2 * self.least:
            return None
        labels = semi_kmeans(rows, np.full(len(rows), -1), 2, rng, starts=2, steps=20).labels
        one, other = rows[labels == 0], rows[labels == 1]
        return (one, other) if min(len(one), len(other)) > self.least else None

    def _merges(
        self, groups: list[Doubles], centers: Doubles, untouched: list[int], n_known: int, rng: np.random.Generator
    ) -> list[Doubles]:  # fmt: skip
        """Return the free centres left when clusters join their nearest peer; each takes part in one merge at most."""
        peers = untouched if self.only_new else [*range(n_known), *untouched]
        kept, done = {k: centers[k] for k in untouched}, set[int]()
        for k in untouched:
            others = [peer for peer in peers if peer != k]
            if k in done or not others:
                continue
            near = others[int(squared_distances(centers[k : k + 1], centers[others]).argmin())]
            if near in done:
                continue
            by_chance = near >= n_known and rng.random() < self.chance
            if by_chance or split_score(groups[k], groups[near], self.prior) < 0:
                done |= {k, near}
                del kept[k]  # beside a known class its rows find that class's centre by themselves
                if near >= n_known:
                    kept[near] = (centers[k] + centers[near]) / 2
        return [centre[None] for centre in kept.values()]
