from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.data.exchange import labelling_config, read_answers, write_tasks

QUERIES = pd.DataFrame(
    {
        "rank": [1, 2, 3], "row": [12, 7, 0], "score": [0.9, 0.5, 0.1], "reason": ["unsure", "unsure", "flagged"],
        "prediction": ["cat", "dog", "cat"], "confidence": [0.51, 0.62, 0.99], "given_label": ["dog", None, "cat"],
        "preview": ["a small, <furry> thing", 'says "wuff"', "mew"], "label": "",
    }
)  # fmt: skip
LABELS = st.text("abcß ,;\"'\t|0.-NA", min_size=1, max_size=6).filter(lambda word: word.strip() == word)


def studio_task(row, *annotations, **task):
    return {
        "id": 100 + row, "data": {"row": row, "text": "wuff"}, "annotations": list(annotations), "drafts": [],
        "predictions": [{"result": [studio_result("cat")], "score": 0.4}], "meta": {}, "project": 1, **task,
    }  # fmt: skip


def studio_result(value, kind="choices", control="label"):
    value = {kind: [value]} if kind == "choices" and isinstance(value, str) else {kind: value}
    return {"value": value, "id": "x1", "from_name": control, "to_name": "text", "type": kind, "origin": "manual"}


def studio_annotation(*results, by=1, cancelled=False):
    return {
        "id": 9, "completed_by": by, "result": list(results), "was_cancelled": cancelled, "ground_truth": False,
        "lead_time": 4.2, "created_at": "2024-03-09T22:16:08.728353Z",
    }  # fmt: skip


def studio_min(row, by=1, **outputs):
    return {
        "row": row, "text": "wuff", "id": 100 + row, **outputs, "annotator": by, "annotation_id": 5,
        "created_at": "2024-03-09T22:16:08.728353Z", "updated_at": "2024-03-09T22:16:08.728353Z", "lead_time": 4.2,
    }  # fmt: skip


def argilla(row, responses, **record):
    return {
        "id": str(row), "fields": {"text": "wuff"}, "metadata": {"row": row}, "suggestions": {}, "responses": responses,
        "vectors": {}, "_server_id": "9a1e", **record,
    }  # fmt: skip


def told(tmp_path, content, name="export.json", **options):
    path = tmp_path / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return read_answers(path, **options)


def triples(answers):
    return list(answers[["row", "label", "annotator"]].itertuples(index=False, name=None))


