from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.datasets import load_digits
from torch import Tensor, nn

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.semi_supervised import ShrinkMatch
from labelwise.semi_supervised.shrinkmatch import shrink, shrink_loss
from labelwise.training import Batch

X, Y = load_digits(return_X_y=True)
X, Y = X[:300].astype(np.float32), Y[:300]
FEW = np.where(np.arange(300) < 60, Y, -1)


def slowly(q: list[float], scores: list[float], threshold: float) -> tuple[float, int | None]:
    """Return a row's loss and its c, class by class as the paper tells it."""
    order = sorted(range(len(q)), key=lambda k: -q[k])
    if q[order[0]] >= threshold:
        return 0.0, None
    for c in range(2, len(q)):
        kept = [order[0], *order[c:]]
        if q[order[0]] / sum(q[k] for k in kept) >= threshold:
            chance = math.exp(scores[order[0]]) / sum(math.exp(scores[k]) for k in kept)
            return q[order[0]] * -math.log(chance), c
    return 0.0, None


@settings(max_examples=100)
@given(
    hnp.arrays(np.float64, st.tuples(st.integers(1, 8), st.integers(2, 9)), elements=st.floats(0, 8)),
    st.floats(0.3, 0.999), st.integers(0, 10**6),
)  # fmt: skip
def test_the_search_is_the_loop_over_classes(logits: np.ndarray, threshold: float, seed: int) -> None:
    q = torch.as_tensor(logits).softmax(1)
    scores = torch.randn(q.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    told, (values, part) = shrink(q, threshold), shrink_loss(q, scores, threshold)
    for row in range(len(q)):
        ranked = q[row].sort(descending=True).values
        near = [float(ranked[0] / (ranked[0] + ranked[c:].sum())) for c in range(1, len(ranked))]
        if min(abs(value - threshold) for value in [*near, float(ranked[0])]) < 1e-9 or len(ranked.unique()) < len(
            ranked
        ):
            continue  # a tie between summation orders or classes: either answer is right
        expected, c = slowly(q[row].tolist(), scores[row].tolist(), threshold)
        assert float(values[row]) == pytest.approx(expected, abs=1e-9)
        assert bool(part[row]) == (c is not None)
        if c is not None:
            assert int(told.first[row]) == c


def test_the_example_of_the_paper() -> None:
    told = shrink(torch.tensor([[0.5, 0.45, 0.03, 0.02], [0.03, 0.02, 0.45, 0.5]]), 0.9)
    assert told.first.tolist() == [2, 2] and told.found.all()
    np.testing.assert_allclose(told.confidence.numpy(), 0.5 / 0.55, rtol=1e-6)
    assert told.order.tolist() == [[0, 1, 2, 3], [3, 2, 0, 1]]


def test_rows_that_stay_in_doubt_cost_nothing() -> None:
    q, scores = torch.tensor([[0.4, 0.3, 0.3]]), torch.zeros(1, 3, requires_grad=True)
    value, part = shrink_loss(q, scores, 0.9)
    value.sum().backward()
    assert not part.any() and float(value.detach()) == 0 and not scores.grad.any()


def test_two_classes_leave_nothing_to_remove() -> None:
    value, part = shrink_loss(torch.tensor([[0.6, 0.4]]), torch.zeros(1, 2), 0.9)
    assert not part.any() and not value.any()


def test_removed_classes_get_no_gradient_and_huge_scores_stay_finite() -> None:
    q = torch.tensor([[0.5, 0.45, 0.03, 0.02]])
    scores = torch.tensor([[1.0, 1e4, 0.5, 0.2]], requires_grad=True)
    value, _ = shrink_loss(q, scores, 0.9)
    value.sum().backward()
    assert float(scores.grad[0, 1]) == 0 and bool(torch.isfinite(scores.grad).all())
    rest = torch.tensor([1.0, 0.5, 0.2])
    assert float(value.detach()) == pytest.approx(0.5 * float(rest.logsumexp(0) - 1.0), rel=1e-5)
    assert torch.isfinite(shrink_loss(q.half(), 1e4 * torch.ones(1, 4).half(), 0.9)[0]).all()


def test_the_loss_adds_up_as_the_paper_says() -> None:
    """Sure rows by the head, doubtful rows by the auxiliary one, weighted by confidence and the share of sure rows."""
    model = ShrinkMatch(threshold=0.6, weight=0.8, shrink_weight=0.5, decay=0.9, train=quick(), random_state=0).fit(
        X, FEW
    )
    x = torch.as_tensor(model.inputs_.transform(X))
    pool = Batch(x[60:160], torch.full((100,), -1), torch.arange(60, 160))
    batch = Batch(x[:20], torch.as_tensor(Y[:20]), torch.arange(20), unlabelled=pool)
    model.head_.eval()
    model.certain_ = torch.tensor(0.25)
    with torch.no_grad():
        parts = model.loss(batch)
        q, hard, other = (
            softmax(model.net_(pool.x)),
            softmax(model.net_(pool.x)),
            model.head_(model.net_.features(pool.x)),
        )
    certain, sure, doubtful = 0.9 * 0.25 + 0.1 * float((q.max(1).values >= 0.6).double().mean()), 0.0, 0.0
    for row in range(100):
        if q[row].max() >= 0.6:
            sure -= float((q[row] * hard[row].log()).sum()) / 100
        doubtful += slowly(q[row].tolist(), other[row].tolist(), 0.6)[0] / 100
    assert 0 < certain < 1 and doubtful > 0
    assert float(parts["consistency"]) == pytest.approx(0.8 * sure, rel=1e-4)
    assert float(parts["shrink"]) == pytest.approx(0.8 * 0.5 * certain * doubtful, rel=1e-4)


def softmax(scores: Tensor) -> Tensor:
    return scores.double().softmax(1)


def quick(**fields: object) -> Train:
    return Train(**{"epochs": 3, "batch_size": 30, **fields})


def test_more_of_the_pool_is_used_than_is_sure() -> None:
    model = ShrinkMatch(train=quick(epochs=6), random_state=0).fit(X, FEW)
    assert 0 <= float(model.sure_) < float(model.used_) <= 1
    assert "shrink" in model.history_[-1] and bool(model.certain_.isnan())


def test_alignment_pictures_and_texts() -> None:
    model = ShrinkMatch(alignment=32, train=quick(epochs=1), random_state=0).fit(X.reshape(-1, 8, 8, 1) / 16, FEW)
    assert len(model.align_.queue.items) == 32 and model.predict_proba(X[:2].reshape(-1, 8, 8, 1) / 16).shape == (2, 10)
    texts = ["good film", "bad film", "odd film"] * 6
    told = ShrinkMatch(train=quick(epochs=1), random_state=0).fit(texts, [0, 1, 2] * 3 + [-1] * 9)
    assert told.predict(texts).shape == (18,)


def test_the_auxiliary_head_needs_features() -> None:
    with pytest.raises(InputError, match="Sequential has no features"):
        ShrinkMatch(net=nn.Sequential(nn.Linear(64, 10)), train=quick()).fit(X, FEW)
