from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from labelwise.parts.ema import EMA, ClassShares, frozen
from labelwise.parts.judges import aligned, confident, mean_or_zero, sharpen, small_loss
from labelwise.parts.memory import Queue, RowMemory
from labelwise.parts.prototypes import Prototypes
from labelwise.parts.tokens import HashTokenizer
from labelwise.parts.views import RandomPicture, Shift, TfidfReplace, TimeMask, Views, WordDrop, for_modality


def test_ema_is_the_running_mean_of_weights() -> None:
    module = nn.Linear(2, 1, bias=False)
    teacher, expected = EMA(module, decay=0.5), module.weight.detach().clone()
    for step in range(1, 5):
        with torch.no_grad():
            module.weight.fill_(float(step))
        teacher.update(module)
        decay = min(0.5, 1 - 1 / (step + 1))
        expected = decay * expected + (1 - decay) * module.weight.detach()
    torch.testing.assert_close(teacher.module.weight.detach(), expected)
    assert not any(p.requires_grad for p in teacher.parameters())


def test_ema_copies_buffers() -> None:
    module = nn.BatchNorm1d(3)
    teacher = EMA(module, 0.9)
    module(torch.randn(8, 3) + 4)
    teacher.update(module)
    torch.testing.assert_close(teacher.module.running_mean, module.running_mean)


def test_frozen_lets_gradients_through_to_the_input_only() -> None:
    module, x = nn.Linear(2, 2), torch.randn(1, 2, requires_grad=True)
    copy = frozen(module)
    copy(x).sum().backward()
    assert x.grad is not None and all(p.grad is None for p in copy.parameters())


@given(st.lists(st.integers(1, 7), min_size=1, max_size=8), st.integers(1, 9))
@settings(deadline=None)
def test_queue_keeps_the_last_rows(pushes: list[int], size: int) -> None:
    queue, seen, number = Queue(size, 1), [], 0
    for n in pushes:
        rows = [float(number + i) for i in range(n)]
        number += n
        seen += rows
        queue.push(torch.tensor(rows)[:, None])
    assert sorted(queue.filled.squeeze(1).tolist()) == sorted(seen[-size:])


def test_row_memory_touches_only_its_rows() -> None:
    memory = RowMemory(4, 2, decay=0.75)
    new = memory.update(torch.tensor([2, 0]), torch.tensor([[4.0, 0], [0, 8.0]]))
    assert new.tolist() == [[1.0, 0], [0, 2.0]]
    assert memory.rows.tolist() == [[0, 2.0], [0, 0], [1.0, 0], [0, 0]]


def test_judges() -> None:
    logits = torch.tensor([[5.0, 0.0], [0.1, 0.0]])
    label, sure = confident(logits, 0.95)
    assert (label.tolist(), sure.tolist()) == ([0, 0], [1.0, 0.0])
    p = logits.softmax(1)
    torch.testing.assert_close(sharpen(p, 0.5), p.square() / p.square().sum(1, keepdim=True))
    torch.testing.assert_close(sharpen(p, 1.0), p)
    uniform = torch.full((2,), 0.5)
    torch.testing.assert_close(aligned(p, uniform, uniform), p)
    assert small_loss(torch.tensor([3.0, 1.0, 2.0]), 0.67).tolist() == [False, True, True]
    assert mean_or_zero(torch.empty(0, requires_grad=True)).requires_grad


def test_class_shares_and_prototypes() -> None:
    shares = ClassShares(2, decay=0.5)
    torch.testing.assert_close(shares.update(torch.tensor([[1.0, 0.0]])), torch.tensor([0.75, 0.25]))
    prototypes = Prototypes(3, 2)
    prototypes.update(torch.tensor([[2.0, 0], [0, 3.0]]), torch.tensor([0, 2]))
    scores = prototypes(torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(scores, torch.tensor([[1.0, -1.0, 0.0]]))


def test_views_keep_shape_and_leave_the_input_alone() -> None:
    inputs = {
        "vectors": torch.randn(5, 3), "images": torch.rand(5, 1, 8, 8), "series": torch.randn(5, 2, 9),
        "tokens": torch.randint(1, 50, (5, 6), dtype=torch.int32),
    }  # fmt: skip
    for modality, x in inputs.items():
        before, views = x.clone(), for_modality(modality)
        for view in (views.weak, views.strong):
            out = view(x)
            assert out.shape == x.shape and out.dtype == x.dtype
        assert torch.equal(x, before)
        assert not torch.equal(views.strong(x), x)


def test_shift_moves_whole_pictures() -> None:
    torch.manual_seed(0)
    x = torch.arange(64.0).reshape(1, 1, 8, 8).repeat(50, 1, 1, 1)
    moved = Shift(0.125)(x)
    inner = moved[:, 0, 3, 3] - 27
    assert set(inner.tolist()) <= {float(8 * r + c) for r in (-1, 0, 1) for c in (-1, 0, 1)}
    assert len(set(inner.tolist())) > 4


def test_time_mask_and_picture_hide_a_part() -> None:
    torch.manual_seed(0)
    series = TimeMask(scale=0.0, share=0.5)(torch.ones(200, 1, 20))
    hidden = (series == 0).float().mean(2).squeeze(1)
    assert 0.15 < float(hidden.mean()) < 0.35
    assert float((RandomPicture(0.5)(torch.rand(100, 1, 8, 8)) == 0.5).float().mean()) > 0.02


def test_word_drop_rate_and_first_token() -> None:
    torch.manual_seed(0)
    out = WordDrop(0.3)(torch.ones(500, 20, dtype=torch.int32))
    assert (out[:, 0] == 1).all()
    assert 0.25 < float((out[:, 1:] == 0).float().mean()) < 0.35


def test_tfidf_replacement_keeps_keywords_and_the_rate() -> None:
    torch.manual_seed(0)
    tokens = torch.cat([torch.randint(1, 5, (400, 10)), torch.arange(5, 405)[:, None]], 1)
    view = TfidfReplace.from_tokens(tokens, 405, rate=0.2)
    out = view(tokens)
    changed = (out != tokens).float()
    assert float(changed[:, -1].mean()) == 0  # every last word occurs once: the highest idf is never replaced
    assert 0.1 < float(changed.mean()) < 0.25  # replacements by the same word are not seen


def test_tokenizer_is_stable_and_pads() -> None:
    codes = HashTokenizer(100, 5)(["Hello, world", ""])
    assert codes.shape == (2, 5) and (codes[0, :3] > 0).all() and (codes[0, 3:] == 0).all() and (codes[1] == 0).all()
    assert (codes == HashTokenizer(100, 5)(["hello, WORLD", ""])).all()


def test_views_are_a_module_of_two() -> None:
    views = Views(nn.Identity(), nn.Identity())
    assert list(dict(views.named_children())) == ["weak", "strong"]
