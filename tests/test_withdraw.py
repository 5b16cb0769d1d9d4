"""`labelwise forget`: which rows, what is written, what is refused, and that the old model stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from typer.testing import CliRunner

from labelwise.base import InputError
from labelwise.cli.app import app
from labelwise.learner import LanguageModel, Train
from labelwise.persistence import load, save
from labelwise.withdraw import Request, Which, withdraw

COLUMNS = ["a", "b", "c", "d"]


def flowers() -> pd.DataFrame:
    X, y = load_iris(return_X_y=True)
    frame = pd.DataFrame(X, columns=COLUMNS)
    frame["kind"] = np.array(["setosa", "versicolor", "virginica"])[y]
    frame["owner"] = [f"o{row // 2}" for row in range(len(y))]
    frame["site"] = np.where(np.arange(len(y)) % 5 == 0, "north", "south")
    frame["split"] = np.where(np.arange(len(y)) % 3 == 0, "test", "train")
    return frame


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("forget")
    flowers().to_parquet(folder / "iris.parquet")
    given = [str(folder / "iris.parquet"), "--label", "kind", "--features", "a,b,c,d", "--out", str(folder / "model")]
    done = CliRunner().invoke(app, ["fit", *given, "--method", "Baseline"])
    assert done.exit_code == 0, done.output
    return folder


def table(folder: Path, **more: Any) -> dict[str, Any]:
    return {"source": str(folder / "iris.parquet"), "label": "kind", "features": "a,b,c,d", "domain": "site", **more}


def asked(folder: Path, which: Which, **changes: Any) -> Request:
    return Request(str(folder / "model"), which, **{"table": table(folder), "out": str(folder / "after"), **changes})


def ids(folder: Path, **columns: Any) -> str:
    file = folder / f"ids{len(list(folder.glob('ids*')))}.csv"
    pd.DataFrame(columns).to_csv(file, index=False)
    return str(file)


def test_a_class_is_unlearned_and_the_old_model_stays(place) -> None:
    before = {path.name: path.read_bytes() for path in (place / "model").glob("*.*")}
    out, certificate = withdraw(asked(place, Which(classes=["setosa"]), out=str(place / "class")))
    told = json.loads((out / "certificate.json").read_text())
    assert told["withdrawn"] == "class setosa" and told["rows"]["forgotten"] == certificate.rows["forgotten"] == 33
    assert certificate.scores["before"]["forgotten"].value == 1 and certificate.scores["after"]["forgotten"].value == 0
    said = load(out / "model").predict_frame(flowers())
    assert set(said["prediction"]) == {"versicolor", "virginica"} and (said["proba_setosa"] == 0).all()
    assert {path.name: path.read_bytes() for path in (place / "model").glob("*.*")} == before
    page = (out / "certificate.html").read_text()
    assert "What was not checked" in page and "33 rows of 100 withdrawn" in page


def test_rows_by_name_are_those_left_out_of_training(place) -> None:
    owners = ["o1", "o2", "o60"]
    request = asked(place, Which(rows=ids(place, owner=owners), id="owner"), out=str(place / "rows"))
    out, certificate = withdraw(request)
    frame = flowers()
    gone = frame["owner"].isin(owners)
    train = frame["split"] == "train"
    assert certificate.rows["forgotten"] == int((gone & train).sum())
    assert certificate.rows["kept"] == int((~gone & train).sum())
    assert certificate.rows["test"] == int((~gone & ~train).sum())  # theirs are looked at no more
    text = (out / "certificate.json").read_text() + (out / "certificate.html").read_text()
    assert not any(owner in text for owner in owners)


def test_rows_by_number_and_by_domain(place) -> None:
    numbers = ids(place, row=[1, 2, 4])
    assert withdraw(asked(place, Which(rows=numbers), out=str(place / "n")))[1].rows["forgotten"] == 3
    found = withdraw(asked(place, Which(domains=["north"]), out=str(place / "d")))[1].rows["forgotten"]
    frame = flowers()
    assert found == int(((frame["site"] == "north") & (frame["split"] == "train")).sum())


@pytest.mark.slow
def test_an_earlier_withdrawal_is_replaced_only_when_asked(place) -> None:
    request = asked(place, Which(classes=["setosa"]), out=str(place / "twice"))
    withdraw(request)
    with pytest.raises(InputError, match="Add --overwrite"):
        withdraw(request)
    again = Request(**{**vars(request), "overwrite": True, "which": Which(classes=["virginica"])})
    withdraw(again)
    assert json.loads((place / "twice" / "certificate.json").read_text())["withdrawn"] == "class virginica"
    (place / "mine").mkdir()
    (place / "mine" / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no earlier withdrawal"):
        withdraw(asked(place, Which(classes=["setosa"]), out=str(place / "mine"), overwrite=True))
    assert (place / "mine" / "precious.txt").read_text() == "mine"


@pytest.mark.parametrize(("which", "says"), [
    ({}, "one of --rows, --class and --domain"),
    ({"classes": ["setosa"], "domains": ["north"]}, "Got --class and --domain"),
    ({"id": "owner", "classes": ["setosa"]}, "give --rows too"),
])  # fmt: skip
def test_it_must_be_said_what_to_forget(which, says) -> None:
    with pytest.raises(InputError, match=says):
        Which(**which)


def test_bad_requests_are_told_and_nothing_is_written(place) -> None:
    out = str(place / "never")
    cases = [
        (Which(rows=ids(place, owner=["o1", "o999"]), id="owner"), {}, "'o999'"),
        (Which(rows=ids(place, owner=["o1"]), id="nobody"), {}, "no column 'nobody'"),
        (Which(classes=["tulip"]), {}, "'tulip'"),
        (Which(classes=["setosa", "versicolor", "virginica"]), {}, "all 100 rows"),
        (Which(classes=["setosa"]), {"table": None}, "give --table"),
        (Which(classes=["setosa"]), {"method": "ELR"}, "withdraws no rows"),
        (Which(classes=["setosa"]), {"method": "LAF"}, "Take Retrain or SISA"),
        (Which(domains=["north"]), {"table": table(place, domain=None)}, "no domain column"),
    ]
    for which, changes, says in cases:
        with pytest.raises(InputError, match=says):
            withdraw(asked(place, which, **{"out": out, **changes}))
    with pytest.raises(InputError, match="test rows, which the model was not trained on"):
        withdraw(asked(place, Which(rows=ids(place, row=[0, 3])), out=out))
    with pytest.raises(InputError, match="none is called 'row'"):
        withdraw(asked(place, Which(rows=ids(place, x=[1], y=[2])), out=out))
    assert not Path(out).exists() and not list(place.glob("*.partial"))


def test_without_test_rows_there_is_no_certificate(place, tmp_path) -> None:
    flowers().drop(columns="split").to_parquet(tmp_path / "all.parquet")
    request = asked(place, Which(classes=["setosa"]), table=table(place, source=str(tmp_path / "all.parquet")))
    with pytest.raises(InputError, match="Give a table of them with --test"):
        withdraw(request)
    flowers()[flowers()["split"] == "test"].drop(columns="split").to_parquet(tmp_path / "test.parquet")
    found = withdraw(Request(**{**vars(request), "test": str(tmp_path / "test.parquet"), "out": str(tmp_path / "f")}))
    assert found[1].rows["test"] == 50


def test_the_command(place) -> None:
    given = ["forget", str(place / "model"), "--table", str(place / "iris.parquet"), "--label", "kind", "--features",
             "a,b,c,d", "--class", "setosa", "--out", str(place / "cli")]  # fmt: skip
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 0 and "33 of 100 rows withdrawn" in done.output and "certificate.html" in done.output
    done = CliRunner().invoke(app, [*given, "--overwrite", "--json"])
    assert done.exit_code == 0 and json.loads(done.output)["verdicts"]["forgotten rows"] == "met"
    assert CliRunner().invoke(app, given).exit_code == 2


@pytest.mark.slow
def test_texts_leave_a_language_model(tmp_path) -> None:
    rng = np.random.default_rng(0)
    said = "the of a in to and was his that had with for her at him on by one all not"
    words = np.array(said.split())
    told = pd.DataFrame({"text": [" ".join(rng.choice(words, 10)) for _ in range(60)], "id": range(60)})
    told[:40].to_csv(tmp_path / "train.csv", index=False)
    told[40:].to_csv(tmp_path / "test.csv", index=False)
    told.loc[:7, ["id"]].to_csv(tmp_path / "ids.csv", index=False)
    train = Train(epochs=40, batch_size=8, lr=5e-3)
    model = LanguageModel(width=16, heads=2, length=16, train=train, random_state=0).fit(told["text"][:40].tolist())
    save(model, tmp_path / "lm")
    given = ["forget", str(tmp_path / "lm"), "--table", str(tmp_path / "train.csv"), "--text", "text", "--test",
             str(tmp_path / "test.csv"), "--rows", str(tmp_path / "ids.csv"), "--id", "id"]  # fmt: skip
    more = ["--method", "TextNPO", "--param", "epochs=20", "--param", "lr=0.003", "--json"]
    done = CliRunner().invoke(app, [*given, *more, "--out", str(tmp_path / "after")])
    assert done.exit_code == 0, done.output
    found = json.loads(done.output)
    assert found["rows"] == {"kept": 32, "forgotten": 8, "test": 20, "test like forgotten": 0}
    forgotten = {name: parts["forgotten"]["value"] for name, parts in found["scores"].items()}
    assert forgotten["after"] > forgotten["before"] + 0.5 and forgotten["retrained"] > forgotten["before"] + 0.5
    assert isinstance(load(tmp_path / "after" / "model"), LanguageModel)
    assert CliRunner().invoke(app, [*given, "--method", "LAF", "--out", str(tmp_path / "no")]).exit_code == 2
    assert CliRunner().invoke(app, [*given[:-4], "--class", "x", "--out", str(tmp_path / "no")]).exit_code == 2
    assert not (tmp_path / "no").exists()


def test_a_kill_while_replacing_loses_nothing(place) -> None:
    request = asked(place, Which(classes=["setosa"]), out=str(place / "killed"))
    out, _ = withdraw(request)
    out.rename(place / ".killed.before")  # the state between the two renames
    with pytest.raises(InputError, match="Add --overwrite"):
        withdraw(request)
    assert (out / "certificate.json").is_file()
