"""What the checks of one audit share: the data, and whatever several of them need, computed once."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labelwise.audit.large import Cells
from labelwise.diagnostics import DuplicateResult, LabelNoiseResult, NearDuplicates
from labelwise.diagnostics.linear import out_of_fold
from labelwise.diagnostics.votes import mixed
from labelwise.parts.moments import Columns, columns, on_one_scale
from labelwise.parts.neighbours import Metric, Neighbours, neighbours
from labelwise.parts.work import CLIP, Rows, Scaled, Span, Store, Work, as_store, inner, parts
from labelwise.supervision import Kind, Targets

NEIGHBOURS = 10
"""Neighbours of a row that the checks look at."""
SAME_KIND = 10.0
"""Columns whose spreads differ less than this (first to last decile) are taken to be of one kind."""


WORK_A_SECOND = 3e10
"""Multiplications a second that a slow processor manages in an exact search of neighbours."""


Names = NDArray[np.object_] | pd.Categorical
"""A name a row; of many rows as categories, which take a few bytes each."""


class NotApplicable(Exception):
    """Raised by a check that has nothing to look at; its message completes "not checked: ..."."""


@dataclass(eq=False)
class Study:
    """The data of one audit.

    Parameters
    ----------
    X
        Features, float32 of shape (n, d), finite; in memory or rows of a file.
    targets
        Validated supervision of the same n rows.
    given_proba
        Out-of-sample class probabilities (n, K) if the caller has some; otherwise `proba` computes them.
    splits, domains
        Name of the split and domain of every row, or None.
    texts
        The rows' texts, or None.
    wording
        In their stead, the number of the first row with the same text (n,).
    broken
        Number of cells of every row that were not finite and have been filled in.
    missing
        Which cells these are (n, d), or None where there is none.
    work
        What works on blocks of rows, and where its results lie.
    compared
        Rows of the part and of the others that a finding of a shift is about, by the finding's title.
    pool_shares
        Estimated class shares of the unlabelled pool and both ends of their intervals (3, K), once they are known.
    kept
        What simulations of gains share, by name.
    seed
        Seed of everything drawn at random.
    """

    X: NDArray[np.float32] | Rows
    targets: Targets
    given_proba: NDArray[np.floating] | None = None
    splits: Names | None = None
    domains: Names | None = None
    texts: NDArray[np.object_] | None = None
    wording: NDArray[np.int64] | None = None
    seed: int = 0
    broken: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    feature_names: list[str] | None = None
    exact: bool | Literal["auto"] = "auto"
    deadline: float = float("inf")
    noise: LabelNoiseResult | None = None
    noise_matrix: pd.DataFrame | None = None
    noise_interval: tuple[pd.DataFrame, pd.DataFrame] | None = None
    precision_curve: pd.DataFrame | None = None
    label_quality: NDArray[np.float64] | None = None
    missing: NDArray[np.bool_] | Cells | None = None
    work: Work = field(default_factory=Work)
    compared: dict[str, tuple[NDArray[np.int64], NDArray[np.int64]]] = field(default_factory=dict)
    pool_shares: NDArray[np.float64] | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    step: Callable[[str], None] = field(default=lambda _: None)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.X)

    @property
    def remaining(self) -> float:
        """Seconds of the time budget that are left."""
        return self.deadline - time.monotonic()

    def rng(self) -> np.random.Generator:
        """Return a fresh generator, the same for every check, so that checks do not depend on their order."""
        return np.random.default_rng(self.seed)

    @property
    def codes(self) -> NDArray[np.int64]:
        """Class codes (n,), -1 where unlabelled, or `NotApplicable` where the targets are not classes."""
        if self.targets.kind != Kind.CLASSES or self.targets.codes is None:
            raise NotApplicable(f"the targets are {self.targets.kind}, not classes")
        return self.targets.codes.astype(np.int64, copy=False)

    @cached_property
    def held_back(self) -> NDArray[np.bool_]:
        """Rows of test splits whose labels are kept back: splits without any label, unless they are called a pool."""
        mask = np.zeros(self.n_rows, dtype=bool)
        labelled = self.targets.labelled
        for name, rows in self.parts(self.splits).items():
            if not labelled[rows].any() and not any(word in name.casefold() for word in ("unlabel", "pool")):
                mask[rows] = True
        return mask

    @property
    def pool(self) -> NDArray[np.bool_]:
        """Unlabelled rows that training may use."""
        return ~self.targets.labelled & ~self.held_back

    def some(self, rows: NDArray[np.int64], most: int = 20_000) -> NDArray[np.int64]:
        """Return at most `most` of the given row numbers, drawn at random: copies of millions of rows help nobody."""
        return rows if len(rows) <= most else np.sort(self.rng().choice(rows, most, replace=False))

    @staticmethod
    def parts(column: Names | None) -> dict[str, NDArray[np.int64]]:
        """Return the row numbers of every value of a column of names, the largest part first; missing names are left out."""
        if column is None:
            return {}
        number, names = pd.factorize(column)
        order = np.argsort(number, kind="stable")
        cuts = np.searchsorted(number[order], np.arange(len(names) + 1))
        parts = {str(name): order[cuts[i] : cuts[i + 1]] for i, name in enumerate(names)}
        return dict(sorted(parts.items(), key=lambda part: -len(part[1])))

    @property
    def classes(self) -> NDArray[np.object_]:
        """Names of the classes (K,)."""
        return np.asarray(self.targets.classes, dtype=object)

    def labels(self, codes: NDArray[np.int64]) -> NDArray[np.object_]:
        """Return class names for codes, None where unlabelled."""
        names = np.empty(len(self.classes) + 1, dtype=object)
        names[:-1] = self.classes  # the last one, None, is what -1 picks
        named: NDArray[np.object_] = names[codes]
        return named

    @cached_property
    def proba(self) -> NDArray[np.floating]:
        """Out-of-sample class probabilities (n, K): the caller's, or those of the built-in baseline."""
        if self.given_proba is not None:
            return self.given_proba
        self.step("out-of-fold probabilities")
        known = self.columns if self.features is self.X else None
        linear = out_of_fold(
            self.features, self.codes, self.targets.n_classes, rng=self.rng(), work=self.work, known=known
        )
        return mixed(linear, self.graph.indices, self.codes, rng=self.rng(), work=self.work)

    @cached_property
    def columns(self) -> Columns:
        """Mean, spread and range of every feature."""
        return columns(self.X, self.work)

    @cached_property
    def features(self) -> NDArray[np.float32] | Rows:
        """What distances are measured on: embeddings as they are, tables column by column on one scale.

        Columns of one kind (embeddings, pixels) have spreads of one order; columns of a table have not.
        """
        spread = self.columns.deviation
        kept = spread[spread > 0]
        same_kind = len(kept) > 16 and np.quantile(kept, 0.9) < SAME_KIND * np.quantile(kept, 0.1)
        return self.X if same_kind else on_one_scale(self.X, self.columns)

    @cached_property
    def graph(self) -> Neighbours:
        """The nearest neighbours of every row: of embeddings by direction, of tables by scaled columns."""
        if self.n_rows < 2 * NEIGHBOURS:
            raise NotApplicable(f"{self.n_rows} rows are too few for neighbours")
        self.step("nearest neighbours")
        metric: Metric = "cosine" if self.features is self.X else "euclidean"
        found = self._neighbours(metric)
        if metric == "cosine":  # as distances of unit vectors, for which laws of distances hold
            shape, write = found.distances.shape, partial(_of_unit_vectors, as_store(found.distances))
            unit = self.work.filled("distances", shape, np.float32, write, parts(self.n_rows))
            found = found._replace(distances=unit.open())
        return found

    @property
    def neighbours_recall(self) -> float | None:
        """Share of the true neighbours in `graph`; None while nothing has asked for it."""
        found = self.__dict__.get("graph")
        return None if found is None else found.recall

    def _neighbours(self, metric: Metric) -> Neighbours:
        exact, rng = self._affordable(), self.rng()
        if not isinstance(self.features, Rows):
            return neighbours(self.features, NEIGHBOURS, metric=metric, exact=exact, rng=rng)
        source = self.features.source
        scale = (*source.scale, CLIP) if isinstance(source, Scaled) else None
        return neighbours(
            self.features.store.open(), NEIGHBOURS, metric=metric, exact=exact, rng=rng, engine=self.work.engine,
            scratch=self.work.folder("neighbours"), prepare=scale,
        )  # fmt: skip

    def some_rows(self, rows: NDArray[np.int64]) -> NDArray[np.float32] | Rows:
        """Return features of any number of rows; those of a file stay there."""
        return self.X.take(rows) if isinstance(self.X, Rows) else self.X[rows]

    def unit_features(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return rows whose Euclidean distances are those of `graph`: embeddings of unit length, tables as they are."""
        Z = self.features[rows]
        if self.features is not self.X:
            return Z
        norm = np.sqrt(np.einsum("ij,ij->i", Z, Z, dtype=np.float64))
        return (Z / np.where(norm > 0, norm, 1)[:, None]).astype(np.float32)

    @cached_property
    def copies(self) -> DuplicateResult:
        """Groups of exact and near copies among the rows."""
        self.step("duplicates")
        return NearDuplicates().measure(
            self.X, graph=self.graph, texts=self.texts, wording=self.wording, work=self.work
        )

    def _affordable(self) -> bool | Literal["auto"]:
        """Return how neighbours may be searched: not exactly where that would take half of the time that is left."""
        seconds = self.n_rows**2 * self.features.shape[1] / WORK_A_SECOND
        return False if self.exact == "auto" and seconds > self.remaining / 2 else self.exact


def _of_unit_vectors(cosine: Store, out: Store, span: Span) -> None:
    """Write the distances of unit vectors whose cosine distances are known."""
    source, target = cosine.open(), out.open("r+")
    for start, stop in inner(span):
        target[start:stop] = np.sqrt(2 * source[start:stop])
