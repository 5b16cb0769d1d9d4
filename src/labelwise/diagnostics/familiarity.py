"""How familiar the names of evaluation labels are from the training labels: zero-shot scores in context."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from labelwise.base import Card, Count, Estimate, Fields, Fraction, InputError, Method
from labelwise.display import html_of

Doubles = NDArray[np.float64]
Labels = Mapping[str, int] | Iterable[str]
Embedding = Callable[[Sequence[str]], ArrayLike] | Mapping[str, Any]


def name_vectors(names: Sequence[str]) -> Doubles:
    """Return vectors of length 1 for label names by the character n-grams they share, (n, d); no model is needed.

    TF-IDF of 2 to 4 characters within words; case, underscores, hyphens and camel case do not matter. It knows spelling and
    not meaning: "car" and "automobile" share nothing.

    >>> a, b, c = name_vectors(["SportsTeam", "sports_team", "river"])
    >>> round(float(a @ b), 3), round(float(a @ c), 3)
    (1.0, 0.0)
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = [re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[\W_]+", " ", name).strip().lower() for name in names]
    if not any(words):
        return np.zeros((len(names), 1))
    vectors = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit_transform(words)
    return np.asarray(vectors.toarray(), dtype=np.float64)


def similarity(train: Sequence[str], evaluation: Sequence[str], embedding: Embedding | None = None) -> Doubles:
    """Return max(0, cosine) of every evaluation name with every training name, (e, t); see `Familiarity`.

    >>> similarity(["person", "river"], ["persons"]).round(2)
    array([[0.66, 0.02]])
    """
    names = [*train, *evaluation]
    if embedding is None:
        vectors = name_vectors(names)
    elif isinstance(embedding, Mapping):
        missing = sorted({name for name in names if name not in embedding})
        if missing:
            raise InputError(f"embedding has no vector for {missing[:5]}: give one for every label name.")
        vectors = np.stack([np.asarray(embedding[name], dtype=np.float64) for name in names])
    else:
        vectors = np.asarray(embedding(names), dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(names) or not np.isfinite(vectors).all():
        raise InputError(f"embedding must give a finite vector for each of {len(names)} names. Got {vectors.shape}.")
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(length > 0, length, 1)
    return np.asarray((unit[len(train) :] @ unit[: len(train)].T).clip(0, 1))


def rank_weights(k: int, weighting: Literal["zipf", "linear", "none"] = "zipf") -> Doubles:
    """Return the weights of ranks 1 to `k`, which sum to 1.

    >>> rank_weights(3, "linear")
    array([0.5       , 0.33333333, 0.16666667])
    """
    ranks = np.arange(1, k + 1)
    weights = {"zipf": 1 / ranks, "linear": (k + 1.0 - ranks) / k, "none": np.ones(k)}[weighting]
    return np.asarray(weights / weights.sum())


@dataclass(frozen=True)
class FamiliarityResult:
    """What `Familiarity` finds.

    Attributes
    ----------
    familiarity
        Mean over evaluation labels, in [0, 1], with its t interval (over labels as if drawn at random).
    labels
        Familiarity of every evaluation label.
    nearest
        The most similar training label of every evaluation label, and the similarity.
    seen
        Share of the evaluation labels whose very name is a training label: these are not zero-shot at all.
    """

    familiarity: Estimate
    labels: dict[str, float]
    nearest: dict[str, tuple[str, float]]
    seen: float

    def __str__(self) -> str:
        told = f"familiarity {self.familiarity} of {len(self.labels)} evaluation labels"
        return f"{told}; {self.seen:.0%} of their names are training labels" if self.seen else told

    def _repr_html_(self) -> str:
        return html_of(self)


@dataclass(frozen=True)
class FamiliaritySplits:
    """Evaluation labels in three equal parts by their similarity to the training labels, most similar first.

    Attributes
    ----------
    easy, medium, hard
        Names of evaluation labels.
    training
        Training labels that are kept: none is more similar to an evaluation label than the cut.
    """

    easy: list[str]
    medium: list[str]
    hard: list[str]
    training: list[str]

    def _repr_html_(self) -> str:
        return html_of(self)


class Familiarity(Method, Fields):
    """Familiarity of evaluation labels: how similar their names are to the most similar mentions in training.

    Zero-shot scores are read as the ability to handle new labels; where training data names thousands of labels, most
    evaluation labels have a near copy among them, and scores on different training data do not compare. For each
    evaluation label the training labels are sorted by max(0, cosine) of the names' vectors, each repeated by its number of
    mentions until k are collected; familiarity is their mean with weights 1 / rank. Report it beside every zero-shot score.

    It can only know what the vectors know. The default (`name_vectors`) sees spelling alone; give vectors of a language
    model for meaning.

    Differs from the paper: vectors of names without a language model by default; where there are fewer than k mentions, the
    mean is over those there are (the reference code divides by k or fails); interval and splits.

    Parameters
    ----------
    k
        Mentions compared with each evaluation label.
    weighting
        Of the ranks: ``zipf`` (1 / rank), ``linear`` (falls to 1 / k), ``none``.
    embedding
        A function of a list of names that returns vectors (n, d), or a mapping of every name to its vector; None for
        `name_vectors`.
    level
        Confidence of the interval.

    References
    ----------
    Jonas Golde, Patrick Haller, Max Ploner, Fabio Barth, Nicolaas Jedema, Alan Akbik: Familiarity: Better Evaluation of
    Zero-Shot Named Entity Recognition by Quantifying Label Shifts in Synthetic Training Data. NAACL 2025.

    Examples
    --------
    >>> found = Familiarity().measure({"person": 900, "city": 300}, ["persons", "weapon"])
    >>> print(found)
    familiarity 0.402 [0, 1] of 2 evaluation labels
    >>> found.nearest["persons"][0]
    'person'
    """

    k: Annotated[int, Count] = 1000
    weighting: Literal["zipf", "linear", "none"] = "zipf"
    embedding: Any = None
    level: Annotated[float, Fraction] = 0.9

    card = Card(
        paper=205,
        year=2025,
        reference="Golde et al.: Familiarity: Better Evaluation of Zero-Shot Named Entity Recognition ... (NAACL 2025)",
        kind="diagnostic",
        handles=frozenset({"unseen classes"}),
        supervision=frozenset(),
        task="any",
        cost="seconds",
    )

    def measure(self, train: Labels, evaluation: Labels) -> FamiliarityResult:
        """Compare evaluation labels with training labels.

        Parameters
        ----------
        train
            Label names with their numbers of mentions, or the label of every mention.
        evaluation
            Label names; how often each occurs does not matter.
        """
        self.check_fields()
        counts, names = counted(train, "train"), list(counted(evaluation, "evaluation"))
        known = list(counts)
        similar = similarity(known, names, self.embedding)
        values = _weighted(similar, np.array(list(counts.values())), self.k, self.weighting)
        nearest = [(known[int(row.argmax())], float(row.max())) for row in similar]
        return FamiliarityResult(
            _mean(values, self.level),
            dict(zip(names, values.tolist(), strict=True)),
            dict(zip(names, nearest, strict=True)),
            sum(name in counts for name in names) / len(names),
        )

    def split(
        self, train: Labels, evaluation: Labels, by: Literal["max", "mean"] = "max", cut: float = 1.0
    ) -> FamiliaritySplits:
        """Split the evaluation labels into easy, medium and hard ones, after taking too similar training labels out.

        Parameters
        ----------
        train, evaluation
            As for `measure`.
        by
            Whether the largest or the mean similarity to the training labels orders the evaluation labels.
        cut
            Training labels more similar than this to some evaluation label are removed, in [0, 1]; 1 removes none.
        """
        self.check_fields()
        if by not in ("max", "mean") or cut not in Fraction:
            raise InputError(f"by must be 'max' or 'mean' and cut {Fraction}. Got {by!r} and {cut!r}.")
        known, names = list(counted(train, "train")), list(counted(evaluation, "evaluation"))
        similar = similarity(known, names, self.embedding)
        kept = np.asarray((similar <= cut).all(0))
        if not kept.any():
            raise InputError(f"cut={cut} removes every training label: raise it.")
        score = similar[:, kept].max(1) if by == "max" else similar[:, kept].mean(1)
        parts = np.array_split(np.argsort(-score, kind="stable"), 3)
        easy, medium, hard = ([names[place] for place in part] for part in parts)
        return FamiliaritySplits(easy, medium, hard, [name for name, keep in zip(known, kept, strict=True) if keep])


def counted(labels: Labels, name: str) -> dict[str, int]:
    """Return label names with positive counts, in the order given.

    >>> counted(["a", "b", "a"], "train")
    {'a': 2, 'b': 1}
    """
    if isinstance(labels, str):
        raise InputError(f"{name} must be a list of names or a mapping of names to counts. Got the text {labels!r}.")
    counts = {label: count for label, count in Counter(labels).items() if count != 0}
    for label, count in counts.items():
        if not isinstance(label, str) or not isinstance(count, int | np.integer) or count < 0:
            raise InputError(f"{name} must hold names with whole counts. Got {label!r}: {count!r}.")
    if not counts:
        raise InputError(f"{name} holds no label.")
    return {label: int(count) for label, count in counts.items()}


def _weighted(similar: Doubles, counts: NDArray[Any], k: int, weighting: Literal["zipf", "linear", "none"]) -> Doubles:
    """Return weighted means over the k most similar mentions; those of one label fill ranks from one sum of counts on."""
    total = int(min(k, counts.sum()))
    below = np.r_[0.0, np.cumsum(rank_weights(total, weighting))]
    order = np.argsort(-similar, axis=1, kind="stable")
    ends = np.minimum(np.cumsum(counts[order], axis=1), total)
    starts = np.minimum(ends, np.c_[np.zeros((len(ends), 1), dtype=ends.dtype), ends[:, :-1]])
    shares = below[ends] - below[starts]
    return np.asarray((np.take_along_axis(similar, order, 1) * shares).sum(1).clip(0, 1))


def _mean(values: Doubles, level: float) -> Estimate:
    mean, n = float(values.mean()), len(values)
    if n < 2:
        return Estimate(mean, 0.0, 1.0, level)
    reach = float(student.ppf(0.5 + level / 2, n - 1)) * float(values.std(ddof=1)) / math.sqrt(n)
    return Estimate(mean, max(0.0, mean - reach), min(1.0, mean + reach), level)
