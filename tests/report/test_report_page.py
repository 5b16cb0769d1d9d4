"""The page as a whole: complete, well formed, harmless whatever the data say, and small."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import time
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest
from tests.report.fixture import CASES, HOSTILE, make_run

from labelwise.base import InputError
from labelwise.report import write_report

VOID = {"meta", "link", "wbr", "input", "img"}
TAGS = VOID | {
    "html", "head", "body", "title", "style", "script", "a", "abbr", "article", "bdi", "button", "caption", "code", "dd",
    "details", "div", "dl", "dt", "figcaption", "figure", "footer", "h1", "h2", "h3", "h4", "header", "label", "li", "main",
    "nav", "ol", "option", "output", "p", "pre", "section", "select", "span", "strong", "summary", "table", "tbody", "td",
    "th", "thead", "tr", "ul", "svg", "g", "rect", "line", "circle", "path", "text",
    "defs", "use",
}  # fmt: skip


class Page(HTMLParser):
    """A strict reading of a page: every element closed in order, attributes once; keeps elements and text by element."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> repeats an attribute: {names}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append((self.open[-1] if self.open else "", data))

    def words(self) -> str:
        return " ".join("".join(data for tag, data in self.text if tag not in ("style", "script")).split())

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@cache
def report(case: str) -> str:
    with TemporaryDirectory() as directory:
        return write_report(make_run(Path(directory) / "run", case)).read_text(encoding="utf-8")


@cache
def page(case: str) -> Page:
    return Page(report(case))


every_case = pytest.mark.parametrize("case", CASES)


@every_case
def test_page_is_well_formed_and_uses_known_elements_only(case: str) -> None:
    found = page(case)
    assert report(case).startswith("<!doctype html>")
    assert {tag for tag, _ in found.elements} <= TAGS
    ids = [attributes["id"] for _, attributes in found.elements if "id" in attributes]
    assert [name for name, times in Counter(ids).items() if times > 1] == []


@every_case
def test_every_reference_inside_the_page_leads_somewhere(case: str) -> None:
    found = page(case)
    ids = {attributes["id"] for _, attributes in found.elements if "id" in attributes}
    targets = {str(a["href"])[1:] for a in [*found.of("a"), *found.of("use")]}
    labels = {attributes["aria-labelledby"] for _, attributes in found.elements if "aria-labelledby" in attributes}
    tables = {attributes["data-for"] for _, attributes in found.elements if "data-for" in attributes}
    assert targets | labels | tables <= ids


