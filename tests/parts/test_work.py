"""Files that several machines write into: every block in pages of its own, and on the disk before it counts as done."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelwise.parts.work import PAGE, File, Store, Work, inner, parts


@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.uint8, bool])
@pytest.mark.parametrize("shape", [(7,), (5, 3), (2, 3, 4)])
def test_files_begin_at_a_page_and_numpy_reads_them(dtype: type, shape: tuple[int, ...], tmp_path: Path) -> None:
    file = File.create(tmp_path / "a.npy", shape, dtype)
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    assert not np.load(tmp_path / "a.npy").any()
    file.open("r+")[...] = values
    file.sync()
    assert file.offset == PAGE and File.at(tmp_path / "a.npy") == file
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), values)
    assert (tmp_path / "a.npy").stat().st_size == PAGE + values.nbytes


@given(n=st.integers(1, 10**10), row_bytes=st.integers(1, 5000))
def test_no_page_belongs_to_two_spans(n: int, row_bytes: int) -> None:
    spans = parts(n)
    assert spans[0][0] == 0 and spans[-1][1] == n and len(spans) <= 64
    for (_, stop), (start, _) in pairwise(spans):
        assert stop == start and (PAGE + start * row_bytes) % PAGE == 0


def test_a_block_is_on_the_disk_before_it_is_noted_as_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    work = Work(scratch=tmp_path / "scratch", key="k")
    done = tmp_path / "scratch" / "double"

    def sync(self: File) -> None:
        synced.append(len(list(done.glob("*.npz"))) if done.exists() else 0)

    def double(store: Store, span: tuple[int, int]) -> None:
        target = store.open("r+")
        for start, stop in inner(span):
            target[start:stop] = 2 * np.arange(start, stop)

    monkeypatch.setattr(File, "sync", sync)
    monkeypatch.setattr(work.kept.engine if work.kept else None, "workers", 1)
    spans = [(0, 10), (10, 20), (20, 25)]
    store = work.filled("double", (25,), np.int64, double, spans)
    assert store.open().tolist() == [2 * i for i in range(25)]
    assert synced == [0, 1, 2]


def test_the_sizing_page_quotes_what_the_code_does() -> None:
    """Sums of five folds, 384 columns and K classes in doubles: into how many parts a pass over ten billion rows is cut."""
    page = " ".join((Path(__file__).parents[2] / "docs" / "sizing.md").read_text().split())
    found = {k: len(parts(10**10, 8 * 5 * (384 + k) * 384)) for k in (10, 1000, 8354, 8355)}
    assert found == {10: 44, 1000: 12, 8354: 2, 8355: 1} and len(parts(10**10)) == 64
    assert "44 parts at K = 10, 12 at 1,000, two up to K = 8,354, and one above" in page
    assert "no more than 64 cores have work" in page
