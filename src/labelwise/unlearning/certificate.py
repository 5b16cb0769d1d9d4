"""The certificate of a withdrawal: what is forgotten, what was kept, how long it took, and what nobody checked."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.utils import get_tags

from labelwise.base import Estimate, InputError
from labelwise.display import panel
from labelwise.parts.interval import share
from labelwise.supervision.arrays import boolean_mask, is_missing
from labelwise.unlearning.advantage import Calls, Z, evidence
from labelwise.unlearning.base import forget_mask
from labelwise.unlearning.relearning import anamnesis_index

MODELS = ("before", "after", "retrained")
PARTS = ("kept", "forgotten", "test", "test like forgotten")
WITHIN, WITHIN_MEMBERSHIP, WITHIN_TIME = 0.02, 0.02, 0.1
"""Bounds: of the score on forgotten rows and of the membership advantage from retraining's, and of the share of its time."""
Verdict = Literal["met", "not met", "not checked"]
ALWAYS = (
    "Whether something of the rows can be read from the weights themselves: behaviour was measured, nothing is proven.",
    "Stronger attacks, such as ones that train many models of their own on similar data.",
    "Copies of the rows elsewhere: files, caches, backups, reports, and other models trained on them.",
    "Rows that were kept although they are close copies of forgotten ones.",
)


