"""What changed between two places, by a model's probabilities and its inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelwise.base import Estimate
from labelwise.diagnostics import DomainClassifier
from labelwise.elsewhere.source import Codes, Doubles, Source
from labelwise.parts.prior_intervals import PriorInterval, ShiftTest, em_prior_interval, score_test
from labelwise.parts.priors import bbse_prior, confusion, predicted_shares
from labelwise.parts.scaling import fit_scaling
from labelwise.shift.corrected import PriorCorrected
from labelwise.shift.moved import Shape, find_move

LEVEL = 0.9
"""Confidence of intervals."""


@dataclass
class Found:
    """Everything that is known about the two places."""

    prior: PriorInterval
    test: ShiftTest
    source_prior: Doubles
    corrected: PriorCorrected
    explained: bool
    look: Any
    before: Estimate
    after: Estimate
    gain: Estimate


def compare(old: Source, proba: Doubles, X: NDArray[Any], seed: int) -> Found:
    """Estimate the new class shares, test for a change of shares and of looks, and what correcting would bring."""
    counts = np.bincount(old.codes, minlength=proba.shape[1]) + 0.5
    source_prior = counts / counts.sum()
    scaling = fit_scaling(old.proba, old.codes)
    seen, here = (np.asarray(scaling(part), dtype=np.float64) for part in (old.proba, proba))
    rng = np.random.default_rng(seed)
    prior = em_prior_interval(here, source_prior, source_proba=seen, source_codes=old.codes, level=LEVEL, rng=rng)
    aim = np.maximum(prior.prior, 1e-3 / len(counts))
    corrected = PriorCorrected(scaling=scaling, source_prior=source_prior, prior=aim / aim.sum())
    weight = (prior.prior / source_prior)[old.codes]
    right = [part.argmax(axis=1) == old.codes for part in (old.proba, corrected.corrected(old.proba))]
    return Found(
        prior, score_test(old.proba, proba), source_prior, corrected, _explained(seen, here, old.codes, prior.prior),
        None if old.X is None else _looks(old, X, weight, seed),
        *(_weighted(part.astype(np.float64), weight) for part in (*right, right[1].astype(float) - right[0])),
    )  # fmt: skip


def _explained(seen: Doubles, here: Doubles, codes: Codes, prior: Doubles) -> bool:
    """Whether other shares explain the scores: each class's are where they were, and the confusion matrix agrees."""
    shape = Shape.of(_scores(seen), codes, seen.shape[1])
    joint = confusion(seen, codes, soft=True) + 1e-4 * np.eye(seen.shape[1])
    other = bbse_prior(joint, predicted_shares(here, soft=True))
    apart = np.abs(other - prior).sum() / 2
    return not find_move(shape, _scores(here)).moved and bool(apart <= 0.1 + 2 / np.sqrt(len(here)))


def _scores(proba: Doubles) -> Doubles:
    logs = np.log(np.maximum(proba, 1e-4))
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))


def _looks(old: Source, X: NDArray[Any], weight: Doubles, seed: int) -> Any:
    """Ask whether rows look different beyond their class shares: the old rows are drawn with the new shares."""
    rng = np.random.default_rng(seed)
    rows = rng.choice(len(old.codes), len(old.codes), p=weight / weight.sum())
    first, second = (np.asarray(part, dtype=np.float64).reshape(len(part), -1) for part in (old.X, X))  # type: ignore[arg-type]
    _, once = np.unique(rows, return_index=True)  # copies of a row are no further rows
    return DomainClassifier(random_state=seed).measure(first[rows[once]], second)


def _weighted(values: Doubles, weight: Doubles) -> Estimate:
    share = weight / weight.sum()
    mean = float(share @ values)
    reach = 1.645 * float(np.sqrt((share**2) @ (values - mean) ** 2))
    return Estimate(mean, mean - reach, mean + reach, LEVEL)
