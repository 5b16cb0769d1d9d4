"""Do audits promise what mending really gains? Sets with known defects; every promise against the gain that was true.

``python benchmarks/audit_gain.py [--seeds S ...] [--set NAME] [--defect NAME]`` prints Markdown rows. Half of each set is
hidden from the audit and holds no defect: the true gain is what the defect's mending, as the finding names it, gains there,
for the audit's own kind of model and, where mending changes labels or rows alone, for a random forest. Every promise made
is counted, also of findings that are minor; an interval at 90 % covers when the gain measured on the hidden rows lies in it,
after the error of that measurement is added to its width (in squares).
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_digits, make_classification, make_moons
from sklearn.ensemble import RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier

from labelwise.audit import Finding, audit
from labelwise.data.synthetic.label_noise import instance_noise, pair_noise, symmetric_noise
from labelwise.diagnostics.linear import scaled
from labelwise.parts.kernel_ridge import Ridge, best_features
from labelwise.supervision import infer
from labelwise.weak import DawidSkene, MajorityVote

SETS = ("digits", "breast cancer", "four classes", "overlapping", "moons", "lopsided", "ten clusters")
VISIBLE = 1200
"""Most rows that the audit sees."""
Hits = Callable[[np.ndarray, np.ndarray, np.ndarray | None], np.ndarray]


class Split(NamedTuple):
    """Rows and classes that are seen, and hidden ones."""

    X: np.ndarray
    y: np.ndarray
    hidden: np.ndarray
    truth: np.ndarray


class Case(NamedTuple):
    """A promise beside the truth."""

    defect: str
    promised: Finding
    true: float
    chance: float
    forest: float


def load(name: str, seed: int) -> Split:
    """Return one of `SETS`, split at random."""
    rng = np.random.default_rng([seed, SETS.index(name)])
    if name == "digits":
        X, y = load_digits(return_X_y=True)
    elif name == "breast cancer":
        X, y = load_breast_cancer(return_X_y=True)
    elif name == "four classes":
        X, y = make_classification(6000, 20, n_informative=8, n_classes=4, random_state=seed)
    elif name == "overlapping":
        X, y = make_classification(6000, 20, n_informative=6, n_classes=3, class_sep=0.5, random_state=seed)
    elif name == "moons":
        X, y = make_moons(5000, noise=0.3, random_state=seed)
    else:
        shares = np.array([0.4, 0.3, 0.15, 0.1, 0.05]) if name == "lopsided" else np.full(10, 0.1)
        y = rng.choice(len(shares), 5000, p=shares)
        X = rng.normal(size=(len(shares), 8))[y] * 1.2 + rng.normal(size=(5000, 8))
    order = rng.permutation(len(y))
    seen = min(VISIBLE, len(y) // 2)
    X = X.astype(np.float32)
    return Split(X[order[:seen]], y[order[:seen]], X[order[seen:]], y[order[seen:]])


# -- models that show the true gain


def kernel(data: Split) -> Hits:
    """Return which hidden rows the audit's kind of model gets right, after training on given rows."""

    def hits(X: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        Z = scaled(np.vstack([X, data.hidden]).astype(np.float32))
        classes, codes = np.unique(y, return_inverse=True)
        Y = np.zeros((len(Z), len(classes)), dtype=np.float32)
        Y[np.arange(len(X)), codes] = 1
        full = np.r_[np.ones(len(X)) if weight is None else weight, np.zeros(len(data.hidden))]
        choice = best_features(Z, Y, np.random.default_rng(0), weight=full)
        return classes[Ridge(choice.phi, full).scores(Y, choice.penalty)[len(X) :].argmax(1)] == data.truth

    return hits


def forest(data: Split) -> Hits:
    """Return which hidden rows a random forest gets right."""

    def hits(X: np.ndarray, y: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
        model = RandomForestClassifier(40, random_state=0).fit(X, y, sample_weight=weight)
        return model.predict(data.hidden) == data.truth

    return hits


def case(defect: str, finding: Finding, before: np.ndarray, after: np.ndarray, trees: float = np.nan) -> Case:
    """Put a promise beside the gain on the hidden rows."""
    change = after.astype(float) - before
    return Case(defect, finding, change.mean(), 1.645 * change.std() / len(change) ** 0.5, trees)


def both(data: Split, defect: str, finding: Finding, bad: tuple, mended: tuple) -> Case:
    """Return the case of training rows before and after, for both models."""
    (before, after), (first, second) = ([model(data)(*part) for part in (bad, mended)] for model in (kernel, forest))
    return case(defect, finding, before, after, float(second.mean() - first.mean()))


def of_kind(report, kind: str) -> list[Finding]:
    """Return the findings of a kind whose gain was promised."""
    return [finding for finding in report.of_kind(kind) if finding.gain is not None]


# -- defects


def wrong_labels(data: Split, seed: int) -> Iterator[Case]:
    """Relabel what is flagged."""
    for rate in (0.05, 0.15, 0.3):
        kinds = {
            "symmetric": symmetric_noise(data.y, rate, random_state=seed).y,
            "one-sided": pair_noise(data.y, rate, random_state=seed).y,
            "by instance": instance_noise(scaled(data.X), data.y, rate, random_state=seed).y,
        }
        for name, given in kinds.items():
            for finding in of_kind(audit(data.X, given), "label errors"):
                mended = given.copy()
                mended[finding.rows] = data.y[finding.rows]
                yield both(data, f"wrong labels, {name}", finding, (data.X, given), (data.X, mended))


def missing(data: Split, seed: int) -> Iterator[Case]:
    """Label three times as many rows as are labelled, or as many again."""
    rng = np.random.default_rng(seed)
    for share in (0.1, 0.25):
        order = rng.permutation(len(data.y))
        known = int(share * len(order))
        given = np.full(len(order), -1)
        given[order[:known]] = data.y[order[:known]]
        report = audit(data.X, given)
        for kind, times in (("missing labels", 4), ("few labels", 2)):
            for finding in of_kind(report, kind):
                some, more = order[:known], order[: times * known]
                yield both(data, kind, finding, (data.X[some], data.y[some]), (data.X[more], data.y[more]))


def imbalance(data: Split, seed: int) -> Iterator[Case]:
    """Weight the classes; balanced accuracy on hidden rows."""
    rng = np.random.default_rng(seed)
    for ratio in (10, 40):
        shares = np.geomspace(1, 1 / ratio, data.y.max() + 1)
        kept = rng.random(len(data.y)) < rng.permutation(shares)[data.y]
        X, y = data.X[kept], data.y[kept]
        if np.bincount(y, minlength=data.y.max() + 1).min() < 2:
            continue
        for finding in of_kind(audit(X, y), "class imbalance"):
            model = kernel(data)
            before, after = model(X, y), model(X, y, (len(y) / np.bincount(y) / (y.max() + 1))[y])
            n = np.bincount(data.truth)
            weight = (len(data.truth) / n / len(n))[data.truth]
            yield case("class imbalance", finding, before * weight, after * weight)


def rare(data: Split, seed: int) -> Iterator[Case]:
    """Collect rows of classes that have three."""
    if data.y.max() < 7:
        return
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(data.y.max() + 1)[:3]
    place = np.zeros(len(data.y), dtype=int)
    for code in chosen:
        place[data.y == code] = np.arange((data.y == code).sum())
    for finding in of_kind(audit(data.X[place < 3], data.y[place < 3]), "rare classes"):
        n = np.bincount(data.truth)
        weight = (len(data.truth) / n / len(n))[data.truth]
        hits = []
        for most in (3, 20):
            y = data.y[place < most]
            even = len(y) / np.bincount(y)[y] / (y.max() + 1)
            hits.append(kernel(data)(data.X[place < most], y, even) * weight)
        yield case("rare classes", finding, *hits)


def shifted_classes(data: Split, seed: int) -> Iterator[Case]:
    """Correct to the pool's class shares; the hidden rows have them too."""
    rng = np.random.default_rng(seed)
    k = data.y.max() + 1
    tilt = rng.permutation(np.geomspace(1, 1 / 5, k))
    labelled = rng.random(len(data.y)) < 0.5 * tilt[data.y]
    pool = ~labelled & (rng.random(len(data.y)) < tilt[::-1][data.y])
    kept = labelled | pool
    given = np.where(labelled, data.y, -1)[kept]
    there = rng.random(len(data.truth)) < tilt[::-1][data.truth]
    target = data._replace(hidden=data.hidden[there], truth=data.truth[there])
    X, y = data.X[labelled], data.y[labelled]
    if np.bincount(y, minlength=k).min() < 2:
        return
    for finding in of_kind(audit(data.X[kept], given), "label shift"):
        wanted = np.bincount(target.truth, minlength=k) / len(target.truth)
        weight = (wanted / np.bincount(y, minlength=k))[y]
        model = kernel(target)
        yield case("label shift of a pool", finding, model(X, y), model(X, y, weight / weight.mean()))


def copied(data: Split, seed: int) -> Iterator[Case]:
    """Score a split of which a share are copies of training rows: by how much was the score too good?"""
    rng = np.random.default_rng(seed)
    half = len(data.y) // 2
    train, test = np.arange(half), np.arange(half, len(data.y))
    for share in (0.1, 0.4):
        leaked = rng.choice(test, int(share * len(test)), replace=False)
        X, y = data.X.copy(), data.y.copy()
        source = rng.choice(train, len(leaked), replace=False)
        X[leaked], y[leaked] = X[source], y[source]
        splits = np.where(np.arange(len(y)) < half, "train", "test")
        for finding in of_kind(audit(X, y, splits=splits), "leakage"):
            judged = data._replace(hidden=X[test], truth=y[test])
            scores = [_best(judged, X[rows], y[rows]) for rows in (train, np.setdiff1d(train, source))]
            yield case("leakage", finding, *scores)


def _best(data: Split, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the hits of the better of the smooth model and the nearest neighbour on the judged rows."""
    Z = scaled(np.vstack([X, data.hidden]))
    nearest = KNeighborsClassifier(1).fit(Z[: len(X)], y).predict(Z[len(X) :]) == data.truth
    smooth = kernel(data)(X, y)
    return max(smooth, nearest, key=np.mean)


def contradictions(data: Split, seed: int) -> Iterator[Case]:
    """Give copies with two labels the right one."""
    rng = np.random.default_rng(seed)
    n = len(data.y)
    twice = rng.choice(n, n // 4, replace=False)
    y = np.r_[data.y, data.y[twice]]
    wrong = n + rng.choice(len(twice), len(twice) // 2, replace=False)
    given = y.copy()
    given[wrong] = (given[wrong] + 1) % (y.max() + 1)
    X = np.vstack([data.X, data.X[twice]])
    for finding in of_kind(audit(X, given), "conflicting labels"):
        mended = given.copy()
        mended[finding.rows] = y[finding.rows]
        yield both(data, "conflicting labels", finding, (X, given), (X, mended))


def foreign_rows(data: Split, seed: int) -> Iterator[Case]:
    """Leave out rows far from all others, with labels at random."""
    rng = np.random.default_rng(seed)
    X, y = data.X.copy(), data.y.copy()
    odd = rng.choice(len(y), len(y) // 40, replace=False)
    X[odd] += 10 * X.std(0) * rng.normal(size=(len(odd), X.shape[1]))
    y[odd] = rng.integers(0, y.max() + 1, len(odd))
    for finding in of_kind(audit(X, y), "outliers"):
        kept = np.setdiff1d(np.arange(len(y)), finding.rows)
        yield both(data, "outliers", finding, (X, y), (X[kept], y[kept]))


def another_region(data: Split, seed: int) -> Iterator[Case]:
    """Weight rows towards a pool that lies elsewhere; the hidden rows lie there too."""
    rng = np.random.default_rng(seed)
    direction = rng.normal(size=data.X.shape[1])

    def side(X: np.ndarray) -> np.ndarray:
        place = scaled(np.vstack([X, data.hidden]).astype(np.float32))[: len(X)] @ direction
        return 1 / (1 + np.exp(-3 * (place - np.median(place)) / place.std()))

    labelled = rng.random(len(data.y)) < 0.7 * (1 - side(data.X))
    pool = ~labelled & (rng.random(len(data.y)) < side(data.X))
    kept, there = labelled | pool, rng.random(len(data.truth)) < side(data.hidden)
    target = data._replace(hidden=data.hidden[there], truth=data.truth[there])
    X, y = data.X[labelled], data.y[labelled]
    given = np.where(labelled, data.y, -1)[kept]
    for finding in of_kind(audit(data.X[kept], given), "covariate shift"):
        p = side(X).clip(0.02, 0.98)
        weight = np.clip(p / (1 - p) / np.mean(p / (1 - p)), 0.1, 10)
        model = kernel(target)
        yield case("covariate shift of a pool", finding, model(X, y), model(X, y, weight / weight.mean()))


def holes(data: Split, seed: int) -> Iterator[Case]:
    """Mark missing cells; the hidden rows have them too. Cells go missing by chance, or where the class has it so."""
    rng = np.random.default_rng(seed)
    middle = np.median(data.X, axis=0)
    for telling in (False, True):
        rates = rng.choice([0.02, 0.3], (data.y.max() + 1, data.X.shape[1])) if telling else np.full((1, 1), 0.1)
        seen, unseen = (
            rng.random(X.shape) < (rates[y] if telling else rates)
            for X, y in ((data.X, data.y), (data.hidden, data.truth))
        )
        filled = data._replace(X=np.where(seen, middle, data.X), hidden=np.where(unseen, middle, data.hidden))
        marked = filled._replace(X=np.hstack([filled.X, seen]), hidden=np.hstack([filled.hidden, unseen]))
        for finding in of_kind(audit(np.where(seen, np.nan, data.X), data.y), "broken cells"):
            hits = [kernel(form)(form.X, data.y) for form in (filled, marked)]
            yield case("missing cells", finding, *hits)


def voters(data: Split, seed: int) -> Iterator[Case]:
    """Aggregate votes by a model of the annotators instead of by majority."""
    rng = np.random.default_rng(seed)
    k = data.y.max() + 1
    for skill in ((0.9, 0.85, 0.5, 0.4, 0.35), (0.8, 0.75, 0.7, 0.7, 0.65)):
        wrong = (data.y[:, None] + rng.integers(1, k, (len(data.y), 5))) % k
        votes = np.where(rng.random(wrong.shape) < skill, data.y[:, None], wrong)
        votes[rng.random(votes.shape) < 0.3] = -1
        for finding in of_kind(audit(data.X, infer(None, votes=votes)), "annotators"):
            hits = [model.fit(votes).predict(votes) == data.y for model in (MajorityVote(), DawidSkene())]
            yield case("annotators", finding, *hits)


DEFECTS = {
    "wrong labels": wrong_labels,
    "missing labels": missing,
    "class imbalance": imbalance,
    "rare classes": rare,
    "label shift": shifted_classes,
    "covariate shift": another_region,
    "missing cells": holes,
    "annotators": voters,
    "leakage": copied,
    "conflicting labels": contradictions,
    "outliers": foreign_rows,
}


# -- the table


def covers(c: Case) -> bool:
    """Say whether the true gain lies in the promised interval, allowing for the error with which it is measured."""
    gain = c.promised.gain
    reach = gain.high - gain.value if c.true > gain.value else gain.value - gain.low
    return bool(abs(c.true - gain.value) <= np.hypot(reach, c.chance))


def frame(cases: list[Case]) -> pd.DataFrame:
    """Return a line a promise."""
    return pd.DataFrame(
        [
            {
                "defect": c.defect, "promised": c.promised.gain.value, "low": c.promised.gain.low,
                "high": c.promised.gain.high, "true": c.true, "chance": c.chance, "forest": c.forest,
                "severity": c.promised.severity, "covers": covers(c),
            }
            for c in cases
        ]
    )  # fmt: skip


def table(found: pd.DataFrame) -> str:
    """Return Markdown rows, one a defect."""
    lines = [
        "| defect | promises | mean promised | mean true | mean error | covered (of 90 %) | width of the interval "
        "| promised for sure, and true | a forest gains |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    groups = [*found.groupby("defect", sort=False), ("all", found)]
    for name, part in groups:
        sure = part[part.low > 0] if name != "leakage" else part[part.high < 0]
        right = ((sure.true > 0) == (sure.promised > 0)).sum()
        trees = "" if part.forest.isna().all() or name == "all" else f"{100 * part.forest.mean():+.1f}"
        lines.append(
            f"| {name} | {len(part)} | {100 * part.promised.mean():+.1f} | {100 * part.true.mean():+.1f} "
            f"| {100 * (part.promised - part.true).abs().mean():.1f} | {part.covers.mean():.0%} "
            f"| {100 * (part.high - part.low).mean():.1f} | {right} of {len(sure)} | {trees} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--set", default="", choices=["", *SETS])
    parser.add_argument("--defect", default="", choices=["", *DEFECTS])
    parser.add_argument("--cases", help="file for one line a promise (CSV)")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    cases = []
    for seed in chosen.seeds:
        for name in [chosen.set] if chosen.set else SETS:
            data = load(name, seed)
            for defect in [chosen.defect] if chosen.defect else DEFECTS:
                cases += list(DEFECTS[defect](data, seed))
    found = frame(cases)
    if chosen.cases:
        found.to_csv(chosen.cases, index=False)
    print(table(found))


if __name__ == "__main__":
    main()