class TestTables:
    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
    @given(labels=st.dictionaries(st.integers(0, 10**9), LABELS, min_size=1, max_size=6))
    @pytest.mark.parametrize("name", ["done.csv", "done.csv.gz", "done.tsv", "done.parquet", "done.jsonl"])
    def test_labels_come_back_as_they_were_typed(self, tmp_path, name, labels):
        path, table = tmp_path / name, pd.DataFrame({"rank": 1, "row": list(labels), "label": list(labels.values())})
        if path.suffix == ".parquet":
            table.to_parquet(path)
        elif path.suffix == ".jsonl":
            table.to_json(path, orient="records", lines=True)
        else:
            table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
        assert triples(read_answers(path)) == [(row, label, None) for row, label in labels.items()]

    def test_the_table_of_query_is_filled_in_and_read(self, tmp_path):
        path = tmp_path / "queries.csv"
        write_tasks(QUERIES, path, "csv")
        filled = pd.read_csv(path, dtype=str, keep_default_na=False)
        filled["label"] = ["cat", "", " dog "]
        filled.to_csv(path, index=False)
        answers = read_answers(path, n_rows=13)
        assert triples(answers) == [(12, "cat", None), (0, "dog", None)]
        assert answers.attrs["skipped"] == {"empty": 1}
        assert answers["row"].dtype == "int64"

    @pytest.mark.parametrize("separator", [",", ";", "\t"])
    def test_what_spreadsheets_write(self, tmp_path, separator):
        rows = [("row", "label", "annotator"), ("3", "007", "ann"), ("3", "NA", "bob"), ("4.0", "", "ann")]
        text = "\ufeff" + "\r\n".join(separator.join(cells) for cells in rows) + "\r\n"
        assert triples(told(tmp_path, text, "done.csv")) == [(3, "007", "ann"), (3, "NA", "bob")]

    def test_whole_numbers_stay_whole_where_a_label_is_missing(self, tmp_path):
        path = tmp_path / "done.parquet"
        pd.DataFrame({"row": [1, 2], "label": [3.0, None]}).to_parquet(path)
        assert triples(read_answers(path)) == [(1, "3", None)]

    def test_another_column_can_hold_the_label(self, tmp_path):
        assert triples(told(tmp_path, "row,kind\n1,a\n", "done.csv", question="kind")) == [(1, "a", None)]

    def test_the_same_answer_twice_counts_once(self, tmp_path):
        assert triples(told(tmp_path, "row,label\n1,a\n1,a\n", "done.csv")) == [(1, "a", None)]

    @pytest.mark.parametrize(
        ("name", "text", "message"),
        [
            ("done.csv", "row,label\n5,a\n", r"record 1: found row '5'. Accepted: a whole number from 0 to 4"),
            ("done.csv", "row,label\n-1,a\n", "record 1: found row '-1'"),
            ("done.csv", "row,label\n1.5,a\n", "record 1: found row '1.5'"),
            ("done.csv", "row,label\n0,a\n99999999999999999999,a\n", "record 2: found row '9999"),
            ("done.csv", "row,label\n,a\n", "record 1: found no row number"),
            (
                "done.csv",
                "row,label\n1,a\n2,a\n1,b\n",
                "row 1 is labelled 'a' in record 1 and 'b' in record 3, both by n",
            ),
            ("done.csv", "row,label,annotator\n1,a,ann\n1,b,ann\n", "both by annotator 'ann'"),
            ("done.csv", "row,lable\n1,a\n", "no column 'label'. Did you mean 'lable'"),
            ("done.csv", "row,label\n1,a,b\n", "cannot be read as a table"),
            ("done.csv", "", "cannot be read as a table"),
            ("done.xlsx", "x", "unknown file type '.xlsx'. Accepted: a table with"),
            ("done.json", "{", "is not JSON .line 1"),
            ("done.json", '[{"a": 1}]', "record 1: found the keys 'a'. Accepted"),
            ("done.json", '[{"row": 1, "label": "a"}, 3]', "record 2: found 3"),
        ],
    )
    def test_what_is_wrong_is_said_with_file_and_record(self, tmp_path, name, text, message):
        with pytest.raises(InputError, match=message) as caught:
            told(tmp_path, text, name, n_rows=5)
        assert name in str(caught.value)

    def test_a_file_that_is_not_utf8(self, tmp_path):
        (tmp_path / "done.csv").write_bytes("row,label\n1,süß\n".encode("latin-1"))
        with pytest.raises(InputError, match="not UTF-8"):
            read_answers(tmp_path / "done.csv")

    def test_no_file(self, tmp_path):
        with pytest.raises(InputError, match="no such file"):
            read_answers(tmp_path / "done.csv")


