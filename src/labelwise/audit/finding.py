"""What an audit returns: findings, what was checked, and the two tables the report draws."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.base import Estimate, Handles
from labelwise.display import panel, searched

Severity = Literal["info", "minor", "major", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""Mildest first."""


def _no_rows() -> NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Gain:
    """What mending a finding promises: by how much a score changes when `action` is done, measured on the user's own data.

    Parameters
    ----------
    value, low, high
        Change of the score and the ends of its interval, in units of `metric` (0.02 is two points); positive is better.
        Scoring without copies lowers a score that was too good: such a change is negative, and what is lost was never
        there.
    level
        Nominal confidence of the interval.
    metric
        The score: ``"accuracy"``, ``"balanced accuracy"`` or ``"R2"``, of a quick linear or neighbour model.
    action
        What is done, e.g. ``"relabel the flagged rows"``.

    Examples
    --------
    >>> gain = Gain(0.021, 0.012, 0.03, action="relabel the flagged rows")
    >>> print(gain)
    +2.1 points of accuracy (+1.2 to +3.0)
    >>> gain.certain
    True
    """

    value: float
    low: float
    high: float
    level: float = 0.9
    metric: str = "accuracy"
    action: str = ""

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise ValueError(f"Gain needs finite low <= value <= high. Got {self.low}, {self.value}, {self.high}.")

    def __str__(self) -> str:
        value, low, high = (f"{100 * x:+.1f}" for x in (self.value, self.low, self.high))
        return f"{value} points of {self.metric} ({low} to {high})"

    @property
    def certain(self) -> bool:
        """Whether the interval is above zero: mending is worth something at the stated confidence."""
        return self.low > 0

    def to_dict(self) -> dict[str, float | str]:
        """Return what ``run.json`` keeps of the gain."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Finding:
    """One thing that is wrong with a data set, how sure that is, and what to do about it.

    Parameters
    ----------
    kind
        Name of the check, e.g. ``"label errors"``.
    severity
        ``info``, ``minor``, ``major`` or ``critical``: by the promised gain where there is one, otherwise by the table in
        `labelwise.audit.severity`.
    title, summary
        A headline, and one or two sentences with the numbers in them.
    evidence
        Named numbers with their intervals.
    rows
        Row numbers concerned, the worst first; empty where the finding is about the whole data set.
    details
        One line a concerned row: columns ``row``, ``score``, ``reason`` and, where they apply, ``given_label``,
        ``suggested_label``, ``confidence``.
    next_step
        What to do next, in one sentence.
    handles
        Tags of the methods that handle it (`labelwise.base.Handles`); the catalogue maps tags to methods.
    gain
        What mending it promises, or None where that was not or could not be learned.
    no_gain
        Why there is no `gain`; empty where there is one.
    severity_from
        What granted the severity: ``"gain"``, the promised gain, or ``"table"``, thresholds on the evidence.
    by_evidence
        Severity by the table in any case, by default `severity`: how wrong the data are, whatever mending gains. Wrong
        labels spoil scores even where a model learns from them as well as from right ones.

    Examples
    --------
    >>> finding = Finding(kind="class imbalance", severity="minor", title="Classes differ 4-fold", summary="...",
    ...                   evidence={"ratio": Estimate(4.0, 3.1, 5.2)}, next_step="Weight the classes.",
    ...                   handles=frozenset({"imbalance"}))
    >>> finding
    Finding(class imbalance, minor, 0 rows: Classes differ 4-fold)
    """

    kind: str
    severity: Severity
    title: str
    summary: str
    evidence: dict[str, Estimate]
    next_step: str
    handles: frozenset[Handles] = frozenset()
    rows: NDArray[np.int64] = field(default_factory=_no_rows)
    details: pd.DataFrame | None = None
    gain: Gain | None = None
    no_gain: str = ""
    severity_from: Literal["gain", "table"] = "table"
    by_evidence: Severity | None = None

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ValueError(f"Finding.severity must be one of {', '.join(SEVERITIES)}. Got {self.severity!r}.")
        object.__setattr__(self, "by_evidence", self.by_evidence or self.severity)
        object.__setattr__(self, "rows", np.asarray(self.rows, dtype=np.int64))
        object.__setattr__(self, "handles", frozenset(self.handles))

    def _repr_html_(self) -> str:
        promise = self.no_gain if self.gain is None else f"{self.gain.action}: {self.gain}"
        facts = {**self.evidence, "what mending promises": promise or "not known", "rows concerned": f"{self.count:,}"}
        return panel(self.title, badge=self.severity, lead=self.summary, facts=facts, foot=f"Next: {self.next_step}")

    def __repr__(self) -> str:
        return f"Finding({self.kind}, {self.severity}, {self.count} rows: {self.title})"

    @property
    def count(self) -> int:
        """Number of rows concerned."""
        return len(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``run.json`` keeps of the finding: everything but the rows themselves."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "title": self.title,
            "summary": self.summary,
            "evidence": {name: _plain(estimate) for name, estimate in self.evidence.items()},
            "count": self.count,
            "next_step": self.next_step,
            "handles": sorted(self.handles),
            "gain": None if self.gain is None else self.gain.to_dict(),
            "no_gain": self.no_gain,
            "severity_from": self.severity_from,
            "by_evidence": self.by_evidence,
        }


def _promise(finding: Finding) -> str:
    return "" if finding.gain is None else f"\n{'':12}{finding.gain.action}: {finding.gain}"


def _plain(estimate: Estimate) -> dict[str, float | None]:
    """Turn an estimate into JSON numbers; JSON knows no infinity, so ends without a number become None."""
    return {name: float(x) if np.isfinite(x) else None for name, x in estimate._asdict().items()}


def _gain_columns(gain: Gain | None) -> dict[str, float | str | None]:
    fields = ("value", "low", "high", "metric", "action")
    names = ("gain", "gain_low", "gain_high", "gain_metric", "gain_action")
    return {name: None if gain is None else getattr(gain, field) for name, field in zip(names, fields, strict=True)}


def _noise(matrix: pd.DataFrame, interval: tuple[pd.DataFrame, pd.DataFrame] | None) -> dict[str, Any]:
    ends = {} if interval is None else dict(zip(("low", "high"), interval, strict=True))
    tables = {name: table.to_numpy().tolist() for name, table in {"matrix": matrix, **ends}.items()}
    return {"labels": [str(name) for name in matrix.columns], **tables}


@dataclass(frozen=True, eq=False)
class AuditReport:
    """Everything an audit found, and everything it looked at without finding anything.

    Parameters
    ----------
    findings
        The worst first.
    checked
        Outcome of every check: ``"found"``, ``"nothing found"``, or ``"not checked: <reason>"``.
    noise_matrix
        Estimated P(given label | true label): true labels as rows, which sum to 1, given labels as columns; None without
        class labels.
    noise_interval
        Ends (low, high) of the 90 % intervals of its entries, two tables like `noise_matrix`.
    precision_curve
        Expected precision (``precision``, ``low``, ``high``) of the first ``flagged`` rows of the label-error list.
    label_quality
        Out-of-sample probability of every given label, (n,): low where suspicious, NaN where unlabelled. It ranks all rows,
        also those that are not flagged.
    seconds
        Time each check took.
    neighbours_recall
        Share of the true nearest neighbours that were found, measured on a sample; 1.0 where all rows were compared, None
        where no check asked for neighbours.

    Examples
    --------
    >>> AuditReport(findings=[], checked={"label errors": "nothing found"}).summary()
    'No finding in 1 check.'
    """

    findings: list[Finding]
    checked: dict[str, str]
    noise_matrix: pd.DataFrame | None = None
    noise_interval: tuple[pd.DataFrame, pd.DataFrame] | None = None
    precision_curve: pd.DataFrame | None = None
    label_quality: NDArray[np.float64] | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    neighbours_recall: float | None = None

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __repr__(self) -> str:
        return self.summary()

    def _repr_html_(self) -> str:
        header = ("severity", "finding", "what mending promises", "next step")
        rows = [(f.severity, f.title, "" if f.gain is None else str(f.gain), f.next_step) for f in self.findings]
        said = self.checked.items()
        left_out = [f"{name} ({why.partition(': ')[2]})" for name, why in said if why.startswith("not checked")]
        foot = f"Not checked: {', '.join(left_out)}." if left_out else ""
        return panel("Audit", lead=self.summary().partition("\n")[0].rstrip(":"), table=(header, rows), foot=foot)

    def of_kind(self, kind: str) -> list[Finding]:
        """Return the findings of one kind."""
        return [finding for finding in self.findings if finding.kind == kind]

    @property
    def handles(self) -> frozenset[Handles]:
        """Tags of everything found: what the advice looks for in the catalogue."""
        return frozenset[Handles]().union(*(finding.handles for finding in self.findings))

    def summary(self) -> str:
        """Say what was found, one line a finding, and below it what mending it promises."""
        looked = sum(not outcome.startswith("not checked") for outcome in self.checked.values())
        checks = f"{looked} check{'s' * (looked != 1)}"
        if not self.findings:
            return " ".join([f"No finding in {checks}.", *searched(self.neighbours_recall)])
        lines = [f"  {finding.severity:>8}  {finding.title}{_promise(finding)}" for finding in self.findings]
        said = f"{len(self.findings)} finding{'s' * (len(self.findings) != 1)} in {checks}:"
        return "\n".join([said, *lines, *searched(self.neighbours_recall)])

    def to_frame(self) -> pd.DataFrame:
        """Return one line a finding, with evidence as JSON text and the gain as columns (``findings.parquet``)."""
        columns = ["id", "kind", "severity", "title", "summary", "evidence", "count", "next_step", "handles"]
        columns += [
            "gain",
            "gain_low",
            "gain_high",
            "gain_metric",
            "gain_action",
            "no_gain",
            "severity_from",
            "by_evidence",
        ]
        records = [
            {"id": number, **finding.to_dict(), "evidence": json.dumps(finding.to_dict()["evidence"]),
             "handles": ", ".join(sorted(finding.handles)), **_gain_columns(finding.gain)}
            for number, finding in enumerate(self.findings)
        ]  # fmt: skip
        return pd.DataFrame(records, columns=columns)

    def to_dict(self) -> dict[str, Any]:
        """Return the ``audit`` entry of ``run.json``."""
        matrix, curve = self.noise_matrix, self.precision_curve
        return {
            "findings": [{"id": number, **finding.to_dict()} for number, finding in enumerate(self.findings)],
            "checked": dict(self.checked),
            "noise_matrix": None if matrix is None else _noise(matrix, self.noise_interval),
            "precision_curve": None if curve is None else curve.to_dict("records"),
            "neighbours_recall": self.neighbours_recall,
        }

    def flagged(self) -> pd.DataFrame:
        """Return one line a flagged row and finding: what ``flagged.csv`` holds, without the preview."""
        columns = ["row", "kind", "score", "given_label", "suggested_label", "confidence", "reason"]
        frames = [
            finding.details.assign(kind=finding.kind).reindex(columns=columns)
            for finding in self.findings
            if finding.details is not None and len(finding.details)
        ]
        frames = [frame.dropna(axis=1, how="all") for frame in frames]
        table = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
        return table.reindex(columns=columns)
