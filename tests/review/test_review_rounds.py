"""Decisions in the next round: used, trusted, never asked for again, and never lost, wherever the process is killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from labelwise.advice.problem import Problem
from labelwise.audit import audit
from labelwise.base import InputError
from labelwise.job import understand
from labelwise.review.desk import Review
from labelwise.review.store import FILE, InUse, Store
from labelwise.run import run as run_job
from labelwise.rundir import STATE, RunDirectory, recover
from labelwise.session import is_run, job_of, reopen, settled, trusting


def decide(run: Path, *decisions: tuple[int, str, str, str | None]) -> None:
    with Store(run) as store:
        for row, name, action, label in decisions:
            store.decide(row, name, action, label)


def answers(run: Path) -> dict[int, str]:
    found = reopen(run).answers
    assert found is not None
    return dict(zip(found["row"], found["label"], strict=True))


def test_decisions_are_the_answers_of_the_next_round(run_dir: Callable[..., Path]) -> None:
    run = run_dir("table")
    with pytest.raises(InputError, match="labelwise review"):
        reopen(run)
    decide(run, (1, "Ann", "keep", "Ada"), (2, "Ann", "accept", "Bruno"), (3, "Ann", "skip", None),
           (4, "Ann", "label", "Ada"), (4, "Bob", "label", "Carla"),
           (5, "Ann", "label", "Ada"), (5, "Bob", "label", "Carla"), (5, "Eve", "label", "Carla"))  # fmt: skip
    assert answers(run) == {1: "Ada", 2: "Bruno", 5: "Carla"}, "a confirmed label counts, a skipped or disputed one not"
    held = Store(run, holder="a review page")
    with pytest.raises(InUse, match="in use by a review page"):
        reopen(run)
    held.close()


def test_the_later_answer_counts_and_an_undone_one_not_at_all(run_dir: Callable[..., Path], tmp_path: Path) -> None:
    run = run_dir("table")
    decide(run, (1, "Ann", "keep", "Ada"), (2, "Ann", "keep", "Ada"))
    job = reopen(run)
    assert job.answers is not None
    job.answers.to_csv(run / "answers.csv", index=False)  # as the round keeps them
    with pytest.raises(InputError, match="no new label"):
        reopen(run)
    file = tmp_path / "more.csv"
    file.write_text("row,label\n1,Carla\n7,Bruno\n")
    later = reopen(run, [file]).answers
    assert later is not None
    later.to_csv(run / "answers.csv", index=False)
    decide(run, (7, "Ann", "label", "Ada"))
    assert answers(run) == {1: "Carla", 2: "Ada", 7: "Ada"}, (
        "the file was later than the first decisions, not than the last"
    )
    with Store(run) as store:
        store.undo("Ann")
        store.undo("Ann")
    assert answers(run) == {1: "Carla", 7: "Bruno"}


def test_answers_of_older_runs_are_still_read(run_dir: Callable[..., Path]) -> None:
    run = run_dir("table")
    (run / "answers.csv").write_text("row,label\n7,Bruno\n8,Ada\n")
    decide(run, (8, "Ann", "label", "Carla"))
    assert answers(run) == {7: "Bruno", 8: "Carla"}


def test_rows_people_decided_are_never_flagged_and_never_the_only_ones_scored(run_dir: Callable[..., Path]) -> None:
    run = run_dir("table")
    flagged = pd.read_csv(run / "flagged.csv")
    row = int(flagged["row"].iloc[0])
    decide(run, (row, "Ann", "keep", str(flagged["given_label"].iloc[0])))
    job = reopen(run)
    data = understand(job)
    assert data.targets.trusted is None, "so that a race scores all labelled rows"
    problem = Problem.read(np.zeros((len(data.frame), 2)), data.targets)
    assert problem.rows.scorable.sum() == data.targets.labelled.sum()
    features = data.frame[data.roles.features].to_numpy(np.float32)
    targets = trusting(data.targets, job.answers)
    assert targets.trusted is not None
    assert np.flatnonzero(targets.trusted).tolist() == [row]
    assert trusting(data.targets, None) is data.targets
    plain, now = (audit(features, which) for which in (data.targets, targets))
    assert row in set(plain.of_kind("label errors")[0].rows)
    assert row not in set(now.flagged()["row"])


def test_findings_about_labels_lose_settled_rows_and_others_keep_them() -> None:
    rng = np.random.default_rng(0)
    X = np.repeat(rng.normal(size=(100, 4)), 2, axis=0).astype(np.float32)
    y = np.repeat([0, 1], 100)
    y[1:20:2] = 1 - y[1:20:2]
    report = audit(X, y)
    torn = report.of_kind("conflicting labels")[0]
    decided = pd.DataFrame({"row": torn.rows[:4], "label": "0"})
    left = settled(report, decided)
    assert left.of_kind("conflicting labels")[0].rows.tolist() == torn.rows[4:].tolist()
    assert set(left.of_kind("conflicting labels")[0].details["row"]) == set(torn.rows[4:])  # type: ignore[index]
    assert left.of_kind("near duplicates")[0].count == report.of_kind("near duplicates")[0].count
    everything = pd.DataFrame({"row": torn.rows, "label": "0"})
    assert not settled(report, everything).of_kind("conflicting labels")
    assert settled(report, None) is report


@pytest.mark.slow
def test_a_round_from_review_to_review(run_dir: Callable[..., Path], finished: Callable[[str], Path]) -> None:
    run = run_dir("table")
    truth = pd.read_csv(finished("table") / "truth.csv")["label"]
    review = Review(run, "Ann")
    rows = [int(row) for row in review.cards.rows[:15]]
    for row in rows:
        review.decide({"row": row, "annotator": "Ann", "action": "label", "label": truth[row]})
    with pytest.raises(InUse, match="a review page"):
        run_job(replace(job_of(run), overwrite=True))
    review.close()
    run_job(replace(reopen(run), budget=1))
    flagged, queries = pd.read_csv(run / "flagged.csv"), pd.read_csv(run / "queries.csv")
    about = flagged[flagged["kind"].isin(["label errors", "conflicting labels"])]
    assert not {*about["row"], *queries["row"]} & set(rows)
    kept = pd.read_csv(run / "answers.csv").set_index("row")["label"]
    assert kept.to_dict() == truth[rows].to_dict()
    again = Review(run, "Ann")
    try:
        assert [one.row for one in again.store.live()] == rows, "the new round's directory keeps the decisions"
        assert not set(again.cards.rows.tolist()) & set(rows)
        assert again.progress("Ann")["done"] == 0
        given = dict(zip(again.cards.rows, again.cards.columns["given"], strict=True))
        assert given
    finally:
        again.close()
    with pytest.raises(InputError, match="no new label"):
        reopen(run)


# -- the run's directory


@pytest.fixture
def two_runs(tmp_path: Path) -> tuple[Path, RunDirectory]:
    """A complete run with two decisions, and its complete next round, still beside it."""
    out = tmp_path / "run"
    out.mkdir()
    (out / "run.json").write_text('{"data": {"fingerprint": "f"}, "round": 1}')
    with Store(out, fingerprint="f") as store:
        store.decide(1, "Ann", "keep", "cat")
        store.decide(2, "Bob", "accept", "dog")
    directory = RunDirectory(out)
    directory.begin({"source": "x"}, resume=False)
    directory.json("run.json", {"data": {"fingerprint": "f"}, "round": 2})
    return out, directory


def decided(run: Path) -> list[int]:
    with Store(run) as store:
        return [one.row for one in store.live()]


def test_decisions_go_with_the_run(two_runs: tuple[Path, RunDirectory]) -> None:
    out, directory = two_runs
    with directory.claimed():
        with pytest.raises(InUse, match="a new round"):
            Store(out)
        assert directory.finish() == out
    assert '"round": 2' in (out / "run.json").read_text()
    assert decided(out) == [1, 2]
    assert sorted(path.name for path in out.parent.iterdir()) == ["run"]


def test_decisions_about_another_table_are_put_aside_not_lost(two_runs: tuple[Path, RunDirectory]) -> None:
    out, directory = two_runs
    for table in "gh":
        directory.json("run.json", {"data": {"fingerprint": table}})
        directory.finish()
        assert not (out / FILE).exists()
        assert (out / "review-of-f.sqlite").is_file()
        directory = RunDirectory(out)
        directory.begin({}, resume=False)
    directory.json("run.json", {"data": {"fingerprint": "f"}})
    directory.finish()
    assert decided(out) == [1, 2], "the first table is back"
    assert not (out / "review-of-f.sqlite").exists()


def test_a_claim_that_comes_to_nothing_leaves_nothing(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run")
    with directory.claimed():
        assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    with pytest.raises(RuntimeError), directory.claimed():
        raise RuntimeError
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


KILLED = """
import os, signal, sys
import shutil
from pathlib import Path
from labelwise import rundir
from labelwise.review import store

