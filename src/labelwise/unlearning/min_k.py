"""Was a text in a language model's training data? Its least likely tokens tell."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from labelwise.base import Card, Estimate, Fields, InputError, Method, Range
from labelwise.display import html_of
from labelwise.parts.interval import auc, share

Doubles = NDArray[np.float64]


def min_k(log_proba: Sequence[Any], k: float = 0.2) -> Doubles:
    """Return the mean of the ``floor(k T)`` smallest log-probabilities, at least one, of each text, (n,).

    Parameters
    ----------
    log_proba
        Log-probabilities (T,) of the tokens of each text given those before them, without the first token.
    k
        Share of the tokens, in (0, 1].

    Raises
    ------
    InputError
        For a text without a token, or values that are no log-probabilities.

    >>> min_k([np.log([0.5, 0.1, 0.9, 0.8, 0.7])], k=0.4).round(3)
    array([-1.498])
    """
    return np.array(
        [np.partition(lp, m - 1)[:m].mean() for lp in _checked(log_proba) for m in [max(1, int(k * len(lp)))]]
    )


@dataclass(frozen=True)
class DetectionResult:
    """What `PretrainingDetector` finds on texts known to be members or not.

    Attributes
    ----------
    auc
        Chance that a member scores above a text never seen, with DeLong's interval; 0.5 is no leak.
    tpr
        Share of the members found where 5 % of the others are called members too, with its interval (at a threshold taken
        as given).
    threshold
        That threshold: texts that score above it are called members.
    """

    auc: Estimate
    tpr: Estimate
    threshold: float

    def __str__(self) -> str:
        return f"AUC {self.auc}; at 5% false alarms {self.tpr} of the members are found"

    def _repr_html_(self) -> str:
        return html_of(self)


class PretrainingDetector(Method, Fields):
    """Min-K% Prob: a text that was trained on has few tokens that surprise the model.

    The score is the mean log-probability of the k % least likely tokens; higher means seen. It needs no other model and no
    training. The scores it is compared with are behind the same door.

    Differs from the paper's code: the score keeps the sign of the paper, higher is a member (the code returns its negative);
    short texts use one token at least; intervals.

    Parameters
    ----------
    score
        ``min-k``; ``loss``: the mean of all tokens; ``reference``: that minus a reference model's; ``lowercase``: the loss
        of the text in lower case over its own; ``zlib``: minus the loss over the text's compressed length.
    k
        Share of the tokens `min-k` looks at, in (0, 1].
    level
        Confidence of the intervals.

    References
    ----------
    Shi, Ajith, Xia, Huang, Liu, Blevins, Chen, Zettlemoyer: Detecting Pretraining Data from Large Language Models.
    ICLR 2024 (paper 184).

    Examples
    --------
    >>> from labelwise.learner import LanguageModel, Train
    >>> rng = np.random.default_rng(0)
    >>> words = np.array("the of a in to and was his that had with for her at him on by".split())
    >>> texts = [" ".join(rng.choice(words, 12)) for _ in range(80)]
    >>> model = LanguageModel(width=32, length=16, train=Train(epochs=60, batch_size=16, lr=5e-3), random_state=0)
    >>> found = PretrainingDetector().measure(model.fit(texts[:40]), texts[:40], texts[40:])
    >>> bool(found.auc.low > 0.7)
    True
    """

    score: Literal["min-k", "loss", "reference", "lowercase", "zlib"] = "min-k"
    k: Annotated[float, Range(low=0, high=1, low_open=True)] = 0.2
    level: Annotated[float, Range(low=0, high=1, low_open=True, high_open=True)] = 0.9

    card = Card(
        paper=184, year=2024, kind="diagnostic", handles=frozenset({"forgetting"}), task="any", cost="seconds",
        needs=frozenset({"member rows"}), supervision=frozenset(),
        reference="Shi et al.: Detecting Pretraining Data from Large Language Models. ICLR 2024.",
    )  # fmt: skip

    def scores(self, model: Any, texts: Sequence[str], reference: Any = None) -> Doubles:
        """Return the score of each text, (n,); higher means seen in training.

        Parameters
        ----------
        model
            Anything with ``token_log_proba(texts)``, such as `labelwise.learner.LanguageModel`.
        texts
            Texts.
        reference
            A model trained on other texts, for ``score="reference"``.
        """
        self.check_fields()
        own = model.token_log_proba(texts)
        if self.score == "min-k":
            return min_k(own, self.k)
        loss = -_means(own)
        if self.score == "loss":
            return -loss
        if self.score == "reference":
            if reference is None:
                raise InputError(
                    "reference is missing: score='reference' compares with a model trained on other texts."
                )
            return np.asarray(-_means(reference.token_log_proba(texts)) - loss)
        if self.score == "lowercase":
            return np.asarray(-_means(model.token_log_proba([text.lower() for text in texts])) / loss)
        return np.asarray(-loss / np.array([len(zlib.compress(text.encode())) for text in texts]))

    def measure(
        self, model: Any, members: Sequence[str], others: Sequence[str], reference: Any = None
    ) -> DetectionResult:
        """Return how well the score tells texts that were trained on from texts that were not."""
        if not len(members) or not len(others):
            raise InputError(f"members and others must hold a text each. Got {len(members)} and {len(others)}.")
        inside, outside = (self.scores(model, texts, reference) for texts in (members, others))
        threshold = float(np.quantile(outside, 0.95, method="higher"))
        found = share(float((inside > threshold).sum()), len(inside), self.level)
        return DetectionResult(auc(outside, inside, self.level), found, threshold)


def _means(log_proba: Sequence[Any]) -> Doubles:
    return np.array([lp.mean() for lp in _checked(log_proba)])


def _checked(log_proba: Sequence[Any]) -> list[Doubles]:
    """Return the log-probabilities as arrays; a text without any, or with one above 0, is an error."""
    out = [np.asarray(lp, dtype=np.float64).ravel() for lp in log_proba]
    for row, lp in enumerate(out):
        if not len(lp):
            raise InputError(f"log_proba: text {row} has no token to judge by. Leave empty texts out.")
        if not (lp <= 1e-6).all():
            raise InputError(f"log_proba: text {row} holds {lp.max():.3g}. Log-probabilities are at most 0.")
    return out
