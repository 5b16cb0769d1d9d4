"""Claims of negative preference optimisation: the authors' two-class problem on random features, and digits."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

from benchmarks.claims import Claim
from labelwise.learner import Classifier, Train
from labelwise.losses.forgetting import kl_from, npo
from labelwise.unlearning import NPO, GradientAscent

STEPS = 2000
TRAIN = Train(epochs=30)


def toy(seed: int) -> dict[str, Any]:
    """Return two-class rows behind random ReLU features, and the model before: one weight a feature.

    1,000 kept rows and 200 to forget, from modes of their own with labels of their own noise, as the authors draw them.
    """
    rng = np.random.default_rng(seed)
    d, width = 16, 128
    direction = rng.normal(size=d) / np.sqrt(d)
    kept = rng.normal(size=(1000, d))
    lost = rng.normal(size=(200, d)) + 2.0 * rng.normal(size=d) / np.sqrt(d)
    sign = np.concatenate([kept @ direction > 0, lost @ direction < 0])  # the forgotten mode teaches the contrary
    features = np.maximum(np.concatenate([kept, lost]) @ rng.normal(size=(d, width)) / np.sqrt(d), 0)
    x, y = torch.as_tensor(features, dtype=torch.float32), torch.as_tensor(sign)
    y = torch.where(torch.as_tensor(rng.random(1200) < 0.1), ~y, y).long()
    found = {"kept": (x[:1000], y[:1000]), "lost": (x[1000:], y[1000:])}
    return {**found, "before": fitted(x, y), "gold": fitted(*found["kept"])}


def scores(weights: Tensor, x: Tensor) -> Tensor:
    """Return the scores of both classes."""
    f = x @ weights
    return torch.stack([torch.zeros_like(f), f], 1)


def likelihood(weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Return the labels' log-probabilities."""
    return scores(weights, x).log_softmax(1).gather(1, y[:, None])[:, 0]


def fitted(x: Tensor, y: Tensor) -> Tensor:
    """Return the weights of logistic regression."""
    return descend(torch.zeros(x.shape[1]), lambda weights: -likelihood(weights, x, y).mean(), 500, 1e-2)[-1]


def descend(
    start: Tensor, loss: Callable[[Tensor], Tensor], steps: int, lr: float, optimizer: type[Any] = torch.optim.Adam
) -> list[Tensor]:
    """Return the weights after every step."""
    weights = start.clone().requires_grad_(True)
    stepper, path = optimizer([weights], lr=lr), []
    for _ in range(steps):
        stepper.zero_grad()
        loss(weights).backward()  # type: ignore[no-untyped-call]
        stepper.step()
        path.append(weights.detach().clone())
    return path


@cache
def paths(seed: int) -> dict[str, Any]:
    """Return the toy, and the ways of gradient ascent and NPO, alone and with the kept rows' loss."""
    torch.manual_seed(seed)
    drawn = toy(seed)
    (x, y), (x_lost, y_lost), before = drawn["kept"], drawn["lost"], drawn["before"]
    old = likelihood(before, x_lost, y_lost)

    def keep(weights: Tensor) -> Tensor:
        return -likelihood(weights, x, y).mean()

    losses: dict[str, Callable[[Tensor], Tensor]] = {
        "ascent": lambda weights: likelihood(weights, x_lost, y_lost).mean(),
        "npo": lambda weights: npo(likelihood(weights, x_lost, y_lost), old, 1.0).mean(),
    }
    forgetting = dict(losses)
    losses["ascent+retain"] = lambda weights: forgetting["ascent"](weights) + keep(weights)
    losses["npo+retain"] = lambda weights: forgetting["npo"](weights) + keep(weights)
    ways = {name: descend(before, loss, STEPS, 5e-4) for name, loss in losses.items()}
    plain = {f"{name}, plain": descend(before, forgetting[name], STEPS, 5e-2, torch.optim.SGD) for name in forgetting}
    return {**drawn, "paths": ways | plain}


