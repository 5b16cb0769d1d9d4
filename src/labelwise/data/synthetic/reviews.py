"""Texts of two domains that share a few words of judgement and differ in all others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labelwise.base import Count, Fraction
from labelwise.data.synthetic.drawing import IntArray, RandomState, check, generator


@dataclass(frozen=True, eq=False)
class Reviews:
    """Texts with their class and domain.

    Attributes
    ----------
    texts
        One string a row.
    y, domain
        Class ``(n,)`` and domain, 0 or 1, ``(n,)``.
    pivots
        Words of judgement of both domains, by class.
    opinions
        Words of judgement of each domain alone: ``opinions[domain][class]``.
    """

    texts: list[str]
    y: IntArray
    domain: IntArray
    pivots: list[list[str]]
    opinions: list[list[list[str]]]


def two_domain_reviews(
    n: int = 1000, *, n_classes: int = 2, n_pivots: int = 4, n_opinions: int = 12, n_neutral: int = 60, length: int = 14,
    pivot_share: float = 0.6, noise: float = 0.15, random_state: RandomState = None,
) -> Reviews:  # fmt: skip
    """Draw texts of two domains, `n` of each.

    A text of class k holds one pivot of k with probability `pivot_share`, three opinions of its domain and class, and
    neutral words; each judging word is of any class with probability `noise`. Pivots stand next to opinions, so that a
    model that knows the pivots can learn the other domain's opinions from texts without labels.

    Parameters
    ----------
    n
        Texts a domain.
    n_classes, n_pivots, n_opinions, n_neutral
        Classes; pivots a class; opinions a class and domain; neutral words a domain.
    length
        Words a text, >= 5.
    pivot_share, noise
        Probabilities, in [0, 1].
    random_state
        Seed or generator.

    Examples
    --------
    >>> made = two_domain_reviews(2, length=6, random_state=0)
    >>> len(made.texts), made.domain.tolist(), made.pivots[0][:2]
    (4, [0, 0, 1, 1], ['pivot0x0', 'pivot0x1'])
    """
    for name, value in (("n", n), ("n_classes", n_classes), ("n_pivots", n_pivots), ("n_opinions", n_opinions),
                        ("n_neutral", n_neutral)):  # fmt: skip
        check(name, value, Count)
    check("pivot_share", pivot_share, Fraction)
    check("noise", noise, Fraction)
    rng = generator(random_state)
    pivots = [[f"pivot{k}x{i}" for i in range(n_pivots)] for k in range(n_classes)]
    opinions = [
        [[f"opinion{d}x{k}x{i}" for i in range(n_opinions)] for k in range(n_classes)] for d in range(2)
    ]  # fmt: skip
    y, domain = rng.integers(n_classes, size=2 * n), np.repeat([0, 1], n)

    def judged(k: int) -> int:
        return int(rng.integers(n_classes)) if rng.random() < noise else k

    def text(k: int, d: int) -> str:
        said = [str(rng.choice(opinions[d][judged(k)])) for _ in range(3)]
        if rng.random() < pivot_share:
            said.insert(1, str(rng.choice(pivots[judged(k)])))
        dull = [f"thing{d}x{i}" for i in rng.integers(n_neutral, size=max(1, length - len(said)))]
        at = int(rng.integers(len(dull) + 1))
        return " ".join([*dull[:at], *said, *dull[at:]])

    return Reviews([text(int(k), int(d)) for k, d in zip(y, domain, strict=True)], y, domain, pivots, opinions)
