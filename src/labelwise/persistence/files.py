"""The directory of a saved model: written in one piece, checked part by part when read."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import labelwise
from labelwise import disk
from labelwise.base import InputError

FORMAT = 1
MAIN = "model.json"
_PART = re.compile(r"tensors\.safetensors|sklearn/\d+\.skops")


def write_parts(path: Path, document: dict[str, Any], parts: Mapping[str, bytes], *, overwrite: bool) -> Path:
    """Write a model's directory: complete, or not at all."""
    _check_free(path, overwrite)
    head = {"format": FORMAT, "labelwise": labelwise.__version__}
    sums = {name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in parts.items()}
    whole = {**head, **document, "parts": sums}
    text = json.dumps({**whole, "checksum": _checksum(whole)}, indent=1, ensure_ascii=False, allow_nan=False)
    try:
        with disk.placed(path) as draft:
            for name, data in {**parts, MAIN: text.encode()}.items():
                _write(draft / name, data)
    except OSError as error:
        raise InputError(f"{path}: cannot write here ({error.strerror or error}). Choose another path.") from error
    return path


def read_parts(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Read a model's directory, check versions and checksums, and return the document and the other parts."""
    disk.put_back(path)
    if not (path / MAIN).is_file():
        found = "a file" if path.is_file() else "a directory without model.json" if path.is_dir() else "nothing"
        raise InputError(f"{path}: not a saved model, there is {found}. Give the directory that save() wrote.")
    document = _document(path)
    return document, {name: _part(path, name, told) for name, told in document["parts"].items()}


def _document(path: Path) -> dict[str, Any]:
    """Return model.json, checked as far as that goes without making anything of it."""
    try:
        document = json.loads((path / MAIN).read_bytes())
        if not isinstance(document, dict) or not isinstance(document.get("format"), int):
            raise InputError(f"{path}: {MAIN} is not that of a labelwise model.")
        _check_version(path, document)
        stated = document.pop("checksum", None)
        if stated != _checksum(document):
            raise InputError(f"{path}: {MAIN} has been changed or is corrupt (checksum). Save the model again.")
    except InputError:
        raise
    except (ValueError, RecursionError, OSError) as error:  # a number that is none, nesting without end
        raise InputError(f"{path}: {MAIN} is corrupt or truncated ({error}). Save the model again.") from error
    if not isinstance(document.get("parts"), dict):
        raise InputError(f"{path}: {MAIN} is not that of a labelwise model.")
    return document


def _check_version(path: Path, document: dict[str, Any]) -> None:
    theirs, ours = str(document.get("labelwise", "")), labelwise.__version__
    major = re.match(r"\d+", theirs)
    newer = major is not None and int(major.group()) > int(ours.split(".")[0])
    if newer or document["format"] > FORMAT:
        raise InputError(
            f"{path}: saved by labelwise {theirs} (format {document['format']}), newer than this {ours} "
            f"(format {FORMAT}). Update labelwise to load it."
        )


def _part(path: Path, name: str, told: Mapping[str, Any]) -> bytes:
    if not _PART.fullmatch(name):
        raise InputError(f"{path}: {MAIN} names a part {name!r}, which no model has. It is corrupt or not ours.")
    size, digest = (told.get(key) if isinstance(told, dict) else None for key in ("bytes", "sha256"))
    file = path / name
    try:
        if not file.is_file():  # of a link, what it leads to; a pipe or a device might never end
            raise InputError(f"{path}: its part {name} is missing, or no file. Save the model again.")
        found = file.stat().st_size
        data = file.read_bytes() if found == size else b""
    except OSError as error:
        raise InputError(f"{path}: its part {name} cannot be read ({error.strerror}). Save the model again.") from error
    if found != size or hashlib.sha256(data).hexdigest() != digest:
        raise InputError(
            f"{path}: its part {name} is corrupt: {found} bytes of {size}, or another checksum. Save the model again."
        )
    return data


def _checksum(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _check_free(path: Path, overwrite: bool) -> None:
    if not path.name:
        raise InputError(f"path: {str(path)!r} does not name a directory to make.")
    disk.put_back(path)
    if not (path.exists() or path.is_symlink()):
        return
    if not overwrite:
        raise InputError(f"{path}: exists already. Choose another path, or pass overwrite=True to replace the model.")
    if not (path / MAIN).is_file():
        raise InputError(f"{path}: exists and is not a saved model, so it is not replaced. Choose another path.")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