def distance(found: dict[str, Any], weights: Tensor, part: str) -> float:
    """Return the divergence of the answers from those of the model trained without the rows."""
    x = found[part][0]
    return float(kl_from(scores(found["gold"], x), scores(weights, x)).mean())


def collapse(seed: int) -> dict[str, float]:
    """Divergence on kept rows after all steps."""
    found = paths(seed)
    told = {name: distance(found, path[-1], "kept") for name, path in found["paths"].items()}
    return {
        "baseline": told["ascent"],
        "method": told["npo"],
        **told,
        "before": distance(found, found["before"], "kept"),
    }


def flattening(ending: str) -> Callable[[int], dict[str, float]]:
    """Return a run that tells how much of the way from the start is gone in the second half of the steps."""

    def run(seed: int) -> dict[str, float]:
        found = paths(seed)
        told = []
        for name in ("ascent", "npo"):
            way = found["paths"][name + ending]
            half, end = (float((way[at] - found["before"]).norm()) for at in (STEPS // 2 - 1, -1))
            told.append((end - half) / end)
        return {"baseline": told[0], "method": told[1]}

    return run


def beside_retaining(seed: int) -> dict[str, float]:
    """Divergence on forgotten rows after all steps, with the kept rows' loss beside."""
    found = paths(seed)
    told = {name: distance(found, found["paths"][name][-1], "lost") for name in ("ascent+retain", "npo+retain")}
    return {"baseline": told["ascent+retain"], "method": told["npo+retain"],
            "before": distance(found, found["before"], "lost")}  # fmt: skip


def long_forgetting(seed: int) -> dict[str, float]:
    """Accuracy of the other classes after a class was forgotten for far too many steps, nothing holding them."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=seed)
    gone = seed % 10
    model = Classifier(train=TRAIN, random_state=seed).fit(X, y)
    options: dict[str, Any] = {"estimator": model, "forget_steps": 300, "retain": "nothing", "random_state": seed}
    fits = {"baseline": GradientAscent(**options), "method": NPO(beta=1.0, **options)}
    told = {}
    for name, method in fits.items():
        after = method.fit(X, y, forget=y == gone)
        told[name] = after.score(X_test[y_test != gone], y_test[y_test != gone])
        told[f"{name}, forgotten class"] = after.score(X_test[y_test == gone], y_test[y_test == gone])
    return told


TOY = "two classes behind 128 random ReLU features, 1,000 kept and 200 forgotten rows of another mode, 2,000 steps"
CLAIMS = [
    Claim(
        method="labelwise.unlearning.NPO", paper=217, name="collapse", data=TOY, baseline="gradient ascent",
        metric="KL from retraining on kept rows", higher_is_better=False,
        statement="Gradient ascent destroys what was kept; NPO does not.", run=collapse,
    ),
    Claim(
        method="labelwise.unlearning.NPO", paper=217, name="flattening", data=TOY, baseline="gradient ascent",
        metric="share of the way gone in the second half", higher_is_better=False,
        statement="NPO slows down by itself, gradient ascent does not.", run=flattening(""),
        tried="Adam's steps do not shrink with the gradient; the paper's rates are those of plain gradient descent.",
    ),
    Claim(
        method="labelwise.unlearning.NPO", paper=217, name="flattening under plain descent", data=TOY,
        baseline="gradient ascent", metric="share of the way gone in the second half", higher_is_better=False,
        statement="Under plain gradient descent NPO slows down by itself, gradient ascent does not.",
        run=flattening(", plain"),
    ),
    Claim(
        method="labelwise.unlearning.NPO", paper=217, name="with kept rows", data=TOY, baseline="gradient difference",
        metric="KL from retraining on forgotten rows", higher_is_better=False,
        statement="Beside the kept rows' loss NPO ends closer to retraining.", run=beside_retaining,
    ),
    Claim(
        method="labelwise.unlearning.NPO", paper=217, name="too many steps", data="digits, one class withdrawn",
        baseline="gradient ascent", metric="accuracy on test rows of the other classes",
        statement="After 300 steps with nothing to hold them, the other classes are still known.", run=long_forgetting,
    ),
]  # fmt: skip
