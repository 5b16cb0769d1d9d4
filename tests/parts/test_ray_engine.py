"""The engine of several machines: what the local one gives, whatever happens to the workers."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest

from labelwise.base import InputError
from labelwise.parts import ray_engine
from labelwise.parts.blocks import Engine, Kept, Local, engine, spans
from labelwise.parts.ray_engine import Ray

need_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")


@pytest.fixture(scope="module")
def ray_engine_of_two() -> Iterator[Ray]:
    pytest.importorskip("ray", reason="ray is not installed")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    with Ray(address="local", workers=2) as two:
        yield two


def block_sum(path: str, span: tuple[int, int]) -> np.ndarray:
    rows = np.load(path, mmap_mode="r")[span[0] : span[1]]
    return rows.astype(np.float64).sum(0)


def block_sorted(path: str, span: tuple[int, int]) -> dict[str, np.ndarray]:
    rows = np.load(path, mmap_mode="r")[span[0] : span[1]]
    return {"order": np.lexsort(rows.T), "product": rows @ rows.T}


def killed_once(folder: str, victim: int, item: int) -> tuple[int, int]:
    """Kill the worker that comes first to the item `victim`."""
    mark = Path(folder) / "killed"
    if item == victim and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    with (Path(folder) / f"tried.{item}").open("a") as file:
        file.write("x")
    return item * item, os.getpid()


def refuse(folder: str, bad: int, item: int) -> int:
    with (Path(folder) / f"tried.{item}").open("a") as file:
        file.write("x")
    if item == bad:
        raise InputError(f"row {item} is not a number.")
    return item


# -- without a cluster


@need_ray
def test_the_engine_fits_the_protocol_and_starts_nothing() -> None:
    before = "ray" in sys.modules and sys.modules["ray"].is_initialized()
    made = engine("ray")
    assert isinstance(made, Engine) and made.name == "ray"
    assert list(made.map(abs, [])) == []
    assert ("ray" in sys.modules and sys.modules["ray"].is_initialized()) == before


def test_a_missing_ray_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"pip install 'labelwise\[scale\]'"):
        engine("ray")


@need_ray
@pytest.mark.parametrize("wrong", [{"workers": 0}, {"retries": -1}, {"memory": 10}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(wrong))} must be at least"):
        Ray(**wrong)


class Unreadable(Exception):
    """Cannot be made again from its arguments."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__(f"{a} and {b}")


@need_ray
def test_outcomes_carry_results_and_exceptions() -> None:
    import pickle

    def fails(_: int) -> None:
        raise Unreadable(1, 2)

    assert pickle.loads(ray_engine.outcome(pickle.dumps(abs), pickle.dumps(-3))) == (True, 3)
    worked, (error, trace) = pickle.loads(ray_engine.outcome(cloudpickle.dumps(lambda _: int("x")), pickle.dumps(0)))
    assert not worked and type(error) is ValueError and "invalid literal" in trace
    worked, (error, _) = pickle.loads(ray_engine.outcome(cloudpickle.dumps(fails), pickle.dumps(0)))
    assert not worked and type(error) is RuntimeError and str(error) == "Unreadable: 1 and 2"


@need_ray
def test_a_cluster_that_does_not_answer_is_told() -> None:
    with pytest.raises(InputError, match=r"no cluster of ray answers at '127.0.0.1:1'"):
        ray_engine._answers("127.0.0.1:1")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ray_engine._answers(f"127.0.0.1:{listening.getsockname()[1]}")
    ray_engine._answers("auto")


def test_the_folder_is_checked_before_blocks_are_kept_and_only_then(tmp_path: Path) -> None:
    class Many(Local):
        checked = 0

        def check_folder(self, folder: Path) -> None:
            assert folder == tmp_path / "kept"
            self.checked += 1
            if self.checked == 1:
                raise InputError("node 2 does not see it")

    many, done = Many(1), []

    def square(item: int) -> dict[str, np.ndarray]:
        done.append(item)
        return {"square": np.array(item * item)}

    kept = Kept(tmp_path / "kept", many, key="k")
    with pytest.raises(InputError, match="node 2"):
        list(kept.map("squares", square, [1, 2]))
    assert done == []
    for _ in range(2):
        assert [int(block["square"]) for block in kept.map("squares", square, [1, 2])] == [1, 4]
    assert many.checked == 2 and done == [1, 2]


# -- on a local cluster of two workers


@pytest.mark.slow
def test_a_cluster_does_what_the_cores_do(ray_engine_of_two: Ray, tmp_path: Path) -> None:
    path = str(tmp_path / "rows.npy")
    np.save(path, np.random.default_rng(0).normal(size=(1000, 7)).astype(np.float32))
    for function in (block_sum, block_sorted):
        here = list(Local(2).map(partial(function, path), spans(1000, 90)))
        there = list(ray_engine_of_two.map(partial(function, path), spans(1000, 90)))
        assert len(there) == 12
        np.testing.assert_equal(there, here)


@pytest.mark.slow
def test_results_come_in_order_one_by_one_and_are_counted(ray_engine_of_two: Ray) -> None:
    import time

    def slow_first(item: int) -> int:
        time.sleep(0.5 if item == 0 else 0.0)
        return -item

    counted: list[tuple[int, int]] = []
    ray_engine_of_two.progress = lambda done, of: counted.append((done, of))
    assert list(ray_engine_of_two.map(slow_first, range(9))) == [-i for i in range(9)]
    ray_engine_of_two.progress = None
    assert counted == [(i + 1, 9) for i in range(9)]
    some = ray_engine_of_two.map(slow_first, range(6))
    assert next(some) == 0  # and the rest is never asked for
    some.close()
    assert list(ray_engine_of_two.map(abs, [-1])) == [1]


