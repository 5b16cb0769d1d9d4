"""Claims of training for calibration: ranked mixtures, and exposure to outliers; all on digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.claims import Claim, tuned
from labelwise.calibration import MixOE, RankMixup
from labelwise.learner import Classifier, ClassLearner, Train
from labelwise.losses import CrossEntropy, Loss
from labelwise.nets import Network
from labelwise.parts.calibration_measures import adaptive_calibration_error, calibration_error, rejection
from labelwise.parts.mixers import mixup
from labelwise.parts.scaling import fit_scaling
from labelwise.training import Batch

# -- RankMixup


class Focal(Loss):
    """``(1 - p_y)^gamma * CE``."""

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        self.gamma = gamma

    def pointwise(self, logits: Tensor, y: Tensor, index: Tensor | None = None) -> Tensor:
        """Return the loss of each row."""
        value = cross_entropy(logits, y, reduction="none")
        return (1 - (-value).exp()).clamp_min(1e-6) ** self.gamma * value


class Mixup(ClassLearner):
    """Ordinary mixup: the mixture learns the mixed label."""

    alpha: float = 1.0

    def loss(self, batch: Batch) -> Tensor:
        """Return the mixed cross-entropy."""
        mix = mixup(len(batch), self.alpha)
        logits = self.net_(mix(batch.x))
        value: Tensor = sum(
            (share * cross_entropy(logits, batch.y[partner], reduction="none")).mean()
            for share, partner in zip(mix.shares, mix.partners, strict=True)
        )  # type: ignore[assignment]
        return value


OVERFIT = Train(epochs=60, batch_size=64, lr=3e-3, weight_decay=0.0)
CONTENDERS: dict[str, tuple[ClassLearner, dict[str, list[Any]]]] = {
    "overfitted": (Classifier(), {}),
    "tuned": (Classifier(), {"train__weight_decay": [0.0, 0.1], "train__lr": [1e-3, 3e-3]}),
    "mixup": (Mixup(), {"alpha": [0.1, 0.2, 0.5, 1.0]}),
    "label smoothing": (Classifier(), {"criterion": [CrossEntropy(s) for s in (0.01, 0.03, 0.05, 0.1)]}),
    "focal": (Classifier(), {"criterion": [Focal(g) for g in (0.5, 1.0, 2.0, 3.0)]}),
    "margin ranking": (RankMixup(ranking="margin"), {"weight": [0.1, 0.3], "margin": [1.0, 2.0]}),
    "method": (RankMixup(), {"weight": [0.1, 0.3, 1.0, 3.0]}),
}


def overfitted_digits(seed: int) -> tuple[Any, ...]:
    """Return digits under noise of a quarter of the range: 400 rows to train, 300 to calibrate, the rest to test."""
    X, y = load_digits(return_X_y=True)
    X = X + np.random.default_rng(seed).normal(0, 4, X.shape)
    X, X_test, y, y_test = train_test_split(X, y, train_size=700, stratify=y, random_state=seed)
    X, X_fit, y, y_fit = train_test_split(X, y, train_size=400, stratify=y, random_state=seed)
    return X, y, X_fit, y_fit, X_test, y_test


_MEASURED: dict[int, dict[str, dict[str, float]]] = {}


def contest(seed: int) -> dict[str, dict[str, float]]:
    """Return, by measure, the score of every contender; trained once a seed and kept for all claims about it."""
    if seed not in _MEASURED:
        data = overfitted_digits(seed)
        scores = {name: judged(*CONTENDERS[name], data, seed) for name in CONTENDERS}
        _MEASURED[seed] = {m: {name: score[m] for name, score in scores.items()} for m in scores["method"]}
    return _MEASURED[seed]


def judged(learner: ClassLearner, grid: dict[str, list[Any]], data: tuple[Any, ...], seed: int) -> dict[str, float]:
    """Tune a contender by the log loss of held-out training rows, and measure it on test rows."""
    X, y, X_fit, y_fit, X_test, y_test = data
    learner = learner.__class__(**{**learner.get_params(deep=False), "train": OVERFIT, "random_state": seed})
    likelihood = lambda model, X, y: -log_loss(y, model.predict_proba(X), labels=model.classes_)  # noqa: E731
    model = tuned(learner, grid, X, y, seed, budget=4, score=likelihood)
    proba = model.predict_proba(X_test)
    scaled = fit_scaling(model.predict_proba(X_fit), y_fit, bias=False)(proba)
    return {
        "ece": calibration_error(y_test, proba),
        "adaptive": adaptive_calibration_error(y_test, proba),
        "scaled": calibration_error(y_test, scaled),
        "accuracy": float(model.score(X_test, y_test)),
        "order": order_of_mixtures(model, X_test, y_test, seed),
    }


@torch.no_grad()
def order_of_mixtures(model: ClassLearner, X: Any, y: Any, seed: int) -> float:
    """Return Spearman's correlation of confidence and larger share, over held-out mixtures of two classes."""
    x, codes = torch.as_tensor(model.inputs_.transform(X)), torch.as_tensor(y)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        mix = mixup(len(x), 1.0, per_row=True)
    two = codes[mix.partners[0]] != codes[mix.partners[1]]
    confidence = model.net_(mix(x)).softmax(1).max(1).values
    return float(spearmanr(mix.shares.max(0).values[two], confidence[two]).statistic)


