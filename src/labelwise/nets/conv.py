"""Small convolutional networks: a residual one of images ``(b, channels, h, w)``, and one of series."""

from __future__ import annotations

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from labelwise.nets.base import Network


class Residual(nn.Module):
    """Two 3x3 convolutions with batch norm and a skip connection; `stride` 2 halves the picture."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm_first, self.norm_second = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        same = inputs == outputs and stride == 1
        self.skip = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output; a picture of one pixel stays one pixel."""
        hidden = F.relu(self.norm_first(self.first(x)))
        return F.relu(self.norm_second(self.second(hidden)) + self.skip(x))


class ConvNet(Network):
    """Three residual stages and global average pooling: any picture size from 4x4 up, seconds per epoch on a CPU."""

    def __init__(self, channels: int, outputs: int, width: int = 16) -> None:
        super().__init__(channels=channels, outputs=outputs, width=width)
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            Residual(width, width),
            Residual(width, 2 * width, stride=2),
            Residual(2 * width, 4 * width, stride=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(4 * width, outputs)


class SeriesConv(Network):
    """Three 1-d convolutions and global average pooling, for series ``(b, channels, time)`` of any length."""

    def __init__(self, channels: int, outputs: int, width: int = 32) -> None:
        super().__init__(channels=channels, outputs=outputs, width=width)
        sizes = (channels, width, 2 * width, 2 * width)
        blocks = [
            nn.Sequential(
                nn.Conv1d(before, after, 5, padding=2, bias=False),
                nn.BatchNorm1d(after),
                nn.ReLU(),
                nn.AvgPool1d(2, ceil_mode=True),
            )
            for before, after in pairwise(sizes)
        ]
        self.features = nn.Sequential(*blocks, nn.AdaptiveAvgPool1d(1), nn.Flatten())
        self.head = nn.Linear(2 * width, outputs)
