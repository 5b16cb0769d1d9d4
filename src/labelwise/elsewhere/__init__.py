"""A model at another place: what is known of the old one, what changed, and what to do about it."""

from __future__ import annotations

from labelwise.elsewhere.changes import LEVEL, Found, compare
from labelwise.elsewhere.source import FEWEST, Source, labelled_table, out_of_fold
from labelwise.elsewhere.verdict import Verdict, judge

__all__ = ["FEWEST", "LEVEL", "Found", "Source", "Verdict", "compare", "judge", "labelled_table", "out_of_fold"]
