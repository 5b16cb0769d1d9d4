"""Blocks of rows: engines keep the order, finished blocks survive a kill, damaged ones are made again."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.parts.blocks import Block, Kept, Local, engine, spans


@given(n=st.integers(0, 200), size=st.integers(1, 50))
def test_spans_cover_every_row_once(n: int, size: int) -> None:
    rows = [row for start, stop in spans(n, size) for row in range(start, stop)]
    assert rows == list(range(n))
    assert all(0 < stop - start <= size for start, stop in spans(n, size))


def test_spans_refuse_no_rows_a_block() -> None:
    with pytest.raises(InputError, match="size"):
        spans(10, 0)


@given(items=st.lists(st.integers(-100, 100), max_size=40), workers=st.integers(1, 4))
def test_local_keeps_the_order(items: list[int], workers: int) -> None:
    assert list(Local(workers).map(lambda x: x * x, items)) == [x * x for x in items]


def test_local_has_few_items_in_flight() -> None:
    started: list[int] = []
    results = Local(2).map(lambda x: started.append(x) or x, list(range(100)))
    assert next(results) == 0
    assert len(started) <= 4
    results.close()
    assert len(started) <= 4


def test_local_passes_errors_on() -> None:
    def fails(x: int) -> int:
        raise ZeroDivisionError(str(x))

    with pytest.raises(ZeroDivisionError, match="1"):
        list(Local(2).map(fails, [1, 2, 3]))


def test_engines_by_name() -> None:
    own = Local(3)
    assert engine("local").name == "local"
    assert engine(own) is own
    with pytest.raises(InputError, match="engine"):
        engine("spark")  # type: ignore[arg-type]


class Counting:
    """Doubles numbers and counts how often it was called."""

    def __init__(self) -> None:
        self.calls, self.lock = 0, threading.Lock()

    def __call__(self, x: int) -> Block:
        with self.lock:
            self.calls += 1
        return {"twice": np.array([2 * x]), "name": np.array(f"n{x}")}


def values(kept: Kept, work: Counting, n: int = 6) -> list[int]:
    return [int(block["twice"][0]) for block in kept.map("twice", work, list(range(n)))]


def test_only_missing_blocks_are_worked_on(tmp_path: Path) -> None:
    work = Counting()
    stopped = Kept(tmp_path / "k", Local(2), key="a").map("twice", work, list(range(6)))
    next(stopped)
    stopped.close()
    assert 1 <= work.calls <= 6
    kept = Kept(tmp_path / "k", Local(2), key="a")
    before, again = kept.done("twice"), Counting()
    assert values(kept, again) == [0, 2, 4, 6, 8, 10]
    assert again.calls == 6 - before
    assert kept.done("twice") == 6


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 nothing", None])
def test_a_damaged_block_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    kept = Kept(tmp_path / "k", Local(1), key="a")
    assert values(kept, Counting()) == [0, 2, 4, 6, 8, 10]
    file = tmp_path / "k" / "twice" / "00000003.npz"
    file.write_bytes(file.read_bytes()[:-40] if damage is None else damage)
    work = Counting()
    assert values(kept, work) == [0, 2, 4, 6, 8, 10]
    assert work.calls == 1


def test_a_flipped_byte_is_seen(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "k", Local(1), key="a")
    values(kept, Counting())
    file = tmp_path / "k" / "twice" / "00000003.npz"
    raw = bytearray(file.read_bytes())
    raw[raw.index(np.array([6]).tobytes())] ^= 1
    file.write_bytes(raw)
    work = Counting()
    assert values(kept, work) == [0, 2, 4, 6, 8, 10]
    assert work.calls == 1


def test_another_key_starts_afresh(tmp_path: Path) -> None:
    values(Kept(tmp_path / "k", Local(1), key="a"), Counting())
    work = Counting()
    kept = Kept(tmp_path / "k", Local(1), key="b")
    assert kept.done("twice") == 0
    values(kept, work)
    assert work.calls == 6


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="something else"):
        Kept(tmp_path, Local(1), key="a")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_kill_while_a_folder_is_begun_or_emptied_leaves_it_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / ".kept.txt.0123").write_text("")
    Kept(tmp_path / "begun", Local(1), key="a")
    kept = Kept(tmp_path / "emptied", Local(1), key="a")
    values(kept, Counting())

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("labelwise.parts.blocks.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            Kept(tmp_path / "emptied", Local(1), key="b")
    assert Kept(tmp_path / "emptied", Local(1), key="b").done("twice") == 0


def test_unfinished_files_are_not_blocks(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "k", Local(1), key="a")
    (tmp_path / "k" / "twice").mkdir()
    (tmp_path / "k" / "twice" / ".00000001.npz.abc").write_bytes(b"half")
    assert kept.done("twice") == 0
    assert values(kept, Counting()) == [0, 2, 4, 6, 8, 10]
