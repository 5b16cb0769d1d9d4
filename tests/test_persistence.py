"""Saved models come back exactly, run no code, and are refused in one clear sentence when anything is wrong."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import shutil
import subprocess
import sys
from copy import deepcopy
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skrub import TableVectorizer
from torch import nn

from labelwise import catalogue
from labelwise.base import Estimate, Fields, InputError
from labelwise.baselines import Baseline
from labelwise.learner import Classifier, Train
from labelwise.model import Model
from labelwise.noisy import ConfidentLearning
from labelwise.persistence import load, save
from labelwise.persistence.files import _checksum
from labelwise.semi_supervised import FixMatch

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4)).astype(np.float32)
y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)
SHORT = Train(epochs=2, batch_size=16, progress=False)


def again(model: Any, tmp_path: Any, **modules: Any) -> Any:
    return load(save(model, tmp_path / "model", overwrite=True), modules=modules or None)


def holder(value: Any) -> Model:
    """Put any value into a saved field."""
    return Model(encoder=value, estimator=None)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        exact = a.dtype == b.dtype and a.shape == b.shape and a.flags.f_contiguous == b.flags.f_contiguous
        if a.dtype == object:
            return exact and all(map(same, a.ravel().tolist(), b.ravel().tolist()))
        return exact and np.array_equal(a, b, equal_nan=a.dtype.kind in "fmM")
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a) and type(a) is type(b)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


arrays = hnp.arrays(
    st.sampled_from(
        [np.float64, np.float32, np.float16, np.int64, np.int8, np.uint16, np.bool_, "<U3", ">i4", "M8[ns]"]
    ),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
)
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(
    plain | arrays | st.frozensets(st.integers(), max_size=3) | arrays.map(np.asfortranarray),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3) | st.integers() | st.tuples(st.integers()), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values)
def test_plain_values_come_back_exactly(tmp_path, value):
    back = again(holder(value), tmp_path).encoder
    native = value.astype(value.dtype.newbyteorder("=")) if isinstance(value, np.ndarray) else value
    assert same(native, back) or same(_native(value), back)


def _native(value):
    if isinstance(value, np.ndarray):
        return value.astype(value.dtype.newbyteorder("="), order="K")
    if isinstance(value, dict):
        return {key: _native(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_native(item) for item in value)
    return value


@pytest.mark.parametrize(
    "value",
    [
        np.float32(0.1), np.int8(-3), np.bool_(True), np.str_("é"), np.array(["a", None, 3, (1, 2)], dtype=object),
        Estimate(1.0, 0.5, 2.0), np.dtype("float32"), np.float32, {1: {2, 3}}, float("inf"), SHORT,
    ],
    ids=repr,
)  # fmt: skip
def test_special_values_come_back(tmp_path, value):
    back = again(holder(value), tmp_path).encoder
    assert repr(back) == repr(value)
    assert type(back) is type(value)


def test_tensors_and_torch_modules_come_back(tmp_path):
    half = torch.randn(3, 2).bfloat16()
    network = nn.Sequential(
        nn.Conv2d(1, 4, (3, 3), padding="same", bias=False), nn.BatchNorm2d(4), nn.LeakyReLU(0.2), nn.MaxPool2d(2),
        nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(64, 8, bias=False), nn.LayerNorm(8, bias=False), nn.GELU("tanh"),
        nn.ModuleList([nn.Identity()])[0], nn.Dropout(0.3), nn.Linear(8, 3),
    )  # fmt: skip
    network[0].requires_grad_(False)
    network.eval()
    x = torch.randn(2, 1, 8, 8)
    back = again(holder([half, network, half, torch.float16]), tmp_path).encoder
    assert torch.equal(back[0], half)
    assert back[0].dtype == torch.bfloat16
    assert back[2] is back[0]
    assert back[3] is torch.float16
    assert str(back[1]) == str(network)
    assert torch.equal(back[1](x), network(x))
    assert not any(module.training for module in back[1].modules())
    assert [p.requires_grad for p in back[1].parameters()] == [p.requires_grad for p in network.parameters()]


@pytest.mark.parametrize("batch_first", [True, False])
def test_transformer_layers_come_back(tmp_path, batch_first):
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, activation="gelu", batch_first=batch_first, norm_first=True)
    network = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8), enable_nested_tensor=False).eval()
    back = again(holder(network), tmp_path).encoder
    assert torch.equal(back(torch.ones(2, 3, 8)), network(torch.ones(2, 3, 8)))


@pytest.mark.parametrize("entry", catalogue.methods(kind="loss", task="classification"), ids=lambda entry: entry.name)
def test_a_classifier_with_any_loss_comes_back(tmp_path, entry):
    model = Classifier(criterion=entry.cls(), train=SHORT, random_state=0).fit(X, y)
    back = again(model, tmp_path)
    assert np.array_equal(back.predict_proba(X), model.predict_proba(X))
    assert repr(back) == repr(model)
    assert back.criterion_.state_dict().keys() == model.criterion_.state_dict().keys()


@pytest.mark.parametrize(
    "data",
    [
        rng.integers(0, 255, (60, 8, 8, 3), dtype=np.uint8), rng.normal(size=(60, 2, 12)), [f"row {i}" for i in range(60)],
    ],
    ids=["images", "series", "texts"],
)  # fmt: skip
def test_every_modality_comes_back(tmp_path, data):
    names = np.array(["no", "maybe", "yes"])[y]
    model = Classifier(train=SHORT, random_state=0).fit(data, names)
    back = again(model, tmp_path)
    assert np.array_equal(back.predict_proba(data), model.predict_proba(data))
    assert same(back.classes_, model.classes_)
    assert back.inputs_.owner is back


def test_a_loaded_model_can_be_fitted_again(tmp_path):
    back = again(FixMatch(train=SHORT, random_state=0).fit(X, np.where(np.arange(60) % 2, y, -1)), tmp_path)
    twin = FixMatch(train=SHORT, random_state=0).fit(X, y)
    assert np.array_equal(back.fit(X, y).predict_proba(X), twin.predict_proba(X))


@pytest.mark.parametrize(
    "inner",
    [
        LogisticRegression(), RandomForestClassifier(5, random_state=0), HistGradientBoostingClassifier(max_iter=5),
        MLPClassifier((8,), max_iter=3, random_state=0), make_pipeline(StandardScaler(), LogisticRegression()),
        CalibratedClassifierCV(LogisticRegression(), cv=2),
    ],
    ids=lambda inner: type(inner).__name__,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_inside_comes_back(tmp_path, inner):
    model = ConfidentLearning(estimator=inner, random_state=0).fit(X, y)
    assert np.array_equal(again(model, tmp_path).predict_proba(X), model.predict_proba(X))


def test_labelwise_inside_scikit_learn_comes_back(tmp_path):
    members = [("net", Classifier(train=SHORT, random_state=0)), ("plain", Baseline(family="linear", random_state=0))]
    model = make_pipeline(StandardScaler(), VotingClassifier(members, voting="soft")).fit(X, y)
    assert np.array_equal(again(model, tmp_path).predict_proba(X), model.predict_proba(X))


@pytest.mark.filterwarnings("ignore")
def test_a_skrub_vectorizer_comes_back(tmp_path):
    frame = pd.DataFrame({"a": X[:, 0], "b": list("xyz") * 20, "c": pd.date_range("2020", "2021", periods=60)})
    vectorizer = TableVectorizer().fit(frame)
    assert again(holder(vectorizer), tmp_path).encoder.transform(frame).equals(vectorizer.transform(frame))


def test_sharing_and_cycles_survive(tmp_path):
    shared = np.arange(3.0)
    inner = Model(encoder=shared, estimator=shared)
    inner.self_ = [inner]
    back = again(Model(encoder=inner, estimator=inner), tmp_path)
    assert back.encoder is back.estimator
    assert back.encoder.encoder is back.encoder.estimator
    assert back.encoder.self_[0] is back.encoder


def test_random_generators_are_not_stored(tmp_path):
    model = Classifier(random_state=np.random.RandomState(7), train=SHORT).fit(X, y)
    text = (save(model, tmp_path / "model") / "model.json").read_text()
    assert load(tmp_path / "model").random_state is None
    assert "MT19937" not in text


def test_loading_moves_no_global_random_state(tmp_path):
    path = save(Classifier(train=SHORT, random_state=0).fit(X, y), tmp_path / "model")
    before = torch.get_rng_state(), str(np.random.get_state())  # noqa: NPY002
    load(path)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == str(np.random.get_state())  # noqa: NPY002


def test_saving_twice_gives_the_same_bytes(tmp_path):
    model = Classifier(train=SHORT, random_state=0).fit(X, y)
    first, second = save(model, tmp_path / "a"), save(deepcopy(model), tmp_path / "b")
    assert (first / "model.json").read_bytes() == (second / "model.json").read_bytes()


# -- networks of the user's own


class Own(nn.Module):
    """A user's network."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.layer, self.out = nn.Linear(4, width), nn.Linear(width, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.layer(x).relu())


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    model = Classifier(net=Own(), train=SHORT.set_params(), random_state=0).fit(X, y)
    return model, save(model, tmp_path_factory.mktemp("own") / "model")


