from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import RidgeClassifier

import labelwise.data
from labelwise import data
from labelwise.base import InputError
from labelwise.data import bundled
from labelwise.data.bundled.make import quantise
from labelwise.data.encode import ArrayEncoder
from labelwise.supervision import Kind

FOLDER = Path(bundled.__file__).parent


@pytest.mark.parametrize(
    ("name", "rows", "classes", "labelled"),
    [("banking77", 13083, 77, 13083), ("wine", 6497, 7, 6497), ("youtube", 1956, 2, 1956)],
)
def test_every_set_reads_as_it_is_described(name, rows, classes, labelled):
    bundle = data.load(name)
    roles = data.resolve_roles(bundle.frame, **bundle.roles)
    targets = data.read_targets(bundle.frame, roles)
    assert (len(bundle.frame), targets.n_classes, int(targets.labelled.sum())) == (rows, classes, labelled)
    assert targets.kind is Kind.CLASSES
    assert f"{rows:,}" in bundle.description
    assert roles.inputs()
    pd.testing.assert_frame_equal(data.read_table(data.path(name)), bundle.frame)


def test_names_and_loaders_agree():
    assert data.names() == ["banking77", "wine", "youtube"]
    loaders = [data.load_banking77, data.load_wine, data.load_youtube]
    assert [load().name for load in loaders] == data.names()
    with pytest.raises(InputError, match=r"no data set 'bankin77'\. Did you mean 'banking77'\?"):
        data.load("bankin77")


def test_youtube_has_ten_functions_votes():
    bundle = data.load_youtube()
    targets = data.read_targets(bundle.frame, data.resolve_roles(bundle.frame, **bundle.roles))
    votes = bundle.frame[[f"lf{i}" for i in range(10)]].to_numpy()
    np.testing.assert_array_equal(targets.votes, votes)
    assert votes.min() == -1
    coverage = (votes >= 0).mean(axis=0)
    assert 0.04 < coverage.min() < coverage.max() < 0.39


def test_wine_has_two_domains():
    bundle = data.load_wine()
    targets = data.read_targets(bundle.frame, data.resolve_roles(bundle.frame, **bundle.roles))
    assert np.bincount(targets.domains).tolist() == [1599, 4898]
    with pytest.raises(ValueError, match="'wine' has no embeddings"):
        bundle.with_embeddings()


def test_embeddings_replace_the_text():
    bundle = data.load_youtube().with_embeddings()
    roles = data.resolve_roles(bundle.frame, **bundle.roles)
    assert roles.text is None
    assert len(roles.features) >= 380
    encoder = data.make_encoder(bundle.frame, roles)
    assert isinstance(encoder, ArrayEncoder)
    numbers = [int(name[1:]) for name in roles.features]
    np.testing.assert_array_equal(encoder.fit_transform(bundle.frame), bundle.embeddings[:, numbers])


def test_quantised_embeddings_keep_the_accuracy_of_the_originals():
    bundle = data.load_banking77()
    train = (bundle.frame["split"] == "train").to_numpy()
    ridge = RidgeClassifier(alpha=1.0).fit(bundle.embeddings[train], bundle.frame["category"][train])
    assert ridge.score(bundle.embeddings[~train], bundle.frame["category"][~train]) == pytest.approx(0.867, abs=0.002)


@pytest.mark.skipif(not data.available("banking77"), reason="the folder of data sets is not here")
def test_quantised_embeddings_point_where_the_originals_do():
    original = np.load(data.directory("banking77") / "minilm.npz")["emb"].astype(np.float64)
    stored = data.load_banking77().embeddings
    cosine = (original * stored).sum(1) / np.linalg.norm(original, axis=1) / np.linalg.norm(stored, axis=1)
    assert cosine.min() > 0.998


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 127), st.integers(0, 99))
@settings(max_examples=50)
def test_quantising_errs_by_half_a_step(rows, width, levels, seed):
    values = np.random.default_rng(seed).normal(size=(rows, width))
    values[:, 0] *= seed % 2  # sometimes a dimension without any value
    codes, scale = quantise(values, levels)
    assert codes.dtype == np.int8
    assert np.all(np.abs(codes * scale - values) <= scale / 2 + 1e-6)


def test_the_sets_are_small_and_carry_their_licence():
    files = [file for file in FOLDER.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert sum(file.stat().st_size for file in files) < 6_000_000
    for name in data.names():
        assert "CC BY 4.0" in (FOLDER / name / "LICENSE").read_text()
        assert "Licence: CC BY 4.0" in (FOLDER / name / "README.md").read_text()
        assert "CC BY 4.0" in data.load(name).licence


def test_the_folder_of_larger_sets(tmp_path, monkeypatch):
    monkeypatch.setenv("LABELWISE_DATA", str(tmp_path / "sets"))
    assert not data.available()
    with pytest.raises(FileNotFoundError, match=r"No folder of data sets at '.*sets'\. Set LABELWISE_DATA"):
        data.directory()
    (tmp_path / "sets" / "one").mkdir(parents=True)
    assert data.directory() == tmp_path / "sets"
    assert data.directory("one") == tmp_path / "sets" / "one"
    assert data.available("one")
    assert not data.available("two")
    with pytest.raises(FileNotFoundError, match=r"No data set 'two' in .*sets"):
        data.directory("two")


def test_the_folder_lies_beside_the_current_one(tmp_path, monkeypatch):
    monkeypatch.delenv("LABELWISE_DATA", raising=False)
    (tmp_path / "shared" / "data").mkdir(parents=True)
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    assert data.directory() == tmp_path / "shared" / "data"


def test_every_public_name_is_there():
    for name in labelwise.data.__all__:
        assert getattr(labelwise.data, name) is not None
    assert set(labelwise.data.__all__) <= set(dir(labelwise.data))
    with pytest.raises(AttributeError, match="no attribute 'reed_table'"):
        labelwise.data.reed_table  # noqa: B018
