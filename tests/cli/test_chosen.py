from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from labelwise import catalogue
from labelwise.advice import considered
from labelwise.base import InputError
from labelwise.cli import app
from labelwise.cli.chosen import considered as kept


@pytest.fixture
def run(tmp_path):
    told = [one.to_dict() for one in considered([])]
    (tmp_path / "run.json").write_text(json.dumps({"data": {}, "advice": {"considered": told}}))
    return tmp_path


def test_a_run_tells_what_became_of_every_method(run):
    done = CliRunner().invoke(app, ["methods", "--run", str(run), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told == [one.to_dict() for one in considered([])]
    assert told[0] == {"method": "Classifier", "room": "learner", "raced": True, "why": told[0]["why"]}


def test_filters_hold_for_a_run_too(run):
    done = CliRunner().invoke(app, ["methods", "--run", str(run), "--room", "shift"])
    lines = done.stdout.splitlines()
    assert lines[0] == "method\troom\traced\twhy" and len(lines) == 1 + len(catalogue.methods(room="shift"))
    assert all(line.split("\t")[1] == "shift" for line in lines[1:])


@pytest.mark.parametrize(
    ("info", "message"),
    [({"data": {}, "advice": None}, "audit only"), ({"data": {}, "advice": {}}, "is older"), (None, "no run")],
)
def test_runs_without_the_table_are_refused(tmp_path, info, message):
    if info is not None:
        (tmp_path / "run.json").write_text(json.dumps(info))
    with pytest.raises(InputError, match=message):
        kept(tmp_path)
