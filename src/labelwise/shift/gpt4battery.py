"""Test-time training of a regression of curves by completing them (Feng et al. 2024)."""

from __future__ import annotations

from copy import deepcopy
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from labelwise.base import Card, Count, InputError, NonNegative, Positive, Range
from labelwise.learner import Regressor
from labelwise.nets.curves import CurveTransformer
from labelwise.shift.tent import adam
from labelwise.training import Batch, Data, Train

QUIET = 0.95
"""Share of the training curves that are completed well enough not to call for an adaptation."""
TIMES, DEGREE = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8), 4
"""Time constants R1 C1 tried, as shares of the curve, and the degree of the open-circuit polynomial."""


class GPT4Battery(Regressor):
    """Estimates a number from a curve, and at test time learns to complete each new curve before it answers.

    Training: ``loss = criterion(y) + completion * mean (completed - curve)^2`` with a share `mask` of the patches hidden.
    At test time rows are taken in the order given: some steps on the completion of the newest `window` curves move the
    translator alone (the embedding of patches and the prompts); then the newest is answered. A call of ``predict`` is one
    sequence (a cell's life), and starts from the trained weights.

    Guard: curves that are completed as well as 95 % of the training curves are answered as they are, and steps that do not
    lower the completion loss on other hidden patches are taken back.

    Differs from the paper: the sequence model is a small transformer trained on the source, not a language model; that only
    the worse completed curves are adapted to is an addition; the physics term is solved in closed form: the completed curve
    is projected on a polynomial and ``1 - exp(-t / (R1 C1))`` with a positive share, for the best of six time constants.

    Parameters
    ----------
    completion
        Weight of the completion loss, >= 0.
    mask
        Share of hidden patches.
    mode
        ``continual``: weights are carried on from curve to curve; ``reset``: every curve starts from the trained weights;
        ``none``: no test-time training.
    updates
        Steps of Adam a curve.
    window
        Newest curves that a step looks at.
    adapt_lr
        Their learning rate.
    physics
        Weight, >= 0, of what the completed curve departs from a circuit with one resistor-capacitor pair at constant
        current. Of one channel only.

    References
    ----------
    Feng et al., GPT4Battery: An LLM-driven Framework for Adaptive State of Health Estimation of Raw Li-ion Batteries, 2024
    (paper 167).

    Examples
    --------
    >>> from labelwise.data.synthetic import charging_curves
    >>> old, new = charging_curves(2, 30, random_state=0), charging_curves(1, 30, random_state=1)
    >>> model = GPT4Battery(train=Train(epochs=40, batch_size=16), random_state=0).fit(old.X, old.health)
    >>> bool(np.abs(model.predict(new.X) - new.health).mean() < 0.05)
    True
    """

    completion: Annotated[float, NonNegative] = 1.0
    mask: Annotated[float, Range(low=0, high=1, low_open=True, high_open=True)] = 0.5
    mode: Literal["continual", "reset", "none"] = "continual"
    updates: Annotated[int, Count] = 5
    window: Annotated[int, Count] = 4
    adapt_lr: Annotated[float, Positive] = 1e-3
    physics: Annotated[float, NonNegative] = 0.0

    card = Card(
        paper=167, year=2024, kind="learner", handles=frozenset({"covariate shift"}), supervision=frozenset({"real"}),
        task="regression", reference="Feng et al., GPT4Battery, 2024.",
        apart="It learns from the curves it answers, in their order; folds of training curves cannot show what that gains.",
    )  # fmt: skip
    tune = {"adapt_lr": [3e-4, 1e-3, 3e-3], "train": [Train(lr=lr, epochs=60, batch_size=32) for lr in (1e-3, 3e-3)]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Curves for the common checks."""
        from labelwise.data.synthetic import charging_curves

        old, new = charging_curves(3, 25, 32, random_state=0), charging_curves(1, 20, 32, random_state=1)
        return {
            "X": old.X, "y": old.health, "X_test": new.X, "y_test": new.health, "floor": 0.5, "features": False,
            "score": lambda model, X, y: float(model.score(X, y)),
        }  # fmt: skip

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Train on curves ``(n, channels, time)`` with numbers ``(n,)``; NaN where one is not known."""
        super().fit(X, y, sample_weight, domains)
        losses = self._completion_losses(self.net_, torch.as_tensor(self.inputs_.transform(X)))
        self.quiet_ = float(np.quantile(losses.numpy(), QUIET))
        return self

    def made_network(self, data: Data) -> Any:
        """Return the transformer of patches."""
        if self.inputs_.modality != "series" or self.net != "auto":
            raise InputError(
                f"GPT4Battery reads curves (n, channels, time) with a network of its own. Got {self.inputs_.modality} "
                f"and net={self.net!r}: give X a channel dimension, and leave net out."
            )
        channels, length = self.inputs_.shape
        if self.physics and channels != 1:
            raise InputError(f"physics needs one channel, the voltage. X has {channels}; set physics=0.")
        return CurveTransformer(channels, length, int(self.n_outputs_))

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the loss of the numbers and that of completing the curves."""
        net: Any = self.net_
        hidden = torch.rand(len(batch), net.features.count, device=batch.x.device) < self.mask
        parts = {"label": self.criterion_(self.net_(batch.x), batch.y, batch.index, batch.weight)}
        return parts | {"completion": self.completion * self._guess(self.net_, batch.x, hidden).mean()}

    def outputs(self, X: Any) -> NDArray[np.float64]:
        """Return standardised numbers ``(n, m)``, each after learning from its curve and the ones before."""
        check_is_fitted(self)
        x = torch.as_tensor(self.inputs_.transform(X))
        if self.mode == "none":
            return self._forward(x).double().numpy()
        net, generator = deepcopy(self.net_).eval().requires_grad_(False), torch.Generator().manual_seed(self.seed_)
        origin, answers = deepcopy(net.state_dict()), []
        for row in range(len(x)):
            if self.mode == "reset":
                net.load_state_dict(origin)
            self._follow(net, x[max(0, row + 1 - self.window) : row + 1], generator)
            with torch.no_grad():
                answers.append(net(x[row : row + 1]))
        return torch.cat(answers).double().numpy()

    def _follow(self, net: Any, x: Tensor, generator: torch.Generator) -> None:
        """Take steps on the completion of the curves; take them back if it does not get better."""
        before = self._completion_losses(net, x)
        if before[-1] <= self.quiet_:
            return
        weights, kept = net.translator, [weight.detach().clone() for weight in net.translator]
        state: dict[str, Any] = {"step": 0}
        for _ in range(self.updates):
            hidden = torch.rand(len(x), net.features.count, generator=generator) < self.mask
            for weight in weights:
                weight.requires_grad_(True)
            adam(weights, torch.autograd.grad(self._guess(net, x, hidden).mean(), weights), state, self.adapt_lr)
        net.requires_grad_(False)
        if not self._completion_losses(net, x).mean() < before.mean():
            with torch.no_grad():
                for weight, old in zip(weights, kept, strict=True):
                    weight.copy_(old)

    @torch.no_grad()
    def _completion_losses(self, net: Any, x: Tensor) -> Tensor:
        """Return the completion loss of each curve ``(n,)``, hiding every second patch and then the others."""
        even = (torch.arange(net.features.count) % 2 == 0).expand(len(x), -1)
        net.eval()
        return (self._guess(net, x, even) + self._guess(net, x, ~even)) / 2

    def _guess(self, net: Any, x: Tensor, hidden: Tensor) -> Tensor:
        """Return the mean squared error of each completed curve ``(b,)``, with the physics term if asked for."""
        guess: Tensor = net.completed(x, hidden)
        error: Tensor = (guess - net.features.cut(x)).square().mean((1, 2))
        return error + self.physics * off_circuit(guess.flatten(1)) if self.physics else error


def off_circuit(curve: Tensor) -> Tensor:
    """Return the mean squared distance ``(b,)`` of curves ``(b, time)`` from the nearest one-pair circuit.

    ``polynomial(t) + a (1 - exp(-t / tau))`` with ``a >= 0`` (it is ``I R1``), solved for every tau; I R0 is the constant.
    """
    time = torch.linspace(0, 1, curve.shape[1], dtype=curve.dtype, device=curve.device)
    smooth = time[:, None] ** torch.arange(DEGREE + 1, dtype=curve.dtype, device=curve.device)
    residual = _rest(curve, smooth)
    best: Tensor = residual.square().mean(1)
    for tau in TIMES:
        rise = _rest((1 - torch.exp(-time / tau))[None], smooth)[0]
        share = (residual @ rise / rise.square().sum()).clamp_min(0)
        best = torch.minimum(best, (residual - share[:, None] * rise).square().mean(1))
    return best


def _rest(curve: Tensor, basis: Tensor) -> Tensor:
    """Return what a basis ``(time, k)`` leaves of curves ``(b, time)``."""
    axes: Tensor = torch.linalg.qr(basis)[0]
    return curve - (curve @ axes) @ axes.T
