"""One step of each method's loss and gradient against plain torch, written from the published formulas.

The references share the tensors (views are recorded) and the draws (mixups are recorded) with the methods, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from labelwise.learner import Pair, SemiSupervised, Train
from labelwise.nets.dense import MLP
from labelwise.parts.alignment import Alignment
from labelwise.parts.mixers import Mix
from labelwise.parts.views import Jitter, Views
from labelwise.semi_supervised import DeepCoTraining, FixMatch, MeanTeacher, MixMatch, ReMixMatch, mixing, mixmatch
from labelwise.training import Batch

K, D, N, POOL = 4, 6, 10, 24
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, D)).astype(np.float32)
Y = np.where(np.arange(60) < 20, np.arange(60) % K, -1)
Y[:6] = 0  # classes of unequal size, so that the prior matters


class Recorded(nn.Module):
    """A view that keeps everything it has returned."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.view, self.drawn = Jitter(scale), []

    def forward(self, x: Tensor) -> Tensor:
        self.drawn.append(self.view(x))
        return self.drawn[-1]


def fitted(method: type[SemiSupervised], **fields: Any) -> Any:
    """Return a method with a network of its kind and its state, trained a little."""
    torch.manual_seed(0)
    train = Train(epochs=3, batch_size=16, lr=0.05)
    return method(net=MLP(D, K, hidden=(16,)), train=train, random_state=0, **fields).fit(X, Y)


def rows(numbers: Any, y: Any = None, views: Views | None = None) -> Batch:
    index = torch.as_tensor(numbers)
    return Batch(torch.as_tensor(X)[index], torch.as_tensor(Y if y is None else y)[index], index, views=views)


def step(views: Views) -> Batch:
    batch = rows(np.arange(N), views=views)
    return Batch(batch.x, batch.y, batch.index, views=views, unlabelled=rows(np.arange(20, 20 + POOL), views=views))


def recording(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Mix]:
    """Keep every mix that a module's function draws."""
    drawn, draw = [], getattr(module, name)

    def kept(*args: Any, **kwargs: Any) -> Mix:
        drawn.append(draw(*args, **kwargs))
        return drawn[-1]

    monkeypatch.setattr(module, name, kept)
    return drawn


def agree(model: Any, batch: Batch, reference: Callable[[], Tensor], *nets: nn.Module) -> None:
    """Compare the value and the gradient by every weight of `nets`."""
    weights = [p for net in nets for p in net.parameters() if p.requires_grad]
    total = torch.stack(list(model.loss(batch).values())).sum()
    found = torch.autograd.grad(total, weights)
    expected = reference()
    torch.testing.assert_close(total, expected, atol=1e-5, rtol=1e-5)
    for mine, theirs in zip(found, torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)


