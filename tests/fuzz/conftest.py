"""How many examples the fuzz tests draw: few and always the same ones, or with `FUZZ_SECONDS` set as many as fit."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, Phase, settings
from tests.fuzz import drive

everything = list(HealthCheck)
settings.register_profile(
    "fuzz", deadline=None, database=None, print_blob=False, suppress_health_check=everything,
    phases=[Phase.explicit, Phase.generate, Phase.target, Phase.shrink],
)  # fmt: skip
settings.register_profile("fuzz-quick", settings.get_profile("fuzz"), derandomize=False, phases=[Phase.generate])


def pytest_collection_finish(session: Any) -> None:
    drive.share_among(len(session.items))
