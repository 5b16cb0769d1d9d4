"""The guard: where the pool is useless, shifted or poisoned, the race returns the supervised baseline."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

from labelwise import catalogue
from labelwise.advice import race, shortlist
from labelwise.advice.candidates import Candidate
from labelwise.audit import audit
from labelwise.base import UNLABELED
from labelwise.data.synthetic import backdoor_pool
from labelwise.learner import Train
from labelwise.semi_supervised import FixMatch, MeanTeacher

LABELS, POOL = 80, 900


def drawn(seed: int) -> tuple[Any, Any, Any, Any]:
    """Return labelled rows, their labels, and a pool of the same kind with its hidden classes."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(X))
    few, pool = order[:LABELS], order[LABELS : LABELS + POOL]
    return X[few] / 16, y[few], X[pool] / 16, y[pool]


def useless(seed: int) -> Any:
    """Return a pool of noise."""
    return np.random.default_rng(seed).uniform(0, 1, (POOL // 2, 64))


def shifted(seed: int) -> Any:
    """Return a pool of other pictures: turned, negative, and of two classes only."""
    _, _, pool, hidden = drawn(seed)
    some = pool[np.isin(hidden, [0, 8])].reshape(-1, 8, 8)
    return 1 - np.rot90(some, axes=(1, 2)).reshape(len(some), -1)


def learner(cls: Any, **settings: Any) -> Any:
    train = Train(epochs=20, batch_size=32, lr=3e-3, progress=False)
    return lambda params: cls(train=train, random_state=0, **settings)


def never_below(make: Any, seed: int) -> bool:
    """Race against the same training without its pool part, check the choice on fresh rows, and say whether it is that."""
    X, y, _, _ = drawn(seed)
    pool = make(seed)
    rows, labels = np.vstack([X, pool]).astype(np.float32), np.r_[y, np.full(len(pool), UNLABELED)]
    candidates = [Candidate(cls.__name__, learner(cls)) for cls in (FixMatch, MeanTeacher)]
    alone = Candidate("baseline", learner(FixMatch, weight=0.0))
    result = race(rows, labels, candidates, alone, budget_seconds=None, draws=1, folds=4, repeats=1, random_state=seed)
    everything, truth = load_digits(return_X_y=True)
    chosen, plain = (
        model.fit(rows, labels).score(everything / 16, truth) for model in (result.build(), alone.build({}))
    )
    assert chosen >= plain - 0.02, result.reason
    return result.verdict == "baseline kept"


@pytest.mark.parametrize("make", [useless, shifted])
def test_a_pool_that_does_not_help_is_not_used(make: Any) -> None:
    assert never_below(make, 0)


@pytest.mark.slow
@pytest.mark.parametrize("make", [useless, shifted])
def test_on_more_draws(make: Any) -> None:
    """By the level of the race a pool without use may win one time in ten."""
    assert sum(never_below(make, seed) for seed in range(1, 7)) >= 4


@pytest.mark.parametrize("seed", range(3))
def test_a_poisoned_pool_is_not_learnt_from(seed: int) -> None:
    X, y, pool, hidden = drawn(seed)
    poisoned = backdoor_pool(pool, hidden, target=3, rate=0.05, shape=(8, 8), random_state=seed)
    labels = np.r_[y, np.full(len(pool), UNLABELED)]
    clean, attacked = (audit(np.vstack([X, part]).astype(np.float32), labels) for part in (pool, poisoned.X))
    assert not clean.of_kind("poisoned pool")
    assert attacked.of_kind("poisoned pool")
    rooms = ("semi_supervised", "active", "discovery")
    pooled = {entry.name for room in rooms for entry in catalogue.methods(room=room)}
    assert {c.name for c in shortlist(clean, random_state=seed)} & pooled
    chosen = shortlist(attacked, random_state=seed)
    assert chosen
    assert not {c.name for c in chosen} & pooled
    assert not any("missing labels" in catalogue.find(c.name).handles for c in chosen)
    assert [c.name for c in shortlist(attacked, names=["FixMatch"])] == ["FixMatch"], "a person may insist"
