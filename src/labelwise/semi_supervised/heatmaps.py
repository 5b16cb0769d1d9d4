"""Keypoints as heatmaps, and strong augmentations of pictures that hide or move no joint's place."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Augmentation = Callable[[Tensor, Tensor], Tensor]
"""``(pictures (b, c, h, w), joints (b, J, 2) in pixels) -> pictures``; joints stay where they are."""


def encode(joints: Tensor, picture: tuple[int, int], size: tuple[int, int], width: float = 1.0) -> Tensor:
    """Return heatmaps ``(n, J, *size)``: a Gaussian of standard deviation `width` cells about each joint, 1 at its centre.

    Parameters
    ----------
    joints
        Column and row in pixels ``(n, J, 2)``; an unknown joint (NaN) gives a map of NaN.
    picture, size
        Height and width of the pictures and of the maps.
    width
        Standard deviation in cells, > 0.
    """
    scale = joints.new_tensor([size[1] / picture[1], size[0] / picture[0]])
    column, row = ((joints + 0.5) * scale - 0.5).unbind(-1)
    across = (torch.arange(size[1], device=joints.device) - column[..., None]) ** 2
    down = (torch.arange(size[0], device=joints.device) - row[..., None]) ** 2
    return torch.exp(-(down[..., :, None] + across[..., None, :]) / (2 * width**2))


def decode(maps: Tensor, picture: tuple[int, int]) -> Tensor:
    """Return the joints ``(n, J, 2)`` in pixels of heatmaps: the highest cell, moved to the centre of mass about it."""
    height, width = maps.shape[-2:]
    best = maps.flatten(2).argmax(2)
    row, column = best // width, best % width
    cells = torch.arange(height, device=maps.device), torch.arange(width, device=maps.device)
    near = ((cells[0] - row[..., None]).abs() <= 1)[..., :, None] & ((cells[1] - column[..., None]).abs() <= 1)[
        ..., None, :
    ]
    mass = maps.clamp_min(1e-6) * near
    mass = mass / mass.sum((2, 3), keepdim=True)
    x, y = (mass.sum(2) * cells[1]).sum(-1), (mass.sum(3) * cells[0]).sum(-1)
    scale = maps.new_tensor([picture[1] / width, picture[0] / height])
    return (torch.stack([x, y], -1) + 0.5) * scale - 0.5


def turns(rows: int, degrees: float, device: torch.device | None = None) -> Tensor:
    """Draw affine maps ``(rows, 2, 3)``: an angle within +- `degrees` and a size within 0.8 to 1.25, for `warp`."""
    angle = torch.deg2rad(degrees * (2 * torch.rand(rows, device=device) - 1))
    scale = 1.25 ** (2 * torch.rand(rows, device=device) - 1)
    cos, sin, zero = scale * angle.cos(), scale * angle.sin(), torch.zeros_like(angle)
    return torch.stack([torch.stack([cos, -sin, zero], 1), torch.stack([sin, cos, zero], 1)], 1)


def warp(x: Tensor, affine: Tensor) -> Tensor:
    """Return pictures or heatmaps ``(b, c, h, w)`` moved by the affine maps; what comes from outside is zero."""
    return F.grid_sample(x, F.affine_grid(affine, list(x.shape), align_corners=False), align_corners=False)


# -- strong augmentations


def cutout(x: Tensor, joints: Tensor, holes: int = 4) -> Tensor:
    """Hide rectangles at random places behind the picture's mean colour."""
    return _hidden(x, _anywhere(x, holes))


def joint_cutout(x: Tensor, joints: Tensor, most: int = 2) -> Tensor:
    """Hide rectangles near `most` of the predicted joints."""
    return _hidden(x, _some(_shaken(x, joints), most))


def cutmix(x: Tensor, joints: Tensor, patches: int = 2) -> Tensor:
    """Cover rectangles with what another picture has there."""
    return torch.where(_patches(x, _anywhere(x, patches)), x[torch.randperm(len(x), device=x.device)], x)


def mixup(x: Tensor, joints: Tensor) -> Tensor:
    """Blend in another picture with a share of at most a quarter."""
    share = 0.25 * torch.rand(len(x), 1, 1, 1, device=x.device)
    return torch.lerp(x, x[torch.randperm(len(x), device=x.device)], share)


def joint_cut_occlude(x: Tensor, joints: Tensor, most: int = 2) -> Tensor:
    """Cover predicted joints with patches about the joints of another picture."""
    partner = torch.randperm(len(x), device=x.device)
    here = _some(_shaken(x, joints), most).round().long()
    there = _some(joints[partner], most).round().long()
    donors, out = x[partner], x
    for k in range(here.shape[1]):  # a later patch lies over an earlier one
        moved = _moved(donors, there[:, k] - here[:, k])
        out = torch.where(_patches(x, here[:, k : k + 1].to(x.dtype)), moved, out)
    return out


STRONG: dict[str, Augmentation] = {
    "cutout": cutout, "joint-cutout": joint_cutout, "cut-occlude": joint_cut_occlude, "cutmix": cutmix, "mixup": mixup,
}  # fmt: skip


def strong(name: str) -> Augmentation:
    """Return the augmentation of a name, or of several joined by ``+``, applied in that order.

    Raises
    ------
    KeyError
        For a name that is not in `STRONG`.
    """
    steps = [STRONG[part] for part in name.split("+")]

    def augment(x: Tensor, joints: Tensor) -> Tensor:
        for step in steps:
            x = step(x, joints)
        return x

    return augment


def _anywhere(x: Tensor, count: int) -> Tensor:
    return torch.rand(len(x), count, 2, device=x.device) * x.new_tensor([x.shape[-1], x.shape[-2]])


def _shaken(x: Tensor, joints: Tensor) -> Tensor:
    return joints + 0.04 * max(x.shape[-2:]) * torch.randn_like(joints)


def _some(joints: Tensor, most: int) -> Tensor:
    """Return `most` joints of each row ``(b, most, 2)`` in random order, all if there are fewer."""
    chosen = torch.rand(joints.shape[:2], device=joints.device).argsort(1)[:, :most]
    return joints.gather(1, chosen[..., None].expand(-1, -1, 2))


def _patches(x: Tensor, centres: Tensor) -> Tensor:
    """Return where rectangles about the centres ``(b, m, 2)`` lie ``(b, 1, h, w)``; half a side is 5 to 10 % of x's."""
    height, width = x.shape[-2:]
    half = (0.05 + 0.05 * torch.rand_like(centres)) * centres.new_tensor([width, height])
    across = (torch.arange(width, device=x.device) - centres[..., :1]).abs() <= half[..., :1]
    down = (torch.arange(height, device=x.device) - centres[..., 1:]).abs() <= half[..., 1:]
    return (down[..., :, None] & across[..., None, :]).any(1)[:, None]


def _hidden(x: Tensor, centres: Tensor) -> Tensor:
    return torch.where(_patches(x, centres), x.mean((2, 3), keepdim=True), x)


def _moved(x: Tensor, shift: Tensor) -> Tensor:
    """Return pictures whose pixel (r, c) is that of `x` at (r, c) + shift, edges repeated; `shift` is (column, row)."""
    batch = torch.arange(len(x), device=x.device)[:, None, None]
    rows = (torch.arange(x.shape[-2], device=x.device) + shift[:, 1:]).clamp(0, x.shape[-2] - 1)
    columns = (torch.arange(x.shape[-1], device=x.device) + shift[:, :1]).clamp(0, x.shape[-1] - 1)
    return x.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