def ranked(measure: str, against: str) -> Any:
    """Return a claim's run: one measure of RankMixup (M-NDCG) against one contender, beside all others."""

    def run(seed: int) -> dict[str, float]:
        scores = contest(seed)[measure]
        return {"baseline": scores[against], **{name: scores[name] for name in scores if name != against}}

    return run


NOISY = "digits under pixel noise of a quarter of the range, 400 training rows, 60 epochs of an MLP"
PLAIN = "cross-entropy, same training without weight decay"
RANK_MIXUP = [
    Claim(
        method="labelwise.calibration.RankMixup", paper=97, name=name, statement=statement, data=NOISY, baseline=baseline,
        metric=metric, higher_is_better=higher, margin=margin, run=ranked(measure, against),
        tried="four settings each, by log loss of held-out training rows, as for mixup, label smoothing, focal and the "
        "margin variant beside it; on digits without pixel noise all err by 0.02 to 0.07 without a clear order",
    )
    for name, statement, baseline, against, measure, metric, higher, margin in (
        (
            "over-confident network", "Training with ranked mixtures is better calibrated than cross-entropy.",
            PLAIN, "overfitted", "ece", "ECE, 15 bins", False, 0.0,
        ),
        (
            "equal masses", "The same with bins of equal size.", PLAIN, "overfitted", "adaptive",
            "adaptive ECE, 15 bins", False, 0.0,
        ),
        (
            "tuned baseline", "It is better calibrated than cross-entropy with tuned rate and weight decay.",
            "cross-entropy, rate and weight decay tuned", "tuned", "ece", "ECE, 15 bins", False, 0.0,
        ),
        (
            "mixup", "It is better calibrated than mixup, which is under-confident.", "mixup, tuned", "mixup", "ece",
            "ECE, 15 bins", False, 0.0,
        ),
        (
            "temperature", "It stays better calibrated after temperature scaling of both.", PLAIN, "overfitted", "scaled",
            "ECE after temperature scaling on 300 rows", False, 0.0,
        ),
        (
            "accuracy", "Accuracy falls by less than half a point.", PLAIN, "overfitted", "accuracy", "test accuracy",
            True, -0.005,
        ),
        (
            "order", "Confidence follows the share of a mixture more closely.", PLAIN, "overfitted", "order",
            "Spearman correlation of confidence and larger share, held-out mixtures of two classes", True, 0.0,
        ),
    )
]  # fmt: skip


# -- MixOE


class Flat(Network):
    """An MLP that reads pictures."""

    def __init__(self, outputs: int = 7) -> None:
        super().__init__(outputs=outputs)
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.ReLU())
        self.head = nn.Linear(256, outputs)


def textures(rng: np.random.Generator, rows: int) -> Any:
    """Return blurred noise of several grains, in [0, 1]."""
    grains = rng.uniform(0.5, 2.0, rows)
    pictures = np.stack([gaussian_filter(rng.normal(size=(8, 8)), grain, mode="wrap") for grain in grains])
    low, high = pictures.min((1, 2), keepdims=True), pictures.max((1, 2), keepdims=True)
    return ((pictures - low) / (high - low)).astype(np.float32)[..., None]


def stripes(rng: np.random.Generator, rows: int) -> Any:
    """Return waves of a random direction, length and phase, in [0, 1]: a kind of picture no training sees."""
    row, column = np.mgrid[:8, :8]
    angle, length, phase = (rng.uniform(0, high, (rows, 1, 1)) for high in (np.pi, 1, 2 * np.pi))
    waves = np.sin((np.cos(angle) * row + np.sin(angle) * column) * (1 + 1.5 * length) + phase)
    return ((1 + waves) / 2).astype(np.float32)[..., None]


EXPOSED: dict[str, tuple[MixOE, dict[str, list[Any]]]] = {
    "plain": (MixOE(exposure_epochs=0), {"train__lr": [1e-3, 2e-3, 4e-3, 8e-3]}),
    "exposure": (MixOE(exposure="uniform"), {"weight": [0.5, 1.0], "exposure_lr": [3e-4, 1e-3]}),
    "energy": (MixOE(exposure="energy"), {"weight": [0.03, 0.1], "exposure_lr": [3e-4, 1e-3]}),
    "mixup": (MixOE(exposure="mixup"), {"weight": [1.0, 3.0], "exposure_lr": [3e-4, 1e-3]}),
    "cutmix": (MixOE(exposure="cutmix"), {"weight": [1.0, 3.0], "exposure_lr": [3e-4, 1e-3]}),
}
_EXPOSED: dict[int, dict[str, dict[str, float]]] = {}


