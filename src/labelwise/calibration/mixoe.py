"""MixOE (Zhang et al. 2023): mixtures of rows and outliers, with labels mixed towards uniform."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax
from torch import Tensor
from torch.distributions import Beta
from torch.nn.functional import cross_entropy

from labelwise.base import Card, InputError, Natural, NonNegative, Positive
from labelwise.calibration.trials import iris_trial
from labelwise.learner import MINI_BATCHES, ClassLearner
from labelwise.parts.calibration_measures import energy, max_probability, negative_entropy
from labelwise.parts.mixers import cutmix
from labelwise.training import Batch, Data, Phase

Score = Literal["probability", "energy", "entropy"]


def exposed_targets(y: Tensor, share: float, n_classes: int) -> Tensor:
    """Return ``share onehot(y) + (1 - share) / K``, shape ``(b, K)``.

    >>> exposed_targets(torch.tensor([1]), 0.5, 2)
    tensor([[0.2500, 0.7500]])
    """
    one_hot = torch.nn.functional.one_hot(y, n_classes).to(torch.get_default_dtype())
    return share * one_hot + (1 - share) / n_classes


def to_uniform(logits: Tensor) -> Tensor:
    """Return the cross-entropy of each row to the uniform distribution, as outlier exposure has it: >= log K, ``(b,)``.

    >>> to_uniform(torch.zeros(1, 2)).exp()
    tensor([2.])
    """
    return logits.logsumexp(1) - logits.mean(1)


def energy_margin(logits: Tensor, outlier_logits: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Return ``relu(E(x) - low)^2`` of the rows and ``relu(high - E(o))^2`` of the outliers, ``E = -logsumexp``."""
    inside, outside = -logits.logsumexp(1), -outlier_logits.logsumexp(1)
    return (inside - low).relu().square(), (high - outside).relu().square()


def outlyingness(logits: NDArray[np.float64], score: Score = "probability") -> NDArray[np.float64]:
    """Return how little each row looks like training rows, higher is stranger, from logits ``(n, K)``.

    ``probability``: one minus the largest probability, in [0, 1); ``energy``: ``-logsumexp``; ``entropy`` in nats.

    >>> outlyingness(np.array([[0.0, 0.0], [9.0, 0.0]])).round(2)
    array([0.5, 0. ])
    """
    if score == "energy":
        return -energy(logits)
    proba = softmax(logits, axis=1)
    return 1 - max_probability(proba) if score == "probability" else -negative_entropy(proba)


