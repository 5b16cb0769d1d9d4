"""Documents of hidden topics, whose shares differ between sources."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labelwise.base import Count, InputError, Natural, Positive, Range
from labelwise.data.synthetic.drawing import FloatArray, IntArray, RandomState, check, draw_codes, generator, softmax


@dataclass(frozen=True, eq=False)
class TopicShift:
    """Word counts of documents of one topic each; sources with the same topics in other shares.

    Attributes
    ----------
    X
        Word counts ``(n, n_words)``.
    y
        Topic of each document ``(n,)``.
    domains
        Source of each document ``(n,)``.
    priors
        Topic shares that each source was drawn from ``(D, K)``.
    words
        Word shares of each topic ``(K, n_words)``.
    """

    X: IntArray
    y: IntArray
    domains: IntArray
    priors: FloatArray
    words: FloatArray

    def posterior(self) -> FloatArray:
        """Return ``P(topic | words, source)`` of each document, exact by Bayes' rule: ``(n, K)``."""
        with np.errstate(divide="ignore"):
            logs, shares = np.log(self.words), np.log(self.priors)
        return softmax(np.maximum(self.X @ np.maximum(logs.T, -1e6), -1e9) + shares[self.domains])


def topic_shift(
    n_rows: int = 500,
    n_classes: int = 5,
    n_words: int = 100,
    n_domains: int = 10,
    *,
    concentration: float = 0.3,
    length: int = 40,
    anchors: int = 3,
    mixing: float = 1.0,
    random_state: RandomState = None,
) -> TopicShift:
    """Draw documents whose topic is their class, from sources that differ in their topic shares only.

    Parameters
    ----------
    n_rows
        Documents of each source.
    n_classes, n_words, n_domains
        Topics, words of the vocabulary, sources.
    concentration
        The sources' shares are drawn from a symmetric Dirichlet distribution: small values make sources of few topics.
    length
        Mean words of a document (Poisson, at least one).
    anchors
        Words of each topic that no other topic uses.
    mixing
        The topics' word shares are drawn from a symmetric Dirichlet distribution with this concentration: large values
        make topics alike but for their anchors.
    random_state
        Seed or generator.

    Examples
    --------
    >>> drawn = topic_shift(100, n_classes=3, n_domains=4, random_state=0)
    >>> drawn.X.shape, drawn.priors.shape, bool((drawn.posterior().argmax(1) == drawn.y).mean() > 0.95)
    ((400, 100), (4, 3), True)
    """
    for name, size in (("n_rows", n_rows), ("n_words", n_words), ("n_domains", n_domains), ("length", length)):
        check(name, size, Count)
    check("n_classes", n_classes, Range(low=2, whole=True))
    check("anchors", anchors, Natural)
    check("concentration", concentration, Positive)
    check("mixing", mixing, Positive)
    if anchors * n_classes >= n_words:
        raise InputError(f"n_words must exceed anchors * n_classes = {anchors * n_classes}. Got {n_words}.")
    rng = generator(random_state)
    words = rng.dirichlet(np.full(n_words, mixing), n_classes)
    owner = np.repeat(np.arange(n_classes), anchors)
    words[:, : len(owner)] *= owner == np.arange(n_classes)[:, None]
    words /= words.sum(1, keepdims=True)
    priors = rng.dirichlet(np.full(n_classes, concentration), n_domains)
    y = np.concatenate([draw_codes(rng, row, n_rows) for row in priors])
    sizes = np.maximum(1, rng.poisson(length, len(y)))
    X = rng.multinomial(sizes, words[y])
    return TopicShift(X, y, np.repeat(np.arange(n_domains), n_rows), priors, words)
