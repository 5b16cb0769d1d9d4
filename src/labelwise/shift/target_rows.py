"""Which rows are the source, with labels, and which the target, without."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from labelwise.base import UNLABELED, InputError
from labelwise.supervision.beside import row_names

Bools = npt.NDArray[np.bool_]


def source_and_target(
    codes: npt.NDArray[np.integer[Any]], domains: npt.ArrayLike | None, target: Any = None
) -> tuple[Bools, Bools]:
    """Return the masks of source and target rows, each ``(n,)``.

    Without `domains`, labelled rows are the source and the others the target. With them, every row of the target domain
    is target, labelled or not; labelled rows elsewhere are the source, and other rows are neither.

    Parameters
    ----------
    codes
        Class codes ``(n,)``, -1 without a label.
    domains
        Domain of each row ``(n,)``, or None.
    target
        Name of the target domain. None: the only domain without any label.

    Raises
    ------
    InputError
        When the lengths differ, the target is not among the domains or not clear, or no source row is labelled.

    Examples
    --------
    >>> source, target = source_and_target(np.array([0, 1, -1, -1]), ["here", "here", "here", "there"])
    >>> source.tolist(), target.tolist()
    ([True, True, False, False], [False, False, False, True])
    """
    labelled = codes != UNLABELED
    if domains is None:
        return labelled, ~labelled
    where = row_names(domains, len(codes))
    there = where == target_domain(where, labelled, target)
    if not (labelled & ~there).any():
        raise InputError("domains leaves no labelled row outside the target domain: label some source rows.")
    return labelled & ~there, there


def target_domain(where: npt.NDArray[Any], labelled: Bools, target: Any = None) -> Any:
    """Return the name of the target domain: `target` if it is one, or the only domain without labels."""
    names = np.unique(where)
    if target is not None:
        if target not in names:
            raise InputError(f"target must be one of the domains {names.tolist()[:10]}. Got {target!r}.")
        return target
    bare = [name for name in names if not labelled[where == name].any()]
    if len(bare) != 1:
        raise InputError(
            f"domains has {len(bare)} domains without labels, so the target is not clear: "
            f"set target= to one of {names.tolist()[:10]}."
        )
    return bare[0]
