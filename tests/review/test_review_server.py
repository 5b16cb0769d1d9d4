"""The server: what it answers, and everything it refuses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from labelwise.base import InputError
from labelwise.report.page import theme
from labelwise.review import pages, server
from labelwise.review.desk import Review
from labelwise.review.exchange import uploaded

TOKEN = "a-token-for-tests"
HOME = "http://127.0.0.1:8000"


@pytest.fixture
def review(run_dir: Callable[..., Path]) -> Iterator[Review]:
    review = Review(run_dir(), "Ann")
    yield review
    review.close()


@pytest.fixture
def client(review: Review) -> Iterator[TestClient]:
    app = server.make_app(review, TOKEN)
    with TestClient(app, base_url=HOME, headers={"X-Labelwise-Token": TOKEN}, raise_server_exceptions=False) as client:
        yield client


def refused(answer: Any, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    content = answer.json()
    assert set(content) == {"error"}
    assert all(word in content["error"] for word in words), content["error"]


def test_the_page_comes_with_a_policy_that_lets_nothing_else_run(client: TestClient) -> None:
    answer = client.get(f"/?token={TOKEN}", headers={"X-Labelwise-Token": ""})
    assert answer.status_code == 200
    assert "{{" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"https?:|\*", policy)
    for header, value in server.HEADERS:
        assert answer.headers[header] == value
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", answer.text), "nothing is fetched from elsewhere"
    assert not re.search(r"\son[a-z]+\s*=|style\s*=", answer.text.split("<body")[1]), "the policy would stop these"


def test_the_policy_names_exactly_the_page_s_own_code(tmp_path: Path) -> None:
    html = "<style>{{style}}</style><script>{{script}}</script><body></body>"
    for name, text in (("page.html", html), ("page.css", "b {}"), ("page.js", "let a = 1 < 2;")):
        (tmp_path / name).write_text(text)
    page = pages.page(tmp_path)
    assert page == f"<style>{theme()}b {{}}</style><script>let a = 1 < 2;</script><body></body>"
    assert "style-src 'sha256-" in pages.policy(page)
    assert pages.policy(page) != pages.policy(page.replace("1 < 2", "2 < 1"))


@pytest.mark.parametrize(
    "path", ["/", "/api/session", "/api/cards", "/api/progress", "/api/export?format=csv", "/nowhere"]
)
@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "x", "ä" * 20])
def test_nothing_is_told_without_the_token(client: TestClient, path: str, token: str) -> None:
    refused(client.get(path, headers={"X-Labelwise-Token": token.encode()}), 403, "token")
    refused(client.get(f"/?token={token}"), 403, "token")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "0.0.0.0", "[::1", "a@b:1", ""]
)
def test_other_hosts_are_refused(client: TestClient, host: str) -> None:
    refused(client.get("/api/session", headers={"Host": host}), 403, "this machine")


@pytest.mark.parametrize("origin", ["http://evil.example", "https://127.0.0.1:8000", "http://127.0.0.1:9", "null", ""])
def test_other_origins_are_refused(client: TestClient, review: Review, origin: str) -> None:
    row = int(review.cards.rows[0])
    given = {"row": row, "annotator": "Ann", "action": "skip"}
    refused(client.post("/api/decisions", json=given, headers={"Origin": origin}), 403, "other pages")
    assert review.store.empty
    assert client.post("/api/decisions", json=given, headers={"Origin": HOME}).status_code == 200


@pytest.mark.parametrize(
    "path", ["/../pyproject.toml", "/static/../../store.py", "/%2e%2e/store.py", "/page.js", "/api", "/api/cards/"]
)
def test_no_other_address_leads_anywhere(client: TestClient, path: str) -> None:
    answer = client.get(path)
    refused(answer, 404, "no such address")
    refused(client.put("/api/cards"), 405, "does not take")
    refused(client.get("/api/cards/../../etc/passwd"), 404)


def test_large_bodies_are_refused_before_they_are_read(client: TestClient, review: Review) -> None:
    large = json.dumps({"row": 1, "annotator": "Ann", "action": "label", "label": "x" * 2**16})
    for path in ("/api/decisions", "/api/undo"):
        refused(client.post(path, content=large), 413, "too large")
        refused(client.post(path, content=iter([large[:100].encode(), large[100:].encode()])), 413)
        refused(client.post(path, content=b"{}", headers={"Content-Length": "99999999999"}), 413)
    assert client.post("/api/import", content=large).status_code == 400, "which takes more, but not this"
    assert review.store.empty


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b"\xff", b"1", b"[" * 50_000])
def test_bodies_that_are_no_object_are_refused(client: TestClient, body: bytes) -> None:
    refused(client.post("/api/decisions", content=body), 400)
    refused(client.post("/api/undo", content=body), 400)


@pytest.mark.parametrize(("change", "status", "word"), [
    ({"row": "1"}, 400, "row"), ({"row": True}, 400, "row"), ({"row": 10**30}, 404, "no card"), ({"row": -1}, 404, "card"),
    ({"row": 1.0}, 400, "row"), ({"action": "shrug"}, 400, "action"), ({"action": None}, 400, "action"),
    ({"action": ["skip"]}, 400, "action"), ({"action": "label"}, 400, "label"),
    ({"action": "label", "label": "crad"}, 400, "Did you mean 'card'"), ({"action": "label", "label": 3}, 400, "label"),
    ({"action": "label", "label": "card", "annotator": ""}, 400, "annotator"), ({"annotator": "x" * 61}, 400, "annotator"),
    ({"annotator": "a\nb"}, 400, "annotator"), ({"annotator": None}, 400, "annotator"), ({"annotator": 7}, 400, "annotator"),
    ({"annotator": "\ud800"}, 400, "annotator"),
])  # fmt: skip
def test_decisions_that_mean_nothing_are_refused(
    client: TestClient, review: Review, change: dict[str, Any], status: int, word: str
) -> None:
    given = {"row": int(review.cards.rows[0]), "annotator": "Ann", "action": "skip"} | change
    refused(client.post("/api/decisions", content=json.dumps(given)), status, word)
    assert review.store.empty


@pytest.mark.parametrize("query", ["state=none", "kind=nothing", "offset=-1", "limit=0", "limit=501", "limit=1e3",
                                   "offset=x", "annotator=" + "x" * 61, "offset=" + "9" * 30])  # fmt: skip
def test_pages_that_cannot_be_are_refused(client: TestClient, query: str) -> None:
    refused(client.get(f"/api/cards?{query}"), 400)


def test_a_card_without_a_suggestion_or_a_label_says_so(client: TestClient, review: Review) -> None:
    table = review.cards.table
    unlabelled = int(table.loc[table["given"].isna(), "row"].iloc[0])
    given = {"row": unlabelled, "annotator": "Ann", "action": "keep"}
    refused(client.post("/api/decisions", json=given), 400, "no given label to keep")
    assert client.post("/api/decisions", json=given | {"action": "accept"}).json()["label"]


def test_a_failure_is_told_without_its_details(
    client: TestClient, review: Review, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails() -> None:
        raise RuntimeError("secret path")

    monkeypatch.setattr(review, "session", fails)
    answer = client.get("/api/session")
    refused(answer, 500, "RuntimeError")
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_whole_review(client: TestClient, review: Review) -> None:
    session = client.get("/api/session").json()
    assert session["classes"] == ["card", "exchange", "transfer"]
    assert session["show"] == "text"
    assert re.fullmatch("[0-9a-f]{32}", session["id"])
    assert session["next"] == f"labelwise run {review.run} --resume"
    assert session["totals"]["cards"] == len(review.cards)
    page = client.get("/api/cards?annotator=Ann&state=todo&limit=500").json()
    assert page["total"] == len(page["cards"]) == len(review.cards)
    first, second = (card["row"] for card in page["cards"][:2])
    done = client.post(
        "/api/decisions", json={"row": first, "annotator": "Ann", "action": "accept", "seconds": 2.0}
    ).json()
    assert done["label"] == page["cards"][0]["suggested"]
    assert done["progress"]["done"] == 1
    client.post("/api/decisions", json={"row": second, "annotator": "Ann", "action": "skip"})
    left = client.get("/api/cards?annotator=Ann&state=todo").json()
    assert left["total"] == page["total"] - 2
    assert [card["row"] for card in left["cards"]] == [card["row"] for card in page["cards"][2:52]], "the order stays"
    assert [card["row"] for card in client.get("/api/cards?annotator=Ann&state=done").json()["cards"]] == [first]
    assert [card["row"] for card in client.get("/api/cards?annotator=Ann&state=skipped").json()["cards"]] == [second]
    assert client.get("/api/cards?annotator=Bob&state=todo").json()["total"] == page["total"], "everybody has their own"
    card = client.get(f"/api/cards/{first}?annotator=Ann").json()
    assert (card["state"], card["label"]) == ("done", done["label"])
    assert [one["annotator"] for one in card["decisions"]] == ["Ann"]
    assert client.post("/api/undo", json={"annotator": "Ann"}).json()["row"] == second
    assert client.post("/api/undo", json={"annotator": "Ann"}).json()["progress"]["done"] == 0
    refused(client.post("/api/undo", json={"annotator": "Ann"}), 409, "nothing")
    refused(client.get("/api/cards/999999"), 404, "no card")


def test_disagreements_are_disputed_until_somebody_settles_them(client: TestClient, review: Review) -> None:
    flagged = review.cards.table[review.cards.table["kind"] == "label errors"]
    row = int(flagged["row"].iloc[0])

    def decide(name: str, action: str) -> dict[str, Any]:
        answer = client.post("/api/decisions", json={"row": row, "annotator": name, "action": action})
        progress: dict[str, Any] = answer.json()["progress"]
        return progress

    assert decide("Ann", "keep")["agreement"] is None
    progress = decide("Bob", "accept")
    assert (progress["disputed"], progress["changed"], progress["kept"]) == (1, 0, 0)
    assert progress["agreement"]["value"] == 0
    assert progress["agreement"]["rows"] == 1
    assert [one["annotator"] for one in progress["by_annotator"]] == ["Ann", "Bob"]
    assert [card["row"] for card in client.get("/api/cards?state=disputed&annotator=Eve").json()["cards"]] == [row]
    progress = decide("Eve", "accept")
    assert (progress["disputed"], progress["changed"]) == (0, 1)
    progress = client.post("/api/undo", json={"annotator": "Eve"}).json()["progress"]
    assert progress["disputed"] == 1
    progress = decide("Ann", "accept")
    assert (progress["disputed"], progress["changed"], progress["agreement"]["value"]) == (0, 1, 1)


def test_the_same_decision_sent_twice_is_one(client: TestClient, review: Review) -> None:
    first, second = (int(row) for row in review.cards.rows[:2])
    given = {"row": first, "annotator": "Ann", "action": "skip"}
    ids = {client.post("/api/decisions", json=given).json()["decision"] for _ in range(2)}
    assert len(ids) == 1
    client.post("/api/decisions", json=given | {"row": second})
    client.post("/api/decisions", json=given)
    assert [one.row for one in review.store.history()] == [first, second, first], (
        "but deciding again after another counts"
    )


def test_uploads_come_as_a_body_or_a_form() -> None:
    assert uploaded(b"[]", "application/json") == b"[]"
    form = (
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nno file\r\n--x\r\nContent-Disposition: form-data; '
        b'name="f"; filename="a.json"\r\nContent-Type: application/json\r\n\r\n[1, "\xc3\xa9"]\r\n--x--\r\n'
    )
    assert uploaded(form, 'multipart/form-data; boundary="x"') == b'[1, "\xc3\xa9"]'
    with pytest.raises(InputError, match="no file"):
        uploaded(b"--x--\r\n", "multipart/form-data; boundary=x")


def test_ports_that_cannot_be_used_are_named() -> None:
    taken = server.listen(0)
    number = taken.getsockname()[1]
    assert taken.getsockname()[0] == "127.0.0.1"
    assert server.address(taken, "T") == f"http://127.0.0.1:{number}/?token=T"
    with pytest.raises(InputError, match=f"--port: {number} cannot be used"):
        server.listen(number)
    taken.close()
    with pytest.raises(InputError, match="--port must be from 0"):
        server.listen(70_000)


def test_without_a_port_the_next_usual_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    first = server.listen(0)
    number = first.getsockname()[1]
    monkeypatch.setattr(server, "PORTS", [number])
    second = server.listen()
    assert second.getsockname()[1] != number, "the usual one is taken, so any is"
    first.close()
    second.close()
    third = server.listen()
    assert third.getsockname()[1] == number
    third.close()


def test_the_token_stays_with_the_run_and_with_its_owner(tmp_path: Path) -> None:
    token = server.token_of(tmp_path)
    assert re.fullmatch(r"[\w-]{32}", token)
    assert server.token_of(tmp_path) == token
    file = tmp_path / server.TOKEN
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    assert server.token_of(tmp_path) != token, "others may have read it"
    for damaged in (b"short", b"\xff" * 32, b""):
        file.write_bytes(damaged)
        assert len(server.token_of(tmp_path)) == 32
    assert len(server.token_of(tmp_path / "nowhere")) == 32


def test_a_decision_without_room_on_the_disk_is_refused_and_the_page_goes_on(
    client: TestClient, review: Review
) -> None:
    row = int(review.cards.rows[0])
    given = {"row": row, "annotator": "Ann", "action": "skip"}
    review.store._connection.execute("PRAGMA query_only=1")  # as a disk that refuses writes
    refused(client.post("/api/decisions", json=given), 507, "nothing was kept of this", "make room")
    review.store._connection.execute("PRAGMA query_only=0")
    assert client.post("/api/decisions", json=given).status_code == 200
    assert [one.row for one in review.store.live()] == [row]
