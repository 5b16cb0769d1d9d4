"""How many labels are wrong, which ones probably, and how sure that is: noise estimated from class probabilities."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike

from labelwise.base import Card, Fields, Fraction, InputError, Method, NonNegative
from labelwise.parts.confident_joint import read
from labelwise.parts.label_noise import LabelNoiseResult, estimate_noise

__all__ = ["LabelNoise", "LabelNoiseResult"]


class LabelNoise(Method, Fields):
    """Share of wrong labels and each label's probability of being wrong, from out-of-sample probabilities.

    Two views, each where it can be trusted (`labelwise.parts.label_noise`). The first sends the true label through a noise
    matrix T: ``p(given | x) = T softmax(beta log proba(x))``, T and beta by maximum likelihood; then
    ``P(wrong) = 1 - T_gg p_g / (T p)_g`` for the given class g. Where classes merely overlap the likelihood is highest at
    T = identity, so that ambiguous rows are not mistaken for wrong labels; but errors that always go one way look like
    overlap too. The second counts other labels among the rows the model is surest about, which shows such errors, where the
    model is good enough. Intervals hold what either view accepts, and `doubt`.

    Parameters
    ----------
    doubt
        Share of the model's error rate that may be mistaken for wrong labels.
    level
        Nominal confidence of the intervals.

    References
    ----------
    Giorgio Patrini et al.: Making Deep Neural Networks Robust to Label Noise: a Loss Correction Approach. CVPR 2017
    (the forward model). Fitting it after training, and its intervals, are this library's.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x, truth = rng.normal(size=2000), rng.integers(0, 2, 2000)
    >>> proba = 1 / (1 + np.exp(-4 * (x + 2 * truth - 1)))  # classes overlap: their best accuracy is 0.84
    >>> given = np.where(rng.random(2000) < 0.1, 1 - truth, truth)
    >>> print(LabelNoise().measure(given, np.stack([1 - proba, proba], 1)).share)
    0.0995 [0.0362, 0.197]
    """

    doubt: Annotated[float, NonNegative] = 0.15
    level: Annotated[float, Fraction] = 0.9

    card = Card(kind="diagnostic", year=2017, handles=frozenset({"noise"}), cost="seconds")

    def measure(self, y: ArrayLike, proba: ArrayLike, *, rng: np.random.Generator | None = None) -> LabelNoiseResult:
        """Fit the noise model to class codes `y` (n,), -1 where unlabelled, and out-of-sample `proba` (n, K)."""
        self.check_fields()
        codes, P = np.asarray(y, dtype=np.int64), np.asarray(proba)
        if P.ndim != 2 or codes.shape != P.shape[:1] or codes.max(initial=-1) >= P.shape[1]:
            raise InputError(f"proba must be (n, K) for the n codes of y. Got {P.shape} for {codes.shape} codes.")
        values = P if P.dtype in (np.float32, np.float64) else P.astype(np.float64)
        return estimate_noise(read(codes, values), doubt=self.doubt, level=self.level, rng=rng)
