"""How many labels are wrong, which ones probably, and how sure that is: a noise model fitted to class probabilities."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.optimize import minimize_scalar

from labelwise.base import UNLABELED, Card, Estimate, Fields, Fraction, InputError, Method, NonNegative

Floats = NDArray[np.floating[Any]]
Doubles = NDArray[np.float64]
Codes = NDArray[np.int64]

CELLS = 2_000_000
"""Most probabilities the noise model is fitted on; beyond, a random part of the rows."""
STARTS, TRIAL, STEPS = (0.02, 0.3), 12, 48
"""Noise rates that expectation maximisation starts from, steps of every start, and steps of the more likely one."""
POOL_RATE = 20.0
"""Rows' worth of trust in one noise rate for all classes."""
POOL_DIRECTION = 5.0
"""Wrong labels' worth of trust in one distribution of wrong labels for all classes."""
ONE_SIDED = 0.5
"""What the upper end adds, relative to it, for errors that always go one way: the probabilities learn a part of them."""
LIKELIHOOD_DROP = 1.92
"""Half the 95 % point of chi-square with one degree of freedom."""
MULTIPLES = (0.0, 0.25, 0.5, 0.7, 0.85, 1.0, 1.15, 1.3, 1.6, 2.0, 3.0)
"""Multiples of the fitted noise whose likelihoods make the interval."""
BLOCK = 65536


class LabelNoiseResult(NamedTuple):
    """What `LabelNoise` finds.

    Attributes
    ----------
    share
        Share of the given labels that are wrong.
    noise_matrix
        P(given i | true j) in ``[i, j]``, (K, K); columns sum to 1.
    error_probability
        P(given label wrong) of every row, (n,); NaN where unlabelled.
    systematic
        Share of the rows that may be called wrong only because the model is; part of every interval.
    accepted
        Smallest and largest share of wrong labels that the likelihood accepts.
    """

    share: Estimate
    noise_matrix: Doubles
    error_probability: Doubles
    systematic: float
    accepted: tuple[float, float]

    @property
    def supported(self) -> bool:
        """Whether rows that the noise was not fitted to confirm it: they are likelier with it than without."""
        return self.accepted[0] > 0

    def precision(self, rows: ArrayLike) -> Estimate:
        """Return the expected share of wrong labels among `rows` (row numbers or a mask), with its interval."""
        wrong = self.error_probability[np.asarray(rows)]
        labelled = np.count_nonzero(~np.isnan(self.error_probability))
        if not len(wrong):
            return Estimate(np.nan, 0.0, 1.0, self.share.level)
        chance = 1.645 * np.sqrt((wrong * (1 - wrong)).sum()) / len(wrong)
        per_row = labelled / len(wrong)  # at worst all that is in doubt lies among these rows
        value = float(wrong.mean())
        low = value * self.accepted[0] / max(self.share.value, 1e-12) - self.systematic * per_row - chance
        high = value + (self.accepted[1] - self.share.value + self.systematic) * per_row + chance
        return Estimate(value, max(0.0, low), min(1.0, high), self.share.level)