def test_a_network_of_ones_own_is_filled_with_the_weights(own):
    model, path = own
    given = Own()
    before = deepcopy(given.state_dict())
    back = load(path, modules={"net": given})
    assert np.array_equal(back.predict_proba(X), model.predict_proba(X))
    assert all(torch.equal(before[name], value) for name, value in given.state_dict().items())


@pytest.mark.parametrize(
    ("modules", "told"),
    [
        (None, r"load\(path, modules=\{'net': Own\(\.\.\.\)\}\)"),
        ({"net": Own(width=5)}, "does not fit the saved weights"),
        ({"net": "mlp"}, "must be a torch.nn.Module. Got str"),
        ({"net": Own(), "head": Own()}, "no network 'head'"),
    ],
    ids=["missing", "other width", "no module", "too many"],
)
def test_a_missing_or_wrong_network_is_refused(own, modules, told):
    with pytest.raises(InputError, match=told):
        load(own[1], modules=modules)


# -- what must not load


@pytest.fixture
def saved(tmp_path, damaged):
    return shutil.copytree(damaged[0], tmp_path / "model")


def forge(path, change):
    """Change model.json as somebody who knows the format would: all checksums right."""
    document = json.loads((path / "model.json").read_text())
    document.pop("checksum")
    change(document)
    for name, told in document["parts"].items():
        if (path / name).exists():
            data = (path / name).read_bytes()
            told.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
    (path / "model.json").write_text(json.dumps({**document, "checksum": _checksum(document)}))


