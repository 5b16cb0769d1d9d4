"""Does an unlabelled pool hold rows with a trigger, a fixed pattern planted to be learnt as a sign of one class?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom

from labelwise.base import UNLABELED, Card, Count, Estimate, Fields, Fraction, InputError, Method
from labelwise.diagnostics.hidden_groups import (
    LEAST_SCATTER,
    SEARCHED,
    Floats,
    Indices,
    best,
    fold,
    folded,
    gap,
    gap_p_value,
    sought,
    spectral,
    traits,
    unfolded,
    whitening,
)
from labelwise.diagnostics.spectrum import as_embeddings
from labelwise.display import html_of
from labelwise.parts.interval import share
from labelwise.parts.work import Rows

BLOCK = 1 << 14
MOST_KNOWN = 25_000
"""Most labelled rows, drawn at random, that make the means of pseudo-classes."""


class Group(NamedTuple):
    """A group of rows set apart from all others along one direction, and the traits that tell a trigger from nature.

    Attributes
    ----------
    test
        ``pattern`` (a direction sought in the whole pool) or ``spectral`` (the widest direction of a pseudo-class).
    p_value
        Chance of so empty a gap below the group if the tail of ordinary rows thins out steadily; for one test.
    share
        Share of the tested half that is in the group.
    columns
        Columns in which the group is moved by nearly the same amount.
    constancy
        Share of the movement (in standard deviations of the columns, squared) that lies in those columns.
    scatter
        Variance within the group relative to all rows, whitened: near 0 for copies of one row.
    movement
        (d,) mean difference of the group's rows to their nearest ordinary rows.
    weights, centre, threshold
        The direction (d,) and the middle of the gap: rows with ``(x - centre) @ weights > threshold`` are the group.
    """

    test: str
    p_value: float
    share: float
    columns: Indices
    constancy: float
    scatter: float
    movement: Floats
    weights: Floats
    centre: Floats
    threshold: float

    def _repr_html_(self) -> str:
        return html_of(self)


@dataclass(frozen=True, eq=False)
class PoolBackdoorResult:
    """What `PoolBackdoor` finds.

    Attributes
    ----------
    found
        Whether a group with the traits of a trigger was found.
    rows
        Rows of the pool that seem to carry it, the surest first.
    score
        How far each of `rows` lies beyond the middle of its gap, in standard deviations of all rows.
    share
        Their share of the pool.
    p_value
        Of the best group with those traits, times the number of groups tested; 1 without one.
    spectral_p_value
        The same of the spectral signature alone; 1 when no classes were given.
    columns
        Columns of the pattern.
    pattern
        (d,) estimated pattern: how far those rows were moved from their nearest ordinary rows.
    groups
        Every group tested, the least likely first.
    """

    found: bool
    rows: Indices
    score: NDArray[np.float64]
    share: Estimate
    p_value: float
    spectral_p_value: float
    columns: Indices
    pattern: Floats
    groups: list[Group]

    def describe(self) -> str:
        """Say it in words."""
        if not self.found:
            return "No group of rows shares a fixed pattern that the others lack; what an encoder hides stays unseen."
        return (
            f"{len(self.rows):,} rows ({self.share} of the pool) share one pattern in {len(self.columns)} columns that the "
            f"other rows lack (p = {self.p_value:.1g}): a planted trigger, a watermark, or values filled in by a machine."
        )

    def _repr_html_(self) -> str:
        return html_of(self)


class PoolBackdoor(Method, Fields):
    """Rows of an unlabelled pool that share a fixed pattern, faint or not, which no other row has.

    A trigger must be the same in all poisoned rows and easy to learn. So along the right direction of the whitened rows
    they stand apart: a second mode behind an empty gap. Such directions are sought on one half of the rows (those whose
    highest projections are highest on average; and the widest direction of every pseudo-class, the spectral signature) and
    tested on the other half: where the tail of ordinary rows thins out steadily, the gap holds at least its share (by
    width) of what lies beyond its start, so the count in it is binomial. Groups that are no trigger are left out: copies of
    one row, values of one or two columns or of columns of two values (rare categories, gaps), rows moved by varying amounts
    (a rare topic), and groups that labelled rows belong to as well.

    It looks at the given columns: triggers that only an encoder turns into something else are not seen, nor poisons fewer
    than about ten, nor those of more than a tenth of the pool. Rows are few and are to be looked at, not to be trusted
    because nothing was found.

    Parameters
    ----------
    alpha
        Largest p-value, after Bonferroni's correction, that counts.
    least_columns
        Columns that a pattern must move.
    least_constancy
        Least share of the movement that is the same in all rows of the group, in [0, 1].
    samples
        Rows of the pool in which patterns are sought, drawn at random; all rows are then compared with what was found.
    widest
        Columns above which columns are summed at random (with random signs) into so many.
    level
        Confidence of the interval of the share.
    random_state
        Seed of halves, starts and samples.

    References
    ----------
    The Perils of Learning From Unlabeled Data: Backdoor Attacks on Semi-supervised Learning (the attack, paper 129). Tran,
    Li, Madry: Spectral Signatures in Backdoor Attacks, NeurIPS 2018. The test of patterns is this library's.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from labelwise.data.synthetic import backdoor_pool
    >>> X, y = load_digits(return_X_y=True)
    >>> pool = backdoor_pool(X, y, target=3, rate=0.02, shape=(8, 8), random_state=0)
    >>> PoolBackdoor(random_state=0).measure(None, X).found
    False
    >>> result = PoolBackdoor(random_state=0).measure(None, pool.X)
    >>> result.found, bool(pool.is_poisoned[result.rows].mean() > 0.9), len(result.rows)
    (True, True, 36)
    """

    alpha: Annotated[float, Fraction] = 1e-3
    least_columns: Annotated[int, Count] = 3
    least_constancy: Annotated[float, Fraction] = 0.8
    samples: Annotated[int, Count] = 50_000
    widest: Annotated[int, Count] = 512
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        paper=129,
        year=2022,
        reference="The Perils of Learning From Unlabeled Data: Backdoor Attacks on Semi-supervised Learning.",
        kind="diagnostic",
        handles=frozenset({"poisoning"}),
        supervision=frozenset(),
        task="any",
        cost="seconds",
    )

    def measure(
        self, labelled: ArrayLike | Rows | None, unlabelled: ArrayLike | Rows, *, codes: ArrayLike | None = None
    ) -> PoolBackdoorResult:
        """Look for a trigger in rows `unlabelled` (m, d), m >= 40.

        Parameters
        ----------
        labelled
            Trusted rows (n, d) of the same columns: a group that they belong to as often is no trigger. None without any.
        unlabelled
            The pool.
        codes
            Classes (n,) of the labelled rows, for the spectral test inside pseudo-classes.
        """
        self.check_fields()
        pool = as_embeddings(unlabelled, "unlabelled", 40)
        known = None if labelled is None else as_embeddings(labelled, "labelled", 1)
        if known is not None and known.shape[1] != pool.shape[1]:
            raise InputError(
                f"labelled has {known.shape[1]} columns and unlabelled {pool.shape[1]}: use the same columns."
            )
        rng = np.random.default_rng(self.random_state)
        rows = pool[rng.permutation(len(pool))[: self.samples]]
        centre = rows.mean(0, dtype=np.float64)
        rows = (rows - centre).astype(np.float32)
        pseudo = None if known is None or codes is None else _pseudo_classes(known, centre, codes, rows, rng)
        first, second = np.array_split(np.arange(len(rows)), 2)
        groups = self._groups(rows, first, second, pseudo, rng) + self._groups(rows, second, first, pseudo, rng)
        groups = [group._replace(centre=centre) for group in groups]
        return self._result(pool, known, sorted(groups, key=lambda group: group.p_value))

    def _groups(
        self, rows: Floats, first: Indices, second: Indices, pseudo: Indices | None, rng: np.random.Generator
    ) -> list[Group]:
        """Seek directions in the first half and test them on the second."""
        sums = fold(rows.shape[1], min(self.widest, max(4, len(first) // 5)), rng)
        scale: Floats = 1 / np.maximum(rows.std(0), 1e-6 * rows.std() + 1e-30)
        summed, search = folded(rows * scale, sums), first[:SEARCHED]
        mean, white = whitening(summed[search])
        if white.shape[1] == 0:  # all rows are equal
            return []
        Z: Floats = np.asarray((summed - mean) @ white, dtype=np.float32)
        found = [("pattern", w) for w in best(Z[search], sought(Z[search], rng))]
        if pseudo is not None:
            found += [("spectral", w) for w in best(Z[search], spectral(summed[search], white, pseudo[search], rng))]
        groups = []
        for test, w in found:
            low, high = gap(Z[search] @ w)[1:]
            side = Z[second] @ w
            inside = side > (low + high) / 2
            found_traits = traits(rows, second[inside], second[~inside], Z, rng)
            weights, middle = unfolded(white @ w, sums) * scale, (low + high) / 2 + float(mean @ white @ w)
            p_value = gap_p_value(side, low, high)
            groups.append(Group(test, p_value, float(inside.mean()), *found_traits, weights, weights, middle))
        return groups

    def _result(self, pool: Any, known: Any, groups: list[Group]) -> PoolBackdoorResult:
        """Keep the groups that look like a trigger and list all rows of the pool on their side of the gap."""
        suspected = [group for group in groups if self._is_trigger(group, len(groups), known)]
        beyond = np.max([np.zeros(len(pool)), *(_beyond(pool, group) for group in suspected)], axis=0)
        rows = np.flatnonzero(beyond > 0)
        rows = rows[np.argsort(-beyond[rows], kind="stable")]
        corrected = {group.test: min(1.0, group.p_value * len(groups)) for group in suspected[::-1]}
        return PoolBackdoorResult(
            found=bool(suspected),
            rows=rows,
            score=beyond[rows],
            share=share(len(rows), len(pool), self.level),
            p_value=min(corrected.values(), default=1.0),
            spectral_p_value=corrected.get("spectral", 1.0),
            columns=suspected[0].columns if suspected else np.empty(0, dtype=np.int64),
            pattern=suspected[0].movement if suspected else np.zeros(pool.shape[1], dtype=np.float32),
            groups=groups,
        )

    def _is_trigger(self, group: Group, tests: int, known: Any) -> bool:
        return (
            group.p_value * tests <= self.alpha
            and len(group.columns) >= self.least_columns
            and group.constancy >= self.least_constancy
            and group.scatter >= LEAST_SCATTER
            and not _is_usual(group, known)
        )


def _is_usual(group: Group, known: Any) -> bool:
    """Whether trusted rows belong to the group about as often as rows of the pool do."""
    count = 0 if known is None else int((_beyond(known, group) > 0).sum())
    return count > 0 and bool(binom.cdf(count, len(known), group.share) > 0.01)


def _beyond(rows: Any, group: Group) -> NDArray[np.float64]:
    """Return how far rows lie on the group's side of the gap, negative for ordinary rows."""
    blocks = ((rows[i : i + BLOCK] - group.centre) @ group.weights for i in range(0, len(rows), BLOCK))
    return np.concatenate([np.asarray(block, dtype=np.float64) for block in blocks]) - group.threshold


def _pseudo_classes(known: Any, centre: Any, codes: ArrayLike, rows: Floats, rng: np.random.Generator) -> Indices:
    """Return the class whose labelled mean is nearest, by columns on one scale; of many rows some make the means."""
    y = np.asarray(codes)
    if y.shape != (len(known),):
        raise InputError(f"codes must have one class a labelled row ({len(known)},). Got shape {y.shape}.")
    some = np.arange(len(y)) if len(y) <= MOST_KNOWN else np.sort(rng.choice(len(y), MOST_KNOWN, replace=False))
    known, y = known[some] - centre, y[some]
    present = np.unique(y[y != UNLABELED])
    if len(present) == 0:
        raise InputError("codes has no class: pass labelled rows, or codes=None.")
    scale = 1 / np.maximum(rows.std(0), 1e-6)
    means = np.stack([known[y == code].mean(0) for code in present]) * scale
    nearest: Indices = ((rows * scale) @ (2 * means).T - (means**2).sum(1)).argmax(1)
    return nearest
