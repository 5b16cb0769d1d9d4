"""Advice: which methods fit the findings, whether one of them beats the baseline, and which labels to buy next."""

from __future__ import annotations

from labelwise.advice.blend import Blend, BlendRegressor
from labelwise.advice.candidates import Candidate, baseline_for, blend_of, from_class
from labelwise.advice.considered import Considered, considered
from labelwise.advice.queries import next_rows
from labelwise.advice.race import race
from labelwise.advice.result import RaceResult
from labelwise.advice.shortlist import shortlist

__all__ = [
    "Blend", "BlendRegressor", "Candidate", "Considered", "RaceResult", "baseline_for", "blend_of", "considered",
    "from_class", "next_rows", "race", "shortlist",
]  # fmt: skip
