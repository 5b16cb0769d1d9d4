"""Fitted estimators as one torch module each, from raw rows to predictions: what an ONNX file is made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from labelwise.base import InputError
from labelwise.baselines import Baseline
from labelwise.inputs import Inputs
from labelwise.learner import ClassLearner, Learner, MultiLabelClassifier, Regressor, TwoNetworks

POSSIBLE = (
    "fitted learners (networks), a linear or mlp Baseline, scikit-learn's LogisticRegression and MLPClassifier, also behind "
    "scalers in a pipeline, and estimators of labelwise that predict by one of these"
)


@dataclass(frozen=True)
class Plan:
    """How to export one estimator.

    `module` maps what `feed` makes of rows to predictions; `predict` is the estimator's own answer; `sample` draws rows.
    """

    module: nn.Module
    input: str
    output: str
    sample: Callable[[int], Any]
    feed: Callable[[Any], NDArray[Any]]
    predict: Callable[[Any], NDArray[Any]]


def exportable(model: Any) -> Plan:
    """Return how to export a fitted model, or raise `InputError` saying what can be exported."""
    check_is_fitted(model)
    if isinstance(model, Learner):
        return _learner_plan(model)
    found = _classical(model)
    if found is None:
        inner = getattr(model, "family_", None)
        what = f"{type(model).__name__} of the family {inner!r}" if inner else type(model).__name__
        raise InputError(f"{what} cannot be written as ONNX. What can: {POSSIBLE}.")
    width = int(model.n_features_in_)
    return Plan(
        nn.Sequential(found, nn.Softmax(1)), f"features (n, {width}), float32", "probabilities", _spread_of(model, width),
        lambda X: np.asarray(X, np.float32), lambda X: np.asarray(model.predict_proba(X)),
    )  # fmt: skip


# -- networks


class Rows(nn.Module):
    """Raw rows to what a network reads: standardised vectors, channels first and fractions for pictures."""

    center: Tensor
    scale: Tensor

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.modality, self.of_bytes = inputs.modality, _of_bytes(inputs)
        center = np.zeros(1, np.float32) if inputs.center is None else inputs.center
        scale = np.ones(1, np.float32) if inputs.scale is None else inputs.scale
        self.register_buffer("center", torch.as_tensor(center, dtype=torch.float32))
        self.register_buffer("scale", torch.as_tensor(scale, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Return rows as they were trained on."""
        if self.modality == "tokens":
            return x
        if self.modality == "images":
            x = x.permute(0, 3, 1, 2)
            return x.float() / 255 if self.of_bytes else x
        return (x - self.center) / self.scale


class Averaged(nn.Module):
    """Scores of several networks, averaged as `TwoNetworks` says."""

    def __init__(self, members: Sequence[nn.Module], average: str) -> None:
        super().__init__()
        self.members, self.average = nn.ModuleList(members), average

    def forward(self, x: Tensor) -> Tensor:
        """Return averaged scores."""
        each = torch.stack([member(x) for member in self.members])
        return each.mean(0) if self.average == "logits" else each.softmax(2).mean(0).log()


class Final(nn.Module):
    """Scores to what the learner predicts."""

    def __init__(self, learner: Learner) -> None:
        super().__init__()
        self.many, self.single = isinstance(learner, MultiLabelClassifier), bool(getattr(learner, "single_", False))
        self.real = isinstance(learner, Regressor)
        if self.real:
            self.register_buffer("mean", torch.as_tensor(learner.mean_, dtype=torch.float32))
            self.register_buffer("spread", torch.as_tensor(learner.spread_, dtype=torch.float32))

    def forward(self, scores: Tensor) -> Tensor:
        """Return probabilities or values."""
        if self.real:
            values: Tensor = scores * self.spread + self.mean  # type: ignore[operator]
            return values
        if not self.many:
            return scores.softmax(1)
        p = scores.sigmoid()
        return p / p.sum(1, keepdim=True) if self.single else p


def _learner_plan(learner: Any) -> Plan:
    if not isinstance(learner, (ClassLearner, Regressor)):
        raise InputError(f"{type(learner).__name__} cannot be written as ONNX. What can: {POSSIBLE}.")
    inputs: Inputs = learner.inputs_
    members = list(learner.members()) if isinstance(learner, TwoNetworks) else [learner.net_]
    members = [_plain(member) for member in members]
    net = members[0] if len(members) == 1 else Averaged(members, getattr(learner, "average", "logits"))
    module = nn.Sequential(Rows(inputs), net, Final(learner)).cpu().eval()
    real = isinstance(learner, Regressor)
    predict = learner.predict if real else learner.predict_proba
    feed = _codes(inputs) if inputs.modality == "tokens" else _raw(inputs)
    return Plan(module, _reads(inputs), "values" if real else "probabilities", _drawn(inputs), feed, predict)


def _of_bytes(inputs: Inputs) -> bool:
    """Whether pictures come as bytes; models saved before this was kept are taken to read bytes."""
    return inputs.modality == "images" and bool(getattr(inputs, "of_bytes", True))


def _plain(net: Any) -> nn.Module:
    """Return a copy of a network, adapters folded into its weights."""
    copied: nn.Module = net.merged() if hasattr(net, "merged") else deepcopy(net)
    return copied


def _reads(inputs: Inputs) -> str:
    shape = inputs.shape
    if inputs.modality == "images":
        return f"pictures (n, {shape[1]}, {shape[2]}, {shape[0]}), {'uint8' if _of_bytes(inputs) else 'float32'}"
    if inputs.modality == "series":
        return f"series (n, {shape[0]}, {shape[1]}), float32"
    if inputs.modality == "tokens":
        return f"token codes (n, {inputs.tokenizer.length}) of {type(inputs.tokenizer).__name__}, int32, 0 is padding"
    return f"features (n, {shape[0]}), float32"


