"""Save and load fitted estimators without executable content.

A saved model is a directory: ``model.json`` (versions, class import paths, structure, checksums of the other parts),
``tensors.safetensors`` (every number) and ``sklearn/*.skops`` (scikit-learn and skrub objects, of an explicit list of
types). Loading never runs code from the files: classes are looked up inside labelwise and must be of a kind that is
allowed, networks are rebuilt from a list of known layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labelwise.base import InputError
from labelwise.persistence.files import read_parts, write_parts
from labelwise.persistence.reading import Reader
from labelwise.persistence.writing import Writer

__all__ = ["load", "save"]


def save(estimator: Any, path: str | Path, *, overwrite: bool = False) -> Path:
    """Save an estimator, encoder or loss of labelwise, fitted or not, to a new directory.

    Parameters
    ----------
    estimator
        An object of labelwise, or a scikit-learn object made of such (a pipeline, say). Networks of your own are saved
        as their weights alone; `load` then asks for the network.
    path
        Directory to make; its parents are made too.
    overwrite
        Replace a saved model at `path`. Anything else there is never replaced.

    Returns
    -------
    Path
        `path`.

    Raises
    ------
    InputError
        When `path` exists or cannot be written, or the estimator holds something that cannot be saved as data; nothing
        is written then.

    Examples
    --------
    >>> import tempfile
    >>> from labelwise.baselines import Baseline
    >>> model = Baseline(family="linear", random_state=0).fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = load(save(model, f"{folder}/model"))
    >>> again.predict([[0.5], [2.5]])
    array([0, 1])
    """
    writer = Writer()
    document = writer.document(estimator)
    return write_parts(Path(path), document, writer.parts(), overwrite=overwrite)


def load(path: str | Path, *, modules: Mapping[str, Any] | None = None) -> Any:
    """Load what `save` wrote.

    Parameters
    ----------
    path
        The directory.
    modules
        Networks of your own that the model was trained with, by the name `save` gave them, usually the field they were
        passed in: ``modules={"net": MyNet()}``. The saved weights are put into copies of them.

    Raises
    ------
    InputError
        When `path` is no saved model; a part is missing, truncated or changed; the model comes from a newer major
        version; it names a class or type that is not allowed; or it needs a network in `modules` that is not there or
        does not fit.
    """
    folder = Path(path)
    document, parts = read_parts(folder)
    try:
        return Reader(document, parts, modules or {}).root()
    except InputError as error:
        raise InputError(f"{folder}: {error}") from error
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise InputError(f"{folder}: model.json does not describe a model of this version ({told}).") from error
