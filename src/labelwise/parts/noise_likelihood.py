"""Noise that makes the given labels likely: probabilities sent through a noise matrix, fitted by maximum likelihood.

The given label is seen as the true one sent through a matrix T that depends on the class alone:
``p(given | x) = T softmax(beta log proba(x))``. T and the sharpening beta come from expectation maximisation. Where classes
merely overlap the likelihood is highest at T = identity, so that ambiguous rows are not mistaken for wrong labels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize_scalar

Floats = NDArray[np.floating[Any]]
Doubles = NDArray[np.float64]
Codes = NDArray[np.integer[Any]]

STARTS, TRIAL, STEPS = (0.02, 0.3), 12, 48
"""Noise rates that expectation maximisation starts from, steps of every start, and steps of the more likely one."""
POOL_RATE = 20.0
"""Rows' worth of trust in one noise rate for all classes."""
POOL_DIRECTION = 5.0
"""Wrong labels' worth of trust in one distribution of wrong labels for all classes."""
LIKELIHOOD_DROP = 1.92
"""Half the 95 % point of chi-square with one degree of freedom: what counts as accepted in an interval of 90 %."""
FEW = 8
"""Fewer columns than this are added from left to right by a sum over rows, too; a maximum knows no order."""
MULTIPLES = (0.0, 0.25, 0.5, 0.7, 0.85, 1.0, 1.15, 1.3, 1.6, 2.0, 3.0)
"""Multiples of the fitted noise whose likelihoods make the interval."""


class Likelihood(NamedTuple):
    """A noise matrix (given, true), the sharpening of the probabilities, and what the likelihood accepts beside them."""

    matrix: Doubles
    beta: float
    accepted: tuple[float, float]
    """Smallest and largest share of wrong labels among the rows it was fitted on."""
    multiples: tuple[float, float]
    """Smallest and largest accepted multiple of the noise, relative to `matrix`."""

    def look(self, proba: Floats, given: Codes) -> tuple[Doubles, Doubles]:
        """Return P(given label wrong) and P(the model's first class is not the true one) of every row, (n,) each."""
        clean = _soft(_log(proba), self.beta)
        return _wrong(self.matrix, clean, given), np.asarray(1 - clean.max(1), dtype=np.float64)


def fit_likelihood(proba: Floats, given: Codes, drop: float = LIKELIHOOD_DROP) -> Likelihood:
    """Fit the noise to probabilities (n, K) and codes (n,); accept what lowers the log likelihood by less than `drop`.

    T is fitted on some of the rows, and the multiples of its noise that the others accept are kept; the multiple they
    like best is the estimate.
    """
    log = _log(proba)
    multiple, kept, shares = _accepted(log, given, drop)
    T, beta = _fit(log, given)
    high = max(shares[1], float(_wrong(T, _soft(log, beta), given).mean()))
    T = scaled(T, multiple)
    beta, _ = _best_beta(T, log, given)
    relative = (kept[0] / multiple, kept[1] / multiple) if multiple else (0.0, 1.0)
    return Likelihood(T, beta, (shares[0], high), relative)


def _log(proba: Floats) -> NDArray[np.float32]:
    log: NDArray[np.float32] = np.log(np.maximum(proba, 1e-12)).astype(np.float32)
    return log


def _soft(log: Floats, beta: float) -> Floats:
    scores = log * np.float32(beta)
    scores -= _along_rows(np.maximum, scores)
    np.exp(scores, out=scores)
    scores /= _along_rows(np.add, scores)
    return scores


def _along_rows(combine: np.ufunc, values: Floats) -> Floats:
    """Return ``combine.reduce`` of each row, ``(n, 1)``, bit for bit; of few columns by column, which is much faster."""
    if values.shape[1] >= (4 * FEW if combine is np.maximum else FEW):
        return np.asarray(combine.reduce(values, axis=1, keepdims=True))
    total = values[:, 0].copy()
    for column in values.T[1:]:
        combine(total, column, out=total)
    return total[:, None]


def _likelihood(chances: Floats, clean: Floats) -> float:
    """Return the mean log likelihood of the given labels, whose `chances` under each true class are (n, K)."""
    joint = np.einsum("ij,ij->i", chances, clean)
    return float(np.log(np.maximum(joint, 1e-30)).mean(dtype=np.float64))


