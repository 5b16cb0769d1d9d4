"""Do several networks hold more than one of them: at home, and on another task or distribution?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from labelwise.base import Card, Count, Estimate, Fields, InputError, Method, Range
from labelwise.diagnostics.probing import labelled_blocks, probe_scores, resampled_mean
from labelwise.display import html_of


@dataclass(frozen=True)
class RedundancyResult:
    """What `RepresentationRedundancy` finds.

    Attributes
    ----------
    in_distribution, shifted
        Accuracy of a probe on all members' features minus the mean accuracy of probes on single members.
    accuracy
        Mean accuracy of a single member and accuracy of all together: at home, then shifted.
    """

    in_distribution: Estimate
    shifted: Estimate
    accuracy: tuple[tuple[Estimate, Estimate], tuple[Estimate, Estimate]]

    def __str__(self) -> str:
        home, away = _gain(self.in_distribution), _gain(self.shifted)
        numbers = f"Concatenated features gain {home} at home and {away} under the shift"
        if self.shifted.low <= 0:
            return f"{numbers}: no gain is shown there, so one network will do."
        if self.in_distribution.low > 0:
            return f"{numbers}: the members complement each other in both places."
        return f"{numbers}: redundant where they were trained, rich elsewhere. Keep them all for new tasks."

    def _repr_html_(self) -> str:
        return html_of(self)


class RepresentationRedundancy(Method, Fields):
    """Gain of a linear probe on several networks' features over one of them, at home and under a shift.

    At home networks that differ only in their seed are redundant, and the gain is about zero; on another task or
    distribution each brings features that the others dropped. A representation judged at home alone hides that.

    Differs from the paper: the probe is a shrunken linear discriminant in closed form, cross-validated on the rows given,
    with the corrected resampled t interval.

    Parameters
    ----------
    folds
        Folds of the cross-validation, >= 2; each class needs as many rows.
    repeats
        Times the folds are dealt out anew.
    level
        Confidence of the intervals.
    random_state
        Seed of the folds.

    References
    ----------
    Jianyu Zhang, Léon Bottou: Learning useful representations for shifting tasks and distributions. ICML 2023.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> strong, first, second = rng.normal(size=(3, 600))
    >>> members = [np.c_[strong, first], np.c_[strong, second]]  # each holds the strong feature and one of its own
    >>> result = RepresentationRedundancy(random_state=0).measure(members, strong > 0, members, first + second > 0)
    >>> print(result)  # doctest: +NORMALIZE_WHITESPACE
    Concatenated features gain -0.2 points [-0.7, 0.3] at home and 23.2 points [20.8, 25.6] under the shift: redundant
    where they were trained, rich elsewhere. Keep them all for new tasks.
    """

    folds: Annotated[int, Range(low=2, whole=True)] = 5
    repeats: Annotated[int, Count] = 5
    level: Annotated[float, Range(low=0, high=1, low_open=True, high_open=True)] = 0.9
    random_state: int | None = None

    card = Card(
        paper=106,
        year=2023,
        reference="Zhang, Bottou: Learning useful representations for shifting tasks and distributions. ICML 2023.",
        kind="diagnostic",
        handles=frozenset({"representation"}),
        cost="seconds",
    )

    def measure(
        self,
        members: Sequence[ArrayLike],
        y: ArrayLike,
        shifted_members: Sequence[ArrayLike],
        shifted_y: ArrayLike,
    ) -> RedundancyResult:
        """Compare all members with one of them, on two sets of rows.

        Parameters
        ----------
        members
            At least two arrays (n, d_k): every network's features of rows like those of its training, not those rows.
        y
            (n,) their classes.
        shifted_members, shifted_y
            The same networks' features (m, d_k) of rows of another task or distribution, and their classes (m,).
        """
        self.check_fields()
        if len(members) < 2 or len(members) != len(shifted_members):
            raise InputError(
                f"members and shifted_members must hold features of the same networks, at least two. "
                f"Got {len(members)} and {len(shifted_members)}."
            )
        rng = np.random.default_rng(self.random_state)
        home, away = (
            self._gain(members, y, "members", rng),
            self._gain(shifted_members, shifted_y, "shifted_members", rng),
        )
        return RedundancyResult(home[0], away[0], (home[1:], away[1:]))

    def _gain(
        self, members: Sequence[ArrayLike], y: ArrayLike, name: str, rng: np.random.Generator
    ) -> tuple[Estimate, Estimate, Estimate]:
        """Return the gain of all members, the mean accuracy of one, and the accuracy of all."""
        names = [f"{name}[{k}]" for k in range(len(members))]
        blocks, codes, n_classes = labelled_blocks(members, y, names, self.folds)
        blocks = [*blocks, np.concatenate(blocks, axis=1)]
        scores = probe_scores(blocks, codes, n_classes, self.folds, self.repeats, rng)
        single, together = scores[:-1].mean(axis=0), scores[-1]
        gain, one, all_ = (resampled_mean(s, self.folds, self.level) for s in (together - single, single, together))
        return gain, one, all_


def _gain(gain: Estimate) -> str:
    value, low, high = (100 * part + 0.0 for part in gain[:3])
    return f"{value:.1f} points [{low:.1f}, {high:.1f}]"