@dataclass(frozen=True)
class Certificate:
    """What was measured after a withdrawal, against the model before and against one retrained without the rows.

    Parameters
    ----------
    task, metric
        ``classification`` with ``accuracy`` (higher is better), or ``regression`` with ``error``: the mean absolute error
        in standard deviations of the kept targets (lower is better).
    rows
        Number of rows by part: ``kept``, ``forgotten``, ``test``, ``test like forgotten``.
    scores
        ``scores[model][part]`` with its 90 % interval; models are ``before``, ``after`` and, when there is one,
        ``retrained``. Parts without rows are left out.
    membership
        Advantage of a membership attack by model, in [-1, 1]: see `labelwise.unlearning.advantage.Calls`.
    membership_gap
        Advantage after minus that of the retrained model, on the same rows; None without one.
    seconds
        ``unlearning`` and ``retraining``; None where not known.
    anamnesis
        `labelwise.unlearning.relearning.anamnesis_index`; None when not asked for.
    verdicts
        ``forgotten rows`` (score within 0.02 of retraining), ``membership`` (advantage within 0.02 of retraining) and
        ``time`` (at most a tenth of retraining): ``met``, ``not met`` or ``not checked``.
    not_checked
        Sentences about what this certificate does not say.
    """

    task: str
    metric: str
    rows: dict[str, int]
    scores: dict[str, dict[str, Estimate]]
    membership: dict[str, Estimate]
    membership_gap: Estimate | None = None
    seconds: dict[str, float | None] = field(default_factory=dict)
    anamnesis: float | None = None
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    not_checked: tuple[str, ...] = ALWAYS

    @property
    def ratio(self) -> float | None:
        """Seconds of unlearning over seconds of retraining."""
        unlearning, retraining = self.seconds.get("unlearning"), self.seconds.get("retraining")
        return None if unlearning is None or not retraining else unlearning / retraining

    @property
    def met(self) -> bool:
        """Whether every bound was checked and met."""
        return all(verdict == "met" for verdict in self.verdicts.values())

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON; intervals as ``{"value", "low", "high", "level"}``."""
        return {
            "task": self.task, "metric": self.metric, "rows": dict(self.rows),
            "scores": {model: _plain(parts) for model, parts in self.scores.items()},
            "membership": _plain(self.membership),
            "membership_gap": None if self.membership_gap is None else self.membership_gap._asdict(),
            "seconds": dict(self.seconds), "ratio": self.ratio, "anamnesis": self.anamnesis,
            "verdicts": dict(self.verdicts), "met": self.met, "not_checked": list(self.not_checked),
        }  # fmt: skip

    def table(self) -> list[list[str]]:
        """Return one line per model: its name, its score on every part and its membership advantage, as text."""
        return [
            [model, *(_told(parts.get(part)) for part in PARTS), _told(self.membership.get(model))]
            for model, parts in self.scores.items()
        ]

    def describe(self) -> str:
        """Return the certificate in a few lines."""
        lines = [
            f"{self.rows['forgotten']} of {self.rows['forgotten'] + self.rows['kept']} rows withdrawn; {self.metric}:"
        ]
        for model, parts in self.scores.items():
            told = ", ".join(f"{part} {parts[part].value:.3f}" for part in PARTS if part in parts)
            lines.append(f"  {model}: {told}; membership advantage {self.membership[model].value:+.3f}")
        if self.ratio is not None:
            lines.append(f"  time: {self.ratio:.0%} of retraining")
        lines += [f"  {name}: {verdict}" for name, verdict in self.verdicts.items()]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return panel(
            "Certificate of withdrawal", lead=", ".join(f"{name}: {found}" for name, found in self.verdicts.items()),
            table=((self.metric, *PARTS, "membership advantage"), self.table()),
            facts={"seconds": self.seconds, "anamnesis index": self.anamnesis}, foot=" ".join(self.not_checked),
        )  # fmt: skip


def certify(
    original: Any,
    unlearned: Any,
    X: Any,
    y: ArrayLike,
    forget: ArrayLike,
    X_test: Any,
    y_test: ArrayLike,
    *,
    retrained: Any = None,
    retrain: bool = False,
    like: ArrayLike | None = None,
    seconds: float | None = None,
    seconds_retraining: float | None = None,
    relearn: bool = False,
    random_state: int | None = 0,
) -> Certificate:
    """Measure a withdrawal against the model before it and one trained without the rows.

    Parameters
    ----------
    original, unlearned
        Fitted estimators before and after; any with ``predict`` (and ``predict_proba``).
    X, y
        The rows the original was fitted on; rows without a label are left out of every measurement.
    forget
        Boolean mask ``(n,)`` of the withdrawn rows, at least one.
    X_test, y_test
        Rows that no model has seen.
    retrained
        An estimator fitted without the rows; its ``seconds_`` are read.
    retrain
        Without `retrained`: fit an unfitted copy of the original on the kept rows, and take the time.
    like
        Mask of the test rows that forgotten rows are compared with; None takes those of the withdrawn classes when whole
        classes were withdrawn, else all.
    seconds, seconds_retraining
        How long it took; None reads ``unlearned.seconds_`` and ``retrained.seconds_``, or what was measured here.
    relearn
        Also measure how fast the rows are learned again; needs networks of labelwise and a retrained one.
    random_state
        Seed of the attack.

    Raises
    ------
    InputError
        When the mask does not fit or marks no row or all, lengths disagree, or there are fewer than 5 kept or test rows.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = load_digits(return_X_y=True)
    >>> forget = np.arange(1000) < 50
    >>> model = LogisticRegression(max_iter=300).fit(X[:1000], y[:1000])
    >>> after = LogisticRegression(max_iter=300).fit(X[50:1000], y[50:1000])
    >>> told = certify(model, after, X[:1000], y[:1000], forget, X[1000:], y[1000:], retrained=after)
    >>> told.verdicts
    {'forgotten rows': 'met', 'membership': 'met', 'time': 'not checked'}
    """
    rows = _Rows(original, X, y, forget, X_test, y_test, like)
    if retrained is None and retrain:
        started = time.perf_counter()
        retrained = clone(original).fit(*rows.kept_arguments)
        seconds_retraining = time.perf_counter() - started if seconds_retraining is None else seconds_retraining
    models = {
        name: model for name, model in zip(MODELS, (original, unlearned, retrained), strict=True) if model is not None
    }
    calls = {name: rows.calls(model, random_state) for name, model in models.items()}
    gap = calls["after"].gap(calls["retrained"]) if "retrained" in calls else None
    spent = {
        "unlearning": getattr(unlearned, "seconds_", None) if seconds is None else float(seconds),
        "retraining": getattr(retrained, "seconds_", None) if seconds_retraining is None else float(seconds_retraining),
    }
    index, failed = _relearned(models, rows) if relearn else (None, "")
    scores = {name: rows.scores(model) for name, model in models.items()}
    return Certificate(
        rows.task, rows.metric, rows.counts(), scores, {name: found.advantage() for name, found in calls.items()}, gap,
        spent, index, judged(scores, gap, spent),
        (*ALWAYS, *_silent(models, rows, gap, spent), *([failed] if failed else []),
         *([] if relearn else ["How fast the rows would be learned again."])),
    )  # fmt: skip


class _Rows:
    """The rows of a certificate by part, and what is measured of a model on them."""

    def __init__(self, original: Any, X: Any, y: Any, forget: Any, X_test: Any, y_test: Any, like: Any) -> None:
        self.classes = get_tags(original).estimator_type != "regressor"
        self.task, self.metric = ("classification", "accuracy") if self.classes else ("regression", "error")
        y, y_test = np.asarray(y), np.asarray(y_test)
        for name, labels, rows in (("y", y, X), ("y_test", y_test, X_test)):
            if len(labels) != len(rows):
                raise InputError(f"{name} has {len(labels)} entries but its rows are {len(rows)}: give one per row.")
        mask = forget_mask(forget, len(y))
        if not mask.any():
            raise InputError("forget marks no row: there is nothing to certify.")
        self.kept_arguments = (taken(X, ~mask), y[~mask])
        known, known_test = self.labelled(y), self.labelled(y_test)
        self.X = {
            "kept": taken(X, known & ~mask),
            "forgotten": taken(X, known & mask),
            "test": taken(X_test, known_test),
        }
        self.y = {"kept": y[known & ~mask], "forgotten": y[known & mask], "test": y_test[known_test]}
        if not len(self.y["forgotten"]):
            raise InputError("forget marks only rows without a label: nothing can be measured on them.")
        gone = np.setdiff1d(self.y["forgotten"], self.y["kept"]) if self.classes else np.array([])
        whole = bool(len(gone)) and bool(np.isin(self.y["forgotten"], gone).all())
        if like is not None:
            self.like = np.asarray(boolean_mask(like, len(y_test), "like")[known_test])
        else:
            self.like = np.asarray(np.isin(self.y["test"], gone) if whole else np.ones(len(self.y["test"]), bool))
        self.apart = like is not None or whole
        self.spread = 1.0 if self.classes else float(np.std(self.y["kept"].astype(float))) or 1.0

    def labelled(self, y: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which rows have a label."""
        unknown = is_missing(y)
        unknown = np.asarray(unknown.reshape(len(y), -1).any(1))
        return np.asarray(~(unknown | (y == -1)) if self.classes and y.dtype.kind in "iuf" else ~unknown)

    def counts(self) -> dict[str, int]:
        """Return the number of rows by part."""
        return {**{part: len(labels) for part, labels in self.y.items()}, PARTS[3]: int(self.like.sum())}

    def calls(self, model: Any, random_state: int | None) -> Calls:
        """Return what the attack calls members by this model."""
        kept, forgotten, test = (evidence(model, self.X[part], self.y[part]) for part in PARTS[:3])
        return Calls(kept, forgotten, test, self.like if self.like.any() else None, random_state=random_state)

    def scores(self, model: Any) -> dict[str, Estimate]:
        """Return the accuracy or error on every part that has rows."""
        values = {part: self.values(model, part) for part in PARTS[:3]}
        if self.apart:
            values[PARTS[3]] = values["test"][self.like]
        return {part: self.estimate(found) for part, found in values.items() if len(found)}

    def values(self, model: Any, part: str) -> NDArray[np.float64]:
        """Return right or wrong, or the error in spreads, of each row."""
        guess, truth = np.asarray(model.predict(self.X[part])), self.y[part]
        if self.classes:
            return np.asarray(guess == truth, dtype=float)
        return np.asarray(np.abs(guess - truth).reshape(len(truth), -1).mean(1) / self.spread)

    def estimate(self, values: NDArray[np.float64]) -> Estimate:
        """Return the mean with its 90 % interval."""
        if self.classes:
            return share(float(values.sum()), len(values))
        mean, half = float(values.mean()), Z * float(values.std()) / math.sqrt(len(values))
        return Estimate(mean, mean - half, mean + half)


