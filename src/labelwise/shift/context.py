"""Domain-context calibration: divide by what a scorer says of random words of the task's own texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from labelwise.base import Card, Count, Fields, InputError, Method
from labelwise.inputs import check_texts
from labelwise.parts.priors import as_proba, correct

Doubles = npt.NDArray[np.float64]
CONTENT_FREE = ("", "N/A", "[MASK]")
"""Inputs without content: what contextual calibration asks the scorer about."""


class DomainContextCalibration(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Correct a zero-shot or prompted scorer for what it says of inputs that mean nothing: ``p(y | x) / mean p(y | null)``.

    A scorer may favour a label by its name, by the examples in the prompt, or by the words of the domain. All three show in
    its mean answer to null inputs made of random words of the task's texts, and dividing by that answer removes them. This
    is a correction of class shares: from the scorer's own prior, read off the null inputs, to equal ones.

    Differs from the paper: nothing for texts; for other inputs null inputs are made by a function of one's own.

    Parameters
    ----------
    scorer
        Function of a list of inputs that returns probabilities or likelihoods of the labels (n, K), not negative, or a
        fitted classifier with ``predict_proba``. The prompt and its examples are the scorer's and stay the same.
    null
        ``words``: random words of the texts given to `fit`, frequent ones often, as many as a text has on average;
        ``content-free``: an empty text, "N/A" and "[MASK]" (contextual calibration); or a function ``(inputs, n, rng)``
        that returns n null inputs.
    n_null
        Null inputs of random words.
    classes
        Names of the labels (K,); None: the scorer's ``classes_``, or 0 .. K - 1.
    random_state
        Seed of the words.

    Attributes
    ----------
    bias_ : (K,) the scorer's mean probabilities on null inputs.
    null_ : the null inputs.
    classes_ : names of the labels.

    References
    ----------
    Yu Fei, Yifan Hou, Zeming Chen, Antoine Bosselut: Mitigating Label Biases for In-context Learning. ACL 2023 (paper 256).

    Examples
    --------
    >>> def scorer(texts):  # counts words, and takes "plot" for praise
    ...     good = np.array([1 + sum(word in ("great", "plot") for word in text.split()) for text in texts])
    ...     bad = np.array([1 + sum(word == "dull" for word in text.split()) for text in texts])
    ...     return np.c_[bad, good] / (bad + good)[:, None]
    >>> texts = ["a great plot", "a dull plot", "the plot is dull", "great plot"]
    >>> model = DomainContextCalibration(scorer=scorer, random_state=0).fit(texts)
    >>> model.bias_.round(1)
    array([0.4, 0.6])
    >>> bool(model.predict_proba(["a plot"])[0, 1] < scorer(["a plot"])[0, 1])
    True
    """

    scorer: Any = None
    null: Literal["words", "content-free"] | Any = "words"
    n_null: Annotated[int, Count] = 20
    classes: Any = None
    random_state: int | None = None

    card = Card(
        paper=256, year=2023, kind="post-hoc", handles=frozenset({"label shift", "calibration"}), supervision=frozenset(),
        needs=frozenset({"scorer"}), cost="seconds",
        apart="It corrects a scorer of your own that was not trained on the rows.",
        reference="Fei, Hou, Chen, Bosselut: Mitigating Label Biases for In-context Learning. ACL 2023.",
    )  # fmt: skip

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return the data of the common checks: texts of two kinds, and a scorer that leans to one of them."""
        from sklearn.feature_extraction.text import CountVectorizer
        from sklearn.naive_bayes import MultinomialNB
        from sklearn.pipeline import make_pipeline

        rng = np.random.default_rng(0)
        y = rng.integers(2, size=120)
        texts = [" ".join(rng.choice(["good fun day", "bad sad day"][k].split(), 4)) for k in y]
        lean = make_pipeline(CountVectorizer(), MultinomialNB(class_prior=[0.05, 0.95])).fit(texts[:40], y[:40])
        return {
            "X": texts[40:80], "y": None, "X_test": texts[80:], "y_test": y[80:], "fields": {"scorer": lean},
            "features": False,
        }  # fmt: skip

    def fit(self, X: Sequence[Any], y: Any = None) -> Self:
        """Read the scorer's bias off null inputs made from `X`.

        Parameters
        ----------
        X
            Inputs of the task (n,), texts unless `null` is a function; no labels are used.
        y
            Ignored.
        """
        self.check_fields()
        if self.scorer is None:
            raise InputError(
                "DomainContextCalibration.scorer is None: give a function of inputs, or a fitted classifier."
            )
        if len(X) == 0:
            raise InputError("X holds no input to take words from.")
        self.null_ = self._null_inputs(X, np.random.default_rng(self.random_state))
        self.bias_ = self._scores(self.null_).mean(0)
        if (self.bias_ <= 0).any():
            raise InputError(
                f"DomainContextCalibration.scorer gives label {int(self.bias_.argmin())} probability 0 for every null "
                "input, which cannot be divided by: give every label a small probability."
            )
        names = getattr(self.scorer, "classes_", None) if self.classes is None else self.classes
        self.classes_ = np.arange(len(self.bias_)) if names is None else np.asarray(names)
        if len(self.classes_) != len(self.bias_):
            raise InputError(f"classes names {len(self.classes_)} labels, but the scorer gives {len(self.bias_)}.")
        return self

    def _null_inputs(self, X: Sequence[Any], rng: np.random.Generator) -> list[Any]:
        if callable(self.null):
            return list(self.null(X, self.n_null, rng))
        if self.null not in ("words", "content-free"):
            raise InputError(
                f"DomainContextCalibration.null must be 'words', 'content-free' or a function. Got {self.null!r}."
            )
        if not all(isinstance(text, str) for text in X):
            raise InputError("X must hold texts; for other inputs give `null`, a function that makes null inputs.")
        return list(CONTENT_FREE) if self.null == "content-free" else random_texts(X, self.n_null, rng)

    def _scores(self, X: Sequence[Any]) -> Doubles:
        """Return the scorer's answers, each made to sum to one."""
        check_texts(list(X))
        if not callable(self.null) and not all(isinstance(text, str) for text in X):
            raise InputError("X must hold texts; for other inputs give `null`, a function that makes null inputs.")
        score: Callable[[Any], Any] = getattr(self.scorer, "predict_proba", self.scorer)
        given = np.asarray(score(list(X)), dtype=np.float64)
        if given.ndim != 2 or len(given) != len(X):
            raise InputError(f"scorer must return shape ({len(X)}, labels) for {len(X)} inputs. Got {given.shape}.")
        proba = as_proba(given)
        return np.asarray(proba / np.maximum(proba.sum(1, keepdims=True), 1e-300))

    def predict_proba(self, X: Sequence[Any]) -> Doubles:
        """(n, K) probabilities of ``classes_``, corrected."""
        check_is_fitted(self)
        return np.asarray(correct(self._scores(X), self.bias_, np.full(len(self.bias_), 1 / len(self.bias_))))

    def predict(self, X: Sequence[Any]) -> npt.NDArray[Any]:
        """(n,) most probable label."""
        best = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[best])


