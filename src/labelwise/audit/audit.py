"""Look at a data set and say what is wrong with its labels: validate, run every check, sort what they found."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.audit.checks import CHECKS
from labelwise.audit.finding import SEVERITIES, AuditReport, Finding
from labelwise.audit.gains import promised
from labelwise.audit.study import NotApplicable, Study
from labelwise.base import InputError
from labelwise.supervision import Kind, Targets, infer


def audit(
    X: ArrayLike,
    targets: Targets | Any,
    *,
    proba: ArrayLike | None = None,
    splits: Sequence[Any] | NDArray[Any] | None = None,
    domains: Sequence[Any] | NDArray[Any] | None = None,
    texts: Sequence[str | None] | NDArray[Any] | None = None,
    feature_names: Sequence[str] | None = None,
    exact: bool | Literal["auto"] = "auto",
    gains: bool | float = True,
    random_state: int | None = 0,
    time_budget: float | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> AuditReport:
    """Check a data set for everything that makes labels or rows misleading.

    Parameters
    ----------
    X
        Features or embeddings, numbers of shape (n, d); images (n, h, w, c) are read as flat pixels. Cells that are
        not finite are reported and replaced by the column's median.
    targets
        `Targets`, or a ``y`` that `labelwise.supervision.infer` understands.
    proba
        Out-of-sample class probabilities (n, K), columns in the order of ``targets.classes``. Without them a linear
        discriminant is cross-validated on `X`, and mixed with the votes of neighbours.
    splits
        Name of the split of every row, e.g. ``"train"`` and ``"test"``; leakage and shift between them are looked for.
    domains
        Source of every row; by default ``targets.domains``.
    texts
        The rows' texts: exact duplicates are found in them too.
    feature_names
        Names of the columns of `X`, for messages; by default their numbers.
    exact
        Whether neighbours are searched exactly, by default only where that takes seconds; otherwise with a measured
        recall of at least 0.95.
    gains
        Whether to simulate what mending each finding promises (a second or two), or the most seconds to spend on it, the
        worst findings first; severities follow from it where it can be learned, otherwise from a table.
    random_state
        Seed of folds, subsamples and permutations. The same seed gives the same report.
    time_budget
        Seconds; neighbours become approximate to keep to it, and checks that no longer fit are recorded as not checked.
    progress
        Called as ``progress(name of the step, share of the checks done)``.

    Returns
    -------
    AuditReport
        Findings, the worst first; iterates over them.

    Raises
    ------
    InputError
        Arrays of different length, no row, no column, probabilities out of range.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1], [180, 20])
    >>> print(audit(rng.normal(size=(200, 3)) + 4 * y[:, None], y).summary())
    1 finding in 10 checks:
         minor  The largest class has 9 times the rows of the smallest
                weight the classes evenly: +0.0 points of balanced accuracy (-2.3 to +2.3)
    """
    start = time.monotonic()
    study = make_study(X, targets, proba=proba, splits=splits, domains=domains, texts=texts, seed=random_state or 0)
    study.feature_names = None if feature_names is None else list(feature_names)
    study.exact = exact
    study.deadline = start + (np.inf if time_budget is None else time_budget)
    findings: list[Finding] = []
    checked: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for number, (name, check) in enumerate(CHECKS.items()):
        if progress is not None:
            study.step = partial(_tell, progress, number / len(CHECKS))
        study.step(name)
        begun = time.monotonic()
        try:
            if study.remaining <= 0:
                raise NotApplicable("the time budget was used up")
            found = check(study)
        except NotApplicable as reason:
            found, checked[name] = [], f"not checked: {reason}"
        else:
            checked[name] = "found" if found else "nothing found"
        findings += found
        seconds[name] = time.monotonic() - begun
    findings.sort(key=_urgency)
    if gains:
        findings = promised(study, findings, seconds, *([] if gains is True else [gains]))
        findings.sort(key=_urgency)
    return AuditReport(
        findings, checked, study.noise_matrix, study.noise_interval, study.precision_curve, study.label_quality, seconds
    )


def _urgency(finding: Finding) -> tuple[int, float]:
    """Order findings by severity, and within one by what mending changes."""
    return -SEVERITIES.index(finding.severity), 0.0 if finding.gain is None else -abs(finding.gain.value)


def _tell(progress: Callable[[str, float], None], share: float, text: str) -> None:
    progress(text, share)


def make_study(
    X: ArrayLike, targets: Targets | Any, *, proba: ArrayLike | None = None, splits: Any = None, domains: Any = None,
    texts: Any = None, seed: int = 0,
) -> Study:  # fmt: skip
    """Validate the arguments of `audit` and return what the checks share."""
    features, missing = _features(X)
    targets = targets if isinstance(targets, Targets) else infer(targets)
    if targets.n_rows != len(features):
        raise InputError(f"X has {len(features):,} rows and targets {targets.n_rows:,}: pass one target a row.")
    domains = targets.domains if domains is None else domains
    return Study(
        X=features,
        targets=targets,
        given_proba=None if proba is None else _probabilities(proba, targets),
        splits=_column(splits, "splits", len(features)),
        domains=_column(domains, "domains", len(features)),
        texts=_column(texts, "texts", len(features)),
        seed=seed,
        broken=np.zeros(len(features), dtype=np.int64) if missing is None else missing.sum(1).astype(np.int64),
        missing=missing,
    )


def _features(X: ArrayLike) -> tuple[NDArray[np.float32], NDArray[np.bool_] | None]:
    """Return finite features (n, d) and which cells had to be filled in, None where none had to."""
    try:
        array = np.asarray(X)
        array = array.reshape(len(array), -1).astype(np.float32, copy=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"X must be numbers of shape (n, d): encode tables, text and images first. {error}") from None
    if 0 in array.shape:
        raise InputError(f"X must have at least one row and one column. Got shape {array.shape}.")
    finite = np.isfinite(array)
    if finite.all():
        return array, None
    bad = np.where(finite, array, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any finite cell has no median
        medians = np.nan_to_num(np.nanmedian(bad, axis=0))
    return np.where(finite, array, medians).astype(np.float32), ~finite


def _probabilities(proba: ArrayLike, targets: Targets) -> NDArray[np.floating]:
    array = np.asarray(proba)
    expected = (targets.n_rows, targets.n_classes)
    if array.shape != expected:
        raise InputError(f"proba must have shape {expected}, a column a class. Got {array.shape}.")
    several = targets.kind is Kind.MULTILABEL
    bad = ~np.isfinite(array).all(1) | (array < 0).any(1) | (array > 1 + 1e-6).any(1)
    bad |= (not several) & (np.abs(array.sum(1) - 1) > 1e-3)
    if bad.any():
        row, rule = int(bad.argmax()), "" if several else " whose rows sum to 1"
        raise InputError(f"proba must be probabilities{rule}. Row {row} is {array[row]}.")
    return array


def _column(values: Any, name: str, n_rows: int) -> NDArray[np.object_] | None:
    if values is None:
        return None
    column = np.empty(len(values), dtype=object)
    column[:] = list(values)
    if len(column) != n_rows:
        raise InputError(f"{name} has {len(column):,} entries and X {n_rows:,} rows: pass one entry a row.")
    return column
