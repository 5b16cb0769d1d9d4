"""The supervised contrastive loss: all rows of one class are each other's positives."""

from __future__ import annotations

from torch import Tensor

from labelwise.base import InputError
from labelwise.losses.pair_contrast import cosines, others, pair_contrast


def sup_con(z: Tensor, y: Tensor, temperature: float = 0.1) -> Tensor:
    """Return the supervised contrastive loss of embeddings, one row a view.

    For each row with positives (other rows of its class) ``- mean over positives p of log exp(z_i z_p / t) / sum over k
    other than i of exp(z_i z_k / t)`` with z of length 1; the mean over such rows, 0 where there is none.

    Parameters
    ----------
    z
        Embeddings ``(n, d)``; views of one row stand one below the other or anywhere.
    y
        Class codes ``(n,)``.
    temperature
        t > 0.

    References
    ----------
    Khosla et al., Supervised Contrastive Learning, NeurIPS 2020 (the variant with the mean outside the logarithm).

    Examples
    --------
    >>> import torch
    >>> z = torch.eye(4)  # two classes of two rows, all at right angles: every one of three candidates is alike
    >>> bool(torch.isclose(sup_con(z, torch.tensor([0, 0, 1, 1])), torch.log(torch.tensor(3.0))))
    True
    """
    if z.ndim != 2 or y.shape != z.shape[:1]:
        raise InputError(f"z must be (n, d) and y (n,). Got {tuple(z.shape)} and {tuple(y.shape)}.")
    similarity = cosines(z, z, temperature)
    apart = others(len(z), similarity)
    positive = (y[:, None] == y) & (apart == 0)
    value = pair_contrast(similarity, positive, apart)
    return (value.sum() / positive.any(1).sum().clamp_min(1)).to(z.dtype)
