"""Data programming: how accurate rules are, from how often they agree."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, sparse

from labelwise.base import Card, Count, InputError, NonNegative
from labelwise.weak.answers import Answers, Floats, Ints
from labelwise.weak.copies import copies
from labelwise.weak.label_model import ConfusionModel, pin, shares, with_silence

TINY = 1e-10
MOST = 6000
"""Most columns, sources times what they can say, of the dense matrix of agreements."""


class Moments(NamedTuple):
    """What is seen of the sources: S symbols each, one column a source and symbol.

    Attributes
    ----------
    together : floats of shape (m * S, m * S)
        How often two sources say two symbols, among the rows on which both speak.
    weight : floats of the same shape
        What each entry counts in the fit: its rows, 0 for one source or copies; sums to 1.
    alone : floats of shape (m * S,)
        How often a source says a symbol, among the rows on which it speaks.
    """

    together: Floats
    weight: Floats
    alone: Floats


class DataProgramming(ConfusionModel):
    """Infer how accurate rules are from how often they agree, given the class shares, and so the true classes.

    If two sources err independently, they say labels a and b together with probability ``sum over classes k of prior_k
    P_i(a | k) P_j(b | k)``. The confusion matrices are fitted to all observed pairs of sources by weighted least squares
    (matrix completion: a source's agreement with itself, and with its copies, is left out). No likelihood, so no row can
    be overconfident while fitting; and copies, which mislead expectation-maximisation, are counted once.

    Parameters
    ----------
    class_balance
        Shares of the classes in sorted order, ``(K,)``, where they are known; agreement alone cannot tell them. None
        takes the mean shares of the votes.
    abstentions
        ``ignore``: who answers what says nothing. ``model``: whether a source answers depends on the true class. ``auto``:
        ``model`` if most votes come from sources that never say some of the classes, as rules do.
    copies
        ``once``: sources that say nearly the same on all rows share one vote. ``each``: all are independent.
    pull
        How strongly the fit is held to the majority vote's estimates: with more than two classes, agreement of pairs
        leaves a rotation open.
    smoothing
        Added to every count of the estimates that the fit starts from.
    max_iter
        Most steps of the quasi-Newton fit.

    Attributes
    ----------
    confusion_ : float array of shape (m, K, K)
        P(label | true class, source answers) in ``[source, true class, label]``.
    silence_ : float array of shape (m, K)
        P(source does not answer | true class), where that is modelled; else zeros.
    prior_ : float array of shape (K,)
    voice_ : float array of shape (m,)
        What a vote of each source counts: less among copies.
    misfit_ : float
        Weighted root mean squared difference between observed and fitted agreement; large values mean that sources err
        together.
    classes_, proba_, worker_quality_
        As in `DawidSkene`.

    Notes
    -----
    Differs from the papers: the dependencies are the copies that are found, not a graph that is given, and they share one
    vote when classes are inferred. Memory is ``(m * K)^2``.

    References
    ----------
    A. Ratner, C. De Sa, S. Wu, D. Selsam, C. Ré: Data Programming: Creating Large Training Sets, Quickly. NIPS 2016.
    A. Ratner, B. Hancock, J. Dunnmon, F. Sala, S. Pandey, C. Ré: Training Complex Models with Multi-Task Weak
    Supervision. AAAI 2019.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 2, 20_000)
    >>> right = rng.random((20_000, 5)) < [0.9, 0.8, 0.7, 0.7, 0.6]
    >>> votes = np.where(right, truth[:, None], 1 - truth[:, None])
    >>> model = DataProgramming(class_balance=[0.5, 0.5]).fit(votes)
    >>> model.confusion_[:, 1, 1].round(1)
    array([0.9, 0.8, 0.7, 0.7, 0.6])
    """

    class_balance: Any = None
    abstentions: Literal["auto", "ignore", "model"] = "auto"
    copies: Literal["each", "once"] = "once"
    pull: Annotated[float, NonNegative] = 0.01
    smoothing: Annotated[float, NonNegative] = 1.0
    max_iter: Annotated[int, Count] = 200

    card = Card(
        year=2019,
        reference="Ratner et al.: Training Complex Models with Multi-Task Weak Supervision (AAAI 2019)",
        kind="estimator",
        handles=frozenset({"votes", "noise"}),
        supervision=frozenset({"votes"}),
        cost="seconds",
        apart="It turns votes into labels; a run does that before the race, for every method alike.",
    )
    tune = {"pull": [0.001, 0.01, 0.1]}

    def _fit(self, answers: Answers, known: Ints) -> None:
        self.voice_ = self._voices(answers)
        proba = pin(shares(answers, self.voice_), known)
        heard = answers.ballots.sum(1) > 0
        self.prior_ = np.clip(self._balance(proba[heard].mean(0)), TINY, None)
        silence = rules(answers) if self.abstentions == "auto" else self.abstentions == "model"
        symbols = said(answers, silence)
        start = self._first(symbols, proba, answers.shape[1])
        group = copies(answers) if self.copies == "once" else np.arange(answers.shape[1])
        table = self._solve(moments(symbols, group), start)
        self._keep(table, silence)

    def _balance(self, votes: Floats) -> Floats:
        if self.class_balance is None:
            return votes
        return read_shares(self.class_balance, self.classes_, "class_balance")

    def _first(self, symbols: Any, proba: Floats, m: int) -> Floats:
        """P(symbol | class), (m, K, S), as the votes' shares have it."""
        counts = (symbols.T @ proba).reshape(m, -1, proba.shape[1]).transpose(0, 2, 1) + max(self.smoothing, TINY)
        return np.asarray(counts / counts.sum(2, keepdims=True))

    def _solve(self, seen: Moments, start: Floats) -> Floats:
        """Fit P(symbol | class) to what is seen, as softmax of free numbers."""

        def objective(free: Floats) -> tuple[float, Floats]:
            table = softmax(free.reshape(start.shape))
            value, slope = misfit(table, seen, self.prior_)
            value += self.pull * np.square(table - start).mean()
            slope += 2 * self.pull * (table - start) / start.size
            return value, (table * (slope - (slope * table).sum(2, keepdims=True))).ravel()

        found = optimize.minimize(
            objective, np.log(start).ravel(), jac=True, method="L-BFGS-B",
            options={"maxiter": self.max_iter, "ftol": 1e-12, "gtol": 1e-9},
        )  # fmt: skip
        table = softmax(found.x.reshape(start.shape))
        self.misfit_ = float(np.sqrt(max(misfit(table, seen, self.prior_)[0], 0.0)))
        return table

    def _keep(self, table: Floats, silence: bool) -> None:
        labels = np.clip(table[:, :, : table.shape[1]], TINY, None)
        spoken = labels.sum(2)
        self.confusion_ = labels / spoken[:, :, None]
        self.silence_ = np.clip(1 - spoken, TINY, 1 - TINY) if silence else np.zeros_like(spoken)

    def _evidence(self) -> tuple[Floats, Floats]:
        weight, silent = super()._evidence()
        return with_silence(weight, self.silence_) if self.silence_.any() else (weight, silent)


