from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.preprocessing import LabelEncoder

from labelwise.base import UNLABELED, InputError
from labelwise.supervision import Kind, Targets, describe, encode_classes, infer, validate

NAN = float("nan")
words = st.text(alphabet="abcxyz", min_size=1, max_size=3)


def refusal(call: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


# ---------------------------------------------------------------- classes


@given(st.lists(st.one_of(st.none(), words), min_size=2).filter(lambda y: len(set(y) - {None}) >= 2))
def test_text_labels_survive_a_round_trip(y):
    classes, codes = encode_classes(y)
    assert [None if code == UNLABELED else str(classes[code]) for code in codes] == y
    assert classes.tolist() == sorted(classes.tolist())


@given(st.lists(st.integers(-1, 30), min_size=2).filter(lambda y: len(set(y) - {-1}) >= 2))
def test_integer_labels_are_coded_as_scikit_learn_codes_them_and_minus_one_is_unlabelled(y):
    classes, codes = encode_classes(np.array(y))
    known = np.array(y) != -1
    oracle = LabelEncoder().fit(np.array(y)[known])
    np.testing.assert_array_equal(classes, oracle.classes_)
    np.testing.assert_array_equal(codes[known], oracle.transform(np.array(y)[known]))
    assert (codes[~known] == UNLABELED).all()


@given(st.lists(st.integers(-(2**62), 2**62), min_size=2, unique=True).filter(lambda y: -1 not in y))
def test_wide_ranges_of_integers_are_coded_like_narrow_ones(y):
    classes, codes = encode_classes(y)
    np.testing.assert_array_equal(classes[codes], y)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64, np.float64])
def test_exactly_minus_one_and_one_are_two_classes(dtype):
    classes, codes = encode_classes(np.array([-1, 1, 1, -1], dtype=dtype))
    assert classes.tolist() == [-1, 1]
    assert codes.tolist() == [0, 1, 1, 0]


def test_minus_one_beside_other_classes_is_unlabelled():
    assert encode_classes([-1, 1, 0])[1].tolist() == [UNLABELED, 1, 0]


def test_the_rule_of_minus_one_and_one_is_told():
    assert "-1 is a class here" in describe(infer([-1, 1, 1]))
    assert "-1 is a class here" not in describe(infer([-1, 0, 1]))


def test_gaps_beside_minus_one_and_one_are_unlabelled():
    assert encode_classes([-1, 1, None])[1].tolist() == [0, 1, UNLABELED]
    assert encode_classes(np.array([-1.0, 1.0, NAN]))[1].tolist() == [0, 1, UNLABELED]


def test_other_negative_classes_beside_minus_one_are_ambiguous():
    message = refusal(encode_classes, [-2, -1, 0, 1, 2])
    assert "y holds -2 (row 0)" in message
    assert "-1, which would mean unlabelled" in message
    assert encode_classes([-2, 2])[0].tolist() == [-2, 2]


@pytest.mark.parametrize("gap", [None, NAN, pd.NA, pd.NaT, np.float32("nan")])
def test_every_mark_of_a_gap_is_unlabelled(gap):
    y = np.array(["b", gap, "a"], dtype=object)
    assert encode_classes(y)[1].tolist() == [1, UNLABELED, 0]


FRAMES = [
    pd.Series(["b", None, "a"]),
    pd.Series(["b", pd.NA, "a"], dtype="string"),
    pd.Series(["b", None, "a"], dtype="category"),
    pl.Series(["b", None, "a"]),
    pl.Series(["b", None, "a"], dtype=pl.Categorical),
    pa.array(["b", None, "a"]),
    pa.chunked_array([["b"], [None, "a"]]),
    ["b", NAN, "a"],
    np.ma.masked_array(np.array(["b", "x", "a"]), mask=[False, True, False]),
    pd.DataFrame({"y": ["b", None, "a"]})["y"],
]


@pytest.mark.parametrize("y", FRAMES, ids=lambda y: f"{type(y).__module__}.{type(y).__name__}")
def test_series_of_text_are_read_alike(y):
    targets = infer(y)
    assert targets.kind is Kind.CLASSES
    assert targets.classes.tolist() == ["a", "b"]
    assert targets.codes.tolist() == [1, UNLABELED, 0]


