"""`labelwise export`: a run's model in a form that other programs read."""

from __future__ import annotations

from pathlib import Path

from labelwise.base import InputError


def export(run: str, *, onnx: str | None, overwrite: bool, json: bool) -> None:
    """Write the model of a run, or a model directory, as an ONNX file and say what it reads and gives."""
    from labelwise.cli.commands import model_path, print_json
    from labelwise.persistence import load
    from labelwise.persistence.onnx import export_onnx

    if onnx is None:
        raise InputError("--onnx: name the file to write, such as --onnx model.onnx.")
    if Path(onnx).exists() and not overwrite:
        raise InputError(f"--onnx: {onnx} exists already. Add --overwrite, or name another file.")
    done = export_onnx(load(model_path(run)), onnx, overwrite=overwrite)
    if json:
        print_json({**done._asdict(), "path": str(done.path)})
        return
    print(done)
    if done.classes is not None:
        print(f"Columns of the output: {', '.join(map(str, done.classes))}.")
