"""Claims of DisjInfoNCE: a linear retriever trained on passages of which some are wrongly marked as positive."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.claims import Claim
from labelwise.losses import DisjInfoNCE, in_batch

DIM, GROUP, QUERIES = 24, 16, 300
RATES = (3e-3, 1e-2)


class Retrieval(NamedTuple):
    """Queries (q, d), their groups of passages (q, N, d), true marks, and the marks of an annotator, both (q, N)."""

    queries: Any
    passages: Any
    truth: Any
    marks: Any


def retrieval(rng: np.random.Generator, hidden: np.ndarray, wrong: float, related: bool) -> Retrieval:
    """Each query has 1 to 3 true positives; the others are half on its topic. A share `wrong` of the marked is not true.

    Those are of the others where `related`, as an annotator errs; else they have nothing to do with the query.
    """
    topic = rng.normal(size=(QUERIES, 1, DIM))
    n_true = rng.integers(1, 4, QUERIES)
    truth = np.arange(GROUP) < n_true[:, None]
    extra = rng.poisson(n_true * wrong / (1 - wrong))
    marks = truth | ((np.arange(GROUP) >= n_true[:, None]) & (np.arange(GROUP) < (n_true + extra)[:, None]))
    on_topic = np.where(truth, 1.0, np.where(marks & ~truth & (not related), 0.0, 0.5))[..., None]
    passages = on_topic * topic + np.where(truth[..., None], 0.6, 0.9) * rng.normal(size=(QUERIES, GROUP, DIM))
    queries = (topic[:, 0] + 0.3 * rng.normal(size=(QUERIES, DIM))) @ hidden
    return Retrieval(*(torch.tensor(part, dtype=torch.float32) for part in (queries, passages, truth, marks)))


def trained(data: Retrieval, how: Any, lr: float, seed: int) -> torch.Tensor:
    """Return the matrix (d, d) that carries queries to passages."""
    weight = (0.01 * torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(seed))).requires_grad_()
    loss, optimizer = DisjInfoNCE(how, random_state=seed), torch.optim.Adam([weight], lr=lr)
    order = np.random.default_rng(seed)
    for _ in range(20):
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


@cache
def measured(wrong: float, related: bool, seed: int) -> dict[str, float]:
    """MRR@10 of all losses on new queries with true marks; learning rates are chosen by the annotator's marks."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(DIM, DIM)) / np.sqrt(DIM)
    data, new = (retrieval(rng, hidden, wrong, related) for _ in range(2))
    fit, held = (Retrieval(*(part[rows] for part in data)) for rows in (slice(0, 240), slice(240, None)))
    found = {}
    for how in ("disjunctive", "conjunctive", "single"):
        models = [trained(fit, how, lr, seed) for lr in RATES]
        best = max(models, key=lambda weight: mrr(weight, held, held.marks))
        found[how] = mrr(best, new, new.truth)
    return found


def compared(wrong: float, related: bool, baseline: str) -> Callable[[int], dict[str, float]]:
    """Return a run that compares two losses and tells all."""

    def run(seed: int) -> dict[str, float]:
        found = measured(wrong, related, seed)
        return {"baseline": found[baseline], "method": found["disjunctive"]} | found

    return run


DATA = "300 queries of 24 numbers, 16 passages each, 1 to 3 of them relevant; linear retriever"
COMMON: dict[str, Any] = {
    "method": "labelwise.losses.DisjInfoNCE", "paper": 37, "metric": "MRR at 10 on 300 new queries, true marks",
}  # fmt: skip
FIRST = (
    "Not so for a linear retriever and 240 queries: every positive that must be fitted is also one more example. In a first "
    "setting, where other passages differed from relevant ones by more noise alone, no loss learned anything (below 0.05)."
)
CLAIMS = [
    Claim(
        name=name, baseline=f"the {baseline} loss, same tuning", data=f"{DATA}; {marked}", margin=margin, tried=FIRST,
        run=compared(wrong, related, baseline), statement=statement, **COMMON,
    )
    for name, wrong, related, baseline, margin, marked, statement in (
        ("unrelated positives, against all", 0.4, False, "conjunctive", 0.0, "40 % of the marked passages unrelated",
         "Where many positives are wrong, one of them being enough beats requiring all."),
        ("unrelated positives, against one", 0.4, False, "single", 0.0, "40 % of the marked passages unrelated",
         "Where many positives are wrong, it beats one positive drawn at random."),
        ("related positives, against all", 0.4, True, "conjunctive", 0.0, "40 % of the marked passages half on topic",
         "The same where the wrong ones are not unrelated, only less relevant."),
        ("true positives, against all", 0.0, False, "conjunctive", -0.02, "all marked passages relevant",
         "Where no positive is wrong, it loses nothing."),
    )
]  # fmt: skip