@pytest.mark.parametrize(
    "y", [pd.Series([1, None, 0], dtype="Int64"), pl.Series([1, None, 0]), pa.array([1, None, 0]), [1, None, 0]]
)
def test_integers_with_gaps_stay_classes(y):
    targets = infer(y)
    assert targets.kind is Kind.CLASSES
    assert targets.classes.tolist() == [0, 1]
    assert targets.codes.tolist() == [1, UNLABELED, 0]


def test_floats_are_real_targets_unless_classes_are_asked_for():
    y = [0.0, 1.0, NAN]
    assert infer(y).kind is Kind.REAL
    assert "pass kind='classes'" in describe(infer(y))
    assert infer(y, kind="classes").codes.tolist() == [0, 1, UNLABELED]


@pytest.mark.parametrize("y", [[True, False, True], np.array([True, False, True]), pl.Series([True, False, True])])
def test_booleans_are_two_classes(y):
    targets = infer(y)
    assert targets.classes.dtype == bool
    assert targets.codes.tolist() == [1, 0, 1]


def test_booleans_with_gaps():
    classes, codes = encode_classes([True, None, False])
    assert classes.tolist() == [False, True]
    assert codes.tolist() == [1, UNLABELED, 0]


def test_a_column_is_read_with_the_warning_of_scikit_learn():
    with pytest.warns(UserWarning, match="A column-vector y was passed"):
        assert encode_classes(np.array([[0], [1]]))[1].tolist() == [0, 1]


def test_the_users_array_is_left_alone():
    y = np.array([0, 1, -1, 1])
    kept = y.copy()
    infer(y).codes[:] = 7
    np.testing.assert_array_equal(y, kept)


BAD_CLASSES = [
    (["cat", "cat ", "dog"], "row 1 holds 'cat '", "Strip the labels"),
    (["cat", "\tdog"], "row 1 holds '\\tdog'", "white space"),
    (["cat", "  ", "dog"], "row 1 holds '  '", "empty label"),
    (["cat", "", "dog"], "row 1 holds ''", "None"),
    (["cat", 3, "dog"], "row 1 holds an integer, 3", "Make every label text"),
    ([3, 4, "dog"], "row 2 holds text, 'dog'", "Make every label text"),
    ([True, 2, False], "row 1 holds an integer, 2", "mixes types"),
    (np.array(["cat", NAN, "dog"]), "row 1 holds 'nan'", "dtype=object"),
    (["cat", "-1", "dog"], "row 1 holds '-1'", "does not mark an unlabelled row"),
    ([None, None], "every label is missing", "2 classes"),
    ([-1, -1, -1], "every label is missing", "2 classes"),
    (["cat", None], "only one class", "'cat'"),
    ([0, 0, -1], "only one class", "0"),
    ([{"a"}, {"b"}], "Row 0 holds a set", "matrix of 1 (yes)"),
    ([2**70, 1], "beyond 64 bits", "text"),
    (np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]"), "datetime64", "integers or text"),
    (np.array([1 + 1j, 2]), "complex", "integers or text"),
    (np.array([b"a", b"b"]), "|S1", "integers or text"),
    ([["a"], ["b", "c"]], "rectangular", "matrix of 1"),
    ("cat", "Got str", "an array"),
    (5, "Got int", "an array"),
    ([], "y is empty", "no row"),
    (np.zeros((2, 2, 2)), "(2, 2, 2)", "shape"),
    (np.array([["a", "b"], ["c", "d"]]), "text in 2 columns", "votes="),
]


@pytest.mark.parametrize(("y", "found", "advice"), BAD_CLASSES, ids=lambda value: str(value)[:25])
def test_bad_class_labels_are_refused_by_name_row_and_value(y, found, advice):
    message = refusal(infer, y)
    assert message.startswith("y")
    assert found in message
    assert advice in message


def test_fractions_and_infinities_are_not_classes():
    assert "Row 1 holds 0.5: numbers with fractions are continuous" in refusal(encode_classes, [1.0, 0.5, 2.0])
    assert "Row 0 holds inf" in refusal(encode_classes, [np.inf, 1.0])