def _raw(inputs: Inputs) -> Callable[[Any], NDArray[Any]]:
    kind = np.uint8 if _of_bytes(inputs) else np.float32
    return lambda X: np.ascontiguousarray(np.asarray(X), dtype=kind)


def _drawn(inputs: Inputs) -> Callable[[int], Any]:
    rng, shape = np.random.default_rng(0), tuple(inputs.shape)
    if inputs.modality == "images":
        size = (*shape[1:], shape[0])
        if _of_bytes(inputs):
            return lambda n: rng.integers(0, 256, (n, *size), dtype=np.uint8)
        return lambda n: rng.random((n, *size), dtype=np.float32)
    if inputs.modality == "tokens":
        return lambda n: _texts(inputs.tokenizer, n, rng)
    center = 0.0 if inputs.center is None else inputs.center
    scale = 1.0 if inputs.scale is None else inputs.scale
    return lambda n: (center + scale * rng.normal(size=(n, *shape))).astype(np.float32)


def _codes(inputs: Inputs) -> Callable[[Any], NDArray[Any]]:
    """Return a maker of token codes of the tokenizer's full length."""

    def codes(texts: Any) -> NDArray[Any]:
        found = inputs.tokenizer(list(texts))
        return np.pad(found, [(0, 0), (0, inputs.tokenizer.length - found.shape[1])])

    return codes


def _texts(tokenizer: Any, n: int, rng: np.random.Generator) -> list[str]:
    """Draw texts of known words, of every length up to the tokenizer's."""
    known = sorted(tokenizer.words()) if hasattr(tokenizer, "words") else [f"word{number}" for number in range(1000)]
    sizes = rng.integers(1, tokenizer.length + 1, n)
    return [" ".join(rng.choice(known, int(size)).tolist()) for size in sizes]


# -- scikit-learn


def _classical(model: Any) -> nn.Module | None:
    """Return a module from features to scores ``(n, K)``, or None for an estimator that is none of the known ones."""
    if isinstance(model, Baseline):
        return _chain([model.scaler_, model.model_])
    if isinstance(model, Pipeline):
        return _chain([step for _, step in model.steps if step != "passthrough"])
    if isinstance(model, LogisticRegression):
        return _two_columns(_linear(model.coef_, model.intercept_))
    if isinstance(model, MLPClassifier):
        return _mlp(model)
    if isinstance(model, (StandardScaler, MaxAbsScaler, MinMaxScaler)):
        return _scaler(model)
    inside = getattr(model, "estimator_", None)
    return None if inside is None else _classical(inside)


def _chain(steps: Sequence[Any]) -> nn.Module | None:
    parts = [_classical(step) for step in steps]
    return None if any(part is None for part in parts) else nn.Sequential(*[part for part in parts if part is not None])


def _linear(weight: NDArray[Any], bias: NDArray[Any]) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(torch.as_tensor(np.ascontiguousarray(weight)))
        layer.bias.copy_(torch.as_tensor(np.ascontiguousarray(bias)))
    return layer


class TwoColumns(nn.Module):
    """One score of the second class to a score a class."""

    def forward(self, z: Tensor) -> Tensor:
        """Return ``(0, z)``."""
        return torch.cat([torch.zeros_like(z), z], 1)


def _two_columns(layer: nn.Linear) -> nn.Module:
    return layer if layer.out_features > 1 else nn.Sequential(layer, TwoColumns())


def _mlp(model: MLPClassifier) -> nn.Module | None:
    activations = {"relu": nn.ReLU, "tanh": nn.Tanh, "logistic": nn.Sigmoid, "identity": nn.Identity}
    layers: list[nn.Module] = []
    for weight, bias in zip(model.coefs_, model.intercepts_, strict=True):
        layers += [_linear(weight.T, bias), activations[model.activation]()]
    if model.out_activation_ not in ("softmax", "logistic"):
        return None
    last = layers[-2]
    assert isinstance(last, nn.Linear)
    return nn.Sequential(*layers[:-2], _two_columns(last))


def _scaler(model: Any) -> nn.Module:
    """Return a scaler as a diagonal linear layer."""
    width = int(model.n_features_in_)
    if isinstance(model, MinMaxScaler):
        scale, shift = model.scale_, model.min_
    else:
        divisor = np.ones(width) if model.scale_ is None else model.scale_
        center = getattr(model, "mean_", None)
        scale, shift = 1 / divisor, np.zeros(width) if center is None or not model.with_mean else -center / divisor
    return Scale(torch.as_tensor(scale, dtype=torch.float32), torch.as_tensor(shift, dtype=torch.float32))


class Scale(nn.Module):
    """``x * scale + shift``."""

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        """Return scaled rows."""
        out: Tensor = x * self.scale + self.shift  # type: ignore[operator]
        return out


def _spread_of(model: Any, width: int) -> Callable[[int], NDArray[np.float32]]:
    """Return a maker of rows spread as the first scaler of a model saw them."""
    scaler = getattr(model, "scaler_", None)
    steps = getattr(getattr(model, "estimator_", model), "steps", None)
    scaler = steps[0][1] if scaler is None and steps else scaler
    center, scale = getattr(scaler, "mean_", None), getattr(scaler, "scale_", None)
    rng = np.random.default_rng(0)
    center, scale = (0.0 if center is None else center), (1.0 if scale is None else scale)
    return lambda n: (center + scale * rng.normal(size=(n, width))).astype(np.float32)
