"""Turn columns into arrays a method reads: float32 features ``(n, d)``, or pictures ``(n, h, w, c)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from labelwise.base import InputError
from labelwise.data.columns import holds
from labelwise.data.encode_array import ArrayEncoder, looks_like_embedding
from labelwise.data.encode_image import ImageEncoder
from labelwise.data.encode_table import TableEncoder
from labelwise.data.encode_text import TextEncoder
from labelwise.data.encoder import ConcatEncoder, Encoder
from labelwise.data.tfidf import TfidfSVD

if TYPE_CHECKING:
    from labelwise.data.roles import Roles

__all__ = [
    "TRUSTED_TYPES", "ArrayEncoder", "ConcatEncoder", "Encoder", "ImageEncoder", "TableEncoder", "TextEncoder",
    "make_encoder",
]  # fmt: skip

TRUSTED_TYPES = [
    *(f"{kind.__module__}.{kind.__name__}"
      for kind in (ArrayEncoder, ConcatEncoder, ImageEncoder, TableEncoder, TextEncoder, TfidfSVD)),
    "skrub._datetime_encoder.DatetimeEncoder",
]  # fmt: skip
"""Types that `skops.io.load` may restore: the encoders themselves, and the one part of skrub they keep."""


def make_encoder(
    frame: pd.DataFrame,
    roles: Roles,
    *,
    text_model: str | None = None,
    image_size: int = 32,
    image_encoder: Callable[[np.ndarray], Any] | None = None,
    random_state: int | None = 0,
) -> Encoder:
    """Choose and compose the encoder of the columns that `roles` names; it is not fitted yet.

    Text goes through `TextEncoder`, images through `ImageEncoder`, columns of vectors and numbered columns that look
    like an embedding through `ArrayEncoder`, and other features through `TableEncoder`.

    Raises
    ------
    InputError
        Pixels beside other inputs: they need an encoder to vectors.
    """
    parts: list[Encoder] = []
    if roles.image is not None:
        parts.append(ImageEncoder(column=roles.image, size=image_size, encoder=image_encoder))
    if roles.text is not None:
        parts.append(TextEncoder(column=roles.text, model=text_model, random_state=random_state))
    parts += _feature_encoders(frame, roles.features, random_state)
    if len(parts) > 1 and roles.image is not None and image_encoder is None:
        raise InputError(f"image: pixels of column {roles.image!r} cannot stand beside other inputs. "
                         "Give an image encoder to vectors, or leave the other inputs out.")  # fmt: skip
    return parts[0] if len(parts) == 1 else ConcatEncoder(encoders=parts)


def _feature_encoders(frame: pd.DataFrame, features: list[str], random_state: int | None) -> list[Encoder]:
    if looks_like_embedding(frame, features):
        return [ArrayEncoder(columns=list(features))]
    vectors = [name for name in features if holds(frame[name]) == "vector"]
    others = [name for name in features if name not in vectors]
    parts: list[Encoder] = [ArrayEncoder(columns=vectors)] if vectors else []
    return parts + ([TableEncoder(columns=others, random_state=random_state)] if others else [])