def test_fewer_classes_are_allowed_where_asked():
    assert encode_classes(["a", "a"], least=1)[0].tolist() == ["a"]
    assert encode_classes([None, None], least=0)[1].tolist() == [UNLABELED, UNLABELED]


@pytest.mark.parametrize("y", [np.arange(30), [f"customer {i}" for i in range(1200)]])
def test_an_id_column_is_refused_unless_classes_are_asked_for(y):
    assert "looks like an id column" in refusal(infer, y)
    assert infer(y, kind="classes").n_classes == len(y)


def test_many_classes_that_repeat_are_no_id_column():
    assert infer(np.repeat(np.arange(2000), 2)).n_classes == 2000


def test_nearly_unique_labels_look_like_ids_too():
    y = np.concatenate([np.arange(1500), np.arange(20)])
    assert "1,500 different labels in 1,520 rows" in refusal(infer, y)


def test_classes_with_one_example_are_reported():
    targets = infer(["a", "a", "b", "c", "c", "d"])
    assert targets.rare_classes.tolist() == ["b", "d"]
    assert "2 classes have a single example: 'b', 'd'" in describe(targets)
    only_voted_for = infer(["a", "b", "b"], votes=[["c", None]] * 3)
    assert only_voted_for.rare_classes.tolist() == ["a"]


def test_labels_that_differ_in_case_only_are_pointed_out():
    assert "'No' and 'no' differ only in case" in describe(infer(["no", "No", "yes", "no"]))
    assert "case" not in describe(infer(["no", "yes"]))


def test_a_missing_y_is_refused_in_the_words_of_scikit_learn():
    assert "requires y to be passed, but the target y is None" in refusal(encode_classes, None)


# ---------------------------------------------------------------- other kinds


@pytest.mark.parametrize(
    ("y", "beside", "kind"),
    [
        ([0.5, 2.0, NAN], {}, Kind.REAL),
        ([1, 2.5, None], {}, Kind.REAL),
        (np.random.default_rng(0).normal(size=(4, 2)), {}, Kind.REAL),
        ([[1, 0, -1], [0, 0, 1]], {}, Kind.MULTILABEL),
        ([[1, 0, NAN], [1, 1, 1.0]], {}, Kind.MULTILABEL),
        (pd.DataFrame({"a": [1, None], "b": [0, 1]}), {}, Kind.MULTILABEL),
        (sparse.csr_array([[1, 0], [0, 1]]), {}, Kind.MULTILABEL),
        ([[0.5, 0.5], [1.0, 0.0], [NAN, NAN]], {}, Kind.SOFT),
        ([[True, False], [True, True]], {}, Kind.CANDIDATES),
        (None, {"votes": [[0, 1, -1], [1, -1, -1]]}, Kind.VOTES),
        ([None, None], {"votes": [[0, 1, -1], [1, -1, -1]]}, Kind.VOTES),
        ([-1, -1], {"votes": [[0, 1, -1], [1, -1, -1]]}, Kind.VOTES),
        ([0, 1], {"votes": [[0, 1, -1], [1, -1, -1]]}, Kind.CLASSES),
        ([0.25, 0.75], {"bags": [0, 1, 1]}, Kind.BAGS),
        ([[0.25, 0.75], [1, 0]], {"bags": [0, 1, 1]}, Kind.BAGS),
        ([0, 1], {"bags": [0, 1, 1]}, Kind.SETS),
        (["no", "yes"], {"bags": [0, 1, 1]}, Kind.SETS),
    ],
)
def test_the_kind_is_inferred(y, beside, kind):
    assert infer(y, **beside).kind is kind


def test_not_positive_is_not_negative():
    targets = infer(np.array([[1, 0, -1], [-1, -1, -1]], dtype=np.int8))
    assert targets.positive.tolist() == [[True, False, False], [False] * 3]
    assert targets.negative.tolist() == [[False, True, False], [False] * 3]
    assert targets.unknown.tolist() == [[False, False, True], [True] * 3]
    assert targets.labelled.tolist() == [True, False]
    assert "1 yes, 1 no, 4 unknown" in describe(targets)


