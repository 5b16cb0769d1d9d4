"""Optional packages: each that is missing is named with its extra, in one sentence, and nothing else breaks."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tests.ecosystem.estimators import rows

import labelwise
from labelwise.base import InputError, MissingExtra, require
from labelwise.learner import Classifier, Train

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "src" / "labelwise").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DEVELOPERS = {"dev", "docs", "fuzz", "bench"}
X, Y = rows()
IMPORTED_AS = {
    "scikit-learn": "sklearn", "lightning-fabric": "lightning_fabric", "faiss-cpu": "faiss", "pillow": "PIL",
    "sentence-transformers": "sentence_transformers", "mlflow-skinny": "mlflow", "POT": "ot",
}  # fmt: skip
REMOVED = {
    "asynchat", "asyncore", "distutils", "imp", "smtpd", "aifc", "audioop", "cgi", "cgitb", "chunk", "crypt", "imghdr",
    "mailcap", "msilib", "nis", "nntplib", "ossaudiodev", "pipes", "sndhdr", "spwd", "sunau", "telnetlib", "uu", "xdrlib",
    "lib2to3",
}  # fmt: skip
"""Modules of the standard library that Python 3.12 and 3.13 no longer have."""


def names(requirements):
    plain = [re.split(r"[\[<>=! ]", item)[0] for item in requirements]
    return {IMPORTED_AS.get(name, name.replace("-", "_")) for name in plain}


def fit(**train):
    return Classifier(train=Train(epochs=1, progress=False, **train), random_state=0).fit(X, Y)


def export(tmp_path):
    return labelwise.export_onnx(fit(), tmp_path / "model.onnx")


def sentences(tmp_path):
    from labelwise.data.encode_text import _sentence_model, find_model

    _sentence_model.cache_clear()
    return find_model("a-model")


CALLS = {
    ("onnxscript", "onnx"): export,
    ("onnxruntime", "onnx"): export,
    ("transformers", "huggingface"): lambda tmp_path: labelwise.nets.HuggingFace(str(tmp_path)),
    ("tensorboard", "tensorboard"): lambda tmp_path: fit(logger="tensorboard", log=str(tmp_path)),
    ("mlflow", "mlflow"): lambda tmp_path: fit(logger="mlflow", log=str(tmp_path)),
    ("optuna", "optuna"): lambda tmp_path: labelwise.search_space(Classifier).optuna(),
    ("sentence_transformers", "text"): sentences,
    ("ot", "graphs"): lambda tmp_path: labelwise.shift.W2PGNN(size=4).measure({"a": [1 - np.eye(3)]}, [1 - np.eye(3)]),
}


@pytest.mark.parametrize(("package", "extra"), CALLS, ids=lambda name: name)
def test_what_is_missing_is_named_with_its_extra(package, extra, monkeypatch, tmp_path):
    for loaded in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.setitem(sys.modules, loaded, None)
    monkeypatch.setitem(sys.modules, package, None)
    told = rf"needs {package.replace('_', '-')}, which is not installed\. .*pip install 'labelwise\[{extra}\]'"
    with pytest.raises(MissingExtra, match=told) as caught:
        CALLS[package, extra](tmp_path)
    assert isinstance(caught.value, InputError)
    assert isinstance(caught.value, ImportError)
    assert "\n" not in str(caught.value)
    assert package in names(EXTRAS[extra])


@pytest.mark.parametrize(("module", "extra"), [("peft", "huggingface"), ("tokenizers", "huggingface")])
def test_parts_of_an_extra_are_named_too(module, extra, monkeypatch):
    from tests.ecosystem import tiny_models

    from labelwise.nets import HuggingFace
    from labelwise.parts import subwords

    subwords._backend.cache_clear()
    model, tokenizer = tiny_models.bert(), tiny_models.tokenizer()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"needs {module}.*labelwise\[{extra}\]"):
        HuggingFace(model, tokenizer, tune="lora").for_outputs(2)


def test_a_broken_package_speaks_for_itself(monkeypatch):
    def broken(name, *args, **kwargs):
        raise ModuleNotFoundError("No module named 'inner'", name="inner")

    monkeypatch.setattr("importlib.import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="inner"):
        require("outer", extra="onnx")


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.split(".")[0]


def test_every_import_is_declared():
    known = names(PROJECT["dependencies"]) | {"labelwise"} | set(sys.stdlib_module_names)
    optional = set().union(*(names(EXTRAS[extra]) for extra in EXTRAS if extra not in DEVELOPERS | {"all"}))
    brought_along = {"joblib", "threadpoolctl"}  # by scikit-learn
    for path in SOURCES:
        unknown = set(imports(path)) - known - optional - brought_along
        assert unknown == set(), f"{path}: {unknown}"


def test_what_is_optional_is_asked_for_by_require():
    """Direct imports of optional packages stand only where `require`, or a check that names the extra, went before."""
    optional = set().union(*(names(EXTRAS[extra]) for extra in EXTRAS if extra not in DEVELOPERS | {"all"}))
    allowed = {"onnx.py": {"onnxruntime"}, "server.py": {"starlette", "uvicorn"}, "ray_engine.py": {"ray"}}
    for path in SOURCES:
        direct = set(imports(path)) & optional
        assert direct <= allowed.get(path.name, set()), f"{path}: {direct}"


def test_nothing_is_used_that_newer_pythons_removed():
    for path in SOURCES:
        assert set(imports(path)) & REMOVED == set(), path
        assert "utcnow(" not in path.read_text(), path
    assert "Programming Language :: Python :: 3.13" in PROJECT["classifiers"]


def test_the_extra_all_is_all():
    (whole,) = EXTRAS["all"]
    assert set(re.findall(r"\w+", whole.partition("[")[2])) == set(EXTRAS) - {"all"} - DEVELOPERS


def test_importing_labelwise_needs_no_extra():
    optional = {"onnxruntime", "transformers", "mlflow", "optuna", "tensorboard", "datasets", "peft"}
    if find_spec("torchmetrics"):  # Fabric imports it where it is installed, and it imports transformers
        optional -= {"transformers"}
    script = f"import labelwise, labelwise.learner, sys; print(sorted(set(sys.modules) & {optional!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