def random_texts(texts: Sequence[str], n: int, rng: np.random.Generator) -> list[str]:
    """Return `n` texts of random words of `texts`, as long as those are on average.

    >>> random_texts(["a b", "a c"], 2, np.random.default_rng(0))
    ['c a', 'a b']
    """
    words = [word for text in texts for word in text.split()]
    if not words:
        raise InputError("X holds no words.")
    length = max(1, round(len(words) / len(texts)))
    return [" ".join(words[i] for i in rng.integers(len(words), size=length)) for _ in range(n)]


def label_bias(scorer: Callable[[Sequence[str]], Any], texts: Sequence[str], others: Sequence[str], *, n: int = 20,
               random_state: int | None = None) -> float:  # fmt: skip
    """Return the domain-label bias: how far random words of `texts` move the scorer's mean answer from those of `others`.

    Total variation in [0, 1]. `others` are texts of everyday language; near 0, content-free calibration does as well.

    Parameters
    ----------
    scorer
        Function of a list of texts that returns probabilities (n, K).
    texts, others
        Texts of the task, and of other matters.
    n
        Null inputs of each.
    random_state
        Seed of the words.
    """
    rng = np.random.default_rng(random_state)
    own, other = (
        DomainContextCalibration(scorer=scorer)._scores(random_texts(t, n, rng)).mean(0) for t in (texts, others)
    )
    return float(np.abs(own - other).sum() / 2)