class LabelNoise(Method, Fields):
    """Share of wrong labels and each label's probability of being wrong, from out-of-sample probabilities.

    The given label is seen as the true one sent through a noise matrix T that depends on the class alone:
    ``p(given | x) = T softmax(beta log proba(x))``. T and beta are fitted by maximum likelihood (expectation
    maximisation); then ``P(wrong) = 1 - T_gg p_g / (T p)_g`` for the given class g. Where classes merely overlap the
    likelihood is highest at T = identity, so that ambiguous rows are not mistaken for wrong labels.

    The interval has two parts. The likelihood part: T is fitted on some of the rows, and the multiples of its noise that the
    others accept are kept; the multiple they like best is the estimate. The systematic part: rows on which the model is
    confidently wrong look like label errors. On a dozen data sets with labels known to be right, about a seventh of the
    model's own error rate at most was mistaken so; this much (`doubt`) is added on both sides. The upper end also allows for
    errors that always go from one class to one other: the probabilities themselves learn a part of them, so that the
    estimate is then too low, by a quarter to a half where classes are apart and by more where they overlap.

    Parameters
    ----------
    doubt
        Share of the model's error rate that may be mistaken for wrong labels.
    level
        Nominal confidence of the intervals.

    References
    ----------
    Giorgio Patrini et al.: Making Deep Neural Networks Robust to Label Noise: a Loss Correction Approach. CVPR 2017
    (the forward model). Fitting it after training, and its intervals, are this library's.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, truth = rng.normal(size=2000), rng.integers(0, 2, 2000)
    >>> proba = 1 / (1 + np.exp(-4 * (x + 2 * truth - 1)))  # classes overlap: their best accuracy is 0.84
    >>> given = np.where(rng.random(2000) < 0.1, 1 - truth, truth)
    >>> print(LabelNoise().measure(given, np.stack([1 - proba, proba], 1)).share)
    0.0867 [0.0159, 0.198]
    """

    doubt: Annotated[float, NonNegative] = 0.15
    level: Annotated[float, Fraction] = 0.9

    card = Card(kind="diagnostic", year=2017, handles=frozenset({"noise"}), cost="seconds")

    def measure(self, y: ArrayLike, proba: ArrayLike, *, rng: np.random.Generator | None = None) -> LabelNoiseResult:
        """Fit the noise model to class codes `y` (n,), -1 where unlabelled, and out-of-sample `proba` (n, K)."""
        self.check_fields()
        codes, P = np.asarray(y, dtype=np.int64), np.asarray(proba)
        if P.ndim != 2 or codes.shape != P.shape[:1] or codes.max(initial=-1) >= P.shape[1]:
            raise InputError(f"proba must be (n, K) for the n codes of y. Got {P.shape} for {codes.shape} codes.")
        labelled = np.flatnonzero(codes != UNLABELED)
        if not len(labelled):
            raise InputError("y has no labelled row.")
        rng = rng or np.random.default_rng(0)
        rows = rng.permutation(labelled)[: max(1000, CELLS // P.shape[1])]
        log, given = _log(P[rows]), codes[rows]
        multiple, low, high = _accepted(log, given)
        T, beta = _fit(log, given)
        high = max(high, float(_wrong(T, _soft(log, beta), given).mean()))
        T = _scaled(T, multiple)
        beta, _ = _best_beta(T, log, given)
        wrong = np.full(len(codes), np.nan)
        error = 0.0
        for start in range(0, len(labelled), BLOCK):
            some = labelled[start : start + BLOCK]
            clean = _soft(_log(P[some]), beta)
            error += float((1 - clean.max(1)).sum())
            wrong[some] = _wrong(T, clean, codes[some])
        share, systematic = float(np.nanmean(wrong)), self.doubt * error / len(labelled)
        low, high = min(low, share), max(high, share)
        doubt = systematic + 1.645 * float(np.sqrt(share * (1 - share) / len(labelled)))
        estimate = Estimate(share, max(0.0, low - doubt), min(1.0, (1 + ONE_SIDED) * high + doubt), self.level)
        return LabelNoiseResult(estimate, T, wrong, systematic, (low, high))


def _log(proba: Floats) -> NDArray[np.float32]:
    log: NDArray[np.float32] = np.log(np.maximum(proba, 1e-12)).astype(np.float32)
    return log


def _soft(log: Floats, beta: float) -> Floats:
    scores = log * np.float32(beta)
    scores -= scores.max(1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(1, keepdims=True)
    return scores


def _likelihood(T: Doubles, clean: Floats, given: Codes) -> float:
    """Return the mean log likelihood of the given labels."""
    joint = np.einsum("ij,ij->i", T[given].astype(clean.dtype), clean)
    return float(np.log(np.maximum(joint, 1e-30)).mean(dtype=np.float64))


def _best_beta(T: Doubles, log: Floats, given: Codes) -> tuple[float, float]:
    """Return the sharpening of the probabilities that makes the given labels most likely, and its log likelihood."""
    found = minimize_scalar(
        lambda b: -_likelihood(T, _soft(log, float(np.exp(b))), given), bounds=(-2, 2.5), method="bounded",
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
        posterior = T[given].astype(np.float32) * clean
        posterior /= posterior.sum(1, keepdims=True)
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


def _scaled(T: Doubles, multiple: float) -> Doubles:
    """Return the noise matrix with `multiple` times the noise, at most 90 % in a class."""
    multiple = min(multiple, 0.9 / max(1e-9, 1 - float(T.diagonal().min())))
    return (1 - multiple) * np.eye(len(T)) + multiple * T


def _accepted(log: Floats, given: Codes) -> tuple[float, float, float]:
    """Return which multiple of the noise fitted on the other folds each fold likes best, and which shares they accept.

    A noise matrix fitted to chance is of no use to other rows, so the best multiple is then near 0.
    """
    folds = 2 if len(given) > 5000 else 5
    fold = np.arange(len(given)) % folds
    likelihood, share = np.zeros(len(MULTIPLES)), np.zeros(len(MULTIPLES))
    for left_out in range(folds):
        train, test = fold != left_out, fold == left_out
        T, _ = _fit(log[train], given[train])
        for number, multiple in enumerate(MULTIPLES):
            noise = _scaled(T, multiple)
            beta, value = _best_beta(noise, log[test], given[test])
            likelihood[number] += value * test.sum()
            share[number] += _wrong(noise, _soft(log[test], beta), given[test]).sum() / len(given)
    kept = share[likelihood.max() - likelihood < LIKELIHOOD_DROP]
    return MULTIPLES[int(likelihood.argmax())], float(kept.min()), float(kept.max())