@every_case
def test_headings_descend_one_step_at_a_time(case: str) -> None:
    levels = [int(tag[1]) for tag, _ in page(case).elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@every_case
def test_page_loads_nothing_and_holds_no_inline_code(case: str) -> None:
    for tag, attributes in page(case).elements:
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        assert "srcset" not in attributes and "action" not in attributes
        if "src" in attributes:
            assert tag == "img" and re.fullmatch("data:image/(png|jpeg);base64,[A-Za-z0-9+/=]+", str(attributes["src"]))
        if "href" in attributes:
            assert re.match("#[a-z]|data:,$", str(attributes["href"])), attributes["href"]
    assert "@import" not in report(case) and "url(" not in report(case)


@every_case
def test_policy_allows_this_style_and_script_only(case: str) -> None:
    text = report(case)
    (policy,) = [a["content"] for a in page(case).of("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy).startswith("default-src 'none'")
    for tag in ("style", "script"):
        (inside,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.S)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in str(policy)
    assert text.index("Content-Security-Policy") < text.index("<style>")


@every_case
def test_page_stays_small(case: str) -> None:
    assert len(report(case).encode()) < 1_500_000


@every_case
def test_every_plot_has_words(case: str) -> None:
    for tag, attributes in page(case).elements:
        if attributes.get("role") == "img":
            assert len(str(attributes["aria-label"]).split()) >= 3
        if tag == "svg" and attributes.get("class") == "drawing" and "height" in attributes:
            assert attributes.get("focusable") == "false"


@pytest.mark.parametrize("text", HOSTILE[:9], ids=range(9))
def test_foreign_text_is_shown_as_text(text: str) -> None:
    shown = " ".join(re.sub("[\u202e\u2066]", "", re.sub("[\x00\x07\x1b]", "\ufffd", text)).split())
    assert shown.split("z͑")[0] in page("hostile").words().replace("\u200b", "")


def test_foreign_markup_makes_no_element() -> None:
    text, found = report("hostile"), page("hostile")
    assert len(found.of("script")) == len(found.of("style")) == 1
    assert "onerror" not in {name for _, attributes in found.elements for name in attributes}
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)


def test_long_text_is_cut_everywhere() -> None:
    found = page("hostile")
    longest = max(
        len(str(value)) for tag, a in found.elements for name, value in a.items() if name not in ("content", "d", "src")
    )
    assert longest <= 1000
    assert not re.search("(W|y){2100}", found.words())


def test_at_most_200_flagged_rows_and_where_the_rest_is() -> None:
    found = page("many")
    body = report("many").split('id="flagged-table"')[1].split("</table>")[0]
    assert body.count("<tr data-kind=") == 200
    assert "The first 200 of" in found.words() and "flagged.csv" in found.words()


def test_rare_kinds_of_flagged_rows_are_not_crowded_out() -> None:
    kinds = Counter(a["data-kind"] for a in page("many").of("tr") if "data-kind" in a)
    assert kinds == {"label errors": 186, "near duplicates": 14}


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("many", ["beats the plain baseline", "Can I trust my labels?", "77 classes", "The 14 weakest of 77 classes",
                  "It errs more where class is", "Do small classes suffer?", "Twice today",
                  "157 methods considered: 7 raced"]),
        ("two", ["you keep the baseline", "not that the methods are equal", "not proven better",
                 "Cannot say: this run did not estimate"]),
        ("images", [".png", "What mending promises, in points of accuracy"]),
        ("tiny", ["only 18 labelled rows", "No labelled test set", "1 with fewer than 10"]),
        (
            "audit_only",
            ["The labels were audited", "labelwise audit 'bank questions.parquet'", "5 checks made; 1 found", "86 % of the"],
        ),
        ("partial", ["Labels flagged as wrong" .lower(), "90.0%", "in cross-validation"]),
        ("regression", ["R²", "Mean absolute error", "One real number a row."]),
        ("running", ["This run has not finished yet."]),
        ("empty", ["your data"]),
    ],
)  # fmt: skip
def test_cases_say_what_they_must(case: str, words: list[str]) -> None:
    shown = page(case).words()
    assert [text for text in words if text not in shown] == []


@every_case
def test_the_five_questions_come_in_their_order_and_each_is_answered(case: str) -> None:
    sections = [str(a["id"]) for a in page(case).of("section")]
    assert sections == ["summary", "trust", "cost", "next", "model", "tried", "data", "making"]
    text = report(case)
    told = re.findall(r'<p class="answer"><bdi[^>]*>(.*?)</bdi></p>', text, re.S)
    assert len(told) == 5 and all(len(answer.split()) >= 4 for answer in told)


@pytest.mark.parametrize("case", ["audit_only", "empty", "two"])
def test_what_is_not_known_is_said(case: str) -> None:
    assert "Cannot say:" in page(case).words()


def test_thumbnails_stand_beside_flagged_rows() -> None:
    pictures = page("images").of("img")
    assert 100 < len(pictures) <= 500 and all(a["alt"] for a in pictures)
    assert not page("many").of("img")


@pytest.mark.parametrize(
    "bad",
    [
        "javascript:alert(1)",
        "data:text/html;base64,PHNjcmlwdD4=",
        "https://x.test/a.png",
        'data:image/png;base64,A" onerror="x',
    ],
)
def test_what_is_no_picture_of_ours_is_not_shown(tmp_path: Path, bad: str) -> None:
    run = make_run(tmp_path / "run", "images")
    frame = pd.read_parquet(run / "examples.parquet").assign(image=bad)
    frame.to_parquet(run / "examples.parquet")
    assert not Page(write_report(run).read_text()).of("img")


def test_long_texts_unfold_and_fields_are_listed() -> None:
    found = page("many")
    assert len([a for a in found.of("details") if a.get("class") == "more"]) > 20
    assert "field 3" in found.words() and "value 3" in found.words()


def test_the_map_names_few_classes_and_rings_the_flagged_rows() -> None:
    text = report("many")
    drawing = text.split('class="map"')[1].split("</svg>")[0]
    rows = pd.read_parquet(Path(make_run(Path(TemporaryDirectory().name), "many")) / "map.parquet")
    assert drawing.count('class="ring"') == rows["flagged"].sum()
    assert drawing.count("<use ") + drawing.count('class="other"') == len(rows) == 2000
    assert len(set(re.findall(r'href="#mark-(\d+)"', drawing))) == 10