def taken(X: Any, mask: NDArray[np.bool_]) -> Any:
    """Return the marked rows of an array, a frame or a list."""
    if isinstance(X, (list, tuple)):
        return [X[row] for row in np.flatnonzero(mask)]
    return X.iloc[np.flatnonzero(mask)] if hasattr(X, "iloc") else X[mask]


def _plain(estimates: Mapping[str, Estimate]) -> dict[str, dict[str, float]]:
    return {name: estimate._asdict() for name, estimate in estimates.items()}


def _told(estimate: Estimate | None) -> str:
    return "–" if estimate is None else f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def judged(
    scores: Any, gap: Estimate | None, seconds: Mapping[str, float | None], within: float = WITHIN
) -> dict[str, Verdict]:
    """Judge the bounds by the measured values; `within` is how near the score on forgotten rows must be."""
    told: dict[str, Verdict] = {"forgotten rows": "not checked", "membership": "not checked", "time": "not checked"}
    if gap is not None:
        apart = abs(scores["after"]["forgotten"].value - scores["retrained"]["forgotten"].value)
        told["forgotten rows"] = _verdict(apart, within)
        told["membership"] = _verdict(abs(gap.value), WITHIN_MEMBERSHIP)
    unlearning, retraining = seconds["unlearning"], seconds["retraining"]
    if unlearning is not None and retraining:
        told["time"] = _verdict(unlearning / retraining, WITHIN_TIME)
    return told


