"""SSD-LLM: the subpopulations that captions tell of, and what to do about rare and failing ones (Luo et al. 2024)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import hypergeom

from labelwise.base import UNLABELED, Card, Count, Estimate, Fields, Fraction, InputError, Method, Natural
from labelwise.display import html_of
from labelwise.parts.interval import share
from labelwise.supervision import encode_classes
from labelwise.weak.analysts import Analyst

if TYPE_CHECKING:
    import pandas as pd

Doubles = NDArray[np.float64]
Structure = dict[Any, dict[str, list[str]]]
UNKNOWN = "unknown"


@dataclass(frozen=True, eq=False)
class Slice:
    """Rows of one class and one value of a dimension, and how often a model is wrong there.

    Attributes
    ----------
    label, dimension, value
        What they have in common.
    rows : int array
    error : Estimate
    p : float
        Chance of so many errors among as many rows of the class drawn at random, times the number of slices (Holm).
    """

    label: Any
    dimension: str
    value: str
    rows: NDArray[np.int64]
    error: Estimate
    p: float


@dataclass(frozen=True, eq=False)
class SubpopulationsResult:
    """What `Subpopulations` finds.

    Attributes
    ----------
    structure
        For each class its dimensions, for each of them its values.
    groups : DataFrame (n, dimensions)
        The value of each row, "unknown" where its caption shows none or its class has no such dimension.
    label : array (n,)
        Classes.
    counts : DataFrame
        ``label``, ``dimension``, ``value``, ``rows``: how many rows each subpopulation has.
    """

    structure: Structure
    groups: pd.DataFrame
    label: NDArray[Any]
    counts: pd.DataFrame

    def weights(self, dimension: str, most: float = 20.0) -> Doubles:
        """Return weights (n,) of mean 1 that let each value of a dimension count alike within each class.

        Parameters
        ----------
        dimension
            The dimension to balance.
        most
            Weights are cut at `most` times the least one.
        """
        if dimension not in self.groups:
            raise InputError(f"dimension must be one of {', '.join(map(repr, self.groups))}. Got {dimension!r}.")
        told = self.groups[dimension].to_numpy()
        cell = np.unique([f"{a}\0{b}" for a, b in zip(self.label, told, strict=True)], return_inverse=True)[1]
        weight = 1 / np.bincount(cell)[cell]
        weight = np.minimum(weight, most * weight.min())
        return np.asarray(weight / weight.mean())

    def slices(self, wrong: ArrayLike, least: int = 5, level: float = 0.9) -> list[Slice]:
        """Return the subpopulations by how surely a model fails more often there than on the rest of the class.

        Parameters
        ----------
        wrong
            Whether the model is wrong, booleans (n,).
        least
            Rows that a subpopulation must have.
        level
            Confidence of the errors' intervals.
        """
        errors = np.asarray(wrong)
        if errors.shape != self.label.shape or errors.dtype.kind != "b":
            raise InputError(f"wrong must be booleans ({len(self.label)},). Got {errors.dtype} {errors.shape}.")
        found = []
        for label, dimension, value, _ in self.counts.itertuples(index=False):
            of_class = self.label == label
            rows = np.flatnonzero(of_class & (self.groups[dimension] == value).to_numpy())
            if value != UNKNOWN and len(rows) >= least:
                hits = int(errors[rows].sum())
                p = float(hypergeom.sf(hits - 1, of_class.sum(), errors[of_class].sum(), len(rows)))
                found.append(Slice(label, dimension, value, rows, share(hits, len(rows), level), p))
        found.sort(key=lambda one: (one.p, -one.error.value))
        adjusted = np.maximum.accumulate(np.array([one.p * (len(found) - i) for i, one in enumerate(found)] or [1.0]))
        return [Slice(**{**vars(one), "p": float(min(1, p))}) for one, p in zip(found, adjusted, strict=False)]

    def describe(self) -> str:
        """Say it in words."""
        told = [
            f"{label}: " + "; ".join(f"{name} ({', '.join(values)})" for name, values in dimensions.items())
            for label, dimensions in self.structure.items()
        ]
        return "\n".join(told)

    def _repr_html_(self) -> str:
        return html_of(self)


class Subpopulations(Method, Fields):
    """Has an analyst read captions of each class, and finds along which dimensions, with which values, they differ.

    In several rounds the analyst proposes dimensions for a few captions drawn at random; what it proposes often is kept.
    Values are found in the same way. Then captions drawn one by one are classified three times: a new value that all
    three name is added. Last, every caption gets a value of each dimension, by the majority of `votes` answers.

    Differs from the paper: an analyst's disagreement with itself is left alone, where the paper asks for its reason.

    Parameters
    ----------
    rounds, sample
        Rounds for dimensions (twice as many for values), and captions in each.
    often
        Share of the rounds in which a dimension or value must be proposed more often, in [0, 1].
    refinements
        Captions by which the values are refined, >= 0.
    votes
        Answers that decide a caption's value, >= 1.
    random_state
        Seed of what is drawn.

    References
    ----------
    Luo, Zhang et al.: LLM as Dataset Analyst: Subpopulation Structure Discovery with Large Language Model. ECCV 2024.

    Examples
    --------
    >>> from labelwise.weak import Thesaurus
    >>> table = Thesaurus({"background": {"water": ["sea", "lake"], "land": ["forest", "meadow"]}})
    >>> captions = ["a gull over the sea", "a heron at the lake", "a gull in a meadow", "a duck in the forest"] * 10
    >>> found = Subpopulations(random_state=0).measure(captions, ["bird"] * 40, table)
    >>> found.structure
    {'bird': {'background': ['land', 'water']}}
    >>> found.groups["background"].value_counts().to_dict()
    {'water': 20, 'land': 20}
    """

    rounds: Annotated[int, Count] = 10
    sample: Annotated[int, Count] = 20
    often: Annotated[float, Fraction] = 0.2
    refinements: Annotated[int, Natural] = 20
    votes: Annotated[int, Count] = 1
    random_state: int | None = None

    card = Card(
        paper=246, year=2024, kind="diagnostic", handles=frozenset({"imbalance", "covariate shift"}), task="any",
        reference="Luo, Zhang et al.: LLM as Dataset Analyst (ECCV 2024)", needs=frozenset({"captions", "analyst"}),
        cost="light", apart="It finds groups in captions; what is trained on them is up to another method.",
    )  # fmt: skip

    def measure(self, captions: Sequence[str], y: ArrayLike, analyst: Analyst) -> SubpopulationsResult:
        """Find the subpopulations of every class.

        Parameters
        ----------
        captions
            A text for each row: what is seen or said there.
        y
            Classes (n,); rows of -1 or None get no group.
        analyst
            `Thesaurus`, `Prompted`, or any object that answers their four questions.

        Raises
        ------
        InputError
            For captions that are no texts, or not one for each row.
        """
        import pandas as pd

        self.check_fields()
        classes, codes = encode_classes(y, least=1)
        texts = list(captions)
        if len(texts) != len(codes) or not all(isinstance(text, str) for text in texts):
            raise InputError(f"captions must be a text for each of the {len(codes)} rows of y. Got {len(texts)}.")
        if not isinstance(analyst, Analyst):
            raise InputError(
                f"analyst must answer dimensions, values, classify and merge. Got {type(analyst).__name__}."
            )
        rng = np.random.default_rng(self.random_state)
        structure: Structure = {}
        columns: dict[str, NDArray[Any]] = {}
        for code, label in enumerate(classes.tolist()):
            rows = np.flatnonzero(codes == code)
            structure[label] = self._structure([texts[row] for row in rows], analyst, rng)
            for dimension, values in structure[label].items():
                column = columns.setdefault(dimension, np.full(len(texts), UNKNOWN, dtype=object))
                column[rows] = [self._value(texts[row], dimension, values, analyst) for row in rows]
        groups = pd.DataFrame(columns, index=pd.RangeIndex(len(texts)))
        names = np.full(len(codes), None, dtype=object)
        names[codes != UNLABELED] = classes[codes[codes != UNLABELED]].tolist()
        return SubpopulationsResult(structure, groups, names, _counts(structure, groups, names))

    def _structure(self, texts: list[str], analyst: Analyst, rng: np.random.Generator) -> dict[str, list[str]]:
        """Return dimensions and values of one class."""
        dimensions = self._frequent(analyst.dimensions, self.rounds, texts, analyst, rng)
        found = {}
        for name in dimensions:
            values = self._frequent(partial(analyst.values, name), 2 * self.rounds, texts, analyst, rng)
            found[name] = self._refined(name, values, texts, analyst, rng)
        return {name: values for name, values in found.items() if len(values) > 1}

    def _frequent(
        self, propose: Callable[[list[str]], list[str]], rounds: int, texts: list[str], analyst: Analyst,
        rng: np.random.Generator,
    ) -> list[str]:  # fmt: skip
        """Return what is proposed in more than a share `often` of the rounds, synonyms merged."""
        proposals = []
        for _ in range(rounds):
            rows = rng.choice(len(texts), min(self.sample, len(texts)), replace=False)
            proposals.append(set(propose([texts[row] for row in rows])))
        use = analyst.merge(sorted(set().union(*proposals)))
        times = Counter(name for proposal in proposals for name in {use.get(name, name) for name in proposal})
        return sorted(name for name, count in times.items() if count > self.often * rounds)

    def _refined(
        self, dimension: str, values: list[str], texts: list[str], analyst: Analyst, rng: np.random.Generator
    ) -> list[str]:
        values = list(values)
        for _ in range(self.refinements):
            caption = texts[int(rng.integers(len(texts)))]
            said = {analyst.classify(caption, dimension, values) for _ in range(3)}
            new = next(iter(said))
            if len(said) == 1 and new is not None and new not in values:
                values.append(new)
        use = analyst.merge(values)
        return sorted({use.get(value, value) for value in values})

    def _value(self, caption: str, dimension: str, values: list[str], analyst: Analyst) -> str:
        said = Counter(analyst.classify(caption, dimension, values) for _ in range(self.votes))
        value = said.most_common(1)[0][0]
        return value if value in values else UNKNOWN


def _counts(structure: Structure, groups: pd.DataFrame, names: NDArray[Any]) -> pd.DataFrame:
    import pandas as pd

    lines = [
        (label, dimension, value, int((groups[dimension][names == label] == value).sum()))
        for label, dimensions in structure.items() for dimension, values in dimensions.items()
        for value in [*values, UNKNOWN]
    ]  # fmt: skip
    return pd.DataFrame(lines, columns=["label", "dimension", "value", "rows"])
