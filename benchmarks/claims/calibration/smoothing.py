"""Claims of adaptive smoothing: an accurate and a robust classifier of digits, mixed in several ways."""

from __future__ import annotations

from typing import Any

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from benchmarks.claims import Claim
from labelwise.calibration import AdaptiveSmoothing, AdversarialTraining, GatedSmoothing, RobustAccuracy
from labelwise.learner import Classifier, Train
from labelwise.nets import MLP

RADIUS = 0.2
PLAIN_PAIR = Train(epochs=30, batch_size=64, lr=3e-3)
ATTACK = RobustAccuracy(radius=RADIUS, bounds=(0.0, 1.0), ascents=15, restarts=1)
_SMOOTHED: dict[int, dict[str, float]] = {}


def smoothed(seed: int) -> dict[str, float]:
    """Return clean and robust accuracy of both classifiers and of their mixes; trained once a seed."""
    if seed not in _SMOOTHED:
        X, y = load_digits(return_X_y=True)
        X, X_test, y, y_test = train_test_split(X / 16, y, test_size=400, stratify=y, random_state=seed)
        X, X_tune, y, y_tune = train_test_split(X, y, test_size=397, stratify=y, random_state=seed)
        models = pair_and_mixes(X, y, X_tune, y_tune, seed)
        scores: dict[str, float] = {}
        for name, model in models.items():
            found = ATTACK.__class__(**{**ATTACK.get_params(), "random_state": seed}).measure(model, X_test, y_test)
            scores |= {f"{name}, clean": found.clean.value, f"{name}, robust": found.robust.value}
        mix = models["probabilities"]
        scores |= {
            "alpha": mix.alpha_, "u": mix.u_, "v": mix.v_, "certified at the row": float(mix.certified(X_test).mean()),
            "certified within 0.01": float(mix.certified(X_test, 0.01).mean()),
        }  # fmt: skip
        _SMOOTHED[seed] = scores
    return _SMOOTHED[seed]


def pair_and_mixes(X: Any, y: Any, X_tune: Any, y_tune: Any, seed: int) -> dict[str, Any]:
    """Train an accurate and a robust classifier, and mix them in every way."""
    ball = {"radius": RADIUS, "bounds": (0.0, 1.0)}
    net = MLP(64, 10, hidden=(128,))
    accurate = Classifier(net=net, train=PLAIN_PAIR, random_state=seed).fit(X, y)
    robust = AdversarialTraining(net=net, ascents=5, train=PLAIN_PAIR, random_state=seed, **ball).fit(X, y)
    both = {"accurate": accurate, "robust": robust, **ball}
    mixes = {
        "probabilities": AdaptiveSmoothing(**both), "logits": AdaptiveSmoothing(mixing="logit", **both),
    }  # fmt: skip
    models: dict[str, Any] = {"accurate": accurate, "robust": robust}
    models |= {name: mix.fit(X_tune, y_tune) for name, mix in mixes.items()}
    u, v = models["probabilities"].u_, models["probabilities"].v_
    gate = GatedSmoothing(
        **both, accurate_scale=u, robust_scale=v, shares=(0.5, 0.99), ascents=5, train=Train(epochs=15, batch_size=64),
        random_state=seed,
    )  # fmt: skip
    models["gate"] = gate.fit(X, y)
    constant = AdaptiveSmoothing(**both, alpha=gated_share(models["gate"], X_tune), accurate_scale=u, robust_scale=v)
    models["constant"] = constant.fit(X_tune, y_tune)
    for alpha in (0.5, 0.7, 0.9):
        at = AdaptiveSmoothing(**both, alpha=alpha, accurate_scale=1.0, robust_scale=1.0)
        models[f"alpha {alpha}"] = at.fit(X_tune, y_tune)
    return models


@torch.no_grad()
def gated_share(model: GatedSmoothing, X: Any) -> float:
    """Return the mean share that the gate gives the robust classifier on clean rows."""
    return float(model.mixture.eval().share(torch.as_tensor(model.inputs_.transform(X))).mean())


def smoothing(baseline: str, method: str, also: tuple[str, ...] = ()) -> Any:
    """Return a claim's run: one accuracy against another, beside others."""

    def run(seed: int) -> dict[str, float]:
        scores = smoothed(seed)
        return {"baseline": scores[baseline], "method": scores[method], **{name: scores[name] for name in also}}

    return run


EVERY = (
    "accurate, clean", "accurate, robust", "alpha", "u", "v", "alpha 0.5, clean", "alpha 0.5, robust", "alpha 0.7, clean",
    "alpha 0.7, robust", "alpha 0.9, clean", "alpha 0.9, robust", "certified at the row", "certified within 0.01",
)  # fmt: skip
SMOOTHED = "digits in [0, 1], MLP, attacks within 0.2 in every pixel (three objectives, 15 steps)"
SMOOTHING = [
    Claim(
        method=f"labelwise.calibration.{who}", paper=125, name=name, statement=statement, data=SMOOTHED,
        baseline=baseline, metric=metric, margin=margin, run=smoothing(against, method, also),
        tried="alpha and the two scales tuned on 397 rows for at most 2 points of robust accuracy lost; "
        "gate between 0.5 and 0.99",
    )
    for who, name, statement, baseline, metric, against, method, margin, also in (
        (
            "AdaptiveSmoothing", "clean accuracy", "The mix is more accurate than the robust classifier.",
            "the robust classifier", "clean accuracy", "robust, clean", "probabilities, clean", 0.0, EVERY,
        ),
        (
            "AdaptiveSmoothing", "robust accuracy", "It loses at most three points of robust accuracy.",
            "the robust classifier", "accuracy under attack", "robust, robust", "probabilities, robust", -0.03, EVERY,
        ),
        (
            "AdaptiveSmoothing", "close to the accurate classifier", "It is within one point of the accurate classifier.",
            "the accurate classifier", "clean accuracy", "accurate, clean", "probabilities, clean", -0.01, (),
        ),
        (
            "AdaptiveSmoothing", "probabilities, not logits",
            "Mixed probabilities are more accurate than mixed logits at the same loss of robust accuracy.", "mixed logits",
            "clean accuracy", "logits, clean", "probabilities, clean", 0.0, ("logits, robust", "probabilities, robust"),
        ),
        (
            "GatedSmoothing", "robust accuracy", "The gate is more robust than the constant share it gives clean rows.",
            "constant alpha, the gate's mean on clean rows", "accuracy under attack", "constant, robust", "gate, robust",
            0.0, ("gate, clean", "constant, clean", "robust, robust"),
        ),
        (
            "GatedSmoothing", "clean accuracy", "It is no less accurate than that by more than half a point.",
            "constant alpha, the gate's mean on clean rows", "clean accuracy", "constant, clean", "gate, clean", -0.005,
            ("accurate, clean", "robust, clean"),
        ),
    )
]  # fmt: skip

CLAIMS = SMOOTHING