def ce(scores: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross-entropy against codes or probabilities."""
    log_p = scores - torch.log(torch.exp(scores).sum(1, keepdim=True))
    soft = torch.eye(scores.shape[1])[target] if target.ndim == 1 else target
    return -(soft * log_p).sum() / len(scores)


def softmax(scores: Tensor) -> Tensor:
    return torch.exp(scores) / torch.exp(scores).sum(1, keepdim=True)


def sharpened(p: Tensor, temperature: float) -> Tensor:
    q = p ** (1 / temperature)
    return (q / q.sum(1, keepdim=True)).detach()


@pytest.mark.parametrize("threshold", [0.0, 0.6, 1.0])
def test_fixmatch(threshold: float) -> None:
    model, weak, strong = fitted(FixMatch, threshold=threshold, weight=0.7), Recorded(0.1), Recorded(0.5)
    batch = step(Views(weak, strong))

    def reference() -> Tensor:
        (labelled, plain), (hard,) = weak.drawn, strong.drawn
        p, total = softmax(model.net_(plain)).detach(), torch.zeros(())
        for row in range(POOL):
            if p[row].max() >= threshold:
                total = total + ce(model.net_(hard[row : row + 1]), p[row].argmax().reshape(1))
        return ce(model.net_(labelled), batch.y) + 0.7 * total / POOL

    agree(model, batch, reference, model.net_)


def test_fixmatch_with_mixup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs are mixed, labels and masks are those of the row with the larger share (`use_mixed_labels` off)."""
    model = fitted(FixMatch, threshold=0.6, mixup=0.75)
    weak, strong, drawn = Recorded(0.1), Recorded(0.5), recording(monkeypatch, mixing, "across")
    batch = step(Views(weak, strong))

    def reference() -> Tensor:
        (labelled, plain), (hard,), (mix,) = weak.drawn, strong.drawn, drawn
        own, other = mix.shares[0][:, None], mix.partners[1]
        together = torch.cat([labelled, hard])
        mixed = own * together + (1 - own) * together[other]
        top, label = softmax(model.net_(plain)).detach().max(1)
        log_q = torch.log(softmax(model.net_(mixed[N:])))[torch.arange(POOL), label]
        return ce(model.net_(mixed[:N]), batch.y) - ((top >= 0.6) * log_q).sum() / POOL

    agree(model, batch, reference, model.net_)
    assert bool((drawn[0].shares[0] >= 0.5).all())


@pytest.mark.parametrize("progress", [0.0, 0.2, 0.5, 1.0])
def test_mean_teacher(progress: float) -> None:
    model, weak = fitted(MeanTeacher, weight=20.0, ramp=0.5), Recorded(0.3)
    batch, model.total_ = step(Views(weak, Recorded(1.0))), 100
    model.step_ = torch.tensor(int(100 * progress))

    def reference() -> Tensor:
        labelled, seen, shown = weak.drawn
        target = softmax(model.teacher_.module(shown)).detach()
        gap = ((softmax(model.student_(seen)) - target) ** 2).sum() / (POOL * K)
        t = min(1.0, progress / 0.5)
        return ce(model.student_(labelled), batch.y) + 20 * float(np.exp(-5 * (1 - t) ** 2)) * gap

    assert any(not torch.equal(a, b) for a, b in zip(model.student_.parameters(), model.net_.parameters(), strict=True))
    agree(model, batch, reference, model.student_)


def test_mean_teacher_with_mixup(monkeypatch: pytest.MonkeyPatch) -> None:
    model, weak, drawn = (
        fitted(MeanTeacher, mixup=0.75, ramp=0.0),
        Recorded(0.3),
        recording(monkeypatch, mixing, "across"),
    )
    batch = step(Views(weak, Recorded(1.0)))

    def reference() -> Tensor:
        (labelled, seen, shown), (mix,) = weak.drawn, drawn
        own, other, together = mix.shares[0][:, None], mix.partners[1], torch.cat([labelled, seen])
        mixed = own * together + (1 - own) * together[other]
        gap = (softmax(model.student_(mixed[N:])) - softmax(model.teacher_.module(shown)).detach()) ** 2
        return ce(model.student_(mixed[:N]), batch.y) + model.weight * gap.mean()

    agree(model, batch, reference, model.student_)


@pytest.mark.parametrize("error", ["squared", "cross-entropy"])
def test_mixmatch(error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted(MixMatch, error=error, weight=5.0, temperature=0.4, augmentations=2, ramp=0.4)
    weak, drawn = Recorded(0.3), recording(monkeypatch, mixmatch, "mixup")
    batch, model.total_, model.step_ = step(Views(weak, Recorded(1.0))), 100, torch.tensor(10)

    def reference() -> Tensor:
        (first, second, labelled), (mix,) = weak.drawn, drawn
        guess = sharpened((softmax(model.net_(first)) + softmax(model.net_(second))) / 2, 0.4)
        x = torch.cat([labelled, first, second])
        y = torch.cat([torch.eye(K)[batch.y], guess, guess])
        other, own = mix.partners[1], mix.shares[0][:, None]
        x, y = own * x + (1 - own) * x[other], own * y + (1 - own) * y[other]
        scores = model.net_(x[N:])
        apart = (
            ce(scores, y[N:]) if error == "cross-entropy" else ((softmax(scores) - y[N:]) ** 2).sum() / (2 * POOL * K)
        )
        return ce(model.net_(x[:N]), y[:N]) + 5 * (10 / 40) * apart

    agree(model, batch, reference, model.net_)
    assert bool((drawn[0].shares[0] >= 0.5).all()) and len(drawn[0].shares[0].unique()) > 5  # one draw a row


def test_remixmatch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two steps, so that the history of predictions counts; the second is compared."""
    model = fitted(ReMixMatch, temperature=0.5, augmentations=2, ramp=0.0)
    shares = torch.bincount(torch.as_tensor(Y[Y >= 0]), minlength=K) / float((Y >= 0).sum())
    torch.testing.assert_close(model.align_.wanted, shares)
    model.align_ = Alignment(K, 128, shares)
    history = rows(np.arange(30, 54), views=None).x
    with torch.no_grad():
        model.guess(history)
    weak, strong, drawn = Recorded(0.2), Recorded(0.6), recording(monkeypatch, mixmatch, "mixup")
    batch, turned = step(Views(weak, strong)), []
    model.rearrange_.register_forward_hook(lambda _, given, out: turned.append((given[1], out)))

    def reference() -> Tensor:
        (plain,), (mix,), ((which, rearranged),) = weak.drawn, drawn, turned
        one, two, labelled = strong.drawn
        p = softmax(model.net_(plain)).detach()
        running = (softmax(model.net_(history)).detach().mean(0) + p.mean(0)) / 2
        q = p * shares / running
        q = sharpened(q / q.sum(1, keepdim=True), 0.5)
        x, y = torch.cat([labelled, plain, one, two]), torch.cat([torch.eye(K)[batch.y], q, q, q])
        other, own = mix.partners[1], mix.shares[0][:, None]
        x, y = own * x + (1 - own) * x[other], own * y + (1 - own) * y[other]
        naming = ce(model.pretext_head_(model.net_.features(rearranged)), which)
        mixed = ce(model.net_(x[N:]), y[N:])
        return ce(model.net_(x[:N]), y[:N]) + 1.5 * mixed + 0.5 * ce(model.net_(one), q) + 0.5 * naming

    agree(model, batch, reference, model.net_, model.pretext_head_)
    for row, k in enumerate(turned[0][0].tolist()):
        torch.testing.assert_close(turned[0][1][row], strong.drawn[0][row, model.rearrange_.orders[k]])


def test_deep_co_training() -> None:
    torch.manual_seed(1)
    model = fitted(DeepCoTraining, other=MLP(D, K, hidden=(16,)), radius=0.02, cot=1.0, diff=0.5, ramp=0.0)
    weak, second_weak = Recorded(0.2), Recorded(0.2)
    first, second = step(Views(weak, Recorded(1.0))), rows(np.arange(8, 8 + N), views=Views(second_weak, Recorded(1.0)))
    batch = Pair(first, second)
    f, g = model.net_, model.other_

    def pushed(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        x = x.detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(ce(net(x), y), x)
        return (x + 0.02 * torch.sign(slope)).detach()

    def entropy(p: Tensor) -> Tensor:
        return -(p * torch.log(p)).sum() / len(p)

    def cross(p: Tensor, scores: Tensor) -> Tensor:
        return -(p * torch.log(softmax(scores))).sum()

    def reference() -> Tensor:
        (xu, xf), (xg,) = weak.drawn, second_weak.drawn
        pf, pg, qf, qg = softmax(f(xu)), softmax(g(xu)), softmax(f(xf)), softmax(g(xg))
        agreement = entropy((pf + pg) / 2) - (entropy(pf) + entropy(pg)) / 2
        difference = (
            cross(qg, f(pushed(g, xg, second.y)))
            + cross(qf, g(pushed(f, xf, first.y)))
            + cross(pg, f(pushed(g, xu, pg.argmax(1))))
            + cross(pf, g(pushed(f, xu, pf.argmax(1))))
        ) / (N + POOL)
        return ce(f(xf), first.y) + ce(g(xg), second.y) + agreement + 0.5 * difference

    agree(model, batch, reference, f, g)
