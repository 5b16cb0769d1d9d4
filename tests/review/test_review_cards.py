"""Which rows are cards, in which order, what they show, and that very many stay fluid."""

from __future__ import annotations

import base64
import io
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from labelwise.base import InputError
from labelwise.review.cards import Cards, read_cards, spelled
from labelwise.review.consensus import DISPUTED, NOT_DECIDED, SKIPPED, majority
from labelwise.review.desk import Review
from labelwise.review.material import Material, most_probable, thumbnail
from labelwise.review.store import Decision
from labelwise.review.tally import Tally
from labelwise.rundir import read_info
from labelwise.session import job_of


@pytest.mark.parametrize("show", ["text", "image", "table"])
def test_every_doubtful_label_and_every_query_is_one_card(run_dir: Callable[..., Path], show: str) -> None:
    run = run_dir(show)
    flagged, queries = pd.read_csv(run / "flagged.csv"), pd.read_csv(run / "queries.csv")
    about = flagged[flagged["kind"] == "label errors"]
    cards = read_cards(run)
    assert sorted(cards.rows) == sorted({*about["row"], *queries["row"]})
    assert set(about["row"]) == set(cards.table.loc[cards.table["kind"] == "label errors", "row"])
    assert (np.diff(cards.table["value"]) <= 1e-12).all(), "the most worth looking at first"
    assert cards.table["value"].between(0, 1).all()
    assert set(cards.table["suggested"]) <= set(cards.classes)
    assert cards.table.loc[cards.table["kind"] == "label errors", "given"].isin(cards.classes).all()


def test_the_order_is_by_the_chance_of_being_wrong(tmp_path: Path) -> None:
    pd.DataFrame({
        "row": [1, 2, 3, 4, 1], "kind": ["label errors"] * 2 + ["conflicting labels", "outliers", "annotators"],
        "given_label": ["a", "a", "b", "", "a"], "suggested_label": ["b", "b", "", "", "b"],
        "confidence": [0.9, 0.4, None, None, 0.8], "expected_precision": [0.9, 0.8, None, None, None], "reason": "r",
        "preview": "p",
    }).to_csv(tmp_path / "flagged.csv", index=False)  # fmt: skip
    pd.DataFrame({
        "rank": [1, 2, 3], "row": [5, 2, 6], "score": 0.5, "reason": "q", "prediction": ["a", "b", "b"],
        "confidence": [0.4, 0.9, 0.8], "given_label": ["", "a", "b"], "preview": "p", "label": "",
    }).to_csv(tmp_path / "queries.csv", index=False)  # fmt: skip
    table = read_cards(tmp_path, {"data": {"classes": ["a", "b"]}}).table
    assert table["row"].tolist() == [1, 5, 3, 2, 6], "row 4 says nothing about labels"
    assert table["value"].tolist() == pytest.approx([0.81, 0.6, 0.5, 0.32, 0.2])
    assert table["kind"].tolist() == ["label errors", "query", "conflicting labels", "label errors", "query"]
    assert table["given"].tolist() == ["a", None, "b", "a", "b"]


def test_labels_are_spelled_as_the_classes() -> None:
    found = spelled(pd.Series(["1.0", "2", None, "x.0", "3.0"], dtype=object), ["1", "2", "3.0", "3"])
    assert found.tolist() == ["1", "2", None, "x.0", "3.0"]


def test_runs_without_lists_have_no_cards(tmp_path: Path) -> None:
    cards = read_cards(tmp_path, {"data": {}})
    assert len(cards) == 0
    assert cards.position(3) is None
    assert cards.kinds == {}
    tally = Tally(cards, [])
    assert tally.progress(None)["left"] == 0
    assert tally.left() == 0
    with pytest.raises(InputError, match="no complete run"):
        read_info(tmp_path)


def test_test_rows_are_no_cards(run_dir: Callable[..., Path]) -> None:
    run = run_dir()
    cards = read_cards(run)
    chosen = int(cards.rows[0])
    info = read_info(run)
    info["data"]["test_rows"] = 1
    predictions = pd.read_parquet(run / "predictions.parquet")
    predictions.loc[chosen, "split"] = "test"
    predictions.to_parquet(run / "predictions.parquet")
    (run / "run.json").write_text(json.dumps(info))
    assert chosen not in read_cards(run)
    assert len(read_cards(run)) == len(cards) - 1


def small(n: int = 6) -> Cards:
    table = pd.DataFrame({
        "row": np.arange(n) * 3 + 1, "kind": ["label errors", "query"] * (n // 2), "given": ["a", None] * (n // 2),
        "suggested": "b", "confidence": 0.5, "expected_precision": [0.5, np.nan] * (n // 2), "reason": "r", "preview": "p",
    })  # fmt: skip
    return Cards(table, ["a", "b", "c"])


decisions = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from("XYZ"), st.sampled_from(["a", "b", "c", "new", None]), st.booleans()),
    max_size=25,
)