def _verdict(found: float, bound: float) -> Verdict:
    return "met" if found <= bound + 1e-9 else "not met"


def _relearned(models: Mapping[str, Any], rows: _Rows) -> tuple[float | None, str]:
    if "retrained" not in models:
        return None, "How fast the rows would be learned again: that needs a retrained model."
    try:
        before, after, retrained = (models[name] for name in MODELS)
        index = anamnesis_index(before, after, retrained, rows.X["forgotten"], rows.y["forgotten"])
    except InputError as error:
        return None, f"How fast the rows would be learned again: {error}"
    return index, ""


def _silent(models: Mapping[str, Any], rows: _Rows, gap: Estimate | None, seconds: Mapping[str, Any]) -> list[str]:
    """Return what these numbers cannot tell."""
    told = []
    if gap is None:
        told.append("Retraining: no model was trained without the rows, so no bound was judged.")
    elif (gap.high - gap.low) / 2 > WITHIN_MEMBERSHIP:
        told.append(
            f"The membership advantage beyond ±{(gap.high - gap.low) / 2:.2f}: {len(rows.y['forgotten'])} forgotten and "
            f"{int(rows.like.sum())} test rows tell no more, so its verdict can be luck."
        )
    if None in seconds.values():
        told.append("The time: it is not known for both unlearning and retraining.")
    if rows.apart and not rows.like.any():
        told.append("Test rows like the forgotten ones: there is none, so all test rows stood for them.")
    before, after = (getattr(getattr(models[name], "model_", models[name]), "inputs_", None) for name in MODELS[:2])
    centres = [getattr(inputs, "center", None) for inputs in (before, after)]
    if centres[0] is not None and centres[0] is centres[1]:
        told.append(
            "The means and spreads by which X is read: they were learned with the forgotten rows, and were kept."
        )
    return told
