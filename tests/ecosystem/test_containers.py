"""What X and y may be: pandas, polars, Arrow, Hugging Face data sets, tensors, lists of texts; and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.base import clone
from tests.ecosystem.estimators import CLASSES, ESTIMATORS, NAMES, TRAIN, rows

from labelwise.learner import Classifier, Train
from labelwise.rows import plain_rows
from labelwise.semi_supervised import FixMatch

datasets = pytest.importorskip("datasets")
X, Y = rows()
FRAME = pd.DataFrame(X, columns=NAMES)
DATASET = datasets.Dataset.from_pandas(FRAME)
TABLES = {
    "pandas": FRAME,
    "pandas with NA types": FRAME.convert_dtypes(),
    "polars": pl.from_pandas(FRAME),
    "Arrow": pa.Table.from_pandas(FRAME),
    "Hugging Face": DATASET,
    "Hugging Face, shuffled and back": DATASET.select(list(range(89, -1, -1))).select(list(range(89, -1, -1))),
}
ARRAYS = {
    "float32": X.astype(np.float32), "list": X.tolist(), "tensor": torch.as_tensor(X),
    "Hugging Face vectors": datasets.Dataset.from_dict({"embedding": X.tolist()}),
    "Hugging Face column": datasets.Dataset.from_dict({"embedding": X.tolist()})["embedding"],
    "Hugging Face in torch format": datasets.Dataset.from_dict({"embedding": X.tolist()}).with_format("torch"),
}  # fmt: skip
LABELS = {
    "list": Y.tolist(), "series": pd.Series(Y), "Int64": pd.Series(Y, dtype="Int64"),
    "frame": pd.DataFrame({"y": Y}), "polars": pl.Series(Y), "Arrow": pa.array(Y),
    "chunked": pa.chunked_array([pa.array(Y)]),
    "tensor": torch.as_tensor(Y), "Hugging Face": datasets.Dataset.from_dict({"y": Y.tolist()})["y"],
}  # fmt: skip
NAMED = {
    "array": CLASSES[Y], "objects": CLASSES[Y].astype(object), "series": pd.Series(CLASSES[Y]),
    "category": pd.Series(CLASSES[Y]).astype("category"), "polars": pl.Series(CLASSES[Y].tolist()),
    "polars category": pl.Series(CLASSES[Y].tolist(), dtype=pl.Categorical),
    "polars enum": pl.Series(CLASSES[Y].tolist(), dtype=pl.Enum(CLASSES.tolist())),
    "Arrow": pa.array(CLASSES[Y].tolist()), "Arrow dictionary": pa.array(CLASSES[Y].tolist()).dictionary_encode(),
    "Hugging Face": datasets.Dataset.from_dict({"y": CLASSES[Y].tolist()})["y"],
}  # fmt: skip


@pytest.fixture(scope="module")
def expected():
    return {name: clone(model).fit(X, Y).predict_proba(X) for name, model in ESTIMATORS.items()}


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_tables_give_what_the_array_gives(name, table, expected):
    model = clone(ESTIMATORS[name]).fit(TABLES[table], Y)
    assert list(model.feature_names_in_) == NAMES
    assert np.allclose(model.predict_proba(TABLES[table]), expected[name], atol=1e-6)


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_arrays_of_every_kind(name, kind, expected):
    model = clone(ESTIMATORS[name]).fit(ARRAYS[kind], Y)
    assert np.allclose(model.predict_proba(X=ARRAYS[kind]), expected[name], atol=1e-3)


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_labels_of_every_kind(name, kind, expected):
    model = clone(ESTIMATORS[name]).fit(X, LABELS[kind])
    assert model.classes_.tolist() == [0, 1, 2]
    assert np.allclose(model.predict_proba(X), expected[name])


@pytest.mark.parametrize("kind", NAMED)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_named_classes_of_every_kind(name, kind, expected):
    model = clone(ESTIMATORS[name]).fit(X, NAMED[kind])
    assert model.classes_.tolist() == CLASSES.tolist()
    assert np.allclose(model.predict_proba(X), expected[name])


TEXTS = [f"{CLASSES[k]} number {i}" for i, k in enumerate(Y)]
TEXT_COLUMNS = {
    "list": TEXTS, "array": np.array(TEXTS), "series": pd.Series(TEXTS), "string series": pd.Series(TEXTS, dtype="string"),
    "polars": pl.Series(TEXTS), "Arrow": pa.array(TEXTS), "chunked": pa.chunked_array([TEXTS]),
    "Hugging Face": datasets.Dataset.from_dict({"text": TEXTS}),
    "Hugging Face column": datasets.Dataset.from_dict({"text": TEXTS})["text"],
}  # fmt: skip


@pytest.fixture(scope="module")
def of_texts():
    return Classifier(train=TRAIN, random_state=0).fit(TEXTS, Y).predict_proba(TEXTS)


@pytest.mark.parametrize("kind", TEXT_COLUMNS)
def test_texts_of_every_kind(kind, of_texts):
    model = Classifier(train=TRAIN, random_state=0).fit(TEXT_COLUMNS[kind], Y)
    assert np.allclose(model.predict_proba(TEXT_COLUMNS[kind]), of_texts)


def test_a_pool_of_texts_may_be_of_another_kind():
    model = FixMatch(train=Train(epochs=1, progress=False), random_state=0)
    model.fit(TEXTS[:30], Y[:30], pool=pl.Series(TEXTS[30:]))
    assert model.predict(pd.Series(TEXTS)).shape == (90,)


def test_images_of_a_data_set():
    images = np.random.default_rng(0).integers(0, 255, (30, 8, 8, 1), dtype=np.uint8)
    held = datasets.Dataset.from_dict(
        {"image": images.tolist()}, datasets.Features({"image": datasets.Array3D((8, 8, 1), "uint8")})
    )
    assert np.array_equal(plain_rows(held), images)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (pl.from_pandas(FRAME).lazy(), "LazyFrame.*collect"),
        (datasets.DatasetDict({"train": DATASET}), r"splits \['train'\].*X\['train'\]"),
        (DATASET.to_iterable_dataset(), "streams"),
        (datasets.Dataset.from_dict({"a": [1, 2], "v": [[1, 2], [3, 4]]}), r"select_columns\(\['v'\]\)"),
        (datasets.Dataset.from_dict({"v": [[1], [3, 4]]}), "different shapes"),
        (pl.Series(["a", None]), "row 1 is None"),
        (pa.schema([]), "pyarrow Schema.*Accepted"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(given, message):
    for model in (ESTIMATORS["plain classifier"], ESTIMATORS["confident learning"]):
        with pytest.raises(TypeError, match=message):
            clone(model).fit(given, [0, 1])


def test_a_text_that_is_missing_is_named():
    with pytest.raises(ValueError, match="row 2 is None"):
        Classifier(train=TRAIN).fit(["a", "b", None, "c"], [0, 1, 0, 1])
