"""Choosing a network by the shape of its input."""

from __future__ import annotations

from collections.abc import Callable

from labelwise.base import InputError
from labelwise.nets.base import Network
from labelwise.nets.conv import ConvNet, SeriesConv
from labelwise.nets.dense import MLP, Linear
from labelwise.nets.sequence import SeriesTransformer, TextTransformer

_BY_NAME: dict[tuple[str, str], Callable[[tuple[int, ...], int], Network]] = {
    ("vectors", "linear"): lambda shape, outputs: Linear(shape[0], outputs),
    ("vectors", "mlp"): lambda shape, outputs: MLP(shape[0], outputs),
    ("images", "conv"): lambda shape, outputs: ConvNet(shape[0], outputs),
    ("series", "transformer"): lambda shape, outputs: SeriesTransformer(shape[0], shape[1], outputs),
    ("series", "conv"): lambda shape, outputs: SeriesConv(shape[0], outputs),
    ("tokens", "transformer"): lambda shape, outputs: TextTransformer(shape[1], outputs, length=shape[0]),
}
_DEFAULT = {"vectors": "mlp", "images": "conv", "series": "transformer", "tokens": "transformer"}


def build(name: str, modality: str, shape: tuple[int, ...], outputs: int) -> Network:
    """Return a fresh network.

    Parameters
    ----------
    name
        ``auto``, ``linear``, ``mlp``, ``conv`` or ``transformer``.
    modality
        ``vectors`` (shape ``(d,)``), ``images`` (``(channels, h, w)``), ``series`` (``(channels, time)``) or ``tokens``
        (``(length, vocabulary)``).
    shape
        Of one row, as above.
    outputs
        Number of scores.

    Raises
    ------
    InputError
        When no network of that name takes that modality.
    """
    chosen = _DEFAULT[modality] if name == "auto" else name
    if (modality, chosen) not in _BY_NAME:
        possible = ["auto", *(known for kind, known in _BY_NAME if kind == modality)]
        raise InputError(f"net={name!r} does not take {modality}. Use one of {possible}, or an nn.Module of your own.")
    return _BY_NAME[modality, chosen](shape, outputs)