class MixOE(ClassLearner):
    """Mix rows with outliers and mix the labels towards uniform, so that confidence decays on the way out.

    After ordinary training, `exposure_epochs` with ``loss = CE(f(x), y) + weight * CE(f(m), t)`` where
    ``m = l x + (1 - l) o`` (or a patch of the outlier ``o`` pasted into ``x``), ``t = l onehot(y) + (1 - l) / K`` and
    ``l ~ Beta(alpha, alpha)``, one a batch. Plain outlier exposure and the energy margin are there for comparison.

    Differs from the paper: AdamW of `Train` instead of SGD; a last batch that is smaller than the others is used too.

    Parameters
    ----------
    exposure
        ``mixup``; ``cutmix`` for pictures; ``uniform`` is outlier exposure, ``CE`` plus the cross-entropy of outliers to
        the uniform distribution (its usual weight is 0.5); ``energy`` pushes energies of rows below and of outliers above
        `energies` (its usual weight is 0.1).
    weight
        Of the second part, >= 0.
    alpha
        Of the Beta distribution of shares, > 0.
    exposure_epochs, exposure_lr
        Length and peak rate of the second phase; 0 epochs leave the plain network.
    energies
        The two margins of ``energy``.

    References
    ----------
    Zhang, Inkawhich, Linderman, Chen, Li: Mixture Outlier Exposure: Towards Out-of-Distribution Detection in
    Fine-grained Environments. WACV 2023.
    Hendrycks, Mazeika, Dietterich: Deep Anomaly Detection with Outlier Exposure. ICLR 2019 (``uniform``).
    Liu, Wang, Owens, Li: Energy-based Out-of-distribution Detection. NeurIPS 2020 (``energy``).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from labelwise.learner import Train
    >>> X, y = load_digits(return_X_y=True)
    >>> noise = np.random.default_rng(0).uniform(0, 16, size=(600, 64))
    >>> model = MixOE(train=Train(epochs=5), random_state=0).fit(X, y, outliers=noise[:400])
    >>> bool(model.ood_score(noise[400:]).mean() > model.ood_score(X).mean() + 0.2)
    True
    """

    exposure: Literal["mixup", "cutmix", "uniform", "energy"] = "mixup"
    weight: Annotated[float, NonNegative] = 1.0
    alpha: Annotated[float, Positive] = 1.0
    exposure_epochs: Annotated[int, Natural] = 10
    exposure_lr: Annotated[float, Positive] = 1e-3
    energies: tuple[float, float] = (-23.0, -5.0)

    card = Card(
        paper=111, year=2023, kind="learner", handles=frozenset({"calibration", "open set"}), cost="light",
        needs=frozenset({"outliers"}), reference="Zhang et al., Mixture Outlier Exposure, WACV 2023.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
        apart="It needs outliers, marked as such, to train against.",
    )  # fmt: skip
    tune = {"weight": [0.5, 1.0], "exposure_lr": [3e-4, 1e-3]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return iris, with rows from a box around it as outliers."""
        return iris_trial(fit={"outliers": np.random.default_rng(0).uniform(-4, 4, size=(105, 4))})

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        domains: ArrayLike | None = None,
        outliers: Any = None,
    ) -> Self:
        """Train on rows `X` with labels `y`, then beside `outliers`.

        Parameters
        ----------
        X, y, sample_weight, domains
            As in `Learner.fit`.
        outliers
            Rows ``(m, ...)`` like those of X that belong to no class, from anywhere. None makes them of X itself: every
            feature (pictures: every pixel) of an outlier comes from a row of its own, which breaks what holds them together.

        Raises
        ------
        InputError
            Also for outliers of another kind or shape than X, and for texts, which cannot be mixed.
        """
        self._outliers = outliers
        try:
            super().fit(X, y, sample_weight, domains)
        finally:
            del self._outliers
        del self.outliers_
        return self

    def start(self, data: Data) -> None:
        """Read the outliers as X was read."""
        if self.inputs_.modality == "tokens" and self.exposure in ("mixup", "cutmix"):
            raise InputError(f"X: exposure={self.exposure!r} cannot mix texts. Pass embeddings, or use 'uniform'.")
        if self.exposure == "cutmix" and self.inputs_.modality != "images":
            raise InputError(
                f"exposure='cutmix' pastes patches of pictures. X holds {self.inputs_.modality}: use 'mixup'."
            )
        self.outliers_ = shuffled_entries(data.x) if self._outliers is None else self._read(self._outliers, data.x)

    def phases(self) -> list[Phase]:
        """Train plainly, then with outliers beside the rows."""
        plain = Phase(self.plain, [self.net_], self.train_.epochs)
        exposed = Phase(self.loss, [self.net_], self.exposure_epochs, self.exposure_lr)
        return [plain, exposed] if self.exposure_epochs else [plain]

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the labelled rows once, each batch beside as many outliers, which are repeated as needed."""
        strange = Data(self.outliers_, self.outliers_[:, 0], torch.ones(len(self.outliers_), dtype=torch.bool))
        for batch in super().batches(data, generator):
            rows = torch.randint(len(strange), (len(batch),), generator=generator).to(batch.x.device)
            yield data.batch(batch.index, unlabelled=strange.batch(rows))

    def plain(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of the rows."""
        return _mean(cross_entropy(self.net_(batch.x), batch.y, reduction="none"), batch.weight)

    def loss(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy of the rows and what the outliers add."""
        logits, strange = self.net_(batch.x), batch.unlabelled.x
        plain = _mean(cross_entropy(logits, batch.y, reduction="none"), batch.weight)
        if self.exposure == "uniform":
            exposed = to_uniform(self.net_(strange)).mean()
        elif self.exposure == "energy":
            inside, outside = energy_margin(logits, self.net_(strange), *self.energies)
            exposed = _mean(inside, batch.weight) + outside.mean()
        else:
            mixed, share = self.mix(batch.x, strange)
            targets = exposed_targets(batch.y, share, self.n_outputs_).to(logits.dtype)
            exposed = _mean(cross_entropy(self.net_(mixed), targets, reduction="none"), batch.weight)
        return {"plain": plain, "exposed": self.weight * exposed}

    def mix(self, x: Tensor, strange: Tensor) -> tuple[Tensor, float]:
        """Return mixtures of rows and outliers, and the share of the rows in them."""
        share = float(Beta(self.alpha, self.alpha).sample())
        return cutmix(x, strange, share) if self.exposure == "cutmix" else (share * x + (1 - share) * strange, share)

    def ood_score(self, X: Any, score: Score = "probability") -> NDArray[np.float64]:
        """Return how little each row of `X` looks like training rows ``(n,)``, higher is stranger; see `outlyingness`."""
        if score not in ("probability", "energy", "entropy"):
            raise InputError(f"score must be 'probability', 'energy' or 'entropy'. Got {score!r}.")
        return outlyingness(self.outputs(X), score)

    def _read(self, outliers: Any, like: Tensor) -> Tensor:
        try:
            rows = torch.as_tensor(self.inputs_.transform(outliers))
        except ValueError as error:
            raise InputError(f"outliers must be rows like those of X. {error}") from error
        if rows.dtype != like.dtype:
            raise InputError(f"outliers are {rows.dtype} but X is {like.dtype}: give both as bytes, or both as floats.")
        return rows.to(like.device)


def shuffled_entries(x: Tensor) -> Tensor:
    """Return rows in which every entry comes from a random row of `x` ``(n, ...)``, at the same place."""
    flat = x.flatten(1)
    rows = torch.randint(len(flat), flat.shape, device=x.device)
    return flat.gather(0, rows).reshape(x.shape)


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    return values.mean() if weight is None else (weight * values).sum() / weight.sum().clamp_min(1e-12)