NAMES = [
    "os.system", "posix.system", "subprocess.Popen", "builtins.eval", "labelwise.persistence.files.os",
    "labelwise.persistence.files.shutil", "labelwise.persistence.writing.Writer", "labelwise.__main__.main",
    "labelwise.catalogue.importlib", "labelwise.base.UNLABELED", "labelwise.no.Such", "labelwise.cli.main", "", "labelwise.",
]  # fmt: skip


@pytest.mark.parametrize("kind", ["$object", "$module", "$enum", "$namedtuple", "$composite", "$layer", "$container"])
@pytest.mark.parametrize("name", NAMES)
def test_a_document_that_names_anything_else_is_refused(saved, kind, name, monkeypatch):
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("code was run"))
    node = {kind: name, "id": 0, "state": [["a", "echo"]], "values": ["echo"], "name": "echo", "arguments": {}}
    node |= {"children": [], "parameters": [], "buffers": [], "temporary": [], "training": False}
    node |= {"arguments": {"$dict": [], "type": "dict"}}
    forge(saved, lambda document: document.update(root=node))
    with pytest.raises(InputError, match=str(saved)):
        load(saved)


@pytest.mark.parametrize("name", ["__class__", "__dict__", "__reduce__", "a b", "__init__"])
def test_a_document_that_sets_special_attributes_is_refused(saved, name):
    node = {"$object": "labelwise.model.Model", "id": 0, "state": [[name, "os.system"]]}
    forge(saved, lambda document: document.update(root=node))
    with pytest.raises(InputError, match="sets an attribute"):
        load(saved)


