"""What an attacker who sees labels only can learn of a model's training classes (Nguyen et al. 2023)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.svm import SVC
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from labelwise.base import Card, Count, Estimate, Fields, InputError, Method, Natural, NonNegative, Positive
from labelwise.display import html_of
from labelwise.parts.interval import share as share_of
from labelwise.parts.views import Shift
from labelwise.supervision import encode_classes
from labelwise.unlearning.generator import Generator, QueriedModel, trained_generator

Rows = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class InversionResult:
    """What an attack made of a model's labels.

    Attributes
    ----------
    reconstructions
        Rows of each class, ``(K, starts, ...)`` in the shape of the public rows.
    classes
        The model's classes ``(K,)``.
    queries
        Rows the model was asked about.
    recognised
        Share of the reconstructions that the evaluation classifier puts in their class, with its interval; None without
        private rows. A classifier that had to guess would put ``1 / K`` there.
    distance
        Mean distance of a reconstruction to the nearest private row of its class; None without private rows.
    reference
        The same of public rows to the nearest private row of any class: what an attacker has anyway.
    """

    reconstructions: Rows
    classes: NDArray[Any]
    queries: int
    recognised: Estimate | None
    distance: float | None
    reference: float | None

    def describe(self) -> str:
        """Say in words what the attack reached."""
        k, starts = self.reconstructions.shape[:2]
        made = f"{k * starts} reconstructions of {k} classes"
        if self.recognised is None or self.distance is None or self.reference is None:
            return f"{made} after {self.queries} queries; pass private rows to have them judged."
        return (
            f"{made} after {self.queries} queries: {self.recognised} are taken for their class by a classifier that the "
            f"attack never saw (guessing: {1 / k:.2f}). They lie {self.distance:.3g} from the nearest private row of the "
            f"class, public rows {self.reference:.3g} from any."
        )

    def __str__(self) -> str:
        return self.describe()

    def _repr_html_(self) -> str:
        return html_of(self)


class LabelOnlyInversion(Method, Fields):
    """Audit of a model of one's own: how well can its training classes be redrawn from its labels and public rows?

    ``transfer`` is LOKT: a class-conditional generator is trained on public rows while a critic learns the labels that the
    model gives to generated rows (`generator.trained_generator`); surrogates are trained on such labels; and ``z`` is moved
    by gradients of the surrogates until they are surest of the class. The two older attacks take a generator of public rows
    as it is. ``random`` draws rows and keeps those of a class that keep their label when blurred. ``boundary`` (BREP-MI)
    moves z away from neighbours of another label, ever further from the class boundary.

    Differs from the paper: small fully connected networks that see rows as vectors in [0, 1], fewer steps, betas of Adam
    0.5 and 0.9; the Fréchet distance is left out.

    Parameters
    ----------
    attack
        ``transfer``, ``random`` or ``boundary``.
    surrogate
        What ``transfer`` inverts: the critic's ``head``, or an ensemble of three ``networks``.
    criterion
        What is lowered for class c on scores s: the ``margin`` ``max_(j != c) s_j - s_c``, or the ``cross entropy``.
    starts
        Reconstructions of each class.
    steps, alone_steps
        Steps of the generator, and how many of them come before the model is asked.
    critic_turns
        Steps of the critic for each.
    alpha
        Weight of the class terms, >= 0.
    batch_size
        Rows of a step, and so queries of a step of the critic.
    lr
        Of generator and critic.
    noise, width
        Length of z, width of the networks.
    samples
        Rows of each class that surrogate networks learn from.
    surrogate_steps
        Steps of each surrogate network.
    inversion_steps
        Steps on z, with learning rate 0.1.
    budget
        Queries that ``random`` and ``boundary`` may spend, in all.
    random_state
        Seed.

    References
    ----------
    Nguyen et al., Label-Only Model Inversion Attacks via Knowledge Transfer, NeurIPS 2023 (paper 247). Boundary repulsion:
    Kahla et al., Label-Only Model Inversion Attacks via Boundary Repulsion, CVPR 2022.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> rng = np.random.default_rng(0)
    >>> private, public = rng.normal(size=(60, 5)), rng.normal(size=(90, 5))
    >>> y = (private[:, 0] > 0).astype(int)
    >>> model = LogisticRegression().fit(private, y)
    >>> found = LabelOnlyInversion(steps=40, inversion_steps=30, random_state=0).measure(model, public, private, y)
    >>> found.reconstructions.shape, found.queries > 0
    ((2, 5, 5), True)
    """

    attack: Literal["transfer", "random", "boundary"] = "transfer"
    surrogate: Literal["head", "networks"] = "networks"
    criterion: Literal["margin", "cross entropy"] = "margin"
    starts: Annotated[int, Count] = 5
    steps: Annotated[int, Count] = 1500
    alone_steps: Annotated[int, Natural] = 300
    critic_turns: Annotated[int, Count] = 2
    alpha: Annotated[float, NonNegative] = 1.5
    batch_size: Annotated[int, Count] = 64
    lr: Annotated[float, Positive] = 1e-3
    noise: Annotated[int, Count] = 32
    width: Annotated[int, Count] = 128
    samples: Annotated[int, Count] = 500
    surrogate_steps: Annotated[int, Count] = 400
    inversion_steps: Annotated[int, Count] = 200
    budget: Annotated[int, Count] = 150_000
    random_state: int | None = None

    card = Card(
        paper=247, year=2023, kind="diagnostic", handles=frozenset({"forgetting"}), supervision=frozenset(), cost="heavy",
        needs=frozenset({"fitted model", "public rows"}),
        reference="Nguyen et al., Label-Only Model Inversion Attacks via Knowledge Transfer, NeurIPS 2023.",
        apart="It attacks a model that is there; it trains none for the rows.",
    )  # fmt: skip
    tune = {"surrogate": ["head", "networks"], "criterion": ["margin", "cross entropy"], "alpha": [0.5, 1.5]}

    def measure(
        self, model: Any, public: ArrayLike, private: ArrayLike | None = None, y_private: ArrayLike | None = None,
        evaluator: Any = None,
    ) -> InversionResult:  # fmt: skip
        """Attack `model`, and judge what came out by rows the attack never saw.

        Parameters
        ----------
        model
            Your own fitted classifier; only ``predict`` is used, and ``classes_``.
        public
            Rows of the same kind that anybody could have ``(n, ...)``, without labels and without the private classes.
        private, y_private
            Rows and labels the model was trained on, for judging only.
        evaluator
            A fitted classifier of the same classes, unlike the model; None trains a support vector machine on the private
            rows.
        """
        self.check_fields()
        rows = _checked(public, "public")
        low, high = float(rows.min()), float(rows.max())
        if not high > low:
            raise InputError(f"public holds one number only ({low:g}): rows that differ are needed to learn from.")
        target = QueriedModel(model, rows.shape[1:], low, high)
        flat = torch.as_tensor((rows.reshape(len(rows), -1) - low) / (high - low))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(np.random.default_rng(self.random_state).integers(2**31)))
            attacks: dict[str, Callable[[QueriedModel, Tensor], Tensor]] = {
                "transfer": self._transfer, "random": self._random, "boundary": self._boundary
            }  # fmt: skip
            made = attacks[self.attack](target, flat)
        found = target.rows(made).reshape(len(target.classes), self.starts, *rows.shape[1:])
        return self._judged(found, target, rows, private, y_private, evaluator)

    def _generator(self, target: QueriedModel, public: Tensor, asked: bool) -> tuple[Generator, nn.Module]:
        alone = self.alone_steps if asked else self.steps
        return trained_generator(
            public, target if asked else None, len(target.classes), noise=self.noise, width=self.width, steps=self.steps,
            alone=alone, critic_steps=self.critic_turns, alpha=self.alpha, batch=self.batch_size, lr=self.lr,
        )  # fmt: skip

    def _wanted(self, target: QueriedModel) -> Tensor:
        return torch.arange(len(target.classes)).repeat_interleave(self.starts)

    # -- LOKT

    def _transfer(self, target: QueriedModel, public: Tensor) -> Tensor:
        """Train generator and surrogates by the model's labels, then move z by the surrogates' gradients."""
        maker, critic = self._generator(target, public, asked=True)
        blur = _Blur(target.shape)
        if self.surrogate == "head":
            surrogates: list[Callable[[Tensor], Tensor]] = [lambda x: critic(x)[1]]
        else:
            surrogates = list(self._surrogates(maker, target, blur))
        wanted = self._wanted(target)
        z = torch.randn(len(wanted), self.noise, requires_grad=True)
        optimizer = torch.optim.Adam([z], lr=0.1)
        for _ in range(self.inversion_steps):
            made = maker(z, wanted)
            views = [made, blur(made)]
            loss = sum(self._doubt(model(view), wanted) for model in surrogates for view in views)
            optimizer.zero_grad()
            torch.as_tensor(loss).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        found: Tensor = maker(z, wanted)
        return found.detach()

    def _surrogates(self, maker: Generator, target: QueriedModel, blur: nn.Module) -> list[nn.Module]:
        """Return three networks of different sizes, trained on rows of every class and the model's labels of them."""
        c = torch.arange(len(target.classes)).repeat_interleave(self.samples)
        with torch.no_grad():
            x = maker(torch.randn(len(c), self.noise), c)
        y = target(x)
        made: list[nn.Module] = []
        for width in (self.width, 2 * self.width, self.width // 2 + 1):
            hidden = nn.Sequential(nn.Linear(x.shape[1], width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
            network = nn.Sequential(hidden, nn.Linear(width, len(target.classes)))
            optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
            for _ in range(self.surrogate_steps):
                rows = torch.randint(len(x), (128,))
                both = 0.5 * cross_entropy(network(x[rows]), y[rows]) + 0.5 * cross_entropy(
                    network(blur(x[rows])), y[rows]
                )
                optimizer.zero_grad()
                both.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            made.append(network.eval().requires_grad_(False))
        return made

    def _doubt(self, scores: Tensor, wanted: Tensor) -> Tensor:
        """Return what is lowered, summed over rows."""
        if self.criterion == "cross entropy":
            return cross_entropy(scores, wanted, reduction="sum")
        own = scores.gather(1, wanted[:, None])[:, 0]
        other = scores.scatter(1, wanted[:, None], -torch.inf).amax(1)
        gap: Tensor = other - own
        return gap.sum()

    # -- the older attacks

    def _random(self, target: QueriedModel, public: Tensor) -> Tensor:
        """Keep drawn rows of each class whose label survives most blurring."""
        maker, _ = self._generator(target, public, asked=False)
        blur, k = _Blur(target.shape), len(target.classes)
        with torch.no_grad():
            n = max(self.budget // 2, 1)
            x: Tensor = maker(torch.randn(n, self.noise), torch.randint(k, (n,)))
            y = target(x)
            kept = torch.zeros(n)
            candidates = torch.cat([(y == c).nonzero()[:, 0][: max(n // (8 * k), 1)] for c in range(k)])
            for _ in range((self.budget - n) // max(len(candidates), 1)):
                kept[candidates] += target(blur(x[candidates])) == y[candidates]
        chosen = [self._best(kept, candidates[y[candidates] == c], n) for c in range(k)]
        return x[torch.cat(chosen)]

    def _best(self, kept: Tensor, rows: Tensor, n: int) -> Tensor:
        """Return the rows that kept their label most often, any row where the class was never met."""
        if not len(rows):
            return torch.randint(n, (self.starts,))
        order = rows[torch.argsort(kept[rows], descending=True, stable=True)]
        return order.repeat(-(-self.starts // len(order)))[: self.starts]

    def _boundary(self, target: QueriedModel, public: Tensor) -> Tensor:
        """Move z against the mean direction of neighbours with another label; when there is none, look further away."""
        maker, _ = self._generator(target, public, asked=False)
        wanted, k, n = self._wanted(target), len(target.classes), 32
        with torch.no_grad():
            z, conditions = self._first_hits(maker, target, wanted)
            radius = torch.full((len(z),), 1.0)
            while target.queries + n * len(z) <= self.budget:
                u = torch.nn.functional.normalize(torch.randn(len(z), n, self.noise), dim=2)
                near = (z[:, None] + radius[:, None, None] * u).flatten(0, 1)
                same = target(maker(near, conditions.repeat_interleave(n))).reshape(-1, n) == wanted[:, None]
                clear = same.all(1)
                away = -((~same).float()[..., None] * u).mean(1)
                z = z + torch.where(clear, 0.0, 1.0)[:, None] * 0.3 * radius[:, None] * away * k
                radius = torch.where(clear, radius * 1.3, radius)
            found: Tensor = maker(z, conditions)
            return found

    def _first_hits(self, maker: Generator, target: QueriedModel, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """Return noise and condition whose row has the wanted label, as far as a quarter of the budget finds them."""
        k = len(target.classes)
        z, c = torch.randn(len(wanted), self.noise), torch.randint(k, (len(wanted),))
        missing = target(maker(z, c)) != wanted
        while missing.any() and target.queries + len(wanted) <= self.budget // 4:
            other, kind = torch.randn(len(wanted), self.noise), torch.randint(k, (len(wanted),))
            hit = missing & (target(maker(other, kind)) == wanted)
            z, c = torch.where(hit[:, None], other, z), torch.where(hit, kind, c)
            missing &= ~hit
        return z, c

    # -- judging

    def _judged(
        self, found: Rows, target: QueriedModel, public: Rows, private: Any, y_private: Any, evaluator: Any
    ) -> InversionResult:  # fmt: skip
        if private is None and evaluator is None:
            return InversionResult(found, target.classes, target.queries, None, None, None)
        if private is None or y_private is None:
            raise InputError("private and y_private: give both, rows and their labels, to judge the reconstructions.")
        rows, (names, codes) = _checked(private, "private"), encode_classes(y_private)
        if not np.array_equal(names, target.classes):
            raise InputError(
                f"y_private must name the model's classes {target.classes.tolist()}. Got {names.tolist()}."
            )
        flat, made = rows.reshape(len(rows), -1), found.reshape(len(found), self.starts, -1)
        judge = SVC(gamma="scale", C=10.0).fit(flat, np.asarray(y_private)) if evaluator is None else evaluator
        asked = made.reshape(-1, flat.shape[1]) if evaluator is None else found.reshape(-1, *rows.shape[1:])
        right = np.asarray(judge.predict(asked)) == np.repeat(target.classes, self.starts)
        near = [_nearest(made[c], flat[codes == c]).mean() for c in range(len(names))]
        outside = float(_nearest(public.reshape(len(public), -1), flat).mean())
        share = share_of(int(right.sum()), len(right))
        return InversionResult(found, target.classes, target.queries, share, float(np.mean(near)), outside)


class _Blur(nn.Module):
    """Random change that keeps a class: noise, and for pictures ``(h, w, c)`` a shift too."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self.shift = Shift(0.1) if len(shape) == 3 else None

    def forward(self, x: Tensor) -> Tensor:
        """Return changed rows ``(n, d)``."""
        if self.shift is not None:
            pictures = x.reshape(-1, *self.shape).permute(0, 3, 1, 2)
            x = self.shift(pictures).permute(0, 2, 3, 1).reshape(x.shape)
        return x + 0.1 * torch.randn_like(x)


def _nearest(rows: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    """Return the distance of each row to the nearest of others."""
    return np.asarray(torch.cdist(torch.as_tensor(rows), torch.as_tensor(others)).amin(1).numpy())


def _checked(values: ArrayLike, name: str) -> Rows:
    rows = np.asarray(values, dtype=np.float32)
    if rows.ndim < 2 or len(rows) < 2 or not np.isfinite(rows).all():
        raise InputError(
            f"{name} must be two or more finite rows, (n, d) or pictures (n, h, w, c). Got shape {rows.shape}."
        )
    return rows
