"""Fitted classifiers as differentiable functions of their inputs, in the units that the user passes them in."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from labelwise.base import InputError
from labelwise.inputs import Inputs
from labelwise.learner import ClassLearner


class Units(nn.Module):
    """The way between the rows a network reads (standardised) and rows in the units of X; pictures stay as they are.

    Pictures are ``(b, channels, h, w)`` on both sides, those of bytes in [0, 1].
    """

    center: Tensor
    scale: Tensor

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        center, scale = (0.0, 1.0) if inputs.center is None else (inputs.center, inputs.scale)
        self.register_buffer("center", torch.as_tensor(center))
        self.register_buffer("scale", torch.as_tensor(scale))

    def forward(self, x: Tensor) -> Tensor:
        """Return rows as the network reads them, of rows in the units of X."""
        return (x - self.center) / self.scale

    def back(self, x: Tensor) -> Tensor:
        """Return rows in the units of X, of rows as the network reads them."""
        return x * self.scale + self.center


def differentiable(estimator: Any) -> tuple[nn.Module, Inputs, NDArray[Any]]:
    """Return a frozen module that maps rows in the units of X to scores ``(b, K)``, how X is read, and the classes.

    Raises
    ------
    InputError
        For estimators other than fitted learners of labelwise, and for texts.
    """
    if not isinstance(estimator, ClassLearner) and hasattr(estimator, "differentiable"):
        found: tuple[nn.Module, Inputs, NDArray[Any]] = estimator.differentiable()
        return found
    if not isinstance(estimator, ClassLearner) or not hasattr(estimator, "net_"):
        raise InputError(
            f"estimator must be a fitted learner of labelwise, whose gradients can be taken. Got {type(estimator).__name__}."
        )
    if estimator.inputs_.modality == "tokens":
        raise InputError("estimator reads texts: there are no small changes of a text to attack it with.")
    module = nn.Sequential(Units(estimator.inputs_), estimator.net_).eval()
    return module, estimator.inputs_, np.asarray(estimator.classes_)


def raw_rows(inputs: Inputs, X: Any) -> Tensor:
    """Return the rows of `X` as floats in their own units, as the module of `differentiable` takes them."""
    rows = torch.as_tensor(inputs.transform(X))
    rows = rows.float().div_(255) if rows.dtype == torch.uint8 else rows
    out: Tensor = Units(inputs).back(rows)
    return out
