from __future__ import annotations

import json

import numpy as np
import pytest

from labelwise.advice import ledger as ledgers
from labelwise.advice.ledger import Ledger
from labelwise.base import InputError

PREDICTION = np.array([[0.1, 0.9]], dtype=np.float32)


def never():
    raise AssertionError("done twice")


def test_a_fit_is_done_once():
    ledger = Ledger()
    first = ledger.run("a", lambda: ({"score": 0.5}, PREDICTION))
    assert ledger.run("a", never) is first
    assert ledger.spent == first.at >= first.seconds


def test_fits_come_back_from_disk_exactly(tmp_path):
    first = Ledger(tmp_path / "race", "x").run("a", lambda: ({"score": 1 / 3}, PREDICTION))
    again = Ledger(tmp_path / "race", "x")
    assert again.spent == 0
    back = again.run("a", never)
    assert (back.scores, back.seconds, back.at) == (first.scores, first.seconds, first.at)
    np.testing.assert_array_equal(back.held_out, PREDICTION)
    assert again.spent == first.at


def test_failures_are_kept(tmp_path):
    def fails():
        raise RuntimeError("no\n  luck")

    assert Ledger(tmp_path, "x").run("a", fails).error == "RuntimeError: no luck"
    assert Ledger(tmp_path, "x").run("a", never).failed


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_an_interruption_passes_and_leaves_what_was_done(tmp_path, stop):
    def stops():
        raise stop

    ledger = Ledger(tmp_path, "x")
    ledger.run("a", lambda: ({"score": 0.5}, None))
    with pytest.raises(stop):
        ledger.run("b", stops)
    again = Ledger(tmp_path, "x")
    assert again.run("a", never).scores == {"score": 0.5}
    assert again.run("b", lambda: ({"score": 0.7}, None)).scores == {"score": 0.7}


def test_a_crash_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path, "x")
    ledger.run("a", lambda: ({"score": 0.5}, None))

    def crash(*_):
        raise OSError("disk full")

    monkeypatch.setattr(ledgers.os, "replace", crash)
    with pytest.raises(OSError, match="disk full"):
        ledger.run("b", lambda: ({"score": 0.7}, None))
    assert list(json.loads((tmp_path / "race.json").read_text())["fits"]) == ["a"]


def test_a_lost_prediction_is_made_again(tmp_path):
    Ledger(tmp_path, "x").run("a", lambda: ({"score": 0.5}, PREDICTION))
    for file in tmp_path.glob("*.npy"):
        file.unlink()
    assert Ledger(tmp_path, "x").run("a", lambda: ({"score": 0.6}, PREDICTION)).scores == {"score": 0.6}


@pytest.mark.parametrize("content", ["", "[]", '{"race": "x"}', "not json"])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "race.json").write_text(content)
    with pytest.raises(InputError, match="not the checkpoint of a race"):
        Ledger(tmp_path, "x")


def test_the_checkpoint_of_another_race_is_refused(tmp_path):
    Ledger(tmp_path, "x").run("a", lambda: ({"score": 0.5}, None))
    with pytest.raises(InputError, match="other data"):
        Ledger(tmp_path, "y")
