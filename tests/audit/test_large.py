"""The audit of a memory map finds what the audit in memory finds, reads by blocks, and goes on after an interruption."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from labelwise.audit import AuditReport, audit
from labelwise.base import InputError
from labelwise.parts import moments, work
from labelwise.parts.blocks import Local
from labelwise.supervision import infer


def table(n: int = 1500, d: int = 24, *, pool: int = 0, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any]]:
    """Gaussian classes with wrong labels, copies, outliers; the last `pool` rows unlabelled."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, n)
    X = (rng.normal(size=(n, d)) + 3 * rng.normal(size=(4, d))[truth]).astype(np.float16)
    X[50:70] = X[150:170]
    X[70:90] = X[170:190] + np.float16(0.004)
    X[90:95] += np.float16(40)
    y = np.where(rng.random(n) < 0.1, (truth + 1) % 4, truth)
    if pool:
        y[-pool:] = -1
    return X, y


def mapped(X: NDArray[Any], folder: Path) -> NDArray[Any]:
    path = folder / "X.npy"
    np.save(path, X)
    return np.load(path, mmap_mode="r")


def same(one: AuditReport, other: AuditReport, tolerance: float = 1e-3) -> None:
    """Same kinds, rows and numbers, to `tolerance`."""
    assert one.checked == other.checked
    assert [f.kind for f in one] == [f.kind for f in other]
    for a, b in zip(one, other, strict=True):
        assert a.severity == b.severity, a.kind
        assert a.evidence.keys() == b.evidence.keys()
        for name, value in a.evidence.items():
            np.testing.assert_allclose(
                np.array(value[:3]), np.array(b.evidence[name][:3]), rtol=tolerance, atol=tolerance
            )
        overlap = len(np.intersect1d(a.rows, b.rows))
        assert overlap >= (1 - 10 * tolerance) * max(len(a.rows), len(b.rows)), a.kind
        assert a.rows[:5].tolist() == b.rows[:5].tolist(), a.kind


@pytest.mark.parametrize(
    "kind", ["embeddings", "table", "broken", "pool", pytest.param("gains", marks=pytest.mark.slow)]
)
def test_the_streamed_audit_finds_the_same(tmp_path, kind):
    X, y = table(pool=400 if kind == "pool" else 0)
    if kind == "table":
        X[:, ::3] *= np.float16(60)
    if kind in ("broken", "gains"):
        X[::40, 3] = np.nan
        X[7, 5] = np.inf
    splits = np.where(np.arange(len(X)) % 5, "train", "test")
    texts = np.array([f"text {number % 1450}" for number in range(len(X))], dtype=object)
    given: dict[str, Any] = {"splits": splits, "texts": texts, "gains": kind == "gains"}
    inside = audit(X, y, **given)
    same(inside, audit(mapped(X, tmp_path), y, scratch=tmp_path / "scratch", **given))
    assert {"label errors", "near duplicates"} <= {f.kind for f in inside}


class Backwards:
    """Works on the items from the last to the first, as another machine might."""

    name = "backwards"

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        results = [function(item) for item in reversed(items)]
        yield from reversed(results)


def test_findings_do_not_depend_on_the_engine(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "ROWS", 256)
    X, y = table()
    X = mapped(X, tmp_path)
    one = audit(X, y, scratch=tmp_path / "one", engine=Local(1), gains=False)
    other = audit(X, y, scratch=tmp_path / "other", engine=Backwards(), gains=False)
    assert one.to_frame().equals(other.to_frame())
    assert one.flagged().equals(other.flagged())


class Stopped(Exception):
    pass


class Stopping:
    """Works on some items, then stops for good."""

    name = "stopping"

    def __init__(self, after: int) -> None:
        self.left, self.done = after, 0

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        for item in items:
            if self.left <= 0:
                raise Stopped
            self.left, self.done = self.left - 1, self.done + 1
            yield function(item)


