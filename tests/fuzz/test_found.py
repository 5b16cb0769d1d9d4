"""What fuzzing found, one test each: the smallest input that broke the promise."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pytest
import torch
from scipy import sparse
from tests.fuzz.cases import Case
from tests.fuzz.coverage import readers
from tests.fuzz.coverage.__main__ import SECONDS
from tests.fuzz.coverage.guard import Escape, Guard
from tests.fuzz.coverage.harness import Harness
from tests.fuzz.coverage.mutate import Bytes, bytes_changed, tree_changed
from tests.fuzz.test_estimators import holds
from tests.report.fixture import make_run

from labelwise import catalogue
from labelwise.base import InputError
from labelwise.cli.chosen import considered
from labelwise.data import read_table
from labelwise.data.exchange import read_answers
from labelwise.data.roles import resolve_roles
from labelwise.imbalanced import SP2OT
from labelwise.learner import Classifier, MultiLabelClassifier, Regressor, Train
from labelwise.losses import ELR, CrossEntropy, ForwardCorrection, SquaredError, TaylorSoftmax
from labelwise.noisy import NormalizedLogisticRegression
from labelwise.parts import multilabel_measures as measures
from labelwise.parts.tokens import HashTokenizer
from labelwise.report import write_report
from labelwise.review.cards import read_cards
from labelwise.review.store import Store
from labelwise.rows import LARGEST, plain_rows
from labelwise.session import job_of, reopen
from labelwise.shift import DDFA
from labelwise.supervision import encode_classes, infer
from labelwise.supervision.beside import row_names, row_numbers, row_weights

X, Y = np.arange(24.0).reshape(12, 2) % 5, np.arange(12) % 2
BRIEF = Train(epochs=1, progress=False)

# -- files


@pytest.mark.parametrize("write", ["feather", "stream"])
def test_arrow_offsets_outside_of_the_file_are_refused(tmp_path, write):
    table, file = pa.table({"word": ["abc", "def", "ghi", "jkl"]}), tmp_path / "t.arrow"
    if write == "feather":
        feather.write_feather(table, file, compression="uncompressed")
    else:
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    good = struct.pack("<5i", 0, 3, 6, 9, 12)
    content = file.read_bytes()
    assert content.count(good) == 1
    file.write_bytes(content.replace(good, struct.pack("<5i", 0, 3, 6, 2**30, 2**30 + 3)))
    with pytest.raises(InputError, match=r"cannot be read as \.arrow"):
        read_table(file)


@pytest.mark.parametrize(
    "content",
    [
        [{"data": {"row": 1}, "annotations": [{"result": 3}]}],
        [{"data": {"row": 1}, "annotations": 5}],
        [{"id": 1, "fields": {}, "responses": [7]}],
        [{"id": 1, "annotation_id": 1, "lead_time": 1, "annotator": {"email": []}, "label": {"choices": {"a": 1}}}],
    ],
)
def test_exports_of_other_types_are_refused(tmp_path, content):
    file = tmp_path / "export.json"
    file.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"export\.json"):
        read_answers(file)


@pytest.mark.parametrize(
    "change",
    [
        {"data": 3}, {"data": None, "audit": []}, {"audit": {"findings": 7}}, {"command": 3}, {"command": {}},
        {"rounds": 3}, {"advice": {"considered": 3}},
    ],
)  # fmt: skip
def test_run_directories_of_other_types_are_refused_or_shown(tmp_path, change):
    run = make_run(tmp_path / "run", "tiny")
    info = json.loads((run / "run.json").read_text()) | change
    (run / "run.json").write_text(json.dumps(info))
    for use in (write_report, read_cards, reopen, job_of, considered):
        try:
            use(run)
        except InputError as error:
            assert "run" in str(error)


def test_decisions_damaged_inside_are_refused(tmp_path):
    with Store(tmp_path) as store:
        for row in range(400):
            store.decide(row, "ann", "label", "word " * 20)
        store.settle()
    file = tmp_path / "review.sqlite"
    content = bytearray(file.read_bytes())
    for page in range(2, len(content) // 4096):  # the first page, with the description of the tables, stays whole
        content[4096 * page : 4096 * page + 200] = b"\xff" * 200
    file.write_bytes(bytes(content))
    with pytest.raises(InputError, match="cannot be used"), Store(tmp_path) as store:
        store.history()


# -- rows


@pytest.mark.parametrize(
    "rows",
    [None, 3.5, "texts", b"texts", {"a": 1}, {1, 2}, np.float64(1), iter([[1.0]])],
    ids=lambda rows: type(rows).__name__,
)
def test_what_holds_no_rows_is_refused(rows):
    with pytest.raises(TypeError, match=r"^X is"):
        plain_rows(rows)


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(TypeError, match="X has two columns named 'same'"):
        Classifier(train=BRIEF).fit(pd.DataFrame(X, columns=["same", "same"]), Y)


def test_numbers_whose_squares_overflow_are_refused():
    large = X.copy()
    large[3, 1] = 10 * LARGEST
    with pytest.raises(ValueError, match=r"X contains 1e\+101"):
        NormalizedLogisticRegression().fit(large, Y)


@pytest.mark.parametrize("shape", [(0, 4, 4, 1), (3, 4, 4, 0), (3, 0, 4)])
def test_pictures_and_series_without_numbers_are_refused(shape):
    with pytest.raises(InputError, match="X is empty"):
        Classifier(train=BRIEF).fit(np.zeros(shape), np.arange(shape[0]) % 2)


def test_complex_pictures_and_too_large_ones_are_refused():
    with pytest.raises(InputError, match="Complex"):
        Classifier(train=BRIEF).fit(np.ones((4, 4, 4, 1)) * 1j, [0, 1, 0, 1])
    with pytest.raises(InputError, match="too large"):
        Classifier(train=BRIEF).fit(np.full((4, 4, 4, 1), 1e300), [0, 1, 0, 1])


def test_texts_with_half_a_character_have_codes():
    assert HashTokenizer()(["a\ud800b", "c"]).shape == (2, 64)


def test_sparse_rows_have_no_length():
    model = SP2OT(n_clusters=2, train=BRIEF, random_state=0)
    with pytest.raises(TypeError, match="Sparse"):
        model.fit(sparse.csr_matrix(X))


# -- labels


def test_floats_beyond_64_bits_are_no_class_labels():
    with pytest.raises(InputError, match="beyond 64 bits"):
        encode_classes(np.array([1e300, 2.0]))
    assert encode_classes(np.array([1.0, 2.0], dtype=np.float16))[0].tolist() == [1, 2]


def test_frames_whose_columns_are_numbered_are_read_by_column():
    frame = pd.DataFrame({0: [1, 0, 1], 1: [0, 0, 1]})
    assert infer(frame, kind="multilabel").positive.tolist() == [[True, False], [False, False], [True, True]]


@pytest.mark.parametrize("y", ["words", [[1], [1, 2]], {"a": 1}, np.full(12, b"a"), np.arange(12) * 1j])
def test_targets_that_are_no_numbers_are_refused(y):
    with pytest.raises(InputError, match=r"^(Complex data not supported: )?y"):
        Regressor(train=BRIEF).fit(X, y)


def test_labels_with_pandas_gaps_are_refused_where_they_must_be_flags():
    y = pd.DataFrame({"a": [1, 0] * 6, "b": [0, 1] * 6}).astype("Int64")
    y.iloc[0, 0] = pd.NA
    with pytest.raises(InputError, match="y must hold 1"):
        MultiLabelClassifier(train=BRIEF).fit(X, y)


@pytest.mark.parametrize("y", [np.array(10**400, dtype=object), np.array("a", dtype=object), [10**400, 1.5]])
def test_numbers_beyond_floats_and_single_values_are_refused(y):
    with pytest.raises(InputError, match=r"^y"):
        Regressor(train=BRIEF).fit(X, y)


@pytest.mark.parametrize("hostile", [[[1], [1, 0]], np.full((2, 2), "a"), None, 1.0, np.full((2, 2), np.nan)], ids=repr)
def test_measures_refuse_what_is_no_matrix_of_numbers(hostile):
    good = np.array([[1, 0], [0, 1]])
    for measure in (measures.shares_at, measures.average_precision, measures.top_k_calibration_error):
        for pair in ((hostile, good), (good, hostile)):
            with pytest.raises(InputError):
                measure(*pair)
    assert measures.precision_at_k(np.zeros((0, 1), int), np.zeros((0, 2), int)) == 0


def test_complex_columns_are_refused():
    with pytest.raises(InputError, match="column 'z' holds complex"):
        read_table({"z": np.arange(2) * 1j})


def test_whole_numbers_beyond_64_bits_stay_real():
    frame = read_table({"x": [1.0, 2.0] * 12, "y": [1e300, 2.0] * 12})
    assert resolve_roles(frame, label="y").label == "y"


# -- losses


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("y", {"y": torch.tensor([0, 3])}), ("y", {"y": torch.tensor([0, -1])}), ("y", {"y": torch.tensor([True, False])}),
        ("y", {"y": [0, 1]}), ("y", {"y": torch.tensor([[0], [1]])}), ("logits", {"logits": np.zeros((2, 3))}),
        ("logits", {"logits": torch.zeros(2, 3, dtype=torch.int64)}), ("weight", {"weight": torch.ones(3)}),
        ("weight", {"weight": 2.0}), ("index", {"index": torch.tensor([0, 9])}), ("index", {"index": torch.tensor([0, -1])}),
        ("index", {"index": torch.tensor([0.0, 1.0])}),
    ],
)  # fmt: skip
def test_batches_whose_parts_do_not_fit_are_refused(name, change):
    batch = {"logits": torch.zeros(2, 3), "y": torch.tensor([0, 2]), "index": torch.tensor([0, 1])}
    with pytest.raises(InputError, match=name):
        ELR().bind(5, 3)(**{**batch, **change})


def test_targets_do_not_broadcast():
    with pytest.raises(InputError, match="shape"):
        SquaredError()(torch.zeros(4, 1), torch.zeros(4))


def test_a_batch_without_rows_is_worth_nothing():
    assert float(CrossEntropy()(torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64))) == 0


# -- beside the labels


@pytest.mark.parametrize("scale", [1e300, 1e-300])
def test_only_the_ratios_of_weights_matter(scale):
    weight = np.linspace(1, 2, 12)
    plain, scaled = (
        Classifier(net="linear", train=BRIEF, random_state=0).fit(X, Y, sample_weight=w)
        for w in (weight, weight * scale)
    )
    np.testing.assert_allclose(plain.predict_proba(X), scaled.predict_proba(X), rtol=1e-3)


def test_weights_that_are_no_weights_are_refused():
    for weight in (np.zeros(12), -np.ones(12), np.full(12, np.nan), ["a"] * 12, np.ones((12, 1)), np.ones(11)):
        with pytest.raises(ValueError, match="weight"):
            row_weights(weight, X)
    assert row_weights(2.0, X).tolist() == [2.0] * 12


@pytest.mark.parametrize("domains", [["a"] * 12, 2, np.full(12, 1e300), [None] * 12, np.ones((12, 1)), [0.5] * 12])
def test_domains_that_are_no_numbers_are_refused(domains):
    with pytest.raises(InputError, match="domains"):
        Classifier(train=BRIEF).fit(X, Y, domains=domains)


def test_row_numbers_and_names():
    assert row_numbers([1.0, 2.0], 2).dtype == np.int64
    assert row_names(["b", "a"], 2).tolist() == ["b", "a"]
    with pytest.raises(InputError, match="mixes"):
        row_names([1, "a"], 2)
    with pytest.raises(InputError, match="no entry in row 1"):
        row_names(["a", None], 2)


def test_domains_without_rows_are_refused():
    with pytest.raises(InputError, match="empty"):
        DDFA(n_classes=2).fit(X[:0], domains=[])


# -- the fuzzer itself


def test_a_guard_sees_what_no_file_may_do(tmp_path):
    guard = Guard(tmp_path)
    guard.on()
    with pytest.raises(Escape):
        __import__("os").system("true")
    assert "os.system" in guard.off()
    guard.on()
    (tmp_path / "inside").write_text("allowed")
    assert guard.off() == ""


def test_a_finding_is_written_once_and_can_be_played_again(tmp_path):
    def target(source: Bytes, folder: Path) -> None:
        if source.below(256) > 100:
            raise KeyError("not promised")
        raise InputError("promised")

    harness = Harness([target], tmp_path, SECONDS)
    harness(b"\0\x01")
    with pytest.raises(KeyError):
        harness(b"\0\xff")
    harness.found, harness.group = tmp_path, "test"
    for _ in range(3):
        harness(b"\0\xff")
    found = sorted(file.name for file in tmp_path.glob("test-finding-*"))
    assert len(found) == 2
    assert found[1].endswith(".txt")


def test_changed_bytes_and_trees_differ_and_leave_the_seed():
    seed, tree = b"abcdefgh" * 4, {"a": [1, {"b": "c"}], "d": None}
    text = json.dumps(tree)
    changed = {bytes_changed(seed, Bytes(bytes([n, *range(n, n + 60)]))) for n in range(40)}
    trees = {json.dumps(tree_changed(tree, Bytes(bytes([n, *range(n, n + 60)])))) for n in range(40)}
    assert len(changed) > 20
    assert len(trees) > 20
    assert json.dumps(tree) == text


@pytest.fixture(scope="module")
def harness(tmp_path_factory):
    return Harness(readers.TARGETS, tmp_path_factory.mktemp("fuzz"), SECONDS)


@pytest.mark.parametrize("number", range(12))
def test_readers_keep_their_promise(harness, number):
    for target in range(len(readers.TARGETS)):
        harness(bytes([target, *((7 * target + 13 * number + 31 * place) % 256 for place in range(40))]))


@pytest.mark.parametrize("columns", [0, 1])
def test_a_code_beyond_the_columns_is_refused_by_losses_of_sums(columns):
    with pytest.raises(InputError, match=r"codes from -1 to|reads a score for each"):
        TaylorSoftmax()(torch.zeros(1, columns), torch.tensor([1]))


@pytest.mark.parametrize(
    ("name", "case"),
    [
        *((name, Case(labels="lists of names")) for name in ("MultiLabelBaseline", "NGAME", "OneVsRestLinear")),
        ("FDSRegressor", Case(labels="ragged lists")),
        ("NormalizedLogisticRegression", Case(rows=0, columns=0, holder="pandas")),
        ("MultiPathConsistency", Case(labels="1e300")),
        ("NCDSpectral", Case(columns=1, labels="the ends of 64 bits")),
        ("DualEncoder", Case(columns=1, labels="first column")),
        ("MLCDPretraining", Case(rows=0, holder="COO")),
        ("BagLinearRegression", Case(labels="1e300")),
        *(("BagRegressor", case) for case in (Case(labels="1e300"), Case(holder="COO"), Case(holder="Arrow"))),
        ("DawidSkene", Case(asked="pandas, one name twice")),
        *(("Lbl2TransformerVec", Case(asked=asked)) for asked in ("complex", "ragged lists")),
        ("PromptTuning", Case(holder="one dimension more")),
        ("PriorTracker", Case(rows=40, values="huge")),
        *((name, Case(holder="bytes")) for name in ("MLCDPretraining", "UnlearnableClusters")),
        ("DomainContextCalibration", Case(asked="numbers")),
    ],
)
def test_what_estimators_let_through(name, case):
    holds(next(entry.cls for entry in catalogue.methods() if entry.name == name), case)


@pytest.mark.parametrize("logits", ["no column", "one column"])
def test_a_noise_matrix_needs_two_columns(logits):
    with pytest.raises(InputError, match=r"^logits"):
        ForwardCorrection(rate=0.1)(
            torch.zeros(3, 1 if logits == "one column" else 0), torch.zeros(3, dtype=torch.long)
        )


def test_an_empty_batch_in_double_precision_with_whole_weights_is_worth_nothing():
    empty = torch.zeros(0, 3, dtype=torch.float64)
    assert CrossEntropy()(empty, torch.zeros(0, dtype=torch.long), weight=torch.zeros(0, dtype=torch.long)) == 0


def test_truths_are_no_numbers():
    with pytest.raises(InputError, match="reads numbers"):
        SquaredError()(torch.zeros(3, 2), torch.ones(3, 2, dtype=torch.bool))


def test_a_split_column_of_dicts_marks_nothing():
    frame = pd.DataFrame({"x": range(4), "split": [{"a": 1}] * 4, "y": ["a", "b"] * 2})
    assert resolve_roles(frame, label="y").split is None
