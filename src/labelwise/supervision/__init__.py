"""What a ``y`` can be: one page of conventions, read, checked and described in one place.

======================================  =======================================================  ==============
supervision (`Kind`)                    ``y``                                                    beside it
======================================  =======================================================  ==============
``classes``, some missing               integers or text ``(n,)``; unlabelled: ``-1`` among
                                        integers, ``None``, NaN or ``pandas.NA``
``real`` targets, some missing          floats ``(n,)`` or ``(n, m)``; unlabelled: NaN
``multilabel``, some unknown            ``(n, L)``: 1 yes, 0 no, -1 unknown; a sparse matrix of
                                        positives when L is huge
``soft`` labels                         floats ``(n, K)``, rows sum to 1; unlabelled: a NaN row
``candidates`` (partial labels)         booleans ``(n, K)``, one of the true ones is right
``votes`` of annotators or functions    integers or text ``(n, m)``; abstained: ``-1``, None     ``votes=``
``bags``: proportions or means          floats ``(B,)`` or ``(B, K)``                            ``bags=`` (n,)
``sets``: one class for a group         integers or text ``(B,)``                                ``bags=`` (n,)
======================================  =======================================================  ==============

Any of them may come with ``domains=`` (integers), ``trusted=`` (booleans) and ``sample_weight=``, one entry a row.

Two rules are worth knowing, and `describe` says when one was used. Integer labels that are exactly -1 and 1 are two
classes, not unlabelled rows and one class. Floats are real targets: whole floats (what pandas makes of integers with
gaps) become classes only when ``kind="classes"`` asks for it.
"""

from __future__ import annotations

from labelwise.supervision.checking import validate
from labelwise.supervision.classes import encode_classes
from labelwise.supervision.describing import describe
from labelwise.supervision.proportions import Proportions, read_proportions
from labelwise.supervision.reading import infer
from labelwise.supervision.targets import Kind, Targets

__all__ = [
    "Kind", "Proportions", "Targets", "describe", "encode_classes", "infer", "read_proportions", "validate",
]  # fmt: skip
