"""The functions a user calls: `infer`, `audit`, `Auto`, reading and encoding a table, measures."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import reject
from hypothesis import strategies as st
from scipy import sparse
from tests.fuzz.drive import fuzz
from tests.fuzz.labels import BESIDE, CLASSES, MULTILABEL, REAL
from tests.fuzz.promise import Refused, attempt, finite, require, snapshot
from tests.fuzz.rows import MATRICES, VALUES

from labelwise import Auto
from labelwise.audit import audit
from labelwise.data import read_table
from labelwise.data.encode import make_encoder
from labelwise.data.roles import read_targets, resolve_roles
from labelwise.parts import multilabel_measures as measures
from labelwise.supervision import Kind, infer

CODES = np.arange(24) % 3
BASES = {
    "classes": (CODES, CLASSES),
    "real": (np.linspace(-1, 1, 24), REAL),
    "multilabel": (np.stack([CODES == 0, CODES != 1, CODES == 2], 1).astype(int), MULTILABEL),
    "soft": (np.full((24, 3), 1 / 3), REAL),
}
VOTES = np.stack([CODES, (CODES + 1) % 3, np.where(CODES == 2, -1, CODES)], 1)
ROWS = np.random.default_rng(0).normal(size=(24, 3)) + CODES[:, None]
PER_ROW = {
    "votes": VOTES, "bags": np.arange(24), "domains": CODES % 2, "trusted": CODES == 0,
    "sample_weight": np.ones(24),
}  # fmt: skip


@st.composite
def labels(draw: Any) -> tuple[str, str]:
    base = draw(st.sampled_from(sorted(BASES)))
    return base, draw(st.sampled_from(sorted(BASES[base][1])))


def labels_of(choice: tuple[str, str]) -> Any:
    base, changes = BASES[choice[0]]
    try:
        return changes[choice[1]](base)
    except Exception:  # such labels cannot be written so
        reject()


# -- infer

beside = st.dictionaries(st.sampled_from(sorted(PER_ROW)), st.sampled_from(sorted(BESIDE)), max_size=2)
kinds = st.sampled_from([None, *(kind.value for kind in Kind), "other", 3])


def test_infer():
    cases = st.tuples(labels(), beside, kinds, st.sampled_from((None, 24, 5)), st.booleans())
    fuzz("infer", cases, infers, examples=150)


def infers(case: Any) -> None:
    choice, about, kind, n_rows, complete = case
    y = labels_of(choice)
    try:
        given = {name: BESIDE[how](PER_ROW[name]) for name, how in about.items()}
    except Exception:
        reject()
    before = [snapshot(value) for value in (y, *given.values())]
    found = attempt(lambda: infer(y, **given, kind=kind, n_rows=n_rows, complete=complete), ["complete"], "infer")
    require(before == [snapshot(value) for value in (y, *given.values())], "infer changed its input")
    if not isinstance(found, Refused):
        require(found.n_rows >= 0 and len(found.labelled) >= 0, "targets without rows")


# -- audit and Auto

rows = st.tuples(st.sampled_from(sorted(VALUES)), st.sampled_from(sorted(MATRICES)))
plain_or = lambda hostile, plain: st.one_of(st.just(plain), hostile)  # noqa: E731


def rows_of(choice: tuple[str, str]) -> Any:
    try:
        with np.errstate(all="ignore"):
            return MATRICES[choice[1]](VALUES[choice[0]](ROWS.copy(), np.random.default_rng(0)))
    except Exception:
        reject()


def test_audit():
    cases = st.tuples(plain_or(rows, ("as they are", "array")), plain_or(labels(), ("classes", "as they are")))
    fuzz("audit", cases, audits, examples=8)


def audits(case: Any) -> None:
    X, y = rows_of(case[0]), labels_of(case[1])
    before = snapshot(X), snapshot(y)
    report = attempt(lambda: audit(X, y, gains=False), ["targets"], "audit")
    require(before == (snapshot(X), snapshot(y)), "audit changed its input")
    if not isinstance(report, Refused):
        require(all(len(finding.rows) <= 24 for finding in report.findings), "a finding of rows that are not there")


def test_auto():
    cases = st.tuples(plain_or(rows, ("as they are", "array")), plain_or(labels(), ("classes", "as they are")))
    fuzz("Auto", cases, auto, examples=3)


def auto(case: Any) -> None:
    X, y = rows_of(case[0]), labels_of(case[1])
    model = Auto(methods=[], budget=2, random_state=0)
    done = attempt(lambda: model.fit(X, y), ["methods", "budget"], "Auto.fit")
    if not isinstance(done, Refused):
        said = attempt(lambda: model.predict(X), doing="Auto.predict")
        require(isinstance(said, Refused) or len(said) == 24, "Auto.predict says too few or too many")


# -- tables

COLUMNS: dict[str, Any] = {
    "numbers": np.arange(12.0), "gaps": [1.0, np.nan] * 6, "all missing": [None] * 12, "words": ["a", "b", None] * 4,
    "long texts": ["one two three four five six", "seven eight"] * 6, "mixed": [1, "a", None, 2.5] * 3,
    "dates": pd.date_range("2020-01-01", periods=12), "zones": pd.date_range("2020-01-01", periods=12, tz="UTC"),
    "old dates": [datetime.date(1, 1, 1)] * 12, "lengths": pd.to_timedelta(range(12), unit="h"),
    "truths": [True, False] * 6, "nullable": pd.array([True, None] * 6, dtype="boolean"),
    "categories": pd.Categorical(["a", "b"] * 6, categories=["a", "b", "c"]), "huge": [1e300, -1e300] * 6,
    "infinite": [np.inf, 1.0] * 6, "vectors": [np.arange(3.0)] * 12, "ragged": [[1.0], [1.0, 2.0]] * 6,
    "bytes": [b"a", b"b"] * 6, "complex": np.arange(12) * 1j, "dicts": [{"a": 1}] * 12, "big": [2**70, 1] * 6,
    "constant": [5] * 12, "ids": range(12), "images": ["none.png"] * 12, "surrogates": ["a\ud800", "b"] * 6,
    "decimals": pd.array([1, 2] * 6, dtype="Int64"), "denormal": [5e-324, 0.0] * 6,
    "unsigned": np.full(12, 2**64 - 1, np.uint64),
}  # fmt: skip
KINDS = {"surrogates": object, "words": object}
NAMES = ("x", "y", "label", "text", "split", "id", "weight", "votes_1", "é \n", "", "domain", "image")


def test_table():
    columns = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4)
    fuzz("table", st.tuples(columns, st.sampled_from((None, *NAMES))), tables, examples=60)


def tables(case: Any) -> None:
    chosen, label = case
    frame = pd.DataFrame({name: pd.Series(COLUMNS[kind], dtype=KINDS.get(kind)) for name, kind in chosen.items()})
    before = repr(frame.to_dict())
    table = attempt(lambda: read_table(frame), ["columns", "column"], "read_table")
    names = [*chosen, "column", "label", "text", "features", "task", "split", "image"]
    found = isinstance(table, Refused) or attempt(lambda: resolve_roles(table, label=label), names, "resolve_roles")
    if found is True or isinstance(found, Refused):
        return
    if found.label is not None or found.votes or found.labels:
        attempt(lambda: read_targets(table, found), names, "read_targets")
    encoder = attempt(lambda: make_encoder(table, found), names, "make_encoder")
    X = isinstance(encoder, Refused) or attempt(lambda: encoder.fit(table).transform(table), names, "encoding")
    if X is not True and not isinstance(X, Refused):
        require(len(X) == len(frame), "encoding lost rows")
        finite(X, "encoding")
    require(repr(frame.to_dict()) == before, "reading changed the frame")


# -- measures

SCORES = np.random.default_rng(0).random((6, 4))
TRUTH = (SCORES > 0.6).astype(int)
MEASURED = {
    "top_labels": lambda s, t: measures.top_labels(s, 2),
    "precision_at_k": lambda s, t: measures.precision_at_k(s, t),
    "ndcg_at_k": lambda s, t: measures.ndcg_at_k(s, t),
    "average_precision": measures.average_precision,
    "f1": measures.f1,
    "top_k_calibration_error": lambda s, t: measures.top_k_calibration_error(s, t, k=2),
    "shares_at": measures.shares_at,
}
FORMS = {
    "array": lambda a: a, "list": lambda a: a.tolist(), "sparse": sparse.csr_array, "frame": pd.DataFrame,
    "no rows": lambda a: a[:0], "no labels": lambda a: a[:, :0], "fewer": lambda a: a[:-1], "one dimension": lambda a: a[0],
    "object": lambda a: a.astype(object), "texts": lambda a: a.astype(str), "NaN": lambda a: np.where(a > 0.9, np.nan, a),
    "ranks": lambda a: a.argsort(1)[:, :2], "negative": lambda a: -a, "twos": lambda a: a * 2,
    "ragged": lambda a: [[1], [1, 0]],
    "none": lambda a: None, "a number": lambda a: 1.0, "bool": lambda a: a > 0.5,
}  # fmt: skip


@pytest.mark.parametrize("name", MEASURED)
def test_measure(name):
    form = st.sampled_from(sorted(FORMS))
    names = ["scores", "truth", "top", "predicted", "proba", "k"]
    cases = st.tuples(form, form)
    fuzz(name, cases, lambda case: attempt(lambda: MEASURED[name](*_forms(case)), names, name), examples=40)


def _forms(case: tuple[str, str]) -> tuple[Any, Any]:
    return FORMS[case[0]](SCORES), FORMS[case[1]](TRUTH)
