"""The certificate of texts withdrawn from a language model."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from labelwise.base import Estimate, InputError
from labelwise.unlearning.advantage import Calls, Z
from labelwise.unlearning.base import forget_mask
from labelwise.unlearning.certificate import ALWAYS, MODELS, PARTS, Certificate, judged
from labelwise.unlearning.min_k import min_k

FEWEST = 5


def certify_texts(
    original: Any,
    unlearned: Any,
    texts: Sequence[str],
    forget: ArrayLike,
    test: Sequence[str],
    *,
    retrained: Any = None,
    retrain: bool = False,
    seconds: float | None = None,
    random_state: int | None = 0,
) -> Certificate:
    """Measure a withdrawal of texts against the model before it and one trained without them.

    The score is the surprise: minus the mean log-probability of a text's pieces, in nats; texts never seen surprise more. A
    membership attack sees each text's surprise and its Min-20% (`labelwise.unlearning.min_k`).

    Parameters
    ----------
    original, unlearned
        Fitted language models before and after: anything with ``token_log_proba``.
    texts
        The texts the original was trained on.
    forget
        Boolean mask ``(n,)`` of the withdrawn ones, at least one.
    test
        Texts that no model has seen, at least 5.
    retrained
        A model trained without them.
    retrain
        Without `retrained`: train an unfitted copy of the original on the kept texts, and take the time.
    seconds
        How long forgetting took.
    random_state
        Seed of the attack.

    Raises
    ------
    InputError
        When the mask does not fit or marks no text or all, or there are fewer than 5 kept or test texts.
    """
    mask = forget_mask(forget, len(texts))
    if not mask.any():
        raise InputError("forget marks no text: there is nothing to certify.")
    kept, gone = ([text for text, m in zip(texts, mask, strict=True) if m == side] for side in (False, True))
    if min(len(kept), len(test)) < FEWEST:
        raise InputError(f"a certificate needs {FEWEST} kept and {FEWEST} test texts. Got {len(kept)} and {len(test)}.")
    taken = None
    if retrained is None and retrain:
        started = time.perf_counter()
        retrained = clone(original).fit(kept)
        taken = time.perf_counter() - started
    models = {
        name: model for name, model in zip(MODELS, (original, unlearned, retrained), strict=True) if model is not None
    }
    parts = dict(zip(PARTS, (kept, gone, list(test)), strict=False))
    seen = {name: {part: _evidence(model, rows) for part, rows in parts.items()} for name, model in models.items()}
    calls = {
        name: Calls(found["kept"], found["forgotten"], found["test"], random_state=random_state)
        for name, found in seen.items()
    }
    scores = {name: {part: _mean(rows[:, 0]) for part, rows in found.items()} for name, found in seen.items()}
    gap = calls["after"].gap(calls["retrained"]) if "retrained" in calls else None
    spent = {"unlearning": seconds, "retraining": taken}
    return Certificate(
        "language", "surprise", {part: len(rows) for part, rows in parts.items()} | {PARTS[3]: 0}, scores,
        {name: found.advantage() for name, found in calls.items()}, gap, spent, None,
        judged(scores, gap, spent, _within(scores)), (*ALWAYS, *_unsaid(gap)),
    )  # fmt: skip


def _evidence(model: Any, texts: Sequence[str]) -> NDArray[np.float64]:
    """Return each text's surprise and its Min-20%, (n, 2)."""
    found = model.token_log_proba(texts)
    return np.column_stack([[-lp.mean() for lp in found], min_k(found)])


def _mean(values: NDArray[np.float64]) -> Estimate:
    mean, half = float(values.mean()), Z * float(values.std()) / math.sqrt(len(values))
    return Estimate(mean, mean - half, mean + half)


def _within(scores: Mapping[str, Mapping[str, Estimate]]) -> float:
    """Return what counts as near retraining: 2 % of its surprise at the forgotten texts."""
    return 0.02 * scores["retrained"]["forgotten"].value if "retrained" in scores else 0.0


def _unsaid(gap: Estimate | None) -> list[str]:
    told = ["Whether the model can be made to say the texts by other prompts, or by more training on like ones."]
    return (
        told
        if gap is not None
        else ["Retraining: no model was trained without the texts, so no bound was judged.", *told]
    )
