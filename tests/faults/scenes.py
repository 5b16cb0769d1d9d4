"""The commands that are made to fail, each with the folder it finds."""

from __future__ import annotations

from pathlib import Path

from tests.faults.child import Trial
from tests.faults.harness import Make, Nursery, Scene, table

RUN = ["run", "t.csv", "--label", "y", "--budget", "none", "--method", "SharedVarianceNB", "--out", "r"]
FIT = ["fit", "t.csv", "--label", "y", "--method", "Classifier", "--param", "train=None"]
OTHER = ["--seed", "5"]
"""Arguments that make the older result another one."""


def run(nursery: Nursery, place: Path) -> Scene:
    """A first run."""
    table().to_csv(place / "t.csv", index=False)
    return Scene("run", RUN, place, "r", ("--resume",))


def run_over(nursery: Nursery, place: Path) -> Scene:
    """A run in the place of an older one, which has decisions."""
    table().to_csv(place / "t.csv", index=False)
    _done(nursery, place, *RUN, *OTHER)
    _decide(place / "r")
    return Scene("run-over", [*RUN, "--overwrite"], place, "r", ("--resume",))


def next_round(nursery: Nursery, place: Path) -> Scene:
    """The next round of a run, with answers from a file."""
    table().to_csv(place / "t.csv", index=False)
    _done(nursery, place, *RUN)
    (place / "answers.csv").write_text("row,label\n3,yes\n4,no\n5,yes\n6,no\n")
    return Scene("round", ["run", "r", "--resume", "--answers", "answers.csv"], place, "r")


def audit(nursery: Nursery, place: Path) -> Scene:
    """An audit in the place of an older one."""
    table().to_csv(place / "t.csv", index=False)
    argv = ["audit", "t.csv", "--label", "y", "--out", "a", "--overwrite"]
    _done(nursery, place, *argv, *OTHER)
    return Scene("audit", argv, place, "a", ("--resume",))


def audit_streamed(nursery: Nursery, place: Path) -> Scene:
    """An audit block by block, in the place of an older one."""
    return _streamed(nursery, place, "audit-streamed", "local")


def audit_ray(nursery: Nursery, place: Path) -> Scene:
    """The same by the workers of a cluster that is started for it, and that goes with the command when that is killed."""
    return _streamed(nursery, place, "audit-ray", "ray")


def _streamed(nursery: Nursery, place: Path, name: str, engine: str) -> Scene:
    table(400).to_parquet(place / "t.parquet")
    argv = ["audit", "t.parquet", "--label", "y", "--out", "a", "--stream", "yes", "--overwrite"]
    _done(nursery, place, *argv, *OTHER)
    return Scene(name, [*argv, "--engine", engine], place, "a", ("--resume",))


def fit(nursery: Nursery, place: Path) -> Scene:
    """A model in the place of an older one."""
    _model(nursery, place, *OTHER)
    return Scene("fit", [*FIT[:-2], "--param", "train=None", "--out", "m", "--overwrite"], place, "m")


def forget(nursery: Nursery, place: Path) -> Scene:
    """Rows withdrawn, in the place of an older withdrawal."""
    _model(nursery, place)
    table(40, seed=2).to_csv(place / "test.csv", index=False)
    (place / "rows.csv").write_text("row\n1\n2\n3\n")
    argv = ["forget", "m", "--table", "t.csv", "--label", "y", "--rows", "rows.csv", "--test", "test.csv", "--out", "f"]
    _done(nursery, place, *argv, *OTHER)
    return Scene("forget", [*argv, "--overwrite"], place, "f")


def adapt(nursery: Nursery, place: Path) -> Scene:
    """A model adapted to other class shares, in the place of an older one."""
    _model(nursery, place)
    table(400, seed=3).to_csv(place / "held.csv", index=False)
    table(400, seed=4, shift=0.35).drop(columns="y").to_csv(place / "new.csv", index=False)
    argv = ["adapt", "m", "new.csv", "--source", "held.csv", "--label", "y", "--out", "ad"]
    _done(nursery, place, *argv, *OTHER)
    return Scene("adapt", [*argv, "--overwrite"], place, "ad")


def predict(nursery: Nursery, place: Path) -> Scene:
    """Predictions in the place of others."""
    _model(nursery, place)
    table(40, seed=2).to_csv(place / "new.csv", index=False)
    (place / "p.csv").write_text("prediction\nold\n")
    return Scene("predict", ["predict", "m", "new.csv", "--out", "p.csv", "--overwrite"], place, "p.csv")


def export(nursery: Nursery, place: Path) -> Scene:
    """An ONNX file in the place of another."""
    _model(nursery, place)
    (place / "m.onnx").write_text("old")
    return Scene("export", ["export", "m", "--onnx", "m.onnx", "--overwrite"], place, "m.onnx")


def query(nursery: Nursery, place: Path) -> Scene:
    """Rows to label."""
    table().to_csv(place / "t.csv", index=False)
    _done(nursery, place, *RUN)
    (place / "q.csv").write_text("row\n1\n")
    return Scene("query", ["query", "r", "--out", "q.csv", "--overwrite"], place, "q.csv")


def decisions_out(nursery: Nursery, place: Path) -> Scene:
    """The corrected table, written by a review."""
    table().to_csv(place / "t.csv", index=False)
    _done(nursery, place, *RUN)
    _decide(place / "r")
    (place / "c.csv").write_text("y\nno\n")
    return Scene("review-export", ["review", "r", "--export", "c.csv", "--overwrite"], place, "c.csv")


def review(nursery: Nursery, place: Path) -> Scene:
    """A review page."""
    table().to_csv(place / "t.csv", index=False)
    _done(nursery, place, *RUN)
    return Scene("review", ["review", "r", "--no-browser", "--json", "--annotator", "Ann"], place, "r")


ALL: dict[str, Make] = {
    "run": run, "run-over": run_over, "round": next_round, "audit": audit, "audit-streamed": audit_streamed,
    "fit": fit, "forget": forget, "adapt": adapt,
    "predict": predict, "export": export, "query": query, "review-export": decisions_out,
}  # fmt: skip
"""What is killed before each of its operations on files, and at random moments."""
SCENES: dict[str, Make] = {**ALL, "audit-ray": audit_ray}
"""What is killed at random moments: workers of a cluster work on files in processes of their own."""


def _done(nursery: Nursery, place: Path, *argv: str) -> None:
    end = nursery.run(Trial(list(argv), str(place)))
    assert end.code == 0, end.err


def _model(nursery: Nursery, place: Path, *more: str) -> None:
    table().to_csv(place / "t.csv", index=False)
    _done(nursery, place, *FIT, "--out", "m", *more)


def _decide(run: Path) -> None:
    from labelwise.review.store import Store

    with Store(run, holder="a test") as store:
        store.decide_all([(3, "Ann", "label", "yes", None), (4, "Ann", "skip", None, None)])
