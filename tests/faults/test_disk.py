"""What a disk can refuse: no room, no right to write, a file too large; and a clock that jumps."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.faults.harness import Nursery, Scene, Stage, litter, state

from labelwise import disk

NO_ROOM, BAD_INPUT = 3, 2
YEAR = 365 * 86400.0


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[None]:
    """Mount a file system in memory; skip where that is not allowed."""
    place.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", ",".join(options) or "size=64m", "tmpfs", place], capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(f"mounting is not allowed here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def remounted(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run-over", "fit", "forget", "adapt", "predict", "audit"])
def test_a_disk_that_fills_up(stage: Callable[[str], Stage], nursery: Nursery, tmp_path: Path, name: str) -> None:
    """A real small disk, filled so that little is left, at ten sizes; then room is made."""
    one = stage(name)
    place = tmp_path / "disk"
    with mounted(place, "size=64m"):
        for left in (0, 4, 8, 16, 32, 64, 128, 256, 384, 512):
            _emptied(place)
            shutil.copytree(one.scene.before, place, dirs_exist_ok=True)
            _filled(place, left * 1024)
            end = nursery.run(one.scene.trial(place))
            where = f"{name}, {left} KiB left"
            assert end.code in (0, NO_ROOM), f"{where}: {end.code} {end.err}"
            (place / "ballast").unlink()
            if end.code == NO_ROOM:
                assert len(end.err.splitlines()) == 1 and f"{place}" in end.err and "the disk is full" in end.err, (
                    end.err
                )
                assert state(place / one.scene.out) == one.old, where
                end = nursery.run(one.scene.resumed(place))
                assert end.code == 0, f"{where}: {end.err}"
            assert state(place / one.scene.out) == one.new, where


def _emptied(place: Path) -> None:
    for path in place.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _filled(place: Path, left: int) -> None:
    """Fill the disk but for so many bytes."""
    with (place / "ballast").open("wb") as file:
        try:
            while True:
                file.write(bytes(2**16))
                file.flush()
        except OSError as error:
            assert error.errno == errno.ENOSPC
    size = (place / "ballast").stat().st_size
    os.truncate(place / "ballast", max(0, size - left))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run-over", "fit", "forget", "predict"])
def test_a_file_that_may_not_grow(stage: Callable[[str], Stage], name: str) -> None:
    """A limit on the size of files, as batch systems set it; no mount is needed for this."""
    one = stage(name)
    for largest in (2_500, 5_000, 10_000, 30_000):
        end = one.fails(largest=largest)
        assert end.code in (0, NO_ROOM), f"{name}, {largest} bytes: {end.code} {end.err}"
        if end.code == NO_ROOM:
            assert len(end.err.splitlines()) == 1 and "a file may not grow" in end.err, end.err
        one.holds(f"{name}, {largest} bytes")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run", "fit", "predict", "audit", "query"])
def test_a_directory_that_can_only_be_read(
    stage: Callable[[str], Stage], nursery: Nursery, tmp_path: Path, name: str
) -> None:
    one = stage(name)
    place = tmp_path / "disk"
    with mounted(place):
        shutil.copytree(one.scene.before, place, dirs_exist_ok=True)
        remounted(place, "ro")
        end = nursery.run(one.scene.trial(place))
        assert end.code in (BAD_INPUT, NO_ROOM), f"{end.code}: {end.err}"
        assert len(end.err.splitlines()) == 1 and str(place) in end.err, end.err
        assert state(place / one.scene.out) == one.old
        remounted(place, "rw")
        assert nursery.run(one.scene.resumed(place)).code == 0
        assert state(place / one.scene.out) == one.new


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("name", ["run", "fit", "predict"])
def test_a_directory_of_somebody_else(stage: Callable[[str], Stage], nursery: Nursery, name: str) -> None:
    one = stage(name)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        place = one.scene.laid(Path(folder) / "theirs")
        end = nursery.run(one.scene.trial(place, user=65534))
        assert end.code in (BAD_INPUT, NO_ROOM), f"{end.code}: {end.err}"
        assert len(end.err.splitlines()) == 1, end.err
        assert state(place / one.scene.out) == one.old
        assert not litter(place, {path.name for path in one.scene.before.iterdir()})


@pytest.mark.slow
@pytest.mark.parametrize("years", [-10, 10])
@pytest.mark.parametrize("name", ["run", "round", "fit", "forget", "audit"])
def test_a_clock_that_jumps_changes_no_result(stage: Callable[[str], Stage], name: str, years: int) -> None:
    one = stage(name)
    end = one.fails(clock=years * YEAR)
    assert end.code == 0, end.err
    assert state(one.place / one.scene.out) == one.new


@pytest.mark.slow
@pytest.mark.parametrize("name", ["run", "run-over", "round", "audit", "fit", "forget", "adapt"])
def test_two_processes_at_one_place(stage: Callable[[str], Stage], nursery: Nursery, name: str) -> None:
    from labelwise.lock import held

    one = stage(name)
    scene: Scene = one.scene
    scene.laid(one.place)
    with held(one.place / scene.out, "labelwise tests"):
        end = nursery.run(scene.trial(one.place))
    assert end.code == BAD_INPUT and len(end.err.splitlines()) == 1
    assert f"in use by labelwise tests (process {os.getpid()} on " in end.err, end.err
    one.holds(name)


def test_a_refused_write_leaves_the_old_file_and_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.json"
    disk.write(file, "old")

    def full(path: Path) -> None:
        path.write_text("ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError) as caught:
        disk.write(file, full)
    assert disk.trouble(caught.value) == f"{tmp_path} cannot be written: the disk is full"
    assert file.read_text() == "old" and [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert disk.trouble(ValueError("of another kind")) is None


def test_a_written_file_is_synced_before_its_name_is_and_the_folder_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda n: (steps.append(os.readlink(f"/proc/self/fd/{n}")), sync(n)))
    monkeypatch.setattr(os, "replace", lambda a, b: (steps.append("replace"), replace(a, b)))
    disk.write(tmp_path / "a.json", b"x")
    assert steps == [str(tmp_path / ".part-a.json"), "replace", str(tmp_path)]


def test_a_directory_is_synced_whole_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda n: (synced.append(os.readlink(f"/proc/self/fd/{n}")), sync(n)))
    with disk.placed(tmp_path / "out") as work:
        (work / "in").mkdir()
        (work / "in" / "file").write_text("x")
    assert synced == [str(work), str(work / "in" / "file"), str(work / "in"), str(tmp_path)]


@pytest.mark.parametrize("fails", ["block", "last rename"])
def test_a_directory_that_could_not_be_placed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").write_text("x")
    rename = Path.rename

    def refuse(self: Path, target: Path) -> Path:
        if self.name == ".out.draft":
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    if fails == "last rename":
        monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError), disk.placed(out) as work:
        (work / "new").write_text("y")
        if fails == "block":
            raise OSError(errno.ENOSPC, "No space left on device")
    assert [path.name for path in out.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_place_without_a_name_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for place in (Path(), Path("/")):
        disk.put_back(place)
    assert list(tmp_path.iterdir()) == []
