"""What every encoder promises: fit on a frame, encode frames with the same columns, describe itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import field
from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import clone

from labelwise.base import Fields, InputError
from labelwise.data.naming import listed, nearest


class Encoder(Fields, ABC):
    """Template of the encoders: `columns_read` names the columns, `learn` and `encode` do the work.

    Everything learned is kept as arrays, strings, numbers and plain containers in attributes ending in an underscore,
    so that an encoder can be stored without executable content.

    Examples
    --------
    >>> from labelwise.data import TableEncoder
    >>> frame = pd.DataFrame({"size": [1.0, 2.0, 3.0], "colour": ["red", "white", "red"]})
    >>> TableEncoder().fit(frame).transform(frame).shape
    (3, 3)
    """

    def fit(self, frame: pd.DataFrame) -> Self:
        """Learn from the columns of `frame` this encoder reads; return self."""
        self.check_fields()
        self.columns_ = self.columns_read(frame)
        Encoder.check_columns(self, frame)
        self.learn(frame)
        return self

    def transform(self, frame: pd.DataFrame) -> np.ndarray:
        """Encode `frame`: float32 ``(n, d)`` or pictures ``(n, h, w, c)``.

        Raises
        ------
        InputError
            A column it was fitted on is missing, or holds something else than at `fit`.
        """
        if not hasattr(self, "columns_"):
            raise InputError(f"{type(self).__name__} is not fitted yet. Call fit(frame) first.")
        self.check_columns(frame)
        return self.encode(frame)

    def fit_transform(self, frame: pd.DataFrame) -> np.ndarray:
        """Fit on `frame` and encode it."""
        return self.fit(frame).transform(frame)

    @abstractmethod
    def describe(self) -> str:
        """Say in a sentence what the columns become."""

    @abstractmethod
    def columns_read(self, frame: pd.DataFrame) -> list[str]:
        """Name the columns of `frame` that `fit` reads."""

    @abstractmethod
    def learn(self, frame: pd.DataFrame) -> None:
        """Keep what `encode` needs."""

    @abstractmethod
    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Encode checked columns."""

    @abstractmethod
    def feature_names(self) -> list[str]:
        """Name the ``d`` features."""

    def depends_on(self) -> list[str]:
        """Name what `fit` depends on beside the fields and the frame, such as an installed model."""
        return []

    def check_columns(self, frame: pd.DataFrame) -> None:
        """Raise `InputError` where `frame` lacks a column that was there at `fit`."""
        missing = [name for name in self.columns_ if name not in frame.columns]
        if missing:
            columns = [str(name) for name in frame.columns]
            guess = nearest(missing[0], columns)
            raise InputError(
                f"the table has no column {listed(missing)}, which the model reads."
                f"{f' Is it {guess!r} under another name?' if guess else ''} Its columns are {listed(columns)}."
            )


class ConcatEncoder(Encoder):
    """Lay the features of several encoders side by side.

    Parameters
    ----------
    encoders
        Encoders to vectors; fitted copies are kept in ``encoders_``.

    Examples
    --------
    >>> from labelwise.data import TableEncoder, TextEncoder
    >>> frame = pd.DataFrame({"size": [1.0, 2.0], "text": ["small one", "large one"]})
    >>> encoder = ConcatEncoder(encoders=[TextEncoder(model="tfidf", n_components=2), TableEncoder(columns=["size"])])
    >>> encoder.fit(frame).transform(frame).shape
    (2, 3)
    """

    encoders: list[Encoder] = field(default_factory=list)

    def columns_read(self, frame: pd.DataFrame) -> list[str]:
        """Return every encoder's columns."""
        return [name for encoder in self.encoders for name in encoder.columns_read(frame)]

    def depends_on(self) -> list[str]:
        """Join what the encoders depend on."""
        return [source for encoder in self.encoders for source in encoder.depends_on()]

    def learn(self, frame: pd.DataFrame) -> None:
        """Fit a copy of every encoder."""
        self.encoders_ = [clone(encoder).fit(frame) for encoder in self.encoders]

    def encode(self, frame: pd.DataFrame) -> np.ndarray:
        """Stack what the encoders return."""
        return np.hstack([encoder.transform(frame) for encoder in self.encoders_])

    def feature_names(self) -> list[str]:
        """Name every encoder's features."""
        return [name for encoder in self.encoders_ for name in encoder.feature_names()]

    def describe(self) -> str:
        """Join the encoders' sentences."""
        return "; ".join(encoder.describe() for encoder in self.encoders_)