class TestLabelStudio:
    def test_several_annotators_cancelled_and_open_tasks(self, tmp_path):
        export = [
            studio_task(
                4, studio_annotation(studio_result("dog"), by=1), studio_annotation(studio_result("cat"), by=2)
            ),
            studio_task(5, studio_annotation(cancelled=True)),
            studio_task(6),
            studio_task(7, studio_annotation(studio_result("cat"), by={"id": 3, "email": "a@b.org"})),
        ]
        answers = told(tmp_path, export)
        assert triples(answers) == [(4, "dog", "1"), (4, "cat", "2"), (7, "cat", "a@b.org")]
        assert answers.attrs["skipped"] == {"cancelled": 1, "empty": 1}

    @pytest.mark.parametrize(
        ("kind", "value", "label"), [("number", 3, "3"), ("number", 2.5, "2.5"), ("rating", 4, "4")]
    )
    def test_numbers_and_ratings(self, tmp_path, kind, value, label):
        export = [studio_task(0, studio_annotation(studio_result(value, kind, "grade")))]
        assert triples(told(tmp_path, export)) == [(0, label, "1")]

    def test_the_row_may_stand_in_meta(self, tmp_path):
        task = studio_task(3, studio_annotation(studio_result("cat")), data={"text": "wuff"}, meta={"row": 3})
        assert triples(told(tmp_path, [task])) == [(3, "cat", "1")]

    def test_the_question_is_named_where_there_are_two(self, tmp_path):
        both = [studio_result("dog", control="animal"), studio_result(4, "rating", "quality")]
        export = [studio_task(0, studio_annotation(*both)), studio_task(1, studio_annotation(both[1]))]
        with pytest.raises(InputError, match="holds answers to 'animal', 'quality'"):
            told(tmp_path, export)
        answers = told(tmp_path, export, question="animal")
        assert triples(answers) == [(0, "dog", "1")]
        assert answers.attrs["skipped"] == {"empty": 1}
        with pytest.raises(InputError, match="Did you mean 'animal'"):
            told(tmp_path, export, question="animals")

    def test_min(self, tmp_path):
        export = [
            studio_min(4, label="dog"), studio_min(4, by=2, label="cat"), studio_min(5, label={"choices": ["dog"]}),
            studio_min(6), studio_min(7, by={}, label=[{"rating": 3}]),
        ]  # fmt: skip
        answers = told(tmp_path, export)
        assert triples(answers) == [(4, "dog", "1"), (4, "cat", "2"), (5, "dog", "1"), (7, "3", None)]
        assert answers.attrs["skipped"] == {"empty": 1}

    def test_min_finds_the_control_between_task_and_annotator(self, tmp_path):
        assert triples(told(tmp_path, [studio_min(4, sentiment="good")])) == [(4, "good", "1")]

    @pytest.mark.parametrize(
        ("export", "message"),
        [
            ([studio_task(1, studio_annotation(studio_result(["a", "b"])))], "record 1: found the labels 'a', 'b'"),
            ([studio_min(1, label={"choices": ["a", "b"]})], "record 1: found the labels 'a', 'b'"),
            (
                [studio_task(1, studio_annotation(studio_result(["a"], "rectanglelabels")))],
                "found results of type 'rectanglelabels'. Accepted: 'choices'",
            ),
            ([studio_task(1, studio_annotation(studio_result("a")), data={})], "record 1: found no row number"),
            (
                [studio_task(1, *(studio_annotation(studio_result(label)) for label in "ab"))],
                "row 1 is labelled 'a' in record 1 and 'b' in record 1, both by annotator '1'",
            ),
            ([studio_task(70, studio_annotation(studio_result("a")))], "found row '70'"),
        ],
    )
    def test_what_is_wrong(self, tmp_path, export, message):
        with pytest.raises(InputError, match=message):
            told(tmp_path, export, n_rows=50)


class TestArgilla:
    def test_nested_records(self, tmp_path):
        given = {"label": [{"value": "dog", "user_id": "u1"}, {"value": "cat", "user_id": "u2", "status": "submitted"}]}
        drafts = {"label": [{"value": "dog", "user_id": "u1", "status": "draft"}]}
        export = [argilla(4, given), argilla(5, drafts), argilla(6, {})]
        expected = [(4, "dog", "u1"), (4, "cat", "u2")]
        for name, content in (("export.json", export), ("export.jsonl", "\n".join(map(json.dumps, export)))):
            answers = told(tmp_path, content, name)
            assert triples(answers) == expected
            assert answers.attrs["skipped"] == {"cancelled": 1, "empty": 1}

    def test_one_entry_a_user(self, tmp_path):
        responses = [
            {"user_id": "u1", "values": {"label": {"value": "dog"}}, "status": "submitted"},
            {"user_id": "u2", "values": {}, "status": "discarded"},
        ]
        record = {"fields": {"text": "wuff"}, "external_id": "4", "id": "9a1e", "metadata": {}, "responses": responses}
        answers = told(tmp_path, [record])
        assert triples(answers) == [(4, "dog", "u1")]
        assert answers.attrs["skipped"] == {"cancelled": 1}

    def test_flattened_records(self, tmp_path):
        record = {
            "id": "4", "text": "wuff", "row": 4, "label.responses": ["dog", "cat"],
            "label.responses.users": ["u1", "u2"], "label.responses.status": ["submitted", "discarded"],
        }  # fmt: skip
        assert triples(told(tmp_path, [record])) == [(4, "dog", "u1")]

    def test_one_annotation_a_record(self, tmp_path):
        record = {
            "text": "wuff", "prediction": [["cat", 0.6]], "annotation": "dog", "annotation_agent": "ann", "id": 4,
            "metadata": {}, "status": "Validated",
        }  # fmt: skip
        export = [
            record,
            {**record, "id": 5, "annotation": None, "status": "Default"},
            {**record, "status": "Discarded"},
        ]
        answers = told(tmp_path, export)
        assert triples(answers) == [(4, "dog", "ann")]
        assert answers.attrs["skipped"] == {"empty": 1, "cancelled": 1}

    def test_an_id_that_is_no_row_number(self, tmp_path):
        record = argilla(4, {"label": [{"value": "dog", "user_id": "u1"}]}, id="9a1e", metadata={})
        with pytest.raises(InputError, match="record 1: found row '9a1e'"):
            told(tmp_path, [record])