def test_what_a_sparse_matrix_does_not_store_is_unknown_unless_stated():
    stored = sparse.csr_array(([1, 0, -1], ([0, 0, 1], [0, 2, 1])), shape=(3, 4))
    targets = infer(stored)
    assert targets.is_sparse and targets.unknown is None
    positive, negative, unknown = targets.masks([0, 1])
    assert positive.tolist() == [[True, False, False, False], [False] * 4]
    assert negative.tolist() == [[False, False, True, False], [False] * 4]
    np.testing.assert_array_equal(unknown, ~(positive | negative))
    assert targets.labelled.tolist() == [True, False, False]

    complete = infer(sparse.csr_array([[1, 0], [0, 0]]), complete=True)
    assert complete.labelled.all()
    assert complete.masks([0, 1])[1].tolist() == [[False, True], [True, True]]
    assert not complete.masks([0, 1])[2].any()
    assert "every other no (stated)" in describe(complete)


@given(st.data())
def test_sparse_and_dense_multilabel_agree(data):
    n, count = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 5))
    y = np.array(data.draw(st.lists(st.sampled_from([1, 0, -1]), min_size=n * count, max_size=n * count)))
    y = y.reshape(n, count).astype(np.int8)
    if (y == -1).all():
        assert "every label" in refusal(infer, y, kind="multilabel")
        return
    rows, columns = np.nonzero(y != -1)
    stored = sparse.csr_array((y[rows, columns], (rows, columns)), shape=y.shape)
    dense, thin = infer(y, kind="multilabel"), infer(stored)
    for one, other in zip(dense.masks(slice(None)), thin.masks(slice(None)), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(dense.labelled, thin.labelled)
    np.testing.assert_array_equal(dense.class_counts, thin.class_counts)
    np.testing.assert_array_equal(dense.take([0]).labelled, thin.take([0]).labelled)


def test_columns_of_a_frame_name_the_labels():
    targets = infer(pl.DataFrame({"rain": [1, 0], "wind": [None, 1]}))
    assert targets.classes.tolist() == ["rain", "wind"]
    assert targets.unknown.tolist() == [[False, True], [False, False]]


def test_soft_labels_keep_gaps_and_single_precision():
    targets = infer(np.array([[0.5, 0.5], [NAN, NAN]], dtype=np.float32))
    assert targets.soft.dtype == np.float32
    assert targets.labelled.tolist() == [True, False]
    assert targets.class_counts.tolist() == [0.5, 0.5]


def test_a_row_of_all_candidates_is_unlabelled():
    assert infer([[True, True], [True, False]]).labelled.tolist() == [False, True]


def test_votes_are_read_in_the_classes_of_y():
    targets = infer(["b", None, "a"], votes=[["a", None], ["c", "b"], [None, None]])
    assert targets.classes.tolist() == ["a", "b", "c"]
    assert targets.codes.tolist() == [1, UNLABELED, 0]
    assert targets.votes.tolist() == [[0, UNLABELED], [2, 1], [UNLABELED, UNLABELED]]


def test_minus_one_always_abstains_among_votes():
    targets = infer([0, 1, 1], votes=[[1, -1], [1, 1], [-1, -1]])
    assert targets.votes.tolist() == [[1, UNLABELED], [1, 1], [UNLABELED, UNLABELED]]
    assert "only one class" in refusal(infer, None, votes=[[1, -1], [-1, 1]])


def test_votes_beside_soft_labels_are_columns():
    targets = infer([[0.5, 0.5], [1.0, 0.0]], votes=[[1, -1], [1, 1]])
    assert targets.votes.tolist() == [[1, UNLABELED], [1, 1]]
    assert "no column of y" in refusal(infer, [[0.5, 0.5], [1.0, 0.0]], votes=[[2, -1], [1, 1]])


def test_rows_know_whether_their_bag_is_labelled():
    assert infer([0.2, NAN], bags=[1, 0, 1, 0]).labelled.tolist() == [False, True, False, True]
    assert infer([0, -1, 1], bags=[0, 1, 2, 1]).labelled.tolist() == [True, False, True, False]


def test_proportions_have_classes_and_means_have_none():
    assert infer([[0.25, 0.75], [1, 0]], bags=[0, 1]).n_classes == 2
    assert infer([[2.5, 0.75], [1, 0]], bags=[0, 1]).n_classes == 0


# ---------------------------------------------------------------- what is refused


BAD = [
    ("y", [[0.5, 0.5]] * 9 + [[0.5, 0.6]], {}, "row 9 sums to 1.1"),
    ("y", [[0.5, 0.5], [NAN, 1.0]], {"kind": "soft"}, "row 1 is only partly NaN"),
    ("y", [[1.5, -0.5], [0.5, 0.5]], {"kind": "soft"}, "row 0 has a probability that is negative"),
    ("y", [[True, False], [False, False]], {}, "row 1 has no candidate"),
    ("y", [[1, 2], [0, 1]], {"kind": "candidates"}, "Row 0, column 1 holds 2"),
    ("y", [[1, 2], [0, 1]], {"kind": "multilabel"}, "Row 0, column 1 holds 2"),
    ("y", [[1, 2], [0, 1]], {}, "could be several things"),
    ("y", [[0.1, 0.2], [0.3, 0.4]], {"kind": "classes"}, "Got shape (2, 2)"),
    ("y", [0.5, 0.7], {"kind": "soft"}, "(n, K) with K >= 2"),
    ("y", [0, 1], {"kind": "multilabel"}, "Got (2,)"),
    ("y", [0.1, np.inf], {}, "Row 1 is infinite"),
    ("y", [NAN, NAN], {}, "every label is missing"),
    ("y", ["a", "b"], {"kind": "real"}, "Row 0 holds 'a'"),
    ("y", sparse.csr_array([[2, 1], [0, 1]]), {}, "Row 0, column 0 stores 2"),
    ("y", sparse.csr_array((2, 2), dtype=int), {}, "stores no entry"),
    ("y", sparse.csr_array([[-1, 1]]), {"complete": True}, "stores -1"),
    ("y", sparse.csr_array([[1, 1]]), {"kind": "classes"}, "kind='classes'"),
    ("y", sparse.csr_array([[1, 1]]), {"kind": "real"}, "Got sparse"),
    ("y", None, {}, "so is votes="),
    ("y", [0, 1], {"n_rows": 3}, "y labels 2 rows, but X has 3 rows"),
    ("y", [0, 1], {"kind": "votes", "votes": [[0, 1], [1, 0]]}, "would ignore"),
    ("y", [0.5, 0.1], {"bags": [0, 1, 2]}, "y has 2 entries, but bags numbers 3 bags"),
    ("complete", [[0, 1]], {"complete": True}, "sparse y"),
    ("kind", [0, 1], {"kind": "class"}, "one of 'classes', 'real'"),
    ("votes", [0, 1], {"votes": [0, 1]}, "Got shape (2,)"),
    ("votes", [0, 1], {"votes": [[0, 1]]}, "votes has 1 entries, but y labels 2 rows"),
    ("votes", [None, None], {"votes": [[0, 1]]}, "votes has 1 rows, but y has 2"),
    ("votes", ["a", "b"], {"votes": [[0, 1], [1, 0]]}, "must use the labels of y"),
    ("votes", None, {"votes": [["a ", "b"], ["b", "c"]]}, "row 0, column 0 holds 'a '"),
    ("votes", [0.5, 0.7], {"votes": [[0, 1], [1, 0]]}, "of kind 'real'"),
    ("votes", None, {"votes": [[-1, -1]]}, "every label is missing"),
    ("bags", [0.5, 0.1], {"bags": [0, 0, 0]}, "no row is in bag 1"),
    ("bags", [0.5, 0.1], {"bags": [0, -1, 1]}, "Row 1 holds -1"),
    ("bags", [0.5, 0.1], {"bags": [0, 0.5, 1]}, "Row 1 holds 0.5"),
    ("bags", [0.5, 0.1], {"bags": [[0], [1]]}, "Got shape (2, 1)"),
    ("bags", [0.5, 0.1], {"kind": "bags"}, "bags= is missing"),
    ("bags", [0, 1], {"bags": [0, 1], "kind": "classes"}, "of kind 'classes'"),
    ("bags", [0.5, 0.1], {"bags": [0, 1], "n_rows": 3}, "bags labels 2 rows, but X has 3 rows"),
    ("domains", [0, 1], {"domains": [0, 1, 1]}, "domains has 3 entries, but y labels 2 rows"),
    ("domains", [0, 1], {"domains": ["web", "app"]}, "Row 0 holds 'web'"),
    ("domains", [0, 1], {"domains": [0, None]}, "Row 1 holds nan"),
    ("trusted", [0, 1], {"trusted": [True]}, "trusted has 1 entries"),
    ("trusted", [0, 1], {"trusted": [0, 2]}, "Row 1 holds 2"),
    ("sample_weight", [0, 1], {"sample_weight": [1, 2, 3]}, "sample_weight has 3 entries, but y labels 2 rows"),
    ("sample_weight", [0, 1], {"sample_weight": [1, -2]}, "Row 1 holds -2"),
    ("sample_weight", [0, 1], {"sample_weight": [NAN, 1]}, "Row 0 holds nan"),
    ("sample_weight", [0, 1], {"sample_weight": [0, 0]}, "0 for every row"),
    ("sample_weight", [0, 1], {"sample_weight": "balanced"}, "Got str"),
]


@pytest.mark.parametrize(("argument", "y", "beside", "found"), BAD, ids=lambda value: str(value)[:20])
def test_bad_input_is_refused_in_the_name_of_its_argument(argument, y, beside, found):
    message = refusal(infer, y, **beside)
    assert message.split("=")[0].split()[0].rstrip(":") == argument
    assert found in message


def test_targets_made_by_hand_are_validated():
    assert "codes: targets of kind classes need it" in refusal(validate, Targets(kind=Kind.CLASSES, n_rows=2))
    wrong = Targets(kind=Kind.CLASSES, n_rows=2, classes=np.array([0, 1]), codes=np.array([0, 2]))
    assert "row 1 has code 2, but there are 2 classes" in refusal(validate, wrong)
    both = np.ones((1, 2), bool)
    torn = Targets(kind=Kind.MULTILABEL, n_rows=1, classes=np.arange(2), positive=both, negative=both)
    assert "row 0 says both yes and no to label 0" in refusal(validate, torn)
    sparse_both = sparse.csr_array(both)
    torn = Targets(kind=Kind.MULTILABEL, n_rows=1, classes=np.arange(2), positive=sparse_both, negative=sparse_both)
    assert "row 0 says both yes and no to label 0" in refusal(validate, torn)


# ---------------------------------------------------------------- properties of all kinds


@st.composite
def supervision(draw: st.DrawFn) -> Targets:
    """Valid targets of any kind, with anything beside them."""
    n, k = draw(st.integers(2, 12)), draw(st.integers(2, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(list(Kind)))
    gaps = rng.random(n) < 0.3
    gaps[:2] = False
    codes = np.where(gaps, -1, rng.integers(0, k, n))
    codes[:2] = 0, 1
    votes = np.where(rng.random((n, 3)) < 0.4, -1, rng.integers(0, k, (n, 3)))
    votes[:2, 0] = 0, 1
    bags = rng.permutation(np.r_[np.arange(n), rng.integers(0, n, 5)])
    soft = rng.dirichlet(np.ones(k), n)
    soft[gaps] = np.nan
    y: Any = {
        Kind.CLASSES: codes,
        Kind.REAL: np.where(gaps, np.nan, rng.normal(size=n)),
        Kind.MULTILABEL: np.where(gaps[:, None], -1, rng.integers(-1, 2, (n, k)) | (np.arange(k) == 0)),
        Kind.SOFT: soft,
        Kind.CANDIDATES: np.eye(k, dtype=bool)[codes] | (rng.random((n, k)) < 0.5),
        Kind.VOTES: None,
        Kind.BAGS: np.where(gaps, np.nan, rng.random(n)),
        Kind.SETS: codes,
    }[kind]
    if kind is Kind.CANDIDATES:
        y[0] = np.arange(k) == 0
    if kind is Kind.MULTILABEL:
        y[0, 0] = 1  # some label is known
    rows = len(bags) if kind.per_bag else n
    if kind in (Kind.CLASSES, Kind.SETS) and draw(st.booleans()):
        y = np.where(y == -1, None, np.array(list("abcd"), dtype=object)[y])
    beside = {
        "votes": votes if kind is Kind.VOTES or (kind is Kind.CLASSES and y.dtype != object) else None,
        "bags": bags if kind.per_bag else None,
        "domains": rng.integers(0, 3, rows) if draw(st.booleans()) else None,
        "trusted": rng.random(rows) < 0.5 if draw(st.booleans()) else None,
        "sample_weight": rng.random(rows) + 0.1 if draw(st.booleans()) else None,
    }
    return infer(y, kind=kind, n_rows=rows, **beside)


@given(supervision())
def test_targets_of_any_kind_are_valid_and_can_be_told(targets):
    assert validate(targets, n_rows=len(targets)) is targets
    text = describe(targets)
    assert text.startswith(f"{targets.n_rows} row")
    assert text.endswith(".")
    assert targets.labelled.shape == (targets.n_rows,)
    assert len(targets.class_counts) == (0 if targets.kind in (Kind.REAL, Kind.BAGS) else targets.n_classes)
    assert repr(targets).startswith("Targets(")


ROWWISE = ("positive", "negative", "soft", "candidates", "votes", "bags", "domains", "trusted", "weight", "index")


@given(supervision(), st.data())
def test_take_takes_the_same_rows_of_everything(targets, data):
    rows = np.array(data.draw(st.lists(st.integers(0, targets.n_rows - 1), max_size=20)), dtype=int)
    part = targets.take(rows)
    assert part.n_rows == len(rows)
    assert part.kind is targets.kind
    np.testing.assert_array_equal(part.index, rows)
    np.testing.assert_array_equal(part.labelled, targets.labelled[rows])
    for name in (*ROWWISE, *(() if targets.kind.per_bag else ("codes", "values"))):
        whole = getattr(targets, name)
        if whole is not None:
            np.testing.assert_array_equal(getattr(part, name), whole[rows])
    describe(part)


@given(supervision(), st.data())
def test_masks_slices_and_numbers_choose_alike_and_takes_compose(targets, data):
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=targets.n_rows, max_size=targets.n_rows)))
    by_mask, by_number = targets.take(mask), targets.take(np.flatnonzero(mask))
    np.testing.assert_array_equal(by_mask.index, by_number.index)
    np.testing.assert_array_equal(targets.take(slice(1, None)).take([0]).index, [1])


