"""The checks of an audit, one file a question, in the order they run: cheap ones first.

A check is a function of a `labelwise.audit.study.Study` that returns its findings: none where there is nothing to tell.
It raises `NotApplicable` where it has nothing to look at.
"""

from __future__ import annotations

from collections.abc import Callable

from labelwise.audit.checks.annotators import annotators
from labelwise.audit.checks.class_imbalance import class_imbalance, rare_classes, target_imbalance
from labelwise.audit.checks.classes import confused_classes, unseen_classes
from labelwise.audit.checks.columns import broken_cells, constant_columns
from labelwise.audit.checks.duplicates import conflicting_labels, leakage, near_duplicates
from labelwise.audit.checks.label_errors import label_errors
from labelwise.audit.checks.missing_labels import few_labels, missing_labels
from labelwise.audit.checks.outliers import open_set, outliers
from labelwise.audit.checks.poisoned_pool import poisoned_pool
from labelwise.audit.checks.pool_health import pool_health
from labelwise.audit.checks.representation import representation_rank
from labelwise.audit.checks.shift import covariate_shift, label_shift
from labelwise.audit.finding import Finding
from labelwise.audit.study import Study

Check = Callable[[Study], list[Finding]]

CHECKS: dict[str, Check] = {
    "missing labels": missing_labels,
    "few labels": few_labels,
    "class imbalance": class_imbalance,
    "rare classes": rare_classes,
    "target imbalance": target_imbalance,
    "broken cells": broken_cells,
    "constant columns": constant_columns,
    "annotators": annotators,
    "label errors": label_errors,
    "confused classes": confused_classes,
    "unseen classes": unseen_classes,
    "near duplicates": near_duplicates,
    "conflicting labels": conflicting_labels,
    "leakage": leakage,
    "outliers": outliers,
    "label shift": label_shift,
    "covariate shift": covariate_shift,
    "open set": open_set,
    "poisoned pool": poisoned_pool,
    "pool health": pool_health,
    "representation rank": representation_rank,
}