def exposed(seed: int) -> dict[str, dict[str, float]]:
    """Return, by measure, the score of every way of exposure to textures; trained once a seed."""
    if seed not in _EXPOSED:
        rng, (X, y) = np.random.default_rng(seed), load_digits(return_X_y=True)
        X = (X / 16).astype(np.float32).reshape(-1, 8, 8, 1)
        near, X, y = X[y > 6], X[y < 7], y[y < 7]
        split = train_test_split(X, y, test_size=0.4, stratify=y, random_state=seed)
        strange = {"near": near, "far": stripes(rng, 600)}
        scores = {
            name: rejecting(model, grid, split, textures(rng, 1500), strange, seed)
            for name, (model, grid) in EXPOSED.items()
        }
        _EXPOSED[seed] = {m: {name: score[m] for name, score in scores.items()} for m in scores["plain"]}
    return _EXPOSED[seed]


def rejecting(
    model: MixOE, grid: dict[str, list[Any]], split: Any, outliers: Any, strange: dict[str, Any], seed: int
) -> dict[str, float]:
    """Tune by accuracy and by the AUROC of held-out rows against held-out textures, and measure on strangers."""
    X, X_test, y, y_test = split
    score = "energy" if model.exposure == "energy" else "probability"
    seen, held = outliers[:1000], outliers[1000:]
    model = MixOE(
        **{
            **model.get_params(deep=False),
            "net": Flat(),
            "train": Train(epochs=30, batch_size=64),
            "random_state": seed,
        }
    )

    def rank(model: MixOE, X: Any, y: Any) -> float:
        known, unknown = -model.ood_score(X, score), -model.ood_score(held, score)
        return float(model.score(X, y)) + rejection(known, unknown).auroc

    fitted = tuned(model, grid, X, y, seed, budget=4, score=rank, outliers=seen)
    known = -fitted.ood_score(X_test, score)
    found = {kind: rejection(known, -fitted.ood_score(rows, score)) for kind, rows in strange.items()}
    named = {
        f"{kind} {measure}": getattr(told, measure) for kind, told in found.items() for measure in ("auroc", "fpr95")
    }
    return {"accuracy": float(fitted.score(X_test, y_test)), **named}


def rejected(measure: str, against: str, method: str = "mixup") -> Any:
    """Return a claim's run: one measure of one way of exposure against another, beside all others."""

    def run(seed: int) -> dict[str, float]:
        scores = exposed(seed)[measure]
        rest = {name: scores[name] for name in scores if name not in (against, method)}
        return {"baseline": scores[against], "method": scores[method], **rest}

    return run


STRANGERS = "pictures of digits 0 to 6, blurred noise as auxiliary outliers; near: digits 7 to 9, far: waves"
MIX_OE = [
    Claim(
        method="labelwise.calibration.MixOE", paper=111, name=name, statement=statement, data=STRANGERS,
        baseline=baseline, metric=metric, higher_is_better=higher, margin=margin, run=rejected(measure, against, method),
        tried="an MLP; four settings each, chosen by accuracy and by AUROC of held-out rows against held-out blurred noise",
    )
    for name, statement, baseline, metric, measure, against, method, higher, margin in (
        (
            "near", "Mixtures with outliers tell unseen digits better from known ones than plain training.",
            "plain training", "AUROC of 1 - max probability, near", "near auroc", "plain", "mixup", True, 0.0,
        ),
        (
            "near, against outlier exposure", "They do so better than outlier exposure.",
            "outlier exposure", "AUROC of 1 - max probability, near", "near auroc", "exposure", "mixup", True, 0.0,
        ),
        (
            "near, false positives", "Fewer unseen digits are taken for known ones than after outlier exposure.",
            "outlier exposure", "FPR at 95 % of the known rows, near", "near fpr95", "exposure", "mixup", False, 0.0,
        ),
        (
            "near, cutmix", "Pasted patches do so, too.",
            "plain training", "AUROC of 1 - max probability, near", "near auroc", "plain", "cutmix", True, 0.0,
        ),
        (
            "far", "Mixtures with outliers tell pictures of a new kind from digits better than plain training.",
            "plain training", "AUROC of 1 - max probability, far", "far auroc", "plain", "mixup", True, 0.0,
        ),
        (
            "far, against outlier exposure", "They do so no worse than outlier exposure by more than a point.",
            "outlier exposure", "AUROC of 1 - max probability, far", "far auroc", "exposure", "mixup", True, -0.01,
        ),
        (
            "accuracy", "Accuracy falls by less than half a point.", "plain training", "test accuracy", "accuracy",
            "plain", "mixup", True, -0.005,
        ),
    )
]  # fmt: skip

CLAIMS = [*RANK_MIXUP, *MIX_OE]
