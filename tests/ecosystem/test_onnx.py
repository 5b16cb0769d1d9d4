"""ONNX files: run by onnxruntime they give what the estimators give; what cannot be exported is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from tests.ecosystem import tiny_models
from tests.ecosystem.estimators import CLASSES, TRAIN, rows
from torch import nn

import labelwise
from labelwise.base import InputError
from labelwise.baselines import Baseline
from labelwise.learner import Classifier, MultiLabelClassifier, Regressor
from labelwise.losses import ELR
from labelwise.nets import Joined
from labelwise.noisy import ConfidentLearning, CoTeaching
from labelwise.persistence import onnx_modules
from labelwise.persistence.onnx import export_onnx
from labelwise.semi_supervised import FixMatch

onnxruntime = pytest.importorskip("onnxruntime")
X, Y = rows()
WIDE = 1000 + 50 * X
PICTURES = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 1), dtype=np.uint8)
SERIES = np.random.default_rng(0).normal(size=(40, 2, 16))
TEXTS = [f"the film was {['good', 'bad'][i % 2]}" for i in range(40)]
HALVES = np.arange(40) % 2
MLP = Baseline(family="mlp", width=8, draws=1, random_state=0)
CASES = {
    "plain": (Classifier(), WIDE, CLASSES[Y]),
    "ELR": (Classifier(criterion=ELR()), WIDE, Y),
    "two networks": (CoTeaching(), X, Y),
    "FixMatch": (FixMatch(), X, Y),
    "own module": (Classifier(net=nn.Linear(4, 3)), X, Y),
    "own features": (Classifier(net=Joined(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8)))), X, Y),
    "pictures": (Classifier(), PICTURES, HALVES),
    "pictures of fractions": (Classifier(), PICTURES / 255, HALVES),
    "series": (Classifier(), SERIES, HALVES),
    "series, conv": (Classifier(net="conv"), SERIES, HALVES),
    "texts": (Classifier(), TEXTS, HALVES),
    "values": (Regressor(), X, 1000 + X[:, 0]),
    "two values": (Regressor(), X, X[:, :2]),
    "several labels": (MultiLabelClassifier(), X, (X > 0).astype(np.int8)),
    "one label by several": (MultiLabelClassifier(), X, Y),
    "linear baseline": (Baseline(family="linear", draws=1, random_state=0), WIDE, CLASSES[Y]),
    "mlp baseline": (MLP, WIDE, Y),
    "mlp baseline of two classes": (MLP, WIDE, Y == 0),
    "two classes": (LogisticRegression(), X, Y == 1),
    "pipeline": (make_pipeline(MinMaxScaler(), StandardScaler(), LogisticRegression()), WIDE, Y),
    "confident learning": (ConfidentLearning(random_state=0), WIDE, CLASSES[Y]),
}


def fitted(name):
    estimator, rows_, targets = CASES[name]
    estimator = clone(estimator)
    if hasattr(estimator, "train"):
        estimator.set_params(train=TRAIN, random_state=0)
    return estimator.fit(rows_, targets), rows_


SLOW = ("texts", "series")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES])
def test_the_file_gives_what_the_estimator_gives(name, tmp_path):
    model, given = fitted(name)
    done = export_onnx(model, tmp_path / "model.onnx")
    assert done.difference <= done.tolerance
    session = onnxruntime.InferenceSession(str(done.path))
    fed = onnx_modules.exportable(model).feed(given)
    found = session.run(None, {"rows": fed[:7]})[0]
    expected = model.predict(given[:7]) if name.endswith("values") else model.predict_proba(given[:7])
    assert np.allclose(found.reshape(expected.shape), expected, atol=1e-4, rtol=1e-5)
    told = session.get_modelmeta().custom_metadata_map
    assert told["estimator"] == type(model).__name__
    assert json.loads(told["classes"]) == (None if name.endswith("values") else model.classes_.tolist())
    assert list(tmp_path.iterdir()) == [done.path]


@pytest.mark.slow
@pytest.mark.parametrize("tune", ["full", "lora"])
def test_hugging_face_models(tune, tmp_path):
    from labelwise.nets import HuggingFace

    net = HuggingFace(tiny_models.bert(), tiny_models.tokenizer(), max_length=8, tune=tune, lora_rank=2)
    model = Classifier(net=net, train=TRAIN, random_state=0).fit(TEXTS, HALVES)
    done = export_onnx(model, tmp_path / "model.onnx")
    codes = onnx_modules.exportable(model).feed(TEXTS[:5])
    found = onnxruntime.InferenceSession(str(done.path)).run(None, {"rows": codes})[0]
    assert np.allclose(found, model.predict_proba(TEXTS[:5]), atol=1e-4)
    assert "SubwordTokenizer" in done.input


def test_a_file_that_differs_is_not_left_behind(tmp_path, monkeypatch):
    model, _ = fitted("plain")
    right = type(model).predict_proba
    monkeypatch.setattr(type(model), "predict_proba", lambda self, X: right(self, X)[:, ::-1])
    with pytest.raises(InputError, match=r"differs from the estimator by.*Nothing was written"):
        export_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_places_that_are_taken(tmp_path):
    model, _ = fitted("two classes")
    path = tmp_path / "model.onnx"
    path.write_text("mine")
    with pytest.raises(InputError, match="exists already"):
        export_onnx(model, path)
    assert path.read_text() == "mine"
    assert export_onnx(model, path, overwrite=True).size > 100
    with pytest.raises(InputError, match="is a directory"):
        export_onnx(model, tmp_path)


@pytest.mark.parametrize("model", [RandomForestClassifier(5), Baseline(family="boosting", draws=1)])
def test_what_has_no_onnx_form_is_refused(model, tmp_path):
    with pytest.raises(InputError, match=r"cannot be written as ONNX. What can: fitted learners"):
        export_onnx(model.fit(X, Y), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_from_the_command_line(tmp_path, capsys):
    import pandas as pd

    from labelwise.cli import exporting
    from labelwise.data import TableEncoder
    from labelwise.model import Model

    frame = pd.DataFrame(WIDE, columns=list("abcd"))
    encoder = TableEncoder().fit(frame)
    estimator = Classifier(train=TRAIN, random_state=0).fit(encoder.transform(frame), Y)
    labelwise.save(Model(encoder=encoder, estimator=estimator, classes=CLASSES.tolist()), tmp_path / "model")
    exporting.export(str(tmp_path), onnx=str(tmp_path / "m.onnx"), overwrite=False, json=False)
    said = capsys.readouterr().out
    assert "ash, beech, oak" in said
    told = onnxruntime.InferenceSession(str(tmp_path / "m.onnx")).get_modelmeta().custom_metadata_map
    assert json.loads(told["classes"]) == CLASSES.tolist()
    assert json.loads(told["columns"]) == encoder.feature_names()
    with pytest.raises(InputError, match=r"exists already. Add --overwrite"):
        exporting.export(str(tmp_path), onnx=str(tmp_path / "m.onnx"), overwrite=False, json=False)
    with pytest.raises(InputError, match="name the file to write"):
        exporting.export(str(tmp_path), onnx=None, overwrite=False, json=False)
