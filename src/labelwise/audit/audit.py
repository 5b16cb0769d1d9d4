"""Look at a data set and say what is wrong with its labels: validate, run every check, sort what they found."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from labelwise.audit.checks import CHECKS
from labelwise.audit.finding import SEVERITIES, AuditReport, Finding
from labelwise.audit.gains import promised
from labelwise.audit.large import Cells, prepared
from labelwise.audit.study import NotApplicable, Study
from labelwise.base import InputError
from labelwise.parts.blocks import Engine
from labelwise.parts.blocks import engine as engine_of
from labelwise.parts.moments import medians
from labelwise.parts.work import Rows, Work
from labelwise.supervision import Kind, Targets, infer


def audit(
    X: ArrayLike,
    targets: Targets | Any,
    *,
    proba: ArrayLike | None = None,
    splits: Sequence[Any] | NDArray[Any] | pd.Categorical | None = None,
    domains: Sequence[Any] | NDArray[Any] | pd.Categorical | None = None,
    texts: Sequence[str | None] | NDArray[Any] | None = None,
    wording: NDArray[np.int64] | None = None,
    feature_names: Sequence[str] | None = None,
    exact: bool | Literal["auto"] = "auto",
    gains: bool | float = True,
    random_state: int | None = 0,
    time_budget: float | None = None,
    progress: Callable[[str, float], None] | None = None,
    scratch: str | Path | None = None,
    engine: Literal["local", "ray"] | Engine = "local",
) -> AuditReport:
    """Check a data set for everything that makes labels or rows misleading.

    Parameters
    ----------
    X
        Features or embeddings, numbers of shape (n, d); images (n, h, w, c) are read as flat pixels. Cells that are
        not finite are reported and replaced by the column's median (of 100,000 rows where there are more). With
        `scratch`, a whole ``np.memmap`` (n, d) that may be larger than memory.
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
    wording
        In the stead of texts, the number of the first row with the same text (n,).
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
    scratch
        Folder for what has the size of the data, new or of an earlier audit: `X` is then read by blocks, and finished blocks
        are kept. After an interruption the same call goes on where it stopped; with other data or settings it is emptied.
    engine
        What works on the blocks: ``"local"`` (all cores), ``"ray"``, or an object with ``name`` and ``map``
        (`labelwise.parts.blocks.Engine`). Findings are the same. Others than ``"local"`` need `scratch`.

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
    study = make_study(
        X, targets, proba=proba, splits=splits, domains=domains, texts=texts, seed=random_state or 0, scratch=scratch,
        engine=engine,
    )  # fmt: skip
    study.wording, study.work.tell = wording, lambda text: study.step(text)
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
        findings,
        checked,
        study.noise_matrix,
        study.noise_interval,
        study.precision_curve,
        study.label_quality,
        seconds,
        study.neighbours_recall,
    )


def _urgency(finding: Finding) -> tuple[int, float]:
    """Order findings by severity, and within one by what mending changes."""
    return -SEVERITIES.index(finding.severity), 0.0 if finding.gain is None else -abs(finding.gain.value)


def _tell(progress: Callable[[str, float], None], share: float, text: str) -> None:
    progress(text, share)


def make_study(
    X: ArrayLike, targets: Targets | Any, *, proba: ArrayLike | None = None, splits: Any = None, domains: Any = None,
    texts: Any = None, seed: int = 0, scratch: str | Path | None = None,
    engine: Literal["local", "ray"] | Engine = "local",
) -> Study:  # fmt: skip
    """Validate the arguments of `audit` and return what the checks share."""
    targets = targets if isinstance(targets, Targets) else infer(targets)
    features: NDArray[np.float32] | Rows
    missing: NDArray[np.bool_] | Cells | None
    if scratch is not None and isinstance(X, np.memmap) and targets.n_rows == len(X):
        features, broken, missing, work = prepared(X, targets, scratch, engine_of(engine), seed)
    elif (engine != "local" or scratch is not None) and not (scratch and isinstance(X, np.memmap)):
        raise InputError("engine= and scratch= are for features in a memory map: pass X as np.memmap, and both.")
    else:
        features, broken, missing = _features(X, seed)
        work = Work()
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
        broken=broken,
        missing=missing,
        work=work,
    )


def _features(X: ArrayLike, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_] | None]:
    """Return finite features (n, d), how many cells of a row were filled in, and which ones, None where there is none."""
    try:
        array = np.asarray(X)
        with np.errstate(over="ignore"):  # what is too large for single precision is infinite, and so reported
            array = array.reshape(len(array), -1).astype(np.float32, copy=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"X must be numbers of shape (n, d): encode tables, text and images first. {error}") from None
    if 0 in array.shape:
        raise InputError(f"X must have at least one row and one column. Got shape {array.shape}.")
    finite = np.isfinite(array)
    if finite.all():
        return array, np.zeros(len(array), dtype=np.int64), None
    filled = np.where(finite, array, medians(array, np.random.default_rng(seed))).astype(np.float32)
    return filled, (~finite).sum(1).astype(np.int64), ~finite


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


def _column(values: Any, name: str, n_rows: int) -> Any:
    if values is None:
        return None
    column = values if isinstance(values, pd.Categorical) else np.empty(len(values), dtype=object)
    if column is not values:
        column[:] = list(values)
    if len(column) != n_rows:
        raise InputError(f"{name} has {len(column):,} entries and X {n_rows:,} rows: pass one entry a row.")
    return column
