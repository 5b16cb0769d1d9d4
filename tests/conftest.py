"""Settings of all tests."""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("LABELWISE_CACHE", "")  # no test reads or leaves encoded features in the user's cache
settings.register_profile("labelwise", deadline=None)  # two busy cores make any deadline a coin toss
settings.load_profile("labelwise")
