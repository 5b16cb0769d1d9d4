"""Which labels to take out, given the confident joint: the pruning rules of confident learning.

Every rule gives exactly the rows that ``cleanlab.filter.find_label_issues`` gives, ties included. Where several rows
tie at a cut, both take what `numpy.argsort` happens to put first: an artefact, kept so that results can be compared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from labelwise.parts.blocks import row_blocks, run_all
from labelwise.parts.confident_joint import (
    AnyArray,
    Bools,
    Ints,
    Reading,
    calibrate,
    confident_classes,
    count_joint,
    round_rows,
    thresholds,
)
from labelwise.parts.label_quality import normalized_margin

Rule = Literal[
    "prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given",
    "low_normalized_margin", "low_self_confidence",
]  # fmt: skip
RULES: tuple[str, ...] = get_args(Rule)


def flag(reading: Reading, rule: str) -> Bools:
    """Return which rows have a wrong label by `rule`, (n,)."""
    return _RULES[rule](reading)


def keep_one_a_class(calibrated: Ints) -> Ints:
    """Lower the counts off the diagonal of ``[given, true]`` where a class would lose its last row.

    A diagonal entry below 1 becomes 1, and what it gained is taken evenly from the other entries of its given class.
    Taking away leaves fractions, which are cut off, not rounded.
    """
    kept = calibrated.astype(float)
    diagonal = np.maximum(calibrated.diagonal(), 1)
    others = np.maximum(np.count_nonzero(calibrated, axis=1) - 1.0, 1.0)
    kept -= ((diagonal - calibrated.diagonal()) / others)[:, None]
    kept[kept < 0] = 0
    np.fill_diagonal(kept, diagonal)
    return round_rows(kept.astype(np.int64).T.astype(float)).T


def expected_counts(reading: Reading) -> Ints:
    """Whole numbers of rows with (given, true) classes that the pruning rules work off, (K, K)."""
    confident = confident_classes(reading, thresholds(reading))
    return keep_one_a_class(calibrate(count_joint(reading, confident), reading.counts))


def _by_class(reading: Reading) -> Bools:
    return prune_by_class(reading, expected_counts(reading))


def _by_noise_rate(reading: Reading) -> Bools:
    return prune_by_noise_rate(reading, expected_counts(reading))


def _by_both(reading: Reading) -> Bools:
    counts = expected_counts(reading)
    return prune_by_noise_rate(reading, counts) & prune_by_class(reading, counts)


def _confidently_other(reading: Reading) -> Bools:
    confident = confident_classes(reading, thresholds(reading))
    return np.asarray((confident >= 0) & (confident != reading.codes) & ~reading.agrees)


def _predicted_otherwise(reading: Reading) -> Bools:
    return ~reading.agrees


def _lowest(reading: Reading, scores: AnyArray) -> Bools:
    flags = np.zeros(len(reading.codes), bool)
    number = np.count_nonzero(_confidently_other(reading))
    labelled = np.flatnonzero(reading.labelled)
    flags[labelled[np.argsort(scores[labelled])[:number]]] = True
    return flags


_RULES: dict[str, Callable[[Reading], Bools]] = {
    "prune_by_noise_rate": _by_noise_rate,
    "prune_by_class": _by_class,
    "both": _by_both,
    "confident_learning": _confidently_other,
    "predicted_neq_given": _predicted_otherwise,
    "low_normalized_margin": lambda reading: _lowest(reading, normalized_margin(reading)),
    "low_self_confidence": lambda reading: _lowest(reading, reading.own_proba),
}


def prune_by_class(reading: Reading, counts: Ints) -> Bools:
    """In each class, the rows with the lowest probability of it, as many as `counts` has off the diagonal."""
    flags = np.zeros(len(reading.codes), bool)
    for k in np.flatnonzero(reading.counts > 1):
        rows = reading.rows(k)
        number = max(0, len(rows) - counts[k, k])
        flags[rows[np.argsort(reading.own_proba[rows])[:number]]] = True
    return flags & ~reading.agrees


def prune_by_noise_rate(reading: Reading, counts: Ints) -> Bools:
    """For each given class i and other class j, the ``counts[i, j]`` rows with the largest margin P_j - P_i.

    Rows that the model agrees with are never flagged, so only the suspects' probabilities are read again. The others
    matter where they could take a suspect's place: where their largest margin reaches the last place that is given.
    """
    flags = np.zeros(len(reading.codes), bool)
    suspicious = ~reading.agrees

    def work(k: int) -> None:
        rows = reading.rows(k)
        suspects = rows[suspicious[rows]]
        others = np.flatnonzero(counts[k])
        others = others[others != k]
        if not len(suspects):
            return
        friends = rows[~suspicious[rows]]
        bound = (reading.top_proba[friends] - reading.own_proba[friends]).max(initial=-1)
        flagged = np.zeros(len(suspects), bool)
        for step in row_blocks(np.broadcast_to(reading.proba[:1, :1], (len(others), len(suspects)))):
            line = -_margins(reading, suspects, others[step])
            possible, certain = _first_in_line(line, counts[k, others[step]], bound)
            flagged |= certain.any(0)
            unsure = possible & ~certain & ~flagged
            for j in np.flatnonzero(unsure.any(1)):
                if (unsure[j] & ~flagged).any():
                    first = _first_of_all(reading, k, others[step][j], counts[k, others[step][j]])
                    flagged |= np.isin(suspects, first, assume_unique=True)
        flags[suspects] = flagged

    run_all(work, np.flatnonzero(reading.counts > 1).tolist(), reading.proba.nbytes)
    return flags


def _first_in_line(line: AnyArray, places: Ints, bound: float) -> tuple[Bools, Bools]:
    """Which suspects can be, and which must be, among the first `places` of each row of `line`, (n_others, n_suspects).

    A suspect must be if nobody ties with the last of them and no row outside `line`, of which none comes before
    ``-bound``, can come between.
    """
    n_others, n_suspects = line.shape
    rows, last = np.arange(n_others), np.minimum(places, n_suspects) - 1
    ordered = np.sort(line, axis=1)
    cut = ordered[rows, last][:, None]
    tied = (last + 1 < n_suspects) & (ordered[rows, np.minimum(last + 1, n_suspects - 1)] == cut[:, 0])
    possible = line <= cut
    return possible, ((line < cut) | (possible & ~tied[:, None])) & (-line > bound)


def _first_of_all(reading: Reading, k: int, j: int, places: int) -> Ints:
    """The first `places` rows of given class `k` for class `j`, in the order that numpy's unstable sort gives ties."""
    rows = reading.rows(k)
    margin = reading.proba[rows, j] - reading.own_proba[rows]
    return rows[np.argsort(-margin)[:places]]


def _margins(reading: Reading, rows: Ints, classes: Ints) -> AnyArray:
    """P_j - P_given of `rows` for the given `classes` j, (n_classes, n_rows)."""
    margins = np.empty((len(classes), len(rows)), reading.proba.dtype)
    for step in row_blocks(np.broadcast_to(reading.proba[:1], (len(rows), reading.n_classes))):
        some = rows[step]
        margins[:, step] = (reading.proba[some][:, classes] - reading.own_proba[some, None]).T
    return margins
