"""The gate of adaptive smoothing: a small network says row by row how much of the robust classifier is needed."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, nll_loss

from labelwise.base import Card, Count, InputError, NonNegative, Positive
from labelwise.calibration.adversarial import AdversarialTraining
from labelwise.calibration.differentiable import Units, differentiable
from labelwise.calibration.trials import iris_trial
from labelwise.learner import MINI_BATCHES, Classifier, ClassLearner
from labelwise.parts.attacks import pgd
from labelwise.parts.ema import frozen
from labelwise.training import Batch, Data, Phase, Train

TINY = 1e-30
REACH = 0.6
"""Within how many standard deviations of the batch's mean the gate's raw values stay in training."""


class Gate(nn.Module):
    """From the hidden features of both classifiers to ``g``, the logit of "this row is attacked".

    In training raw values are clamped to the batch's mean +- 0.6 standard deviations, normalised, and ``g = 2 n + 0.4``; in
    evaluation ``g = 2 n + 1.3`` with running statistics.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1, bias=False))
        self.norm = nn.BatchNorm1d(1, affine=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Return ``g`` ``(b,)`` from features ``(b, width)``."""
        raw: Tensor = self.net(hidden)
        if self.training and len(raw) > 1:
            mean, spread = raw.mean().item(), raw.std().item()
            raw = raw.clamp(mean - REACH * spread, mean + REACH * spread)
        elif self.training:  # one row has no spread to normalise by
            return 0 * raw.squeeze(1) + 0.4
        g: Tensor = 2 * self.norm(raw).squeeze(1) + (0.4 if self.training else 1.3)
        return g


class Half(nn.Module):
    """One of the two classifiers, frozen, reading rows in the units of X."""

    def __init__(self, model: ClassLearner) -> None:
        super().__init__()
        self.units, self.net = frozen(Units(model.inputs_)), frozen(model.net_)

    def hidden(self, raw: Tensor) -> Tensor:
        """Return the representation ``(b, width)``."""
        net: Any = self.net
        out: Tensor = net.features(self.units(raw)).flatten(1)
        return out

    def scores(self, hidden: Tensor) -> Tensor:
        """Return scores ``(b, K)`` from the representation."""
        net: Any = self.net
        out: Tensor = net.head(hidden)
        return out


class GatedMixture(nn.Module):
    """``log((1 - a) softmax(u f) + a softmax(v g))`` with the share ``a`` of each row from the gate.

    Rows come as the learner reads them; `back` takes them to the units of X, and each classifier on to its own.
    """

    def __init__(self, own: Units, halves: list[Half], gate: Gate, fields: GatedSmoothing) -> None:
        super().__init__()
        self.own, self.gate = own, gate
        self.accurate, self.robust = halves
        self.u, self.v = float(fields.accurate_scale), float(fields.robust_scale)
        self.low, self.high = fields.shares

    def forward(self, x: Tensor) -> Tensor:
        """Return log-probabilities ``(b, K)``."""
        return self.parts(x)[0]

    def share(self, x: Tensor) -> Tensor:
        """Return the robust classifier's share ``(b,)``."""
        return self._share(self.parts(x)[1])

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities ``(b, K)`` and the gate's ``g`` ``(b,)``."""
        raw = self.own.back(x)
        halves = (self.accurate, self.robust)
        hidden = [half.hidden(raw) for half in halves]
        f, h = (half.scores(seen) for half, seen in zip(halves, hidden, strict=True))
        g = self.gate(torch.cat(hidden, 1))
        a = self._share(g)[:, None]
        mixed = (1 - a) * (self.u * f).softmax(1) + a * (self.v * h).softmax(1)
        return mixed.clamp_min(TINY).log(), g

    def _share(self, g: Tensor) -> Tensor:
        a = g.sigmoid()
        return a if self.gate.training else self.low + (self.high - self.low) * a


class GatedSmoothing(ClassLearner):
    """Adaptive smoothing with a gate: attacked rows go to the robust classifier, others to the accurate one.

    ``p = (1 - a(x)) softmax(u z_accurate) + a(x) softmax(v z_robust)``, where a small network makes ``a`` of the hidden
    features of both. It is trained on clean rows (target 0) and on rows attacked against the whole mix, gate included
    (target 1): ``1.5 BCE + 0.3 BCE * CE``, both classifiers frozen. The attacker knows the gate; at prediction `shares`
    bounds what fooling it can gain.

    Differs from the paper: two linear layers on the representation before the output layer instead of a residual network
    on feature maps; a running mean that follows faster; PGD of fixed strength; AdamW of `Train`.

    Parameters
    ----------
    accurate, robust
        Fitted learners of labelwise with the same classes, whose networks have ``features`` and ``head``. None fits a
        `Classifier` and an `AdversarialTraining` on the same rows.
    accurate_scale, robust_scale
        ``u`` and ``v``, > 0; `AdaptiveSmoothing` finds good ones.
    shares
        Smallest and largest ``a`` at prediction, in [0, 1].
    hidden
        Width of the gate.
    radius, norm, ascents, bounds
        Of the attack, as in `AdversarialTraining`.

    References
    ----------
    Bai, Anderson, Kim, Sojoudi: Improving the Accuracy-Robustness Trade-Off of Classifiers via Adaptive Smoothing.
    SIAM Journal on Mathematics of Data Science, 2024.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from labelwise.learner import Train
    >>> X, y = load_iris(return_X_y=True)
    >>> model = GatedSmoothing(radius=0.2, ascents=3, train=Train(epochs=10, batch_size=16), random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    accurate: ClassLearner | None = None
    robust: ClassLearner | None = None
    accurate_scale: Annotated[float, Positive] = 1.0
    robust_scale: Annotated[float, Positive] = 1.0
    shares: tuple[float, float] = (0.84, 0.99)
    hidden: Annotated[int, Count] = 64
    radius: Annotated[float, NonNegative] = 0.1
    norm: Literal["inf", "2"] = "inf"
    ascents: Annotated[int, Count] = 7
    bounds: tuple[float, float] | None = None

    card = Card(
        paper=125, year=2024, kind="learner", handles=frozenset({"calibration"}), cost="heavy",
        reference="Bai, Anderson, Kim, Sojoudi, Adaptive Smoothing, SIMODS 2024.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
        race=True,
        apart="It gives up accuracy on plain rows to withstand attacked ones, which a race does not have.",
    )  # fmt: skip

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return iris, and a weak attack that is quickly made."""
        return iris_trial(fields={"ascents": 1, "train": Train(epochs=15, batch_size=16, progress=False)})

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Train the gate on rows `X` with classes `y`, after the classifiers that are not given; see `Learner.fit`."""
        self.check_fields()
        if (self.accurate is None) != (self.robust is None):
            raise InputError("accurate and robust: give both classifiers, or neither. Got one.")
        if not 0 <= self.shares[0] <= self.shares[1] <= 1:
            raise InputError(f"GatedSmoothing.shares must be 0 <= low <= high <= 1. Got {self.shares}.")
        self._weights = sample_weight
        self._rows = X, y
        try:
            return super().fit(X, y, sample_weight, domains)
        finally:
            del self._weights, self._rows

    def build(self, data: Data) -> None:
        """Put both classifiers, frozen, and a fresh gate into one network."""
        models = self._given() or self._fitted()
        for name, model in zip(("accurate", "robust"), models, strict=True):
            if not hasattr(model.net_, "features") or not hasattr(model.net_, "head"):
                raise InputError(f"{name}: its network {type(model.net_).__name__} must have `features` and `head`.")
        halves, own = [Half(model) for model in models], Units(self.inputs_)
        raw = own.back(data.batch(torch.arange(min(2, len(data)))).x.cpu())
        with torch.no_grad():
            width = sum(half.hidden(raw).shape[1] for half in halves)
        self.net_ = GatedMixture(own, halves, Gate(width, self.hidden), self)

    def phases(self) -> list[Phase]:
        """Move nothing but the gate."""
        return [Phase(self.loss, [self.mixture.gate], self.train_.epochs)]

    @property
    def mixture(self) -> GatedMixture:
        """The network, known to be the mix."""
        net: Any = self.net_
        return net  # type: ignore[no-any-return]

    def loss(self, batch: Batch) -> Tensor:
        """Return the loss of the gate on clean and on attacked rows."""
        x = torch.cat([batch.x, self.attacked(batch.x, batch.y)])
        attacked = torch.arange(len(x), device=x.device) >= len(batch)
        mixed, g = self.mixture.parts(x)
        wrong_side = binary_cross_entropy_with_logits(g, attacked.to(g.dtype), reduction="none")
        wrong_class = nll_loss(mixed, batch.y.repeat(2), reduction="none")
        values = 1.5 * wrong_side + 0.3 * wrong_side * wrong_class
        if batch.weight is None:
            return values.mean()
        return (batch.weight.repeat(2) * values).sum() / (2 * batch.weight.sum()).clamp_min(1e-12)

    def attacked(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the worst rows within the ball for the mix as it predicts, as the network reads them."""
        units, gate = Units(self.inputs_).to(x.device), self.mixture.gate
        training = gate.training
        gate.eval()

        def error(raw: Tensor) -> Tensor:
            return nll_loss(self.net_(units(raw)), y, reduction="none")

        worst = pgd(error, units.back(x), self.radius, norm=self.norm, steps=self.ascents, bounds=self.bounds)
        gate.train(training)
        return torch.as_tensor(units(worst))

    def _given(self) -> tuple[ClassLearner, ClassLearner] | None:
        if self.accurate is None or self.robust is None:
            return None
        for name, model in (("accurate", self.accurate), ("robust", self.robust)):
            differentiable(model)
            if model.classes_.tolist() != self.classes_.tolist():
                raise InputError(f"{name} knows classes {model.classes_.tolist()}, but y has {self.classes_.tolist()}.")
        return self.accurate, self.robust

    def _fitted(self) -> tuple[ClassLearner, ClassLearner]:
        X, y = self._rows
        plain = Classifier(net=self.net, train=self.train, random_state=self.seed_)
        hard = AdversarialTraining(
            net=self.net, train=self.train, random_state=self.seed_, radius=self.radius, norm=self.norm,
            ascents=self.ascents, bounds=self.bounds,
        )  # fmt: skip
        return plain.fit(X, y, self._weights), hard.fit(X, y, self._weights)
