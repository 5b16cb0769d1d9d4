"""Claims of DisjInfoNCE: a linear retriever trained on passages of which some are wrongly marked as positive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.claims import Claim
from labelwise.losses import DisjInfoNCE, in_batch

DIM, GROUP, QUERIES = 24, 16, 300
RATES = (3e-3, 1e-2, 3e-2)


class Retrieval(NamedTuple):
    """Queries (q, d), their groups of passages (q, N, d), true marks, and the marks of an annotator, both (q, N)."""

    queries: Any
    passages: Any
    truth: Any
    marks: Any


def retrieval(rng: np.random.Generator, hidden: np.ndarray, wrong: float) -> Retrieval:
    """Each query has 1 to 3 true positives, others on near topics; every fourth of those marked is wrong at `wrong` 0.25."""
    topic = rng.normal(size=(QUERIES, 1, DIM))
    n_true = rng.integers(1, 4, QUERIES)
    truth = np.arange(GROUP) < n_true[:, None]
    passages = topic + np.where(truth[..., None], 0.6, 1.3) * rng.normal(size=(QUERIES, GROUP, DIM))
    queries = (topic[:, 0] + 0.3 * rng.normal(size=(QUERIES, DIM))) @ hidden
    extra = rng.poisson(n_true * wrong / (1 - wrong))
    marks = truth | ((np.arange(GROUP) >= n_true[:, None]) & (np.arange(GROUP) < (n_true + extra)[:, None]))
    return Retrieval(*(torch.tensor(part, dtype=torch.float32) for part in (queries, passages, truth, marks)))


def trained(data: Retrieval, how: Any, lr: float, seed: int) -> torch.Tensor:
    """Return the matrix (d, d) that carries queries to passages."""
    weight = (0.01 * torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(seed))).requires_grad_()
    loss, optimizer = DisjInfoNCE(how, random_state=seed), torch.optim.Adam([weight], lr=lr)
    order = np.random.default_rng(seed)
    for _ in range(30):
        for rows in np.array_split(order.permutation(len(data.queries)), max(1, len(data.queries) // 32)):
            found = in_batch(data.queries[rows] @ weight, data.passages[rows], data.marks[rows])
            optimizer.zero_grad()
            loss(found.scores, found.marks).backward()
            optimizer.step()
    return weight.detach()


def mrr(weight: torch.Tensor, data: Retrieval, marks: Any) -> float:
    """Mean reciprocal rank, cut at 10, of the first marked passage among those of all queries."""
    found = in_batch(data.queries @ weight, data.passages, marks)
    order = found.scores.argsort(1, descending=True)[:, :10]
    hit = found.marks.gather(1, order) == 1
    rank = torch.where(hit.any(1), hit.float().argmax(1) + 1.0, torch.inf)
    return float((1 / rank).mean())


def compared(wrong: float, baseline: str) -> Callable[[int], dict[str, float]]:
    """Return a run: MRR@10 on new queries with true marks; learning rates are chosen by the annotator's marks."""

    def run(seed: int) -> dict[str, float]:
        rng = np.random.default_rng(seed)
        hidden = rng.normal(size=(DIM, DIM)) / np.sqrt(DIM)
        data, new = retrieval(rng, hidden, wrong), retrieval(rng, hidden, wrong)
        fit, held = (Retrieval(*(part[rows] for part in data)) for rows in (slice(0, 240), slice(240, None)))
        found = {}
        for how in ("disjunctive", "conjunctive", "single"):
            models = [trained(fit, how, lr, seed) for lr in RATES]
            best = max(models, key=lambda weight: mrr(weight, held, held.marks))
            found[how] = mrr(best, new, new.truth)
        return {"baseline": found[baseline], "method": found["disjunctive"]} | found

    return run


DATA = "300 queries of 24 numbers, 16 passages each, 1 to 3 of them relevant; linear retriever"
COMMON: dict[str, Any] = {
    "method": "labelwise.losses.DisjInfoNCE", "paper": 37, "metric": "MRR at 10 on 300 new queries, true marks",
}  # fmt: skip
CLAIMS = [
    Claim(
        name=f"{wrong:.0%} wrong, {baseline}", baseline=f"the {baseline} loss, same tuning", **COMMON,
        data=f"{DATA}; {wrong:.0%} of the marked passages wrong", run=compared(wrong, baseline), margin=margin,
        statement=statement,
    )
    for wrong, baseline, margin, statement in (
        (0.4, "conjunctive", 0.0, "Where many positives are wrong, one of them being enough beats requiring all."),
        (0.4, "single", 0.0, "Where many positives are wrong, it beats one positive drawn at random."),
        (0.0, "conjunctive", -0.02, "Where no positive is wrong, it loses nothing."),
    )
]  # fmt: skip