@pytest.mark.parametrize("kind", ["boosting", "forest"])
@pytest.mark.parametrize(("column", "value"), [("left", 10**6), ("left", 0), ("feature", 10**6)])
def test_a_tree_that_points_outside_itself_is_refused(saved, kind, column, value):
    """Predicting with it would read memory that is not the tree's, or never end."""
    if kind == "boosting":
        model = HistGradientBoostingClassifier(max_iter=2).fit(X, y)
        nodes = model._predictors[1][0].nodes
        nodes["feature_idx" if column == "feature" else column][0] = value
    else:
        model = RandomForestClassifier(2, random_state=0).fit(X, y)
        state = model.estimators_[1].tree_.__getstate__()
        state["nodes"]["feature" if column == "feature" else "left_child"][0] = value
        model.estimators_[1].tree_.__setstate__(state)
    next((saved / "sklearn").iterdir()).write_bytes(skops.io.dumps(model))
    forge(saved, lambda document: None)
    with pytest.raises(InputError, match="points outside of itself"):
        load(saved)


class Evil:
    """Unpickling this would write a file."""

    def __reduce__(self):
        return os.system, ("touch evil-was-here",)


def test_an_untrusted_skops_part_is_refused(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    part = next((saved / "sklearn").iterdir())
    part.write_bytes(skops.io.dumps({"estimator": Evil()}))
    forge(saved, lambda document: None)
    with pytest.raises(InputError, match="not trusted"):
        load(saved)


@pytest.mark.parametrize("name", ["tensors.safetensors", "sklearn/0.skops"])
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_a_pickle_in_place_of_a_part_is_refused(saved, tmp_path, monkeypatch, name, protocol):
    monkeypatch.chdir(tmp_path)
    (saved / name).write_bytes(pickle.dumps(Evil(), protocol))
    forge(saved, lambda document: None)
    with pytest.raises(InputError, match="is not a"):
        load(saved)
    assert not (tmp_path / "evil-was-here").exists()


def test_a_torch_pickle_in_place_of_the_tensors_is_refused(saved):
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(2)}, buffer)
    (saved / "tensors.safetensors").write_bytes(buffer.getvalue())
    forge(saved, lambda document: None)
    with pytest.raises(InputError, match="not a safetensors file"):
        load(saved)


@pytest.mark.parametrize("name", ["../secret.skops", "/etc/passwd", "sklearn/../../x.skops", "other.bin"])
def test_a_part_outside_the_directory_is_refused(saved, name):
    forge(saved, lambda document: document["parts"].update({name: {"sha256": "", "bytes": 1}}))
    with pytest.raises(InputError, match="names a part"):
        load(saved)


