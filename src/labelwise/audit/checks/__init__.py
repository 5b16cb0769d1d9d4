"""The checks of an audit, one file a question, in the order they run: cheap ones first.

A check is a function of a `labelwise.audit.study.Study` that returns its findings: none where there is nothing to tell.
It raises `NotApplicable` where it has nothing to look at.
"""

from __future__ import annotations

from collections.abc import Callable

from labelwise.audit.checks.class_imbalance import class_imbalance, rare_classes
from labelwise.audit.checks.label_errors import label_errors
from labelwise.audit.checks.missing_labels import few_labels, missing_labels
from labelwise.audit.finding import Finding
from labelwise.audit.study import Study

Check = Callable[[Study], list[Finding]]

CHECKS: dict[str, Check] = {
    "missing labels": missing_labels,
    "few labels": few_labels,
    "class imbalance": class_imbalance,
    "rare classes": rare_classes,
    "label errors": label_errors,
}
