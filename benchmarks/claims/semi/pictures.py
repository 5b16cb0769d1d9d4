"""A very small network of digit pictures, so that claims of several stages take seconds."""

from __future__ import annotations

from torch import nn

from labelwise.nets import Network


class SmallConv(Network):
    """Two convolutions that halve the picture, batch norm and ReLU after each; features keep their place."""

    def __init__(self, width: int = 16, side: int = 8, outputs: int = 10) -> None:
        super().__init__(width=width, side=side, outputs=outputs)
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(2 * width), nn.ReLU(),
            nn.Flatten(),
        )  # fmt: skip
        self.head = nn.Linear(2 * width * (side // 4) ** 2, outputs)
