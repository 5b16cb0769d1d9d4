"""Write a fitted model as an ONNX file, checked against onnxruntime before it is handed over."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import labelwise
from labelwise import disk
from labelwise.base import InputError, require

EXTRA = "onnx"
CHECK_ROWS = 37
"""Rows that the file must give back alike: a number that no exporter could take for a constant."""


class OnnxExport(NamedTuple):
    """What `export_onnx` wrote.

    `difference` is the largest difference from the estimator's own predictions over `rows` rows, `tolerance` what was
    allowed; `input` says what the file reads; `classes` are the columns of its output, None for real targets.
    """

    path: Path
    difference: float
    tolerance: float
    rows: int
    input: str
    output: str
    classes: list[Any] | None
    size: int

    def __str__(self) -> str:
        return (
            f"{self.path} ({self.size / 1e6:.2g} MB): reads {self.input}, gives {self.output}; differs from the estimator "
            f"by at most {self.difference:.1e} on {self.rows} rows."
        )


def export_onnx(
    model: Any, path: str | Path, *, tolerance: float = 1e-4, rows: Any = None, overwrite: bool = False
) -> OnnxExport:
    """Write a fitted model as an ONNX file that gives probabilities (real targets: values), whatever runs it.

    Standardisation is part of the file, the number of rows is free. Before it is put at `path` the file is run by
    onnxruntime, and must give what the estimator gives.

    Parameters
    ----------
    model
        A fitted learner of labelwise; a linear or mlp `Baseline`, a scikit-learn logistic regression or mlp, a pipeline of
        scalers that ends in one, or an estimator of labelwise that predicts by one of these; or the `Model` of a run,
        whose file then reads the encoded table.
    path
        File to write, usually ``.onnx``.
    tolerance
        Largest difference allowed, in probability (of real targets: relative to the largest value).
    rows
        Rows to compare on, like those the model was fitted to; by default drawn from what it was fitted to.
    overwrite
        Replace a file at `path`.

    Raises
    ------
    InputError
        When `path` exists or cannot be written, the model is not fitted or of a kind that has no ONNX form here (the
        message says which have), or the file's predictions differ; nothing is written then.
    ImportError
        Without the packages of the extra ``onnx``.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from labelwise.learner import Classifier, Train
    >>> X, y = load_iris(return_X_y=True)
    >>> model = Classifier(train=Train(epochs=2), random_state=0).fit(X, y)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     done = export_onnx(model, f"{folder}/iris.onnx")
    >>> done.difference < 1e-4, done.classes
    (True, [0, 1, 2])
    """
    target = Path(path)
    _check_free(target, overwrite)
    for module in ("onnxscript", "onnxruntime"):
        require(module, extra=EXTRA, why="export_onnx")
    from labelwise.persistence.onnx_modules import exportable

    subject, names, columns = _subject(model)
    plan = exportable(subject)
    given = plan.sample(CHECK_ROWS) if rows is None else rows
    fed = plan.feed(given)
    expected = np.asarray(plan.predict(given))
    classes = (names or getattr(subject, "classes_", None)) if plan.output == "probabilities" else None
    classes = None if classes is None else np.asarray(classes).tolist()
    with _draft(target) as draft:
        program = _exported(plan.module, fed)
        told = {"labelwise": labelwise.__version__, "estimator": type(subject).__name__, "input": plan.input}
        told |= {"output": plan.output, "classes": json.dumps(classes, default=str), "columns": json.dumps(columns)}
        program.model.metadata_props.update(told)
        program.save(str(draft), external_data=False)
        difference = _difference(draft, fed, expected, plan.output)
        if not difference <= tolerance:
            raise InputError(
                f"{type(subject).__name__}: the ONNX file differs from the estimator by {difference:.3g}, more than the "
                f"tolerance of {tolerance:g}. Nothing was written. Either its predictions are more than one pass of its "
                "network, or tolerance= must be larger."
            )
        os.replace(draft, target)
    size = target.stat().st_size
    return OnnxExport(target, difference, tolerance, len(expected), plan.input, plan.output, classes, size)


def _subject(model: Any) -> tuple[Any, list[Any] | None, list[str] | None]:
    """Return the estimator to export, the names of its classes and of its columns where a run's model has them."""
    from labelwise.model import Model

    if not isinstance(model, Model):
        names = getattr(model, "feature_names_in_", None)
        return model, None, None if names is None else [str(name) for name in names]
    classes = model.classes
    if classes is not None:
        classes = [classes[int(code)] for code in model.estimator.classes_]
    return model.estimator, classes, list(model.encoder.feature_names())


def _exported(module: Any, fed: NDArray[Any]) -> Any:
    import torch

    rows = torch.export.Dim.DYNAMIC
    with _quiet():
        try:
            with torch.no_grad():
                return torch.onnx.export(
                    module.eval(), (torch.as_tensor(fed),), dynamo=True, dynamic_shapes=({0: rows},), verbose=False,
                    input_names=["rows"], output_names=["predictions"],
                )  # fmt: skip
        except Exception as error:  # the exporter raises what it likes
            told = " ".join(str(error).split())[:300]
            raise InputError(f"the network cannot be written as ONNX: {type(error).__name__}: {told}") from error


@contextmanager
def _quiet() -> Any:
    """Keep back what the exporter says about packages and operators that are not used here."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _difference(path: Path, fed: NDArray[Any], expected: NDArray[Any], output: str) -> float:
    """Return the largest difference of the file's predictions, over all rows at once and over one row alone."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    (name,) = [item.name for item in session.get_inputs()]
    whole = session.run(None, {name: fed})[0].reshape(expected.shape)
    first = session.run(None, {name: fed[:1]})[0].reshape(expected[:1].shape)
    scale = 1.0 if output == "probabilities" else max(1.0, float(np.abs(expected).max()))
    return max(float(np.abs(whole - expected).max()), float(np.abs(first - expected[:1]).max())) / scale


def _check_free(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise InputError(f"{path}: is a directory. Name a file, such as {path / 'model.onnx'}.")
    if path.exists() and not overwrite:
        raise InputError(f"{path}: exists already. Choose another name, or pass overwrite=True (--overwrite).")


@contextmanager
def _draft(path: Path) -> Any:
    """Give a name beside `path` to write under, and leave nothing there; the next export removes what a kill left."""
    draft = path.with_name(f".part-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(b"")
    except OSError as error:
        raise InputError(f"{path}: cannot write here ({error.strerror or error}). Choose another path.") from error
    try:
        with disk.telling(path.parent):
            yield draft
    finally:
        draft.unlink(missing_ok=True)


__all__: Sequence[str] = ["OnnxExport", "export_onnx"]