@settings(max_examples=60)
@given(decisions)
def test_the_tally_kept_step_by_step_equals_one_made_anew(steps: list[tuple[int, str, str | None, bool]]) -> None:
    cards = small()
    tally = Tally(cards, [])
    live: dict[tuple[int, str], Decision] = {}
    for number, (place, name, label, gone) in enumerate(steps):
        row = place * 3 + 1  # the last is no card
        decision = Decision(number, row, name, "skip" if label is None else "label", label, "t", float(number))
        tally.put(decision)
        live[row, name] = decision
        if gone:
            tally.remove(row, name)
            del live[row, name]
    anew = Tally(cards, live.values())
    for name in (None, "X", "Y", "Z", "nobody"):
        now, then = tally.progress(name), anew.progress(name)
        one, other = now.pop("agreement"), then.pop("agreement")
        assert now == then
        assert one == (None if other is None else pytest.approx(other))
        words = [[which.word(int(code)) for code in which.state(name)] for which in (tally, anew)]
        assert words[0] == words[1]
    for place in range(len(cards)):
        cast = [one.label for (row, _), one in live.items() if row == place * 3 + 1]
        code = majority(SKIPPED if label is None else ["a", "b", "c", "new"].index(label) for label in cast)
        expected = {DISPUTED: ("done", None), NOT_DECIDED: ("todo", None), SKIPPED: ("skipped", None)}
        assert anew.word(int(anew.together[place])) == expected.get(
            code, ("done", ["a", "b", "c", "new"][max(code, 0)])
        )


def test_what_may_still_be_gained_shrinks_with_every_flag_decided() -> None:
    cards = small()
    tally = Tally(cards, [])
    assert tally.left() == 1
    tally.put(Decision(1, 1, "X", "label", "b", "t"))
    assert tally.left() == pytest.approx(2 / 3)
    tally.put(Decision(2, 4, "X", "label", "b", "t"))
    assert tally.left() == pytest.approx(2 / 3), "a query promises nothing of this kind"
    tally.put(Decision(3, 7, "X", "skip", None, "t"))
    assert tally.left() == pytest.approx(2 / 3), "neither does a skipped row"
    tally.put(Decision(4, 1, "Y", "label", "c", "t"))
    assert tally.left() == 1, "a disputed one is open again"


# -- what cards show


def material(run: Path) -> Material:
    info = read_info(run)
    found = Material(run, read_cards(run, info), info)
    found.start()
    found.wait(60)
    return found


def test_cards_of_texts_show_them_whole(run_dir: Callable[..., Path]) -> None:
    run = run_dir()
    shown = material(run)
    assert (shown.state, shown.notes, shown.show) == ("ready", [], "text")
    table = pd.read_parquet(json.loads((run / "run.json").read_text())["command"]["source"])
    row = int(shown.cards.rows[0])
    assert shown.content(row, "preview") == {"text": table["text"].iloc[row], "image": None, "fields": []}
    proba = pd.read_parquet(run / "predictions.parquet").filter(regex="^proba_").iloc[row]
    expected = proba.sort_values(ascending=False, kind="stable")
    told = shown.proba(row)
    assert [f"proba_{name}" for name, _ in told] == list(expected.index)
    assert [p for _, p in told] == pytest.approx(expected.tolist())


@pytest.mark.parametrize("show", ["text", "image", "table"])
def test_neighbours_are_the_nearest_of_a_class(run_dir: Callable[..., Path], show: str) -> None:
    from labelwise.audit.audit import make_study
    from labelwise.run import prepare

    run = run_dir(show)
    shown = material(run)
    data = prepare(job_of(run))
    study = make_study(data.X, data.targets)
    Z = study.unit_features(np.arange(len(data.X))).astype(np.float64)
    codes = np.asarray(data.targets.codes)
    for row in shown.cards.rows[:8].tolist():
        for code, label in enumerate(shown.cards.classes):
            others = np.flatnonzero((codes == code) & (np.arange(len(codes)) != row))
            distance = ((Z[others] - Z[row]) ** 2).sum(1)
            told = shown.neighbours(row, label)
            assert len(told) == 3
            nearest = [float(((Z[one["row"]] - Z[row]) ** 2).sum()) for one in told]
            assert nearest == pytest.approx(np.sort(distance)[:3].tolist(), rel=1e-3, abs=1e-5)
            alike = [one["similarity"] for one in told]
            assert alike == sorted(alike, reverse=True)
            assert all(0 <= value <= 1 for value in alike)
            assert all(codes[one["row"]] == code and one["row"] != row for one in told)
            assert all((one["image"] is not None) == (show == "image") for one in told)
    assert shown.neighbours(row, None) == shown.neighbours(row, "no class") == []


