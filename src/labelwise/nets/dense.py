"""Networks of vectors ``(b, d)``."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from labelwise.nets.base import Network


class Linear(Network):
    """One linear layer: multinomial logistic regression under a cross-entropy."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs=inputs, outputs=outputs)
        self.features = nn.Identity()
        self.head = nn.Linear(inputs, outputs)


class MLP(Network):
    """Fully connected layers with ReLU; `dropout` after each hidden layer."""

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int] = (256,), dropout: float = 0.0) -> None:
        super().__init__(inputs=inputs, outputs=outputs, hidden=list(hidden), dropout=dropout)
        layers: list[nn.Module] = []
        width = inputs
        for size in hidden:
            layers += [nn.Linear(width, size), nn.ReLU()]
            if dropout:
                layers.append(nn.Dropout(dropout))
            width = size
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(width, outputs)
