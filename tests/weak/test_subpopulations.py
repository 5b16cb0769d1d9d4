"""Subpopulations from captions: planted groups are found again, weights balance them, failing ones come first."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import fisher_exact
from sklearn.metrics import adjusted_rand_score

from labelwise.base import InputError
from labelwise.weak import Prompted, Subpopulations, Thesaurus

TABLE = {
    "background": {"water": ["sea", "lake"], "land": ["forest", "meadow"]},
    "weather": {"sun": ["bright"], "rain": ["wet"]},
    "mood": {"sad": ["gloomy"], "happy": ["merry"]},
}
WORDS = {"water": ["sea", "lake"], "land": ["forest", "meadow"]}


def birds(seed: int, n: int = 400, silent: float = 0.1) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Captions, classes, and the hidden background, which goes with the class in eight of ten."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    background = np.where(rng.random(n) < 0.8, y, 1 - y)
    captions = []
    for place in background:
        word = rng.choice(WORDS["water" if place else "land"]) if rng.random() > silent else "air"
        captions.append(f"a bird in the {word}, {rng.choice(['bright', 'wet', 'dim'])} and small")
    return captions, y, background


def test_hidden_groups_are_found_again() -> None:
    captions, y, background = birds(0)
    found = Subpopulations(random_state=0).measure(captions, y, Thesaurus(TABLE))
    assert found.structure == {c: {"background": ["land", "water"], "weather": ["rain", "sun"]} for c in (0, 1)}
    told = found.groups["background"].to_numpy()
    known = told != "unknown"
    assert 0.85 < known.mean() < 0.95 and adjusted_rand_score(background[known], told[known]) == 1.0
    assert found.counts.query("dimension == 'background'")["rows"].sum() == 400
    assert "background (land, water)" in found.describe()


def test_weights_let_every_value_count_alike() -> None:
    captions, y, _ = birds(1)
    found = Subpopulations(random_state=0).measure(captions, y, Thesaurus(TABLE))
    weight, told = found.weights("background"), found.groups["background"].to_numpy()
    sums = {(c, v): weight[(y == c) & (told == v)].sum() for c in (0, 1) for v in ("land", "water", "unknown")}
    assert weight.mean() == pytest.approx(1) and np.ptp(list(sums.values())) < 1e-9
    capped = found.weights("background", most=2)
    assert capped.max() == pytest.approx(2 * capped.min())
    with pytest.raises(InputError, match="dimension must be one of 'background', 'weather'"):
        found.weights("colour")


def test_failing_slices_come_first_with_the_chance_of_fishers_test() -> None:
    captions, y, background = birds(2, silent=0.0)
    wrong = (y == 1) & (background == 0)
    found = Subpopulations(random_state=0).measure(captions, y, Thesaurus(TABLE))
    slices = found.slices(wrong)
    assert (slices[0].label, slices[0].value, slices[0].error.value) == (1, "land", 1.0) and slices[0].p < 1e-6
    assert set(slices[0].rows) == set(np.flatnonzero(wrong)) and slices[1].p > 0.01
    rng = np.random.default_rng(0)
    wrong = rng.random(400) < 0.2
    told = {(one.label, one.value): one for one in found.slices(wrong)}
    p = []
    for (label, value), one in told.items():
        inside = np.isin(np.arange(400), one.rows)
        outside = (y == label) & ~inside
        table = [[(wrong & inside).sum(), (~wrong & inside).sum()], [(wrong & outside).sum(), (~wrong & outside).sum()]]
        p.append(fisher_exact(table, alternative="greater")[1])
        assert value in TABLE["background"] or value in TABLE["weather"]
    ordered = np.sort(p)
    holm = np.minimum(1, np.maximum.accumulate(ordered * np.arange(len(p), 0, -1)))
    assert np.sort([one.p for one in told.values()]) == pytest.approx(holm)


def test_chance_alone_makes_no_slice() -> None:
    captions, y, _ = birds(3)
    found = Subpopulations(random_state=0).measure(captions, y, Thesaurus(TABLE))
    rng = np.random.default_rng(1)
    alarms = [any(one.p < 0.05 for one in found.slices(rng.random(400) < 0.3)) for _ in range(100)]
    assert np.mean(alarms) < 0.12


class Model:
    """A language model that knows three things, and sometimes names things twice."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, prompt: str) -> str:
        self.asked += 1
        if "mean the same" in prompt:
            return "setting = background\n- ocean = water" if "setting" in prompt or "ocean" in prompt else ""
        if "Along which dimensions" in prompt:
            return "1. Background\n" if self.asked % 2 else "- setting\n"
        if "Which values" in prompt:
            return "Water\nOcean\n"
        caption = prompt.splitlines()[0]
        if "sea" in caption or "lake" in caption:
            return "water"
        return "land." if "forest" in caption or "meadow" in caption else "none"


def test_a_language_model_may_be_the_analyst() -> None:
    captions, y, _ = birds(4, n=120, silent=0.0)
    found = Subpopulations(random_state=0, rounds=6).measure(captions, y, Prompted(Model()))
    assert found.structure == {c: {"background": ["land", "water"]} for c in (0, 1)}  # land by refinement alone
    told = found.groups["background"].to_numpy()
    assert [value == "water" for value in told] == ["sea" in c or "lake" in c for c in captions]


def test_synonyms_in_a_circle_end() -> None:
    told = Prompted(lambda _: "a = b\nb = a\nc = b\nz = a").merge(["a", "b", "c"])
    assert set(told) == {"a", "b", "c"} and set(told.values()) <= {"a", "b"}


def test_bad_input_is_told() -> None:
    with pytest.raises(InputError, match="captions must be a text for each of the 2 rows"):
        Subpopulations().measure(["a"], [0, 1], Thesaurus(TABLE))
    with pytest.raises(InputError, match="analyst must answer"):
        Subpopulations().measure(["a", "b"], [0, 1], 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="table must hold dimensions"):
        Thesaurus({})
    found = Subpopulations(random_state=0).measure(*birds(0)[:2], Thesaurus(TABLE))
    with pytest.raises(InputError, match="wrong must be booleans"):
        found.slices(np.zeros(400))
