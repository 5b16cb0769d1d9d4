"""Conditional transport between two sets of vectors: how far the patches of a picture are from its labels."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from labelwise.base import InputError


class Plans(NamedTuple):
    """Both navigators and the cost of every pair of a step and a label, each ``(b, N, L)``.

    `to_labels` is ``pi(m | n)``, where each step goes: its sums over labels are 1, or 0 in a row without a label.
    `to_steps` is ``pi(n | m)``, where each label goes, also for labels outside the row's set: its sums over steps are 1.
    """

    to_labels: Tensor
    to_steps: Tensor
    cost: Tensor


def navigators(
    steps: Tensor, labels: Tensor, members: Tensor, *, share: Tensor | None = None, temperature: float = 0.1
) -> Plans:
    """Return both conditional plans ``pi(m | n)`` and ``pi(n | m)`` and the cost ``1 - cos``; no iterations.

    ``pi(m | n)`` is proportional to ``b_m exp(psi_nm)`` over labels m, ``pi(n | m)`` to ``theta_n exp(psi_nm)`` over steps
    n, with ``psi = <e_n, l_m> / temperature`` and b uniform over the row's own labels.

    Parameters
    ----------
    steps
        Vectors e ``(b, N, d)``.
    labels
        Vectors l ``(L, d)``.
    members
        Which labels are in each row's set ``(b, L)``, bool.
    share
        Weights theta of the steps ``(b, N)``, rows sum to 1; None: uniform.
    temperature
        Of psi, > 0.

    Raises
    ------
    InputError
        When the shapes do not fit, or the temperature is not above 0.
    """
    if steps.ndim != 3 or labels.ndim != 2 or steps.shape[2] != labels.shape[1]:
        raise InputError(
            f"steps must be (b, N, d) and labels (L, d). Got {tuple(steps.shape)} and {tuple(labels.shape)}."
        )
    if members.shape != (len(steps), len(labels)):
        raise InputError(
            f"members must be (b, L) = {(len(steps), len(labels))}, the labels of each row. Got {tuple(members.shape)}."
        )
    if not temperature > 0:
        raise InputError(f"temperature must be above 0. Got {temperature}.")
    psi = steps @ labels.T / temperature
    inside = members.bool()[:, None]
    to_labels = psi.masked_fill(~inside, torch.finfo(psi.dtype).min).softmax(2) * inside
    weighted = psi if share is None else psi + share.clamp_min(torch.finfo(psi.dtype).tiny).log()[..., None]
    cost = 1 - F.normalize(steps, dim=2) @ F.normalize(labels, dim=1).T
    return Plans(to_labels, weighted.softmax(1), cost)


def conditional_transport(
    steps: Tensor, labels: Tensor, members: Tensor, *, share: Tensor | None = None, temperature: float = 0.1
) -> Tensor:
    """Return the conditional transport cost of each row's steps and labels ``(b,)``, from 0 to 4; 0 without a label.

    ``sum_n theta_n sum_m pi(m|n) c_nm + sum_m b_m sum_n pi(n|m) c_nm``: each step goes to the labels near it and each label
    to the steps near it. Labels outside a row's set take no part, so that an unknown label neither draws nor repels. For
    vectors of length 1, twice the exact transport cost lies between its values at low and at high temperature. Arguments and
    errors are those of `navigators`.

    References
    ----------
    Li et al.: PatchCT: Aligning Patch Set and Label Set with Conditional Transport for Multi-Label Image Classification,
    ICCV 2023 (paper 255); Zheng, Zhou: Exploiting Chain Rule and Bayes' Theorem to Compare Probability Distributions,
    NeurIPS 2021.

    Examples
    --------
    >>> e = torch.eye(3)[None]
    >>> one = torch.tensor([[True, False, False]])
    >>> round(float(conditional_transport(e, torch.eye(3), one)), 4)  # two of three steps are far from the only label
    0.6668
    >>> round(float(conditional_transport(e, torch.eye(3), ~one | one)), 4)  # the sets coincide
    0.0002
    """
    to_labels, to_steps, cost = navigators(steps, labels, members, share=share, temperature=temperature)
    theta = cost.new_full(cost.shape[:2], 1 / max(1, cost.shape[1])) if share is None else share
    inside = members.to(cost.dtype)
    b = inside / inside.sum(1, keepdim=True).clamp_min(1)
    forward = (theta * (to_labels * cost).sum(2)).sum(1)
    backward = (b * (to_steps * cost).sum(1)).sum(1)
    return forward + backward