@pytest.mark.slow
def test_loading_unpickles_nothing_and_starts_nothing(tmp_path):
    model = VotingClassifier([("a", Classifier(train=SHORT, random_state=0)), ("b", LogisticRegression())]).fit(X, y)
    path = save(model, tmp_path / "model")
    code = f"""
import sys
import labelwise.learner, sklearn.ensemble, skops.io, torch
from labelwise.persistence import load
events = []
sys.addaudithook(lambda event, args: events.append(event))
load({str(path)!r})
print(sorted(set(events) & {{"pickle.find_class", "os.system", "subprocess.Popen", "os.exec", "socket.connect"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- damage


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_changed_byte_is_noticed_or_harmless(damaged, data):
    path, model = damaged
    name = data.draw(st.sampled_from(["model.json", "tensors.safetensors", "sklearn/0.skops"]))
    whole = (path / name).read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    bit = data.draw(st.integers(0, 7))
    try:
        (path / name).write_bytes(whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :])
        try:
            back = load(path)
        except InputError:
            return
        assert name == "model.json"
        assert np.array_equal(back.predict_proba(X), model.predict_proba(X))
    finally:
        (path / name).write_bytes(whole)


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    model = Baseline(family="boosting", draws=1, random_state=0).fit(X, y)
    return save(model, tmp_path_factory.mktemp("damaged") / "model"), model


@pytest.mark.parametrize("name", ["model.json", "tensors.safetensors", "sklearn/0.skops"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_part_is_refused(saved, name, share):
    data = (saved / name).read_bytes()
    (saved / name).write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError, match="corrupt"):
        load(saved)


@pytest.mark.parametrize("name", ["tensors.safetensors", "sklearn/0.skops"])
def test_a_missing_part_is_named(saved, name):
    (saved / name).unlink()
    with pytest.raises(InputError, match=f"its part {name} is missing"):
        load(saved)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"labelwise": "99.0.0"}, "saved by labelwise 99.0.0 .* Update labelwise"),
        ({"format": 2}, r"newer than this .* \(format 1\)"),
    ],
)
def test_a_newer_model_is_refused(saved, changes, told):
    forge(saved, lambda document: document.update(changes))
    with pytest.raises(InputError, match=told):
        load(saved)


def test_what_is_no_model_is_refused(tmp_path):
    (tmp_path / "file").write_text("hello")
    (tmp_path / "folder").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.json").write_text('{"a": 1}')
    for name, told in [
        ("file", "a file"), ("folder", "a directory without model.json"), ("none", "nothing"), ("other", "not that of"),
    ]:  # fmt: skip
        with pytest.raises(InputError, match=told):
            load(tmp_path / name)


# -- writing


def test_an_existing_path_is_refused_unless_it_is_a_model_to_overwrite(saved, tmp_path):
    other = Classifier(train=SHORT, random_state=1).fit(X, y)
    with pytest.raises(InputError, match="exists already"):
        save(other, saved)
    save(other, saved, overwrite=True)
    assert isinstance(load(saved), Classifier)
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match="not a saved model, so it is not replaced"):
        save(other, tmp_path / "photos", overwrite=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "photos"]


@pytest.mark.parametrize("fails", ["persistence.files._write", "disk.swap"])
def test_a_failed_write_leaves_the_old_model(saved, monkeypatch, fails):
    def full(*_):
        raise OSError(28, "No space left on device")

    before = {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    monkeypatch.setattr(f"labelwise.{fails}", full)
    with pytest.raises(InputError, match="No space left on device"):
        save(Classifier(train=SHORT), saved, overwrite=True)
    assert before == {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


def test_a_failed_last_rename_brings_the_old_model_back(saved, monkeypatch):
    real = type(saved).rename

    def rename(self, target):
        if self.name == ".model.draft":
            raise OSError(5, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(type(saved), "rename", rename)
    with pytest.raises(InputError, match="Input/output error"):
        save(Classifier(train=SHORT), saved, overwrite=True)
    assert isinstance(load(saved), Baseline)
    assert [path.name for path in saved.parent.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (lambda x: x, "encoder is of type .*function"),
        ([1, {"a": open}], r"encoder\[1\]\['a'\] is of type"),
        (object(), "builtins.object"),
        (np.array([1j]), "dtype complex128"),
        (b"bytes", "builtins.bytes"),
    ],
    ids=["function", "nested", "object", "complex", "bytes"],
)
def test_what_is_no_data_is_refused_by_its_place(tmp_path, value, told):
    with pytest.raises(InputError, match=told):
        save(holder(value), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


class Mine(Fields):
    """A user's own class of fields."""


@pytest.mark.parametrize("root", [LogisticRegression(), {"a": 1}, Mine(), None])
def test_only_objects_of_labelwise_are_saved(tmp_path, root):
    with pytest.raises(InputError, match="only estimators"):
        save(root, tmp_path / "model")