def test_a_broken_map_or_examples_cost_the_page_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "many")
    pd.DataFrame({"x": ["a", None], "y": [1.0, float("inf")]}).to_parquet(run / "map.parquet")
    pd.DataFrame({"row": [1, 2], "image": [None, 3.0], "fields": ["{", "[1]"]}).to_parquet(run / "examples.parquet")
    assert "Where the flagged rows lie" not in Page(write_report(run).read_text()).words()


@pytest.mark.slow
def test_a_run_of_many_pictures_stays_under_three_megabytes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "images")
    frame = pd.read_parquet(run / "examples.parquet")
    picture = "data:image/jpeg;base64," + "A" * 6_000  # 200 of them is what a run keeps at most
    frame.head(200).assign(image=picture).to_parquet(run / "examples.parquet")
    assert 1_000_000 < write_report(run).stat().st_size < 3_000_000


def test_command_can_be_repeated() -> None:
    wanted = "labelwise run 'bank questions.parquet' --method ELR --method FixMatch --label intent --text question"
    assert f"{wanted} --budget 300s --out runs/bank --seed 0" in page("many").words()


def test_labels_that_look_like_numbers_or_nothing_stay_as_they_are(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "audit_only")
    frame = pd.read_csv(run / "flagged.csv").head(3).assign(given_label=["007", "NA", "1e5"])
    frame.to_csv(run / "flagged.csv", index=False)
    shown = Page(write_report(run).read_text()).words()
    assert all(label in shown for label in ("007", "NA", "1e5"))


def test_no_finding_says_so(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "audit_only")
    info = json.loads((run / "run.json").read_text())
    info["audit"]["findings"] = []
    (run / "run.json").write_text(json.dumps(info))
    assert "None of the checks that were made found anything." in Page(write_report(run).read_text()).words()


def test_same_run_gives_same_page(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "two")
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert [file.name for file in run.iterdir() if "part" in file.name] == []


def test_older_page_survives_a_failure(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "two")
    first = write_report(run).read_bytes()
    (run / "leaderboard.parquet").write_bytes(b"not parquet")
    with pytest.raises(InputError, match=r"leaderboard\.parquet cannot be read"):
        write_report(run)
    assert (run / "report.html").read_bytes() == first


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "has no run.json"), ("{", "cannot be read as JSON"), ("[1]", "must hold a JSON object, found list")],
)
def test_bad_run_json(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "run.json").write_text(content)
    with pytest.raises(InputError, match=re.escape(message)):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no directory .*nowhere"):
        write_report(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "bad",
    [None, [None, 1, "x"], *(pytest.param(one, marks=pytest.mark.slow) for one in (3, "text", [], {}, {"a": None}))],
)
def test_parts_of_another_type_read_as_missing(tmp_path: Path, bad: object) -> None:
    run = make_run(tmp_path / "run", "audit_only")
    info = json.loads((run / "run.json").read_text())
    for name in (
        "data",
        "audit",
        "advice",
        "scores",
        "seconds",
        "command",
        "three_things",
        "model",
        "created",
        "versions",
        "slices",
        "sources",
        "learning_curve",
        "notes",
    ):
        (run / "run.json").write_text(json.dumps(info | {name: bad}))
        assert Page(write_report(run).read_text()).of("h1")


@pytest.mark.slow
def test_a_million_flagged_rows_take_seconds(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "many")
    frame = pd.read_csv(run / "flagged.csv")
    pd.concat([frame] * (1_000_000 // len(frame) + 1)).to_csv(run / "flagged.csv", index=False)
    start = time.perf_counter()
    assert write_report(run).stat().st_size < 1_500_000
    assert time.perf_counter() - start < 30


def test_interval_from_0_to_100_is_said_not_drawn(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "audit_only")
    info = json.loads((run / "run.json").read_text())
    for point in info["audit"]["precision_curve"]:
        point |= {"low": 0.0, "high": 1.0}
    (run / "run.json").write_text(json.dumps(info))
    shown = Page(write_report(run).read_text()).words()
    assert "cannot bound this line" in shown and "band: its interval" not in shown and "(0% to 100%)" not in shown
    assert "cannot bound this line" not in page("audit_only").words()
