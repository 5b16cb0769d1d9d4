"""Masked hard instance mining: what is hidden, against a loop; the teacher's way; hard rows found on planted bags."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from labelwise.base import InputError
from labelwise.batch import Batch
from labelwise.data.synthetic import two_kind_bags
from labelwise.training import Train
from labelwise.weak import MHIM, MultipleInstance
from labelwise.weak.mhim import unmasked


@given(
    st.integers(0, 10**6), st.integers(1, 60), st.floats(0, 0.5), st.floats(0.3, 1.0), st.floats(0, 0.4)
)  # fmt: skip
@settings(deadline=None)
def test_hidden_rows_are_among_the_highest_and_lowest_and_as_many_as_asked(seed, n, high, drop_share, low):
    rng = np.random.default_rng(seed)
    bag, score = rng.integers(0, 3, n), rng.normal(size=n)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        keep = unmasked(torch.tensor(score), torch.tensor(bag), high, drop_share, low).numpy()
    for b in np.unique(bag):
        rows = np.flatnonzero(bag == b)
        order = rows[np.argsort(-score[rows])]
        size = len(rows)
        single = np.float32
        candidates = set(order[: int(np.ceil(single(size) * single(high) / single(drop_share)))])
        wanted = min(int(np.round(single(size) * single(high))), len(candidates))
        lowest = set(order[size - int(np.floor(single(size) * single(low))) :])
        hidden = set(rows[~keep[rows]])
        if keep[rows].all():
            assert wanted + len(lowest) == 0 or len(candidates | lowest) == size
            continue
        assert lowest <= hidden <= candidates | lowest
        assert wanted <= len(hidden) <= wanted + len(lowest)


def test_a_bag_always_keeps_a_row():
    keep = unmasked(torch.tensor([0.1, 0.2, 0.9]), torch.tensor([0, 1, 1]), high=1.0, drop_share=1.0)
    assert keep.tolist() == [True, True, True]
    assert unmasked(torch.randn(50), torch.zeros(50, dtype=torch.long), 0.0, 1.0, chance=0.9).any()


def test_the_loss_is_the_papers():
    drawn = two_kind_bags(6, 10, random_state=0)
    model = MHIM(train=Train(epochs=1), teacher_epochs=1, random_state=0).fit(drawn.X, drawn.y, bags=drawn.bags)
    x = torch.as_tensor(model.inputs_.transform(drawn.X))
    bag = torch.as_tensor(drawn.bags)
    batch = Batch(x, torch.as_tensor(drawn.y)[bag], torch.arange(60), domain=bag)
    target, keep = model.taught(x, bag, 6)
    assert int((~keep).sum()) == 6  # one of ten rows in each of six bags
    found = model.loss(batch)
    vector = model.pool_(model.net_.features(x[keep]), bag[keep], 6).detach().numpy()
    teacher = np.exp(target.numpy() / 0.1 - (target.numpy() / 0.1).max(1, keepdims=True))
    teacher /= teacher.sum(1, keepdims=True)
    soft = -(teacher * (vector - np.log(np.exp(vector).sum(1, keepdims=True)))).sum(1).mean()
    np.testing.assert_allclose(found["consistency"].item(), 0.5 * soft, rtol=1e-4)
    found["consistency"].backward()
    assert all(weight.grad is None for weight in model.teacher_net_.parameters())


def test_the_teacher_stays_itself_at_decay_one_and_follows_otherwise():
    drawn = two_kind_bags(12, 10, random_state=0)

    def gap(decay: float) -> float:
        model = MHIM(decay=decay, teacher_epochs=2, train=Train(epochs=5, batch_size=40), random_state=0)
        model.fit(drawn.X, drawn.y, bags=drawn.bags)
        pairs = zip(model.teacher_net_.parameters(), model.net_.parameters(), strict=True)
        return float(sum((a - b).abs().sum().detach() for a, b in pairs))

    assert gap(0.0) == 0 < gap(0.9) < gap(1.0)


def test_hard_rows_are_found_where_easy_ones_hide_them():
    drawn = two_kind_bags(160, (20, 30), hard_shift=3.0, random_state=0)
    learn, ask = drawn.bags < 80, (drawn.bags >= 80) & (drawn.kind != 1)
    train = Train(epochs=12, batch_size=256, lr=3e-3)
    scores = []
    for model in (
        MultipleInstance(train=train, random_state=0),
        MHIM(mask_high=0.25, teacher_epochs=12, train=train, random_state=0),
    ):
        model.fit(drawn.X[learn], drawn.y[:80], bags=drawn.bags[learn])
        proba = model.predict_proba(drawn.X[ask], bags=drawn.bags[ask] - 80)[:, 1]
        scores.append(roc_auc_score(drawn.y[80:], proba))
    assert scores[1] > scores[0] + 0.05


def test_what_cannot_score_rows_is_refused():
    with pytest.raises(InputError, match="pooling must be 'gated' or 'attention'"):
        MHIM(pooling="mean").fit(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(InputError, match="drop_share must be above 0"):
        MHIM(drop_share=0.0).fit(np.eye(4), [0, 1, 0, 1])