def rules(answers: Answers) -> bool:
    """Whether most votes come from sources that never say some of the classes."""
    counts = np.asarray(answers.cells.sum(0)).reshape(answers.shape[1], -1)
    partial = (counts == 0).any(1)
    return bool(counts[partial].sum() > counts.sum() / 2)


def said(answers: Answers, silence: bool) -> Any:
    """Return who says what on which row, a sparse matrix (n, m * S); with `silence`, saying nothing is the last symbol."""
    n, m, k = answers.shape
    symbols = k + silence
    if m * symbols > MOST:
        raise InputError(
            f"votes come from {m} sources that can say {symbols} things; DataProgramming compares all pairs and takes at "
            f"most {MOST} such columns. Use OneCoin or DawidSkene."
        )
    if not silence:
        return answers.cells
    spoke = sparse.coo_array((np.ones(len(answers.task)), (answers.task, answers.worker)), shape=(n, m)).toarray()
    row, worker = np.nonzero(spoke == 0)
    rows = np.concatenate([answers.task, row])
    columns = np.concatenate([answers.worker * symbols + answers.label, worker * symbols + k])
    return sparse.csr_array((np.ones(len(rows)), (rows, columns)), shape=(n, m * symbols))


def moments(symbols: Any, group: Ints) -> Moments:
    """Count what sources say alone and two by two; sources of one `group` (m,) tell nothing about each other."""
    m = len(group)
    s = symbols.shape[1] // m
    counts = (symbols.T @ symbols).toarray()
    rows = counts.reshape(m, s, m, s).sum((1, 3))  # on how many rows two sources both speak
    apart = rows * (group[:, None] != group)
    weight = np.repeat(np.repeat(apart / max(apart.sum() * s**2, TINY), s, 0), s, 1)
    together = counts / np.maximum(np.repeat(np.repeat(rows, s, 0), s, 1), 1)
    return Moments(together, weight, np.diag(together).copy())


def misfit(table: Floats, seen: Moments, prior: Floats) -> tuple[float, Floats]:
    """Return the weighted squared misfit of P(symbol | class), (m, K, S), to what is seen, and its gradient."""
    m, k, s = table.shape
    flat = table.transpose(0, 2, 1).reshape(m * s, k)
    gap = (flat * prior) @ flat.T - seen.together
    alone = (flat @ prior - seen.alone) / (m * s)
    value = float((seen.weight * gap**2).sum() + (alone**2).sum() * m * s)
    slope = 4 * (seen.weight * gap) @ (flat * prior) + 2 * np.outer(alone, prior)
    return value, slope.reshape(m, s, k).transpose(0, 2, 1)


def softmax(free: Floats) -> Floats:
    """Return `free` as probabilities along the last axis."""
    value = np.exp(free - free.max(-1, keepdims=True))
    return np.asarray(value / value.sum(-1, keepdims=True))


def read_shares(given: ArrayLike, classes: Any, name: str) -> Floats:
    """Return shares of the classes, positive numbers that sum to one; refuse others."""
    try:
        values = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (len(classes),) or not (values > 0).all() or abs(values.sum() - 1) > 1e-3:
        raise InputError(
            f"{name} must be {len(classes)} positive shares that sum to 1, for the classes {list(classes)[:5]}. "
            f"Got {given!r}."
        )
    return np.asarray(values / values.sum())