def _best_beta(T: Doubles, log: Floats, given: Codes) -> tuple[float, float]:
    """Return the sharpening of the probabilities that makes the given labels most likely, and its log likelihood."""
    chances = T.astype(log.dtype)[given]
    found = minimize_scalar(
        lambda b: -_likelihood(chances, _soft(log, float(np.exp(b)))), bounds=(-2, 2.5), method="bounded",
        options={"xatol": 0.03},
    )  # fmt: skip
    return float(np.exp(found.x)), -float(found.fun)


def _fit(log: Floats, given: Codes) -> tuple[Doubles, float]:
    """Return the noise matrix and the sharpening by expectation maximisation, from little and from much noise."""
    k = log.shape[1]
    member = sparse.csr_matrix((np.ones(len(given), np.float32), (given, np.arange(len(given)))), (k, len(given)))
    tries = [_climb(_uniform(k, rate), log, given, member, TRIAL) for rate in STARTS]
    beta_likelihood = [_best_beta(T, log, given) for T in tries]
    best = int(np.argmax([likelihood for _, likelihood in beta_likelihood]))
    T = _climb(tries[best], log, given, member, STEPS)
    return T, _best_beta(T, log, given)[0]


def _uniform(k: int, rate: float) -> Doubles:
    T = np.full((k, k), rate / max(1, k - 1))
    np.fill_diagonal(T, 1 - rate)
    return T


def _climb(T: Doubles, log: Floats, given: Codes, member: Any, steps: int) -> Doubles:
    """Return the noise matrix after at most `steps` steps of expectation maximisation, sharpened anew every 6."""
    for step in range(steps):
        if step % 6 == 0:
            clean = _soft(log, _best_beta(T, log, given)[0])
        posterior = T.astype(np.float32)[given]
        posterior *= clean
        posterior /= _along_rows(np.add, posterior)
        last, T = T, _pooled(np.asarray(member @ posterior, dtype=np.float64))
        if np.abs(T - last).max() < 1e-4 and step % 6:
            break
    return T


def _pooled(counts: Doubles) -> Doubles:
    """Return the noise matrix of expected (given, true) counts, rates and directions of small classes drawn to all."""
    k = len(counts)
    off = counts.copy()
    np.fill_diagonal(off, 0)
    wrong, total = off.sum(0), counts.sum(0)
    rate = (wrong + POOL_RATE * wrong.sum() / total.sum()) / (total + POOL_RATE)
    common = (off.sum(1) + 1.0) / (off.sum() + k)
    towards = off + POOL_DIRECTION * common[:, None]
    np.fill_diagonal(towards, 0)
    T: Doubles = towards / np.maximum(towards.sum(0), 1e-300) * rate
    np.fill_diagonal(T, 1 - rate)
    return T


def _wrong(T: Doubles, clean: Floats, given: Codes) -> Doubles:
    joint = np.einsum("ij,ij->i", T[given], clean)
    right = T[given, given] * clean[np.arange(len(given)), given]
    wrong: Doubles = 1 - right / np.maximum(joint, 1e-300)
    return wrong


def scaled(T: Doubles, multiple: float) -> Doubles:
    """Return the noise matrix with `multiple` times the noise, at most 90 % in a class."""
    multiple = min(multiple, 0.9 / max(1e-9, 1 - float(T.diagonal().min())))
    return (1 - multiple) * np.eye(len(T)) + multiple * T


def _accepted(log: Floats, given: Codes, drop: float) -> tuple[float, tuple[float, float], tuple[float, float]]:
    """Return which multiple of the noise fitted on the other folds each fold likes best; multiples and shares accepted.

    A noise matrix fitted to chance is of no use to other rows, so the best multiple is then near 0.
    """
    if len(given) < 2:
        return 0.0, (0.0, 1.0), (0.0, 0.0)
    folds = 2 if len(given) > 5000 else min(5, len(given))
    fold = np.arange(len(given)) % folds
    likelihood, share = np.zeros(len(MULTIPLES)), np.zeros(len(MULTIPLES))
    for left_out in range(folds):
        train, test = fold != left_out, fold == left_out
        T, _ = _fit(log[train], given[train])
        for number, multiple in enumerate(MULTIPLES):
            noise = scaled(T, multiple)
            beta, value = _best_beta(noise, log[test], given[test])
            likelihood[number] += value * test.sum()
            share[number] += _wrong(noise, _soft(log[test], beta), given[test]).sum() / len(given)
    kept = likelihood.max() - likelihood < drop
    multiples = np.asarray(MULTIPLES)[kept]
    ends = float(share[kept].min()), float(share[kept].max())
    return MULTIPLES[int(likelihood.argmax())], (float(multiples.min()), float(multiples.max())), ends