def test_an_interrupted_audit_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "ROWS", 256)
    X, y = table()
    X = mapped(X, tmp_path)
    whole = Stopping(10**9)
    undisturbed = audit(X, y, scratch=tmp_path / "whole", engine=whole, gains=False)
    done, stops = 0, [whole.done // 5, whole.done // 3, 10**9]
    for after in stops:
        engine = Stopping(after)
        try:
            resumed = audit(X, y, scratch=tmp_path / "parts", engine=engine, gains=False)
        except Stopped:
            assert after < 10**9
        done += engine.done
    assert done == whole.done  # no block was worked on twice
    assert resumed.to_frame().equals(undisturbed.to_frame())
    again = Stopping(0)
    assert audit(X, y, scratch=tmp_path / "parts", engine=again, gains=False).to_frame().equals(undisturbed.to_frame())
    with pytest.raises(Stopped):  # other labels are another audit
        audit(X, np.roll(y, 1), scratch=tmp_path / "parts", engine=Stopping(0), gains=False)


@pytest.mark.slow
def test_no_check_reads_more_than_a_sample_at_once(tmp_path, monkeypatch):
    n, d = 52_000, 6
    X, y = table(n, d, pool=900)
    read: list[int] = []
    inner = work.File.read

    def counted(self: work.File, rows: Any) -> Any:
        found = inner(self, rows)
        read.append(len(found))
        return found

    monkeypatch.setattr(work.File, "read", counted)
    splits = np.where(np.arange(n) % 9, "train", "test")
    report = audit(mapped(X, tmp_path), y, splits=splits, scratch=tmp_path / "scratch", gains=False)
    assert "label errors" in {f.kind for f in report}
    assert max(read) <= 50_000  # the largest sample that a check takes


def test_rows_of_a_file_do_not_turn_into_an_array(tmp_path):
    rows = work.Rows(work.File.of(mapped(table(200)[0], tmp_path)))
    with pytest.raises(TypeError, match="blocks"):
        np.asarray(rows)
    assert rows[np.array([3, 5])].dtype == np.float32
    assert rows.take(np.array([3, 5]))[1:].shape == (1, 24)


def test_bad_arguments(tmp_path):
    X, y = (array[:100] for array in table(200))
    file = mapped(X, tmp_path)
    with pytest.raises(InputError, match="memory map"):
        audit(X, y, scratch=tmp_path / "s")
    with pytest.raises(InputError, match="memory map"):
        audit(X, y, engine="ray")
    with pytest.raises(InputError, match="whole memory map"):
        audit(file[10:], y[10:], scratch=tmp_path / "s")
    with pytest.raises(InputError, match="100 rows and targets 99"):
        audit(file, y[1:], scratch=tmp_path / "s")
    with pytest.raises(InputError, match="numbers of shape"):
        audit(mapped(np.array([["a"], ["b"]]), tmp_path), [0, 1], scratch=tmp_path / "s")


def test_no_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    def full(descriptor: int, n_bytes: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(work, "_set_aside", full)
    X, y = table(200)
    with pytest.raises(InputError, match=r"no room for .* GiB"):
        audit(mapped(X, tmp_path), y, scratch=tmp_path / "s")


def test_columns_by_blocks_are_those_of_numpy(monkeypatch):
    monkeypatch.setattr(work, "ROWS", 7)
    X = (np.random.default_rng(0).normal(size=(100, 3)) * [1, 1e-3, 0] + [0, 1e2, 5]).astype(np.float32)
    found = moments.columns(X)
    np.testing.assert_allclose(found.mean, X.mean(0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(found.deviation, X.std(0, dtype=np.float64), rtol=1e-6, atol=1e-12)
    assert found.low.tolist() == X.min(0).tolist() and found.high.tolist() == X.max(0).tolist()
    assert found.constant.tolist() == [False, False, True]


def test_a_report_of_a_streamed_audit_is_plain_json(tmp_path):
    X, y = table(400)
    report = audit(mapped(X, tmp_path), infer(y), scratch=tmp_path / "scratch", gains=False)
    assert json.loads(json.dumps(report.to_dict(), default=float))["findings"]