def test_take_refuses_rows_that_do_not_exist():
    targets = infer([0, 1, 1])
    assert "rows: there is no row 3 among 3 rows" in refusal(targets.take, [0, 3])
    assert "mask of shape (2,)" in refusal(targets.take, np.array([True, False]))
    assert "rows must be row numbers" in refusal(targets.take, [0.5])
    assert "kind classes" in refusal(targets.masks, [0])


anything = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 3), st.floats(-2, 2), st.just(NAN), st.just(pd.NA), words, st.just(" a"),
    st.just(-(2**70)), st.binary(max_size=2),
)  # fmt: skip


@settings(max_examples=300)
@given(st.lists(anything, max_size=5), st.sampled_from([None, *Kind]))
def test_whatever_is_passed_ends_in_targets_or_in_one_clear_sentence(y, kind):
    try:
        assert describe(infer(y, kind=kind))
    except InputError as error:
        assert str(error).startswith(("y", "bags", "votes")), str(error)


@pytest.mark.filterwarnings("ignore:A column-vector y")
@settings(max_examples=300)
@given(st.integers(1, 4), st.integers(1, 3), st.data(), st.sampled_from([None, *Kind]))
def test_whatever_matrix_is_passed_ends_in_targets_or_in_one_clear_sentence(n, k, data, kind):
    row = st.lists(anything, min_size=k, max_size=k)
    y = data.draw(st.lists(row, min_size=n, max_size=n))
    try:
        assert describe(infer(y, kind=kind, votes=y if data.draw(st.booleans()) else None))
    except InputError as error:
        assert str(error).startswith(("y", "bags", "votes")), str(error)


def test_an_index_of_pandas_is_a_column():
    assert infer(pd.Index([0, 1, 1])).codes.tolist() == [0, 1, 1]