seen = 0
def dying(real):
    def call(*args, **kwargs):
        global seen
        seen += 1
        if seen == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    return call

for owner, name in ((Path, "rename"), (Path, "unlink"), (os, "replace"), (shutil, "rmtree")):
    setattr(owner, name, dying(getattr(owner, name)))
directory = rundir.RunDirectory(sys.argv[1])
with directory.claimed():
    directory.finish()
print("done", seen)
"""


@pytest.mark.slow
def test_no_kill_within_the_last_step_loses_a_decision_or_a_run(
    two_runs: tuple[Path, RunDirectory], tmp_path: Path
) -> None:
    """The process is killed before each of the calls that change the disk, in turn."""
    finished = rounds = 0
    for step in range(1, 30):
        shutil.rmtree(tmp_path / "try", ignore_errors=True)
        shutil.copytree(two_runs[0], tmp_path / "try" / "run")
        shutil.copytree(two_runs[1].work, tmp_path / "try" / "run.partial")
        out = tmp_path / "try" / "run"
        done = subprocess.run([sys.executable, "-c", KILLED, str(out), str(step)], capture_output=True, text=True)
        killed = done.returncode == -signal.SIGKILL
        assert killed or done.returncode == 0, done.stderr
        assert is_run(out), f"killed at step {step}"
        assert decided(out) == [1, 2], f"killed at step {step}"
        assert not RunDirectory(out).before.exists()
        second = '"round": 2' in (out / "run.json").read_text()
        assert second or (out.with_name("run.partial") / STATE).exists(), "the old run, and the new one to resume"
        rounds += second
        if not killed:
            finished = step
            break
    assert finished > 6, "the kills reached every call"
    assert 0 < rounds < finished


def test_recovery_leaves_alone_what_is_whole(two_runs: tuple[Path, RunDirectory]) -> None:
    out, directory = two_runs
    before = sorted(path for path in out.parent.rglob("*"))
    recover(out)
    recover(".")
    recover("/")
    recover(out.with_name("nothing"))
    assert sorted(path for path in out.parent.rglob("*")) == before
    assert os.listdir(directory.work)


def test_an_interrupted_round_with_other_answers_starts_again(two_runs: tuple[Path, RunDirectory]) -> None:
    _, directory = two_runs
    assert directory.interrupted({"source": "x", "budget": 3})
    assert not directory.interrupted({"source": "x", "answers": 4})
    assert not RunDirectory(directory.out.with_name("other")).interrupted({})
