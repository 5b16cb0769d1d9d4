"""What a withdrawal leaves on disk: a model, its certificate as JSON and as a page, complete or not at all."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator

import labelwise
from labelwise.base import InputError
from labelwise.disk import placed, put_back
from labelwise.persistence import save
from labelwise.report.certificate import write_certificate
from labelwise.unlearning import Certificate
from labelwise.withdraw.request import Request

CERTIFICATE = "certificate.json"


def free_place(request: Request) -> Path:
    """Return the output directory; refuse one that holds anything but an earlier withdrawal to be replaced."""
    out = Path(request.out)
    put_back(out)
    if out.exists() and not (request.overwrite and (out / CERTIFICATE).is_file()):
        hint = "It holds no earlier withdrawal: name" if request.overwrite else "Add --overwrite, or name"
        raise InputError(f"--out: {out} exists already. {hint} another directory.")
    if out.absolute() == Path(request.model).absolute():
        raise InputError(f"--out: {out} is the model to withdraw from, which is kept. Name another directory.")
    return out


def write(out: Path, model: Any, certificate: Certificate, request: Request, method: str) -> None:
    """Write everything beside its place, then move it there in one step."""
    info = {
        "labelwise": labelwise.__version__, "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": request.model, "withdrawn": request.which.told(), "method": method,
        "settings": {name: _shown(value) for name, value in request.settings.items()},
    } | certificate.as_dict()  # fmt: skip
    with placed(out) as work:
        save(model, work / "model")
        (work / CERTIFICATE).write_text(json.dumps(info, indent=1, ensure_ascii=False, default=str), encoding="utf-8")
        write_certificate(info, work / "certificate.html")


def _shown(value: Any) -> Any:
    return type(value).__name__ if isinstance(value, BaseEstimator) else value
