"""A language model on a server: a real server that times out, answers nonsense, refuses, and dies in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
from sklearn.base import clone
from tests.annotators.chat_server import Server, chat

from labelwise.annotators import AnnotationError, Answer, HttpModel, Price, Spending
from labelwise.base import InputError

BUSY = (503, {}, {"error": "busy"})


def asking(server: Server, **fields: Any) -> HttpModel:
    plain = {"url": server.url, "model": "tiny", "classes": ["spam", "ham"], "pause": 0.001, "retries": 3}
    return HttpModel(**(plain | fields))


def given(answers: list[Answer]) -> list[Any]:
    return [answer.label for answer in answers]


def by_item(number: int, body: dict[str, Any]) -> str:
    return "spam" if "free" in body["messages"][0]["content"].splitlines()[-1] else "ham"


def test_labels_come_in_the_order_of_the_items(server: Server) -> None:
    server.behave = by_item
    items = [f"{i} {'free' if i % 3 == 0 else 'lunch'}" for i in range(30)]
    answers = asking(server, workers=8).annotate(items)
    assert given(answers) == ["spam" if i % 3 == 0 else "ham" for i in range(30)]
    assert sorted(server.items()) == sorted(items)
    assert asking(server).annotate([]) == []


def test_the_question_names_classes_and_the_answer_is_one_of_them_with_its_type(server: Server) -> None:
    server.behave = lambda number, body: " **1**.\n"
    answers = asking(server, classes={1: "unwanted mail", 0: ""}).annotate(["win {unsure}"])
    assert answers[0].label == 1 and isinstance(answers[0].label, int)
    question = server.calls[0]["messages"][0]["content"]
    assert "- 1: unwanted mail\n- 0\n" in question and question.endswith("win {unsure}")
    assert server.calls[0] | {"messages": None} == {
        "model": "tiny", "messages": None, "temperature": 0.0, "max_tokens": 16, "logprobs": True
    }  # fmt: skip
    assert server.headers[0]["path"] == "/v1/chat/completions" and "Authorization" not in server.headers[0]


def test_calls_run_side_by_side(server: Server) -> None:
    def slow(number: int, body: dict[str, Any]) -> str:
        time.sleep(0.05)
        return "ham"

    server.behave = slow
    asking(server, workers=6).annotate([str(i) for i in range(12)])
    assert 2 <= server.most_under_way <= 6


def test_confidence_is_the_probability_of_the_words(server: Server) -> None:
    tokens = {"content": [{"token": "sp", "logprob": -0.1}, {"token": "am", "logprob": -0.2}]}
    server.behave = lambda number, body: chat("spam", logprobs=tokens)
    assert asking(server).annotate(["a"])[0].confidence == pytest.approx(0.740818, abs=1e-6)
    for broken in ({"content": []}, {"content": None}, None, {"content": [{"logprob": "x"}]}, {"content": [3]}):
        server.behave = lambda number, body, broken=broken: chat("spam", logprobs=broken)
        assert asking(server).annotate(["a"])[0].confidence == 1.0


def test_confidence_is_the_share_of_repeated_answers(server: Server) -> None:
    said = ["spam", "ham", "spam", "UNSURE"]
    server.behave = lambda number, body: said[number]
    answer = asking(server, repeats=4, workers=1).annotate(["a"])[0]
    assert (answer.label, answer.confidence) == ("spam", 0.5)
    assert server.calls[0]["temperature"] == 1.0


def test_failures_in_passing_are_tried_again(server: Server) -> None:
    bad = [BUSY, (429, {"Retry-After": "0"}, {}), b"<html>not JSON", "spam", {"choices": []}, "drop", "ham"]
    server.behave = lambda number, body: bad[number]
    assert given(asking(server, workers=1).annotate(["a", "b"])) == ["spam", "ham"]
    assert len(server.calls) == 7


@pytest.mark.parametrize("how", ["hang", "drip"])
def test_a_call_that_takes_too_long_is_given_up_and_tried_again(server: Server, how: str) -> None:
    server.behave = lambda number, body: how if number == 0 else "ham"
    began = time.monotonic()
    assert given(asking(server, timeout=0.2).annotate(["a"])) == ["ham"]
    assert time.monotonic() - began < 3


def test_the_servers_wish_to_wait_is_respected(server: Server) -> None:
    server.behave = lambda number, body: (429, {"Retry-After": "1"}, {}) if number == 0 else "ham"
    began = time.monotonic()
    asking(server).annotate(["a"])
    assert time.monotonic() - began >= 1


def test_an_answer_that_names_no_class_is_asked_for_once_more(server: Server) -> None:
    server.behave = lambda number, body: "It could be anything." if len(body["messages"]) == 1 else "ham"
    answer = asking(server, price=Price(call=1)).annotate(["a"])[0]
    assert (answer.label, answer.cost) == ("ham", 2)
    assert [message["role"] for message in server.calls[1]["messages"]] == ["user", "assistant", "user"]
    server.behave = lambda number, body: "Hm."
    answer = asking(server, price=Price(call=1)).annotate(["a"])[0]
    assert (answer.label, answer.cost, answer.text) == (None, 2, "Hm.") and len(server.calls) == 4


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_refusal_is_not_tried_again_and_never_shows_the_key(
    server: Server, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setenv("TEST_SERVER_KEY", "sk-very-secret")
    server.behave = lambda number, body: (status, {}, {"error": "wrong key sk-very-secret given"})
    model = asking(server, key="TEST_SERVER_KEY", workers=1)
    with pytest.raises(AnnotationError, match=f"HTTP {status}.*wrong key .*given") as caught:
        model.annotate(["a", "b"])
    assert len(server.calls) == 1 and server.headers[0]["Authorization"] == "Bearer sk-very-secret"
    assert "secret" not in str(caught.value) + repr(model) + repr(caught.value.__cause__)


def test_the_key_is_in_no_file(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TEST_SERVER_KEY", "sk-very-secret")
    asking(server, key="TEST_SERVER_KEY", keep=tmp_path / "kept.jsonl").annotate(["a"])
    assert b"secret" not in (tmp_path / "kept.jsonl").read_bytes()
    with pytest.raises(InputError, match="not the key itself") as caught:
        asking(server, key="sk-very-secret").annotate(["a"])
    assert "secret" not in str(caught.value)
    with pytest.raises(InputError, match="NO_SUCH_KEY, which is not set"):
        asking(server, key="NO_SUCH_KEY").annotate(["a"])


def test_the_key_does_not_follow_a_redirect(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_SERVER_KEY", "sk-very-secret")
    server.behave = lambda number, body: (302, {"Location": server.url + "/elsewhere"}, {})
    with pytest.raises(AnnotationError, match="HTTP 302"):
        asking(server, key="TEST_SERVER_KEY").annotate(["a"])
    assert len(server.calls) == 1


def test_a_server_that_fails_for_good_loses_nothing(server: Server, tmp_path: Path) -> None:
    server.behave = lambda number, body: "spam" if number < 7 else BUSY
    items, keep = [f"item {i}" for i in range(20)], tmp_path / "folder" / "kept.jsonl"
    model = asking(server, keep=keep, workers=1, retries=2, price=Price(call=1))
    with pytest.raises(AnnotationError) as caught:
        model.annotate(items)
    told = str(caught.value)
    assert "after 3 tries" in told and "item 7" in told and "HTTP 503" in told
    assert f"7 of 20 answers are kept in {keep}" in told and "annotate the same items again" in told
    assert [answer is None for answer in caught.value.answers] == [False] * 7 + [True] * 13
    assert len(server.calls) == 10

    server.behave = lambda number, body: "ham"
    answers = clone(model).annotate(items)
    assert given(answers) == ["spam"] * 7 + ["ham"] * 13
    assert len(server.calls) == 23 and [answer.cost for answer in answers] == [1.0] * 20


def test_nobody_at_the_address(server: Server) -> None:
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(AnnotationError, match=r"no connection.*0 of 1 answers are in this error's .answers; set keep"):
        asking(server, retries=1).annotate(["a"])


def test_side_by_side_failures_keep_what_came_meanwhile(server: Server, tmp_path: Path) -> None:
    def mostly(number: int, body: dict[str, Any]) -> Any:
        return BUSY if "item 5" in body["messages"][0]["content"] else "ham"

    server.behave = mostly
    keep = tmp_path / "kept.jsonl"
    with pytest.raises(AnnotationError):
        asking(server, keep=keep, workers=4, retries=1).annotate([f"item {i}" for i in range(9)])
    kept, asked = len(keep.read_text().splitlines()), len(server.calls)
    server.behave = lambda number, body: "ham"
    assert given(asking(server, keep=keep, workers=4).annotate([f"item {i}" for i in range(9)])) == ["ham"] * 9
    assert len(server.calls) == asked + 9 - kept


def test_another_question_is_another_answer(server: Server, tmp_path: Path) -> None:
    keep = tmp_path / "kept.jsonl"
    for fields in ({}, {"model": "other"}, {"classes": ["spam", "eggs"]}, {"prompt": "{item}?"}, {"temperature": 0.5}):
        asking(server, keep=keep, **fields).annotate(["a"])
    assert len(server.calls) == 5
    asking(server, keep=keep).annotate(["a"])
    assert len(server.calls) == 5
    asking(server, keep=keep).annotate(["a", "a"])  # the second time is a second answer
    assert len(server.calls) == 6


def test_lines_cut_off_by_a_kill_are_left_out(server: Server, tmp_path: Path) -> None:
    keep = tmp_path / "kept.jsonl"
    items = ["a", "b", "c"]
    asking(server, keep=keep).annotate(items)
    whole = keep.read_bytes()
    keep.write_bytes(whole[:-9])
    assert given(asking(server, keep=keep).annotate(items)) == ["spam"] * 3
    assert len(server.calls) == 4
    assert given(asking(server, keep=keep).annotate(items)) == ["spam"] * 3
    assert len(server.calls) == 4


def test_a_killed_program_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    server.behave = lambda number, body: "hang" if number >= 6 else "spam"
    keep, purse = tmp_path / "kept.jsonl", tmp_path / "purse.jsonl"
    program = f"""
        from labelwise.annotators import HttpModel, Price, Spending
        model = HttpModel(url={server.url!r}, model="tiny", classes=["spam", "ham"], keep={str(keep)!r}, workers=2,
                          price=Price(call=1), spending=Spending(12, file={str(purse)!r}))
        model.annotate([f"item {{i}}" for i in range(10)])
    """
    running = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)])
    end = time.monotonic() + 60
    while (len(server.calls) < 8 or len(keep.read_text().splitlines()) < 6) and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    server.behave = lambda number, body: "ham"
    purse_again = Spending(12, file=purse)
    assert purse_again.spent == 8  # two calls were under way: they may have been billed
    answers = asking(server, keep=keep, price=Price(call=1), spending=purse_again).annotate(
        [f"item {i}" for i in range(10)]
    )
    assert sorted(given(answers)) == ["ham"] * 4 + ["spam"] * 6 and purse_again.spent == 12


def test_spending_stops_before_the_limit_and_returns_what_there_is(server: Server, tmp_path: Path) -> None:
    items, purse = [str(i) for i in range(10)], Spending(4.5)
    model = asking(server, price=Price(call=1), spending=purse, workers=3, keep=tmp_path / "kept.jsonl")
    with pytest.warns(UserWarning, match=r"the spending limit is reached \(4 of 4.5\): 6 of 10 answers"):
        answers = model.annotate(items)
    assert len(server.calls) == 4 and purse.spent == 4 and given(answers).count("spam") == 4
    assert {answer.text for answer in answers if answer.abstained} == {"not asked: the spending limit"}
    more = clone(model).set_params(spending=Spending(6))
    assert given(more.annotate(items)) == ["spam"] * 10 and len(server.calls) == 10  # what was kept is not paid again


def test_a_copied_annotator_spends_from_the_same_purse(server: Server) -> None:
    model = asking(server, price=Price(call=1), spending=Spending(3))
    clone(model).annotate(["a", "b"])
    with pytest.warns(UserWarning, match="1 of 2 answers"):
        clone(model).annotate(["c", "d"])
    assert model.spending.spent == 3 and len(server.calls) == 3


@pytest.mark.parametrize("workers", [1, 8])
def test_what_calls_may_cost_at_most_is_never_over_the_limit(server: Server, workers: int) -> None:
    price = Price(read=1000.0, written=50_000.0)  # 0.1 + 0.1 a call; at most by bytes about 1
    purse = Spending(3.0)
    answers = asking(server, price=price, spending=purse, workers=workers)
    with pytest.warns(UserWarning, match="spending limit"):
        costs = [answer.cost for answer in answers.annotate([str(i) for i in range(40)])]
    assert purse.spent == pytest.approx(sum(costs)) and 1.5 < purse.spent <= 3.0
    assert len(server.calls) == round(purse.spent / 0.2)


def test_a_time_out_counts_as_spent_and_a_refusal_does_not(server: Server) -> None:
    said: list[Any] = ["hang", BUSY, "spam"]
    server.behave = lambda number, body: said[number]
    purse = Spending(10)
    asking(server, price=Price(call=1), spending=purse, timeout=0.1).annotate(["a"])
    assert purse.spent == 2


def test_a_server_that_counts_no_tokens_is_taken_to_charge_the_most(server: Server) -> None:
    server.behave = lambda number, body: {"choices": [{"message": {"content": "spam"}}]}
    answer = asking(server, price=Price(written=1e6)).annotate(["a"])[0]
    assert answer.cost == 16


def test_options_go_into_the_request(server: Server) -> None:
    asking(server, logprobs=False, options={"top_p": 0.5, "max_tokens": None}).annotate(["a"])
    assert server.calls[0]["top_p"] == 0.5 and not {"max_tokens", "logprobs"} & set(server.calls[0])


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"url": "localhost:80"}, r"HttpModel\.url"), ({"url": "file:///etc/passwd"}, r"HttpModel\.url"),
        ({"classes": ["one"]}, "classes must be"), ({"classes": ["a", "A"]}, "classes must be"),
        ({"classes": "spam"}, "classes must be"), ({"prompt": "what?"}, "prompt must hold"),
        ({"workers": 0}, r"HttpModel\.workers"), ({"timeout": 0}, r"HttpModel\.timeout"),
    ],
)  # fmt: skip
def test_bad_fields_are_refused_before_anything_is_sent(server: Server, fields: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        asking(server, **fields).annotate(["a"])
    assert not server.calls


def test_kept_lines_can_be_read_without_this_library(server: Server, tmp_path: Path) -> None:
    asking(server, keep=tmp_path / "kept.jsonl", price=Price(call=0.5)).annotate(["a"])
    record = json.loads((tmp_path / "kept.jsonl").read_text())
    assert record | {"key": ""} == {"key": "", "label": "spam", "confidence": 1.0, "cost": 0.5, "text": "spam"}