class TestTasks:
    def test_label_studio_tasks_agree_with_the_interface(self, tmp_path):
        path = tmp_path / "tasks.json"
        write_tasks(QUERIES, path)
        tasks = json.loads(path.read_text())
        view = ET.fromstring(labelling_config(["cat", "dog"]))
        choices, text = view.find("Choices"), view.find("Text")
        values = {choice.get("value") for choice in choices}
        for task, query in zip(tasks, QUERIES.to_dict("records"), strict=True):
            (prediction,) = task["predictions"]
            (result,) = prediction["result"]
            assert task["data"]["row"] == query["row"]
            assert task["data"][text.get("value").removeprefix("$")] == query["preview"]
            assert (result["from_name"], result["to_name"]) == (choices.get("name"), text.get("name"))
            assert result["to_name"] == choices.get("toName")
            assert result["value"]["choices"] == [query["prediction"]] and values >= {query["prediction"]}
            assert prediction["score"] == query["confidence"]

    @pytest.mark.parametrize("by", [1, {"email": "a@b.org"}])
    def test_label_studio_round_trip(self, tmp_path, by):
        path = tmp_path / "tasks.json"
        write_tasks(QUERIES, path)
        export = []
        for number, task in enumerate(json.loads(path.read_text()), start=1):
            accepted = task["predictions"][0]["result"]
            export.append({"id": number, **task, "annotations": [studio_annotation(*accepted, by=by)]})
        answers = told(tmp_path, export)
        assert answers["row"].tolist() == QUERIES["row"].tolist()
        assert answers["label"].tolist() == QUERIES["prediction"].tolist()

    @pytest.mark.parametrize("name", ["records.jsonl", "records.json"])
    def test_argilla_round_trip(self, tmp_path, name):
        path = tmp_path / name
        write_tasks(QUERIES, path, "argilla")
        text = path.read_text()
        records = json.loads(text) if name.endswith(".json") else [json.loads(line) for line in text.splitlines()]
        for record in records:
            suggestion = record["suggestions"]["label"]
            record["responses"] = {"label": [{"value": suggestion["value"], "user_id": "u1", "status": "submitted"}]}
        assert triples(told(tmp_path, records)) == [(12, "cat", "u1"), (7, "dog", "u1"), (0, "cat", "u1")]

    @pytest.mark.parametrize("tool", ["label-studio", "argilla"])
    def test_no_suggestion_and_content_of_ones_own(self, tmp_path, tool):
        path = tmp_path / "tasks.json"
        write_tasks(QUERIES, path, tool, content={12: "a.png", 7: "b.png", 0: "c.png"}, suggest=False)
        text = path.read_text()
        assert "cat" not in text and "wuff" not in text
        assert "b.png" in text

    def test_untouched_tasks_are_empty_answers(self, tmp_path):
        path = tmp_path / "tasks.json"
        for tool in ("label-studio", "argilla"):
            write_tasks(QUERIES, path, tool)
            answers = read_answers(path)
            assert len(answers) == 0 and answers.attrs["skipped"] == {"empty": 3}

    def test_what_is_wrong(self, tmp_path):
        with pytest.raises(InputError, match="no column 'row'"):
            write_tasks(pd.DataFrame({"rows": [1]}), tmp_path / "tasks.json")
        with pytest.raises(InputError, match="row 12 has nothing to show"):
            write_tasks(QUERIES, tmp_path / "tasks.json", content=pd.Series({7: "b"}))
        with pytest.raises(InputError, match="tool must be one of"):
            write_tasks(QUERIES, tmp_path / "tasks.json", "prodigy")
        with pytest.raises(InputError, match="there is no folder"):
            write_tasks(QUERIES, tmp_path / "no" / "tasks.json")
        with pytest.raises(InputError, match="at least two classes"):
            labelling_config(["cat", "cat"])

    @given(classes=st.lists(LABELS, min_size=2, max_size=4, unique=True))
    def test_the_interface_holds_every_class(self, classes):
        view = ET.fromstring(labelling_config(classes, kind="image"))
        values = [choice.get("value") for choice in view.find("Choices")]
        assert [value.split() for value in values] == [name.split() for name in classes]
        assert view.find("Image") is not None
