"""Whether a correction helps, and when labels of the new place are the better buy."""

from __future__ import annotations

import math
from typing import NamedTuple

from labelwise.elsewhere.changes import Found

SIGNIFICANT, PLAIN_AUC = 0.01, 0.6
"""p-value of a shift; AUC at which rows look different in earnest."""
MARGIN = 0.05
"""How exactly a few labels should tell the accuracy."""


class Verdict(NamedTuple):
    """Whether the model is changed, what was found, and what to do, in plain words."""

    adapts: bool
    reason: str
    advice: str


def judge(found: Found) -> Verdict:
    """Decide whether the correction helps, and when labels of the new place are the better buy."""
    other_shares = found.test.p_value <= SIGNIFICANT
    other_looks = found.look is not None and found.look.p_value <= SIGNIFICANT and found.look.auc.value >= PLAIN_AUC
    accuracy = min(max(found.before.value, 0.5), 0.95)
    rows = math.ceil(1.645**2 * accuracy * (1 - accuracy) / MARGIN**2 / 10) * 10
    buy = f"Label about {rows} rows of the new place, drawn at random: they tell the accuracy there to within 5 points"
    better = f"{buy}, and fine-tuning on them mends what no correction of shares can. They are the better buy."
    if not other_shares and not other_looks:
        return Verdict(
            False, "There is no sign that the new place differs: the model is left as it is.", "Use the model."
        )
    if other_shares and not found.explained:
        reason = (
            "The scores changed in a way that other class shares do not explain: the rows look different to the model."
        )
        return Verdict(False, f"{reason} Correcting the shares could do harm, so nothing was changed.", better)
    if not other_shares:
        reason = "The rows look different, but the model's scores hardly changed: there are no shares to correct."
        return Verdict(False, f"{reason} Nothing was changed.", better)
    if found.gain.low <= 0:
        reason = (
            "The class shares changed, but correcting to them does not evidently gain accuracy. Nothing was changed."
        )
        return Verdict(False, reason, better if other_looks else f"Use the model. {buy}, if you must know it.")
    reason = "The class shares changed, and the model's probabilities are corrected to them."
    if other_looks:
        return Verdict(True, f"{reason} The rows look different, too, which this does not mend.", better)
    return Verdict(True, reason, f"{buy}, if you must know it; the estimate above needs none.")
