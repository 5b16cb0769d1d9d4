"""A small generator of rows that learns from public rows and from the labels a model gives to what it makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import cross_entropy, one_hot

from labelwise.base import InputError


class QueriedModel:
    """A model seen through its labels only: counts how many rows it was asked about.

    Parameters
    ----------
    model
        Something with ``predict(X)`` and ``classes_``.
    shape
        Of one row as the model takes it.
    low, high
        Range of a row's numbers; the generator works in [0, 1].
    """

    def __init__(self, model: Any, shape: tuple[int, ...], low: float, high: float) -> None:
        if not hasattr(model, "predict") or not hasattr(model, "classes_"):
            raise InputError(f"model must have predict and classes_, fitted. Got {type(model).__name__}.")
        self.model, self.shape, self.low, self.high = model, shape, low, high
        self.classes: NDArray[Any] = np.asarray(model.classes_)
        self.queries = 0

    def rows(self, made: Tensor) -> NDArray[np.float32]:
        """Return made rows ``(n, d)`` as the model takes them; what lies outside [0, 1] is cut off."""
        values = self.low + (self.high - self.low) * made.detach().clamp(0, 1).numpy()
        return np.asarray(values.reshape(-1, *self.shape), dtype=np.float32)

    def __call__(self, made: Tensor) -> Tensor:
        """Return the model's class codes for made rows."""
        self.queries += len(made)
        said = np.asarray(self.model.predict(self.rows(made)))
        return torch.as_tensor(np.searchsorted(self.classes, said))


class Generator(nn.Module):
    """Rows in [0, 1] from noise ``z`` and a class: ``sigmoid(MLP([z, e_c]))``."""

    def __init__(self, noise: int, n_classes: int, outputs: int, width: int) -> None:
        super().__init__()
        self.noise, self.n_classes = noise, n_classes
        self.layers = nn.Sequential(
            nn.Linear(noise + n_classes, width), nn.BatchNorm1d(width), nn.ReLU(),
            nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, outputs), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """Return rows ``(n, outputs)``."""
        out: Tensor = self.layers(torch.cat([z, one_hot(c, self.n_classes).to(z.dtype)], 1))
        return out


class Critic(nn.Module):
    """Whether a row is real, and which class the model would give it."""

    def __init__(self, inputs: int, n_classes: int, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(inputs, width), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2)
        )
        self.real, self.kind = nn.Linear(width, 1), nn.Linear(width, n_classes)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores of being real ``(n,)`` and of the classes ``(n, K)``."""
        hidden = self.body(x)
        return self.real(hidden)[:, 0], self.kind(hidden)


def trained_generator(
    public: Tensor, ask: Callable[[Tensor], Tensor] | None, n_classes: int, *, noise: int, width: int, steps: int,
    alone: int, critic_steps: int, alpha: float, batch: int, lr: float,
) -> tuple[Generator, Critic]:  # fmt: skip
    """Train generator and critic in turn (T-ACGAN).

    Critic: ``BCE(D(x_public), 1) + BCE(D(G(z, c)), 0) + alpha CE(C(G(z, c)), M(G(z, c)))``, the last term on the model's
    labels; generator: ``BCE(D(G(z, c)), 1) + alpha CE(C(G(z, c)), c)``.

    Parameters
    ----------
    public
        Rows ``(n, d)`` in [0, 1], without labels.
    ask
        Gives the model's classes of made rows, each a query; None leaves the class terms out.
    n_classes
        K.
    noise, width
        Length of z; width of both networks.
    steps, alone
        Steps of the generator; so many of them first without the class terms.
    critic_steps
        Steps of the critic for each.
    alpha
        Weight of the class terms.
    batch, lr
        Rows a step, learning rate of Adam (betas 0.5 and 0.9).
    """
    maker, critic = Generator(noise, n_classes, public.shape[1], width), Critic(public.shape[1], n_classes, width)
    of_maker, of_critic = (torch.optim.Adam(net.parameters(), lr=lr, betas=(0.5, 0.9)) for net in (maker, critic))

    def drawn() -> tuple[Tensor, Tensor]:
        c = torch.randint(n_classes, (batch,))
        return maker(torch.randn(batch, noise), c), c

    for step in range(steps):
        classes = ask is not None and step >= alone
        for _ in range(critic_steps):
            made = drawn()[0].detach()
            real = critic(public[torch.randint(len(public), (batch,))])[0]
            false, kind = critic(made)
            loss = bce(real, torch.ones_like(real)) + bce(false, torch.zeros_like(false))
            if classes and ask is not None:
                loss = loss + alpha * cross_entropy(kind, ask(made))
            _step(of_critic, loss)
        made, c = drawn()
        false, kind = critic(made)
        loss = bce(false, torch.ones_like(false))
        _step(of_maker, loss + alpha * cross_entropy(kind, c) if classes else loss)
    return maker.eval(), critic.eval()


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
