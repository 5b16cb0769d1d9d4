"""Rows of two sources, a text and a series, either of which may be missing: how users give them and networks read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import InputError
from labelwise.inputs import Inputs
from labelwise.parts.moments import centre_and_scale


class TextSeries:
    """A text and a series a row: ``TextSeries(texts, series)[rows]`` are some of them.

    Parameters
    ----------
    texts
        One a row; ``""`` or None: missing.
    series
        ``(n, channels, time)``; a row of NaN only: missing. Other NaN and infinities are refused.

    Raises
    ------
    InputError
        When lengths differ, a text is no text, or a series is broken by NaN or infinity.

    Examples
    --------
    >>> rows = TextSeries(["fever", None], np.zeros((2, 1, 6)))
    >>> len(rows), rows[[1]].texts
    (2, [''])
    """

    def __init__(self, texts: Sequence[str | None], series: ArrayLike) -> None:
        self.texts = ["" if text is None else text for text in texts]
        self.series = np.asarray(series, dtype=np.float32)
        wrong = next((row for row, text in enumerate(self.texts) if not isinstance(text, str)), None)
        if wrong is not None:
            raise InputError(
                f"texts must be texts, or None where one is missing. Row {wrong} is {self.texts[wrong]!r}."
            )
        if self.series.ndim != 3 or len(self.series) != len(self.texts):
            raise InputError(
                f"series must be (n, channels, time) with n = {len(self.texts)}, as many as texts. Got {self.series.shape}."
            )
        flat = self.series.reshape(len(self.series), -1)
        broken = ~np.isfinite(flat).all(1) & ~np.isnan(flat).all(1)
        if broken.any():
            raise InputError(
                f"series holds NaN or infinity, first in row {int(broken.argmax())}. A missing series is NaN throughout; "
                "fill single gaps first."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows and of sources, so that scikit-learn counts and splits them."""
        return len(self.texts), 2

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, rows: Any) -> TextSeries:
        chosen = np.atleast_1d(np.arange(len(self))[rows])
        return TextSeries([self.texts[row] for row in chosen], self.series[chosen])


class TextSeriesInputs(Inputs):
    """Reads `TextSeries` as one row of numbers, token codes before standardised series (NaN: missing); else as `Inputs`.

    Attributes: `layout` (text length, channels, time), None when X has a single source.
    """

    layout: tuple[int, int, int] | None = None

    def fit(self, X: Any, y: Any = None) -> NDArray[Any]:
        """Learn the layout and the scale of the series from X and return the rows."""
        if not isinstance(X, TextSeries):
            return super().fit(X, y)
        if not len(X):
            raise InputError("X has no rows.")
        self.modality, self.shape = "text and series", X.series.shape[1:]
        self.layout = (self.tokenizer.length, *X.series.shape[1:])
        known = X.series[~np.isnan(X.series).any((1, 2))].astype(np.float64)
        if len(known):
            self.center, self.scale = (part.astype(np.float32) for part in centre_and_scale(known, (0, 2)))
        return self._packed(X)

    def transform(self, X: Any) -> NDArray[Any]:
        """Return the rows of new data; raise `InputError` when sources or shape differ from those of fit."""
        if isinstance(X, TextSeries) != (self.layout is not None):
            wanted = "a TextSeries" if self.layout else self.modality
            raise InputError(
                f"X must be {wanted}, as {type(self.owner).__name__} was fitted on. Got {type(X).__name__}."
            )
        if self.layout is None:
            return super().transform(X)
        if X.series.shape[1:] != tuple(self.shape):
            raise InputError(f"series have shape {X.series.shape[1:]}, but those of fit had {tuple(self.shape)}.")
        return self._packed(X)

    def _packed(self, X: TextSeries) -> NDArray[np.float32]:
        assert self.layout is not None
        codes = np.zeros((len(X), self.layout[0]), np.float32)
        found = self.tokenizer(X.texts)
        codes[:, : found.shape[1]] = found
        return np.hstack([codes, self._standardized(X.series).reshape(len(X), -1)])
