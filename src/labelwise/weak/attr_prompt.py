"""AttrPrompt: training texts written to order, with attributes drawn at random (Yu et al. 2023)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from labelwise.base import Card, Count, Fields, InputError, Method, Natural
from labelwise.display import html_of

if TYPE_CHECKING:
    import pandas as pd

Doubles = NDArray[np.float64]
Generator = Callable[[str, Any, dict[str, str]], str | None]
Values = Sequence[str] | Mapping[Any, Sequence[str]]


@dataclass(frozen=True, eq=False)
class GeneratedResult:
    """Texts written by a generator.

    Attributes
    ----------
    texts : list of str
    label : array (n,)
        The class that each was asked for.
    attributes : DataFrame (n, dimensions)
        What else was asked for.
    queries, words
        Calls made, refusals too; and words of prompts and texts together: what it cost.
    """

    texts: list[str]
    label: NDArray[Any]
    attributes: pd.DataFrame
    queries: int
    words: int

    def diversity(self, embeddings: ArrayLike | None = None) -> dict[str, float]:
        """Return how varied the texts are.

        Parameters
        ----------
        embeddings
            Vectors of the texts (n, d), for the mean cosine of pairs.

        Returns
        -------
        dict
            ``vocabulary`` (different words); ``entropy DIMENSION`` of each attribute, in nats; with `embeddings` ``cosine``
            (mean of all pairs of texts) and ``cosine within classes``: the lower, the more varied.
        """
        told = {"vocabulary": float(len({word for text in self.texts for word in _words(text)}))}
        for name, column in self.attributes.items():
            share = column.value_counts(normalize=True).to_numpy()
            told[f"entropy {name}"] = float(-(share * np.log(share)).sum())
        if embeddings is not None:
            vectors = np.asarray(embeddings, dtype=np.float64)
            if vectors.shape[:1] != (len(self.texts),):
                raise InputError(f"embeddings must have {len(self.texts)} rows, one a text. Got {vectors.shape}.")
            within = [mean_cosine(vectors[self.label == label]) for label in dict.fromkeys(self.label.tolist())]
            told |= {"cosine": mean_cosine(vectors), "cosine within classes": float(np.nanmean(within))}
        return told

    def _repr_html_(self) -> str:
        return html_of(self)


def mean_cosine(vectors: Doubles) -> float:
    """Return the mean cosine of all pairs of different rows (n, d), in O(n d); NaN for fewer than two."""
    n = len(vectors)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return float((np.square(unit.sum(0)).sum() - np.square(unit).sum()) / (n * (n - 1))) if n > 1 else float("nan")


class AttrPrompt(Method, Fields):
    """Has training texts written, each for a class and for values of attributes drawn independently and evenly.

    A prompt that names the class alone (`attributes` empty) gets the generator's favourite kind of text over and over;
    attributes such as topic, style and length spread the texts over what real ones are like.

    Differs from the paper: dimensions and values are given by the user, where the paper lets a language model propose
    them and a person choose.

    Parameters
    ----------
    attributes
        Values of each dimension, ``{"length": ["short", "long"]}``, or values for each class,
        ``{"subtopic": {"sport": ["tennis", "chess"], "money": ["shares"]}}``.
    similar
        For each class those that it is easily confused with; the prompt asks to keep away from them.
    per_class
        Texts of each class, >= 1.
    most_dropped
        Values that `filtered` drops from a dimension of a class at most, >= 0.
    tries
        Calls for one text before it is left out, when the generator refuses (returns nothing), >= 1.
    random_state
        Seed of the attributes.

    References
    ----------
    Yu, Zhuang, Zhang, Meng, Ratner, Krishna, Shen, Zhang: Large Language Model as Attributed Training Data Generator: A
    Tale of Diversity and Bias. NeurIPS 2023.

    Examples
    --------
    >>> method = AttrPrompt(attributes={"style": ["plain", "angry"]}, per_class=3, random_state=0)
    >>> made = method.generate(lambda prompt, label, attributes: f"{attributes['style']} words on {label}", ["tea", "rain"])
    >>> made.label.tolist(), made.texts[0] in ("plain words on tea", "angry words on tea")
    (['tea', 'tea', 'tea', 'rain', 'rain', 'rain'], True)
    """

    attributes: Mapping[str, Values] | None = None
    similar: Mapping[Any, Sequence[Any]] | None = None
    per_class: Annotated[int, Count] = 50
    most_dropped: Annotated[int, Natural] = 5
    tries: Annotated[int, Count] = 3
    random_state: int | None = None

    card = Card(
        paper=220, year=2023, kind="estimator", handles=frozenset({"few labels"}), supervision=frozenset(), cost="light",
        reference="Yu, Zhuang, Zhang, Meng et al.: LLM as Attributed Training Data Generator (NeurIPS 2023)",
        needs=frozenset({"generator"}), apart="It writes training texts; what is trained on them is up to another method.",
    )  # fmt: skip

    def generate(
        self, generator: Callable[[str, Any, dict[str, str]], str | None], classes: Sequence[Any]
    ) -> GeneratedResult:
        """Have `per_class` texts written for every class.

        Parameters
        ----------
        generator
            ``generator(prompt, label, attributes)`` returns a text; None or nothing where it refuses. One that asks a
            language model needs the prompt alone.
        classes
            Labels, written into the prompt by ``str``.
        """
        import pandas as pd

        self.check_fields()
        if not len(classes):
            raise InputError("classes is empty: at least one is needed.")
        rng = np.random.default_rng(self.random_state)
        texts: list[str] = []
        labels: list[Any] = []
        drawn: list[dict[str, str]] = []
        queries = words = 0
        for label in classes:
            for _ in range(self.per_class):
                chosen = self._draw(label, rng)
                prompt = self.prompt(label, chosen)
                for _ in range(self.tries):
                    text = " ".join((generator(prompt, label, chosen) or "").split()).strip(" \"'")
                    queries, words = queries + 1, words + len(prompt.split()) + len(text.split())
                    if text:
                        texts, labels, drawn = [*texts, text], [*labels, label], [*drawn, chosen]
                        break
        frame = pd.DataFrame(drawn, index=pd.RangeIndex(len(texts)))
        return GeneratedResult(texts, np.array(labels), frame, queries, words)

    def prompt(self, label: Any, attributes: Mapping[str, str]) -> str:
        """Return what a language model is asked for a class and values of attributes."""
        lines = [f"Write one text of the class '{label}' that meets these requirements:"]
        lines += [f"- {name}: {value}" for name, value in attributes.items()]
        others = ", ".join(map(str, (self.similar or {}).get(label, ())))
        lines += [f"- relevant to {label}" + (f", and to none of: {others}" if others else "")]
        return "\n".join([*lines, "Answer with the text and nothing else."])

    def filtered(self, relevant: Callable[[str, Any], bool]) -> AttrPrompt:
        """Return a copy without values of a class that also suit one of the classes it is confused with.

        Parameters
        ----------
        relevant
            ``relevant(value, label)`` says whether a value suits a class; asked about values given for each class only.
        """
        self.check_fields()
        kept = dict(self.attributes or {})
        for name, values in kept.items():
            if isinstance(values, Mapping):
                kept[name] = {label: self._left(label, some, relevant) for label, some in values.items()}
        copy: AttrPrompt = type(self)(**{**self.get_params(deep=False), "attributes": kept})
        return copy

    def _left(self, label: Any, values: Sequence[str], relevant: Callable[[str, Any], bool]) -> list[str]:
        """Return a class's values without the doubtful ones, of which some stay where too many or all would go."""
        rivals = (self.similar or {}).get(label, ())
        doubtful = [value for value in values if any(relevant(value, rival) for rival in rivals)]
        gone = set(doubtful[: min(self.most_dropped, len(values) - 1)])
        return [value for value in values if value not in gone]

    def _draw(self, label: Any, rng: np.random.Generator) -> dict[str, str]:
        chosen = {}
        for name, values in (self.attributes or {}).items():
            if isinstance(values, Mapping) and label not in values:
                raise InputError(f"attributes[{name!r}] has no values for class {label!r}.")
            some = values[label] if isinstance(values, Mapping) else values
            if isinstance(some, str) or not len(some):
                raise InputError(f"attributes[{name!r}] must hold a list of values. Got {some!r}.")
            chosen[name] = str(some[int(rng.integers(len(some)))])
        return chosen


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
