"""Small pictures as data URLs, for pages that load nothing."""

from __future__ import annotations

import base64
import io
from typing import Any

from labelwise.data.encode_image import _open

SIDE = 96


def thumbnail(value: Any, side: int = SIDE) -> str:
    """Return an image as a data URL of a picture at most `side` pixels wide and high; "" where it cannot be read.

    Small grey or colour pictures stay as they are in a PNG, larger ones become a JPEG of about 2 kB.

    Parameters
    ----------
    value
        A path, the bytes of an image file, or pixels ``(h, w)`` or ``(h, w, c)``.
    side
        Largest width and height in pixels.

    Examples
    --------
    >>> import numpy as np
    >>> thumbnail(np.zeros((8, 8), np.uint8))[:22]
    'data:image/png;base64,'
    >>> thumbnail("no such file.png")
    ''
    """
    from PIL import Image

    try:
        image = _open(value)
        small = max(image.size) <= side // 2
        image = image.convert("L" if image.mode in {"1", "L", "LA", "I", "I;16", "F"} else "RGB")
        image.thumbnail((side, side))
    except (OSError, TypeError, ValueError, SyntaxError, Image.DecompressionBombError):
        return ""
    kind, file = ("PNG" if small else "JPEG"), io.BytesIO()
    image.save(file, kind, **({"optimize": True} if small else {"quality": 75}))
    return f"data:image/{kind.lower()};base64," + base64.b64encode(file.getvalue()).decode()
