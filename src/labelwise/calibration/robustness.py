"""How accurate does a classifier stay when its inputs are changed on purpose?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, Estimate, Fields, Fraction, InputError, Method, NonNegative
from labelwise.calibration.differentiable import differentiable, raw_rows
from labelwise.display import html_of
from labelwise.parts.attacks import pgd
from labelwise.parts.interval import share

Objective = Callable[[Tensor, Tensor], Tensor]


def margin_objective(logits: Tensor, y: Tensor) -> Tensor:
    """Return the largest wrong logit less the right one ``(b,)``: positive exactly where the row is misclassified.

    >>> margin_objective(torch.tensor([[1.0, 3.0, 0.0]]), torch.tensor([1]))
    tensor([-2.])
    """
    wrong = logits.scatter(1, y[:, None], -torch.inf)
    return wrong.max(1).values - logits.gather(1, y[:, None]).squeeze(1)


def dlr_objective(logits: Tensor, y: Tensor) -> Tensor:
    """Return the difference of logits ratio ``(b,)``: the margin over the gap of the first and third largest logit.

    It does not change when logits are scaled, so that over-confidence cannot hide the gradient. With two classes there is
    no third logit, and it is the plain margin.
    """
    margin = margin_objective(logits, y)
    if logits.shape[1] < 3:
        return margin
    ranked = logits.topk(3, 1).values
    return margin / (ranked[:, 0] - ranked[:, 2]).clamp_min(1e-12)


def cross_entropy_objective(logits: Tensor, y: Tensor) -> Tensor:
    """Return the cross-entropy ``(b,)``."""
    return cross_entropy(logits, y, reduction="none")


ATTACKS: dict[str, Objective] = {
    "cross-entropy": cross_entropy_objective, "margin": margin_objective, "DLR": dlr_objective,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Robustness:
    """What `RobustAccuracy` measures.

    Attributes
    ----------
    clean, robust
        Accuracy on the rows as they are, and where every attack must fail.
    by_attack
        Accuracy under each attack alone.
    noise
        Accuracy under random changes of the same size, the best of as many as there are attacks.
    by_steps
        Accuracy under the margin attack by its number of steps.
    vanished
        Share of right rows at which the margin has no gradient at all.
    survived
        Which rows are right under every attack ``(n,)``.
    suspicions
        Signs that the attacks fail for want of useful gradients, and not because the classifier is robust; empty if none.
    radius, norm
        Of the ball.
    """

    clean: Estimate
    robust: Estimate
    by_attack: Mapping[str, Estimate]
    noise: Estimate
    by_steps: Mapping[int, Estimate]
    vanished: Estimate
    survived: NDArray[np.bool_]
    suspicions: tuple[str, ...]
    radius: float
    norm: str

    def describe(self) -> str:
        """Say it in words."""
        told = (
            f"{self.clean.value:.1%} of {len(self.survived)} rows are right as they are, {self.robust.value:.1%} "
            f"[{self.robust.low:.1%}, {self.robust.high:.1%}] whatever is tried within radius {self.radius:g} "
            f"(L{self.norm})."
        )
        return " ".join([told, *(f"Beware: {suspicion}." for suspicion in self.suspicions)])

    __str__ = describe

    def _repr_html_(self) -> str:
        return html_of(self)


class RobustAccuracy(Method, Fields):
    """Accuracy under the worst of several attacks, row by row, with signs of attacks that fail for no good reason.

    Projected gradient ascent on the cross-entropy, the margin and the difference of logits ratio, each with restarts; a
    row survives when it is right under all of them, as in AutoAttack, of which this is a small relative: steps of fixed
    size, no targeted and no gradient-free attack. What is found is an upper bound of the true robust accuracy.

    Two things must hold for a classifier with useful gradients, and are tested: more steps never help the classifier, and
    random noise is weaker than the attack. A gradient of exactly zero at many rows is told, too.

    Parameters
    ----------
    radius
        Of the ball, >= 0, in the units of X (bytes of pictures count as [0, 1]).
    norm
        ``inf`` bounds every entry of a row, ``2`` its Euclidean length.
    ascents
        Gradient steps of each attack, >= 1.
    restarts
        Random starts of each attack, >= 1.
    bounds
        Smallest and largest possible entry of X, such as (0, 1) for pictures; None for no bounds.
    level
        Confidence of the intervals.
    random_state
        Seed of the starts.

    References
    ----------
    Croce, Hein: Reliable Evaluation of Adversarial Robustness with an Ensemble of Diverse Parameter-Free Attacks. ICML 2020.
    Athalye, Carlini, Wagner: Obfuscated Gradients Give a False Sense of Security. ICML 2018.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from labelwise.learner import Classifier, Train
    >>> X, y = load_iris(return_X_y=True)
    >>> model = Classifier(train=Train(epochs=20, batch_size=16), random_state=0).fit(X, y)
    >>> found = RobustAccuracy(radius=0.5, random_state=0).measure(model, X, y)
    >>> bool(found.robust.value < 0.9 < found.clean.value), found.suspicions
    (True, ())
    """

    radius: Annotated[float, NonNegative] = 0.1
    norm: Literal["inf", "2"] = "inf"
    ascents: Annotated[int, Count] = 30
    restarts: Annotated[int, Count] = 2
    bounds: tuple[float, float] | None = None
    level: Annotated[float, Fraction] = 0.9
    random_state: int | None = None

    card = Card(
        year=2020, kind="diagnostic", handles=frozenset({"covariate shift"}), cost="light",
        reference="Croce, Hein, Reliable Evaluation of Adversarial Robustness, ICML 2020.",
    )  # fmt: skip

    def measure(self, estimator: Any, X: Any, y: ArrayLike) -> Robustness:
        """Attack a fitted classifier on rows `X` with labels `y`.

        Parameters
        ----------
        estimator
            A fitted learner of labelwise, or anything with a method ``differentiable()`` such as `AdaptiveSmoothing`.
        X, y
            Rows that it was not trained on, and their classes.

        Raises
        ------
        InputError
            For estimators without gradients, rows and labels of different number, and labels the estimator does not know.
        """
        self.check_fields()
        module, inputs, classes = differentiable(estimator)
        x, codes = raw_rows(inputs, X), torch.as_tensor(known_codes(classes, y))
        if len(x) != len(codes):
            raise InputError(f"X has {len(x)} rows but y has {len(codes)}: give one label per row.")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(np.random.default_rng(self.random_state).integers(2**31)))
            return self._measured(module, x, codes)

    def _measured(self, module: nn.Module, x: Tensor, y: Tensor) -> Robustness:
        clean = right(module, x, y)
        under = {name: clean & self.survivors(module, x, y, name) for name in ATTACKS}
        noise = clean & self.under_noise(module, x, y)
        counts = sorted({1, max(1, self.ascents // 5), self.ascents})
        steps = {n: clean & self.survivors(module, x, y, "margin", n) for n in counts[:-1]}
        steps[self.ascents] = under["margin"]
        survived = torch.stack(list(under.values())).all(0)
        vanished = clean & self.without_gradient(module, x, y)
        return Robustness(
            self._share(clean), self._share(survived), {name: self._share(mask) for name, mask in under.items()},
            self._share(noise), {n: self._share(mask) for n, mask in steps.items()},
            share(int(vanished.sum()), int(clean.sum()), self.level), survived.numpy(),
            suspicions({n: mask.numpy() for n, mask in steps.items()}, noise.numpy(), survived.numpy(), vanished.numpy()),
            self.radius, self.norm,
        )  # fmt: skip

    def survivors(self, module: nn.Module, x: Tensor, y: Tensor, attack: str, ascents: int | None = None) -> Tensor:
        """Return which rows ``(b,)`` are still right after one kind of attack."""
        objective = ATTACKS[attack]
        worst = pgd(
            lambda changed: objective(module(changed), y), x, self.radius, norm=self.norm, bounds=self.bounds,
            steps=self.ascents if ascents is None else ascents, restarts=self.restarts,
        )  # fmt: skip
        return right(module, worst, y)

    def under_noise(self, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return which rows ``(b,)`` are right under every one of some random changes of full size."""
        kept = torch.ones(len(x), dtype=torch.bool)
        for _ in range(len(ATTACKS) * self.restarts):
            noise = torch.randn_like(x)
            length = torch.linalg.vector_norm(noise.flatten(1), dim=1).reshape(-1, *[1] * (x.ndim - 1))
            changed = x + self.radius * (noise.sign() if self.norm == "inf" else noise / length)
            kept &= right(module, changed if self.bounds is None else changed.clamp(*self.bounds), y)
        return kept

    def without_gradient(self, module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Return at which rows ``(b,)`` the margin does not change with the input."""
        with torch.enable_grad():
            moved = x.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(margin_objective(module(moved), y).sum(), moved)
        return gradient.flatten(1).abs().amax(1) == 0

    def _share(self, mask: Tensor) -> Estimate:
        return share(int(mask.sum()), len(mask), self.level)


@torch.no_grad()
def right(module: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return which rows ``(b,)`` the module puts into their class."""
    return torch.as_tensor(module(x).argmax(1) == y)


def suspicions(
    steps: Mapping[int, NDArray[np.bool_]],
    noise: NDArray[np.bool_],
    survived: NDArray[np.bool_],
    vanished: NDArray[np.bool_],
) -> tuple[str, ...]:
    """Return signs of masked gradients: which rows are right by number of steps, under noise, under every attack.

    Differences are told from two standard errors of the paired difference on.
    """
    told, most = [], max(steps)
    worst = min(sorted(steps), key=lambda n: float(steps[n].mean()))
    if _more(steps[most], steps[worst]):
        told.append(
            f"accuracy rises from {steps[worst].mean():.1%} to {steps[most].mean():.1%} when the attack takes {most} steps "
            f"instead of {worst}, so its steps are not ascents"
        )
    if _more(survived, noise):
        told.append(f"random noise ({noise.mean():.1%} right) is stronger than the attacks ({survived.mean():.1%})")
    if vanished.mean() > 0.05:
        told.append(f"the gradient is exactly zero at {vanished.mean():.1%} of the rows, so no attack starts there")
    return tuple(told)


def _more(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> bool:
    won, lost = int((first & ~second).sum()), int((second & ~first).sum())
    return won - lost > 2 * float(np.sqrt(won + lost))


def known_codes(classes: NDArray[Any], y: ArrayLike) -> NDArray[np.int64]:
    """Return the place of every label in `classes`; raise `InputError` for the first that is not there."""
    labels = np.asarray(y)
    places = {label: place for place, label in enumerate(classes.tolist())}
    for row, label in enumerate(labels.tolist()):
        if label not in places:
            raise InputError(
                f"y: label {label!r} in row {row} is unknown to the estimator, whose classes are {classes}."
            )
    return np.array([places[label] for label in labels.tolist()], dtype=np.int64)
