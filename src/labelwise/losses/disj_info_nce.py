"""InfoNCE with several positives of which some may be wrong: one of them is enough."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from labelwise.base import Card, InputError
from labelwise.losses.base import Loss

HOW = ("disjunctive", "conjunctive", "single")


class DisjInfoNCE(Loss):
    """Pulls a query to at least one of its marked positives, so that a wrongly marked one need not be fitted.

    Row i holds the scores of query i for all candidates, and ``y`` marks them: 1 positive, 0 negative, -1 unknown (left
    out). With ``p = softmax(scores / temperature)``:

    - ``disjunctive``: ``-log(sum of p over positives)``; the gradient goes to each positive by its share of that sum.
    - ``conjunctive``: ``-sum of log p over positives``, every positive is required.
    - ``single``: ``-log p`` of one positive drawn at random at every call.

    Queries without a positive are left out of the mean. With few queries and a small encoder try ``conjunctive`` too: each
    positive that must be fitted is also one more example.

    Parameters
    ----------
    positives
        One of the three above.
    temperature
        Divides the scores, > 0; 1 for dot products, about 0.05 for cosines.
    random_state
        Seed of ``single``.

    References
    ----------
    Leveraging LLMs for Utility-Focused Annotation: Reducing Manual Effort for Retrieval and RAG, 2025 (paper 37).

    Examples
    --------
    >>> y = torch.tensor([[1, 1, 0, 0]])
    >>> scores = torch.zeros(1, 4)
    >>> [round(float(DisjInfoNCE(how)(scores, y)), 4) for how in ("disjunctive", "conjunctive", "single")]
    [0.6931, 2.7726, 1.3863]
    """

    card = Card(
        paper=37, year=2025, kind="loss", handles=frozenset({"noise", "representation"}), task="multi-label",
        supervision=frozenset(), needs=frozenset({"candidates"}),
        reference="Leveraging LLMs for Utility-Focused Annotation, 2025.",
        apart="It ranks candidates for queries; a race compares classifiers and regressors.",
    )  # fmt: skip
    tune = {"temperature": [0.05, 0.2, 1.0]}

    def __init__(
        self, positives: Literal["disjunctive", "conjunctive", "single"] = "disjunctive", temperature: float = 1.0,
        random_state: int = 0,
    ) -> None:  # fmt: skip
        super().__init__()
        if positives not in HOW:
            raise InputError(f"DisjInfoNCE.positives must be one of {', '.join(HOW)}. Got {positives!r}.")
        if not temperature > 0:
            raise InputError(f"DisjInfoNCE.temperature must be above 0. Got {temperature}.")
        self.positives, self.temperature, self.random_state = positives, temperature, random_state
        self._calls = 0

    def forward(self, logits: Tensor, y: Tensor, index: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """Return the (weighted) mean over the queries that have a positive; 0 if none has.

        Parameters
        ----------
        logits
            Scores ``(b, C)`` of C candidates for each query.
        y
            Marks ``(b, C)``: 1 positive, 0 negative, -1 unknown.
        index, weight
            As in `Loss`.

        Raises
        ------
        InputError
            When the shapes differ.
        """
        self.check(logits, y, index)
        some = (y == 1).any(1).to(logits.dtype)
        return super().forward(logits, y, index, some if weight is None else weight * some)

    def check(self, logits: Tensor, y: Tensor, index: Tensor | None) -> None:
        """Raise `InputError` when scores and marks differ in shape."""
        if logits.ndim != 2 or y.shape != logits.shape:
            raise InputError(
                "DisjInfoNCE expects scores and marks of one shape (b, C), a mark for every candidate of every query. "
                f"Got {tuple(logits.shape)} and {tuple(y.shape)}."
            )

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the loss of each query, (b,); 0 for one without a positive."""
        scores = (logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits) / self.temperature
        wanted = self._drawn(y) if self.positives == "single" else y == 1
        some = wanted.any(1)
        seen = (y >= 0) | ~some[:, None]  # a query without a positive gives 0 below; keep its sums finite
        everything = scores.masked_fill(~seen, -torch.inf).logsumexp(1)
        if self.positives == "conjunctive":
            value = (wanted * (everything[:, None] - scores)).sum(1)
        else:
            value = everything - scores.masked_fill(~(wanted | ~some[:, None]), -torch.inf).logsumexp(1)
        return torch.where(some, value, 0).to(logits.dtype)

    def _drawn(self, y: Tensor) -> Tensor:
        """Mark one positive a row, drawn at random."""
        self._calls += 1
        generator = torch.Generator().manual_seed(self.random_state + self._calls)
        chance = torch.rand(y.shape, generator=generator).to(y.device).masked_fill(y != 1, -1)
        picked = torch.zeros_like(y, dtype=torch.bool).scatter_(1, chance.argmax(1, keepdim=True), value=True)
        return picked & (y == 1)


class Candidates(NamedTuple):
    """Scores and marks of all candidates of a batch for each of its queries, both (B, B * N)."""

    scores: Tensor
    marks: Tensor


def in_batch(queries: Tensor, passages: Tensor, marks: Tensor) -> Candidates:
    """Score every query against the passages of all queries of the batch; those of the others are negatives.

    Parameters
    ----------
    queries
        Vectors ``(B, d)``.
    passages
        Vectors ``(B, N, d)`` of N passages for each query.
    marks
        ``(B, N)``: 1 positive, 0 (hard) negative, -1 unknown.

    Raises
    ------
    InputError
        When the shapes do not fit.

    Examples
    --------
    >>> found = in_batch(torch.eye(2), torch.eye(2)[:, None], torch.ones(2, 1))
    >>> found.scores.tolist(), found.marks.tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 1.0]])
    """
    if (
        passages.ndim != 3
        or queries.shape != (passages.shape[0], passages.shape[2])
        or marks.shape != passages.shape[:2]
    ):
        raise InputError(
            "in_batch expects queries (B, d), passages (B, N, d) and marks (B, N). "
            f"Got {tuple(queries.shape)}, {tuple(passages.shape)} and {tuple(marks.shape)}."
        )
    b, n, d = passages.shape
    own = torch.eye(b, dtype=marks.dtype, device=marks.device)
    everyone = (own[:, :, None] * marks[:, None, :]).reshape(b, b * n)
    return Candidates(queries @ passages.reshape(b * n, d).T, everyone)