def test_cards_of_tables_show_their_fields(run_dir: Callable[..., Path]) -> None:
    shown = material(run_dir("table"))
    content = shown.content(3, "preview")
    assert content["text"] is None
    assert [name for name, _ in content["fields"]][:2] == ["alcohol", "malic_acid"]
    assert all(isinstance(value, str) for _, value in content["fields"])
    assert "grower" not in dict(content["fields"])


def test_cards_of_pictures_show_them_small(run_dir: Callable[..., Path]) -> None:
    shown = material(run_dir("image"))
    url = shown.content(3, "preview")["image"]
    picture = Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,"))))
    assert picture.size == (8, 8)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "1", "CMYK", "I;16"])
def test_thumbnails_of_all_kinds_of_pictures_are_small(mode: str) -> None:
    file = io.BytesIO()
    Image.new(mode, (900, 300)).save(file, "TIFF")
    url = thumbnail(file.getvalue())
    assert url is not None
    picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    assert picture.size == (256, 85)
    assert len(url) < 40_000


@pytest.mark.parametrize("value", [b"", b"no picture", None, "missing.png", 3])
def test_pictures_that_cannot_be_read_are_left_out(value: Any) -> None:
    assert thumbnail(value) is None


def test_without_its_table_a_run_is_reviewed_by_previews(run_dir: Callable[..., Path], tmp_path: Path) -> None:
    run = run_dir()
    info = json.loads((run / "run.json").read_text())
    table = tmp_path / "t.parquet"
    for change, word in (("gone", "cannot be read again"), ("changed", "is not the table of the run")):
        if change == "changed":
            shutil.copy(info["command"]["source"], table)
            frame = pd.read_parquet(table)
            frame.iloc[::-1].to_parquet(table)
        (run / "run.json").write_text(json.dumps(info | {"command": info["command"] | {"source": str(table)}}))
        shown = material(run)
        assert shown.state == "missing"
        assert len(shown.notes) == 1
        assert word in shown.notes[0]
        assert "--resume" not in shown.notes[0]
        row = int(shown.cards.rows[0])
        assert shown.content(row, "preview") == {"text": "preview", "image": None, "fields": []}
        assert shown.neighbours(row, shown.cards.classes[0]) == []
        assert shown.proba(row), "these are the run's own"


@given(st.integers(1, 40), st.integers(1, 8), st.integers(0, 10**6))
@settings(max_examples=30)
def test_the_most_probable_classes_are_found_block_by_block(n: int, k: int, seed: int) -> None:
    import tempfile

    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(k), n).astype(np.float64)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "p.parquet"
        pd.DataFrame({"row": np.arange(n), **{f"proba_{c}": p[:, c] for c in range(k)}}).to_parquet(
            file, row_group_size=7
        )
        rows = rng.permutation(n)[: max(1, n // 2)]
        found = most_probable(file, rows)
    assert found is not None
    names, codes, chances = found
    assert names == [str(c) for c in range(k)]
    wide = min(5, k)
    np.testing.assert_array_equal(chances[:, :wide], -np.sort(-p[rows], axis=1)[:, :wide])
    np.testing.assert_array_equal(np.take_along_axis(p[rows], codes[:, :wide], axis=1), chances[:, :wide])
    assert (codes[:, wide:] == -1).all()


# -- very many


def test_a_hundred_thousand_flags_are_listed_and_searched(crowded: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(crowded, tmp_path / "run"))
    start = time.perf_counter()
    review = Review(run, "Ann")
    opened = time.perf_counter() - start
    try:
        assert len(review.cards) == 101_000
        start = time.perf_counter()
        pages = [review.page("Ann", state="todo", offset=offset, limit=200) for offset in (0, 50_000, 100_900)]
        listed = (time.perf_counter() - start) / 3
        assert [len(page["cards"]) for page in pages] == [200, 200, 100]
        assert pages[0]["total"] == 101_000
        assert [card["row"] for card in pages[1]["cards"]] == review.cards.rows[50_000:50_200].tolist()
        kind = review.page("Ann", kind="query", limit=500)
        assert kind["total"] == 1_000
        flagged = pd.read_csv(run / "flagged.csv")
        found = review.page("Ann", search="BOUGHT class", kind="label errors", limit=500)
        assert found["total"] == flagged["preview"].str.contains("bought").sum()
        row = found["cards"][0]["row"]
        assert row in [card["row"] for card in review.page("Ann", search=str(row))["cards"]]
        assert review.page("Ann", search="no such word")["total"] == 0
        told = review.decide({"row": row, "annotator": "Ann", "action": "accept"})["progress"]
        assert told["left"] == 100_999
        assert 0 < told["gain_left"]["value"] < 0.031
        assert (opened, listed) < (60, 5), "far from usual figures, which are 1 and 0.01"
    finally:
        review.close()