@pytest.mark.slow
def test_more_items_than_tasks(ray_engine_of_two: Ray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_engine, "BLOCKS", 3)
    assert list(ray_engine_of_two.map(lambda i: 2 * i, range(20))) == [2 * i for i in range(20)]


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 5])
def test_a_killed_workers_item_is_done_by_another(
    ray_engine_of_two: Ray, tmp_path: Path, victim: int, capfd: pytest.CaptureFixture[str]
) -> None:
    found = list(ray_engine_of_two.map(partial(killed_once, str(tmp_path), victim), range(10)))
    assert (tmp_path / "killed").exists()
    assert [square for square, _ in found] == [i * i for i in range(10)]
    assert capfd.readouterr().out == ""


@pytest.mark.slow
def test_an_item_that_kills_every_worker_is_given_up(ray_engine_of_two: Ray, tmp_path: Path) -> None:
    def deadly(item: int) -> int:
        with (tmp_path / "tries").open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
        return item

    before, ray_engine_of_two.retries = ray_engine_of_two.retries, 1
    try:
        with pytest.raises(RuntimeError, match=r"lost the workers of an item 2 times"):
            list(ray_engine_of_two.map(deadly, [1]))
    finally:
        ray_engine_of_two.retries = before
    assert (tmp_path / "tries").read_text() == "xx"


@pytest.mark.slow
def test_an_exception_comes_back_as_itself_and_is_not_tried_again(ray_engine_of_two: Ray, tmp_path: Path) -> None:
    done: list[int] = []
    with pytest.raises(InputError, match=r"^row 3 is not a number\.") as caught:
        done.extend(ray_engine_of_two.map(partial(refuse, str(tmp_path), 3), range(8)))
    assert done == [0, 1, 2] and (tmp_path / "tried.3").read_text() == "x"
    assert "refuse" in caught.value.__notes__[0]


@pytest.mark.slow
def test_kept_blocks_are_the_local_ones_and_are_not_made_again(ray_engine_of_two: Ray, tmp_path: Path) -> None:
    path = str(tmp_path / "rows.npy")
    np.save(path, np.random.default_rng(1).normal(size=(300, 5)).astype(np.float32))
    kept: dict[str, list[bytes]] = {}
    for made in (ray_engine_of_two, Local(2)):
        folder = tmp_path / made.name
        list(Kept(folder, made, key="k").map("sorted", partial(block_sorted, path), spans(300, 64)))
        kept[made.name] = [file.read_bytes() for file in sorted((folder / "sorted").glob("*.npz"))]
    assert len(kept["ray"]) == 5 and kept["ray"] == kept["local"]

    def never(_: Any) -> Any:
        raise AssertionError

    again = Kept(tmp_path / "ray", ray_engine_of_two, key="k").map("sorted", never, spans(300, 64))
    assert len(list(again)) == 5


@pytest.mark.slow
def test_relative_paths_start_where_the_caller_is(
    ray_engine_of_two: Ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", np.ones((4, 2), dtype=np.float32))
    assert next(ray_engine_of_two.map(partial(block_sum, "rows.npy"), [(0, 4)])).tolist() == [4, 4]


@pytest.mark.slow
def test_a_folder_that_a_node_does_not_see_is_told_before_work(
    ray_engine_of_two: Ray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray_engine_of_two.check_folder(tmp_path)
    assert not list(tmp_path.iterdir())
    real: Callable[[float], Callable[[str, str], str]] = ray_engine._look

    def blind(_: float) -> Callable[[str, str], str]:
        look = real(0.0)
        return lambda mark, version: look(mark + ".elsewhere", version)

    monkeypatch.setattr(ray_engine, "_look", blind)
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(InputError, match=r"node .*: does not see .*shared file system"):
        ray_engine_of_two.check_folder(other)
    monkeypatch.setattr(ray_engine, "_look", lambda _: lambda mark, version: real(0.0)(mark, version + ".dev"))
    with pytest.raises(InputError, match=r"has labelwise .*, not"):
        ray_engine_of_two.check_folder(other)


@pytest.mark.parametrize(("kind", "nodes", "refused"), [("nfs4", 2, True), ("nfs4", 1, False), ("lustre", 2, False)])
def test_machines_that_would_undo_each_others_writes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, nodes: int, refused: bool
) -> None:
    monkeypatch.setattr(ray_engine, "_look_from_all", lambda _: {f"node {n}": "" for n in range(nodes)})
    monkeypatch.setattr(ray_engine, "file_system", lambda _: kind)
    monkeypatch.setattr(Ray, "start", lambda _: None)
    if refused:
        with pytest.raises(InputError, match=r"lies on nfs4, .*one machine"):
            Ray(workers=2).check_folder(tmp_path)
    else:
        Ray(workers=2).check_folder(tmp_path)


def test_the_file_system_is_that_of_the_deepest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("a / ext4 rw 0 0\nb /data nfs4 rw 0 0\nc /data/my\\040disk lustre rw 0 0\n")
    said = [ray_engine.file_system(Path(place), mounts) for place in ("/x", "/data/y", "/data/my disk/z", "/database")]
    assert said == ["ext4", "nfs4", "lustre", "ext4"]
    assert ray_engine.file_system(tmp_path, tmp_path / "none") == ""
