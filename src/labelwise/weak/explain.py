"""Say in plain words why a label model was chosen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labelwise.weak.answers import Answers
from labelwise.weak.copies import copies
from labelwise.weak.held_out import Evidence
from labelwise.weak.label_model import LabelModel
from labelwise.weak.majority import MajorityVote


def why(model: LabelModel, evidence: Sequence[Evidence], answers: Answers) -> str:
    """Return one line: which label model, by what evidence, and how many sources only repeat another.

    Parameters
    ----------
    model
        The label model that `labelwise.weak.held_out.choose` returned.
    evidence
        What it returned beside.
    answers
        The votes.

    Examples
    --------
    >>> from labelwise.weak.answers import read_votes
    >>> why(MajorityVote(), [], read_votes([[0], [1]]))
    'The majority vote decides: a label model needs at least two sources and two classes.'
    """
    return " ".join(filter(None, (_reason(model, evidence), _repeated(answers))))


def _reason(model: LabelModel, evidence: Sequence[Evidence]) -> str:
    if not evidence:
        return "The majority vote decides: a label model needs at least two sources and two classes."
    judge = f"by {evidence[0].judge}"
    if not isinstance(model, MajorityVote):
        found = next(item for item in evidence if item.model == repr(model))
        return f"{model} decides: {judge}, it is ahead of the majority vote by {found.gain}."
    best = max(evidence, key=lambda item: item.gain.value)
    if best.gain.low <= 0:
        return f"The majority vote decides: {judge}, no label model is surely ahead of it; {best.model} by {best.gain}."
    return (
        f"The majority vote decides: {judge}, no label model is better than chance ({best.model} {best.above_chance})."
    )


def _repeated(answers: Answers) -> str:
    group = copies(answers)
    n = len(group) - len(np.unique(group))
    return f"{n} of {len(group)} sources say nearly the same as another." if n else ""
