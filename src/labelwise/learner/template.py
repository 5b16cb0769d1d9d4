"""The template of every trained method: validate, build, start, train, predict."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from labelwise.base import UNLABELED, Fields, InputError, Method
from labelwise.inputs import Inputs
from labelwise.nets.auto import build
from labelwise.parts.views import Views, for_modality
from labelwise.supervision import encode_classes
from labelwise.supervision.beside import row_numbers, row_weights
from labelwise.training import Batch, Data, LossValue, Phase, Train, run, shuffled

PREDICT_ROWS = 4096


class Learner(Method, Fields):
    """Template: validate, build the network, start the method's state, run its phases, predict.

    A method adds fields and writes `loss`; `start`, `phases`, `step_end`, `epoch_end` and `batches` have defaults. State
    lives in attributes named ``..._``; those that are modules or tensors move to the device, into checkpoints and into
    saved models by themselves.

    Parameters
    ----------
    net
        ``auto`` (by the shape of X), ``linear``, ``mlp``, ``conv``, ``transformer``, or an ``nn.Module`` of your own that
        maps a batch to scores (it is copied, and its inputs are then not standardised), among them
        `labelwise.nets.HuggingFace` for texts and `labelwise.nets.Joined` for a representation of your own.
    views
        A `labelwise.parts.views.Views` pair, or ``auto`` for the default of the modality.
    train
        How to optimise; None takes ``Train()``.
    random_state
        Seed of weights, batches and views; None draws one.
    """

    net: nn.Module | str = "auto"
    views: Views | str = "auto"
    train: Train | None = None
    random_state: int | np.random.RandomState | None = None

    # -- what a method writes

    def start(self, data: Data) -> None:
        """Build the method's state: teachers, memories, extra heads, named ``..._``. `net_` exists already."""

    def loss(self, batch: Batch) -> LossValue:
        """Return the batch's loss: one number, or named parts that are added up and logged."""
        raise NotImplementedError(f"{type(self).__name__} must define loss(batch).")

    def phases(self) -> list[Phase]:
        """Return the stages of training; by default one, that moves the network by `loss`."""
        return [Phase(self.loss, [self.net_], self.train_.epochs)]

    def step_end(self) -> None:
        """Run after every optimiser step."""

    def epoch_end(self) -> None:
        """Run after every epoch."""

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield an epoch's batches: by default the labelled rows once, in random order."""
        for rows in shuffled(data.labelled.nonzero().squeeze(1), self.train_.batch_size, generator, data.shard):
            yield data.batch(rows)

    def steps(self, data: Data) -> int:
        """Return the number of batches in an epoch."""
        return math.ceil(int(data.labelled.sum()) / self.train_.batch_size)

    def mass(self, batch: Batch) -> Tensor:
        """Return what the loss of a batch is the mean over, shape (): by it the losses of several processes are averaged."""
        return torch.tensor(float(len(batch)), device=batch.x.device)

    def reader(self) -> Inputs:
        """Return what will read X, not fitted yet: by default one modality, told from X."""
        return Inputs(self, isinstance(self.net, str), getattr(self.net, "tokenizer", None))

    # -- what a task writes

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Return the targets as an array for tensors, which rows have one, and the number of the network's outputs."""
        raise NotImplementedError(f"{type(self).__name__} must define read_targets(y).")

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Return a validation score of raw network outputs, higher is better."""
        raise NotImplementedError(f"{type(self).__name__} must define quality(scores, y).")

    # -- the template

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Train on rows `X` with targets `y`.

        Parameters
        ----------
        X
            Features ``(n, d)``, images ``(n, h, w, c)`` uint8 or float, series ``(n, channels, time)``, or a list of texts.
        y
            Targets of the learner's kind; unlabelled rows are marked as in `labelwise.supervision`.
        sample_weight
            Non-negative weights ``(n,)``.
        domains
            Integer source of each row ``(n,)``, for methods that use it.

        Raises
        ------
        InputError, ValueError
            For fields out of range, and X or y that do not fit.
        FloatingPointError
            When the loss becomes infinite or NaN, as with a step that is too long.
        """
        self.check_fields()
        self.inputs_ = self.reader()
        x = self.inputs_.fit(X, y)
        target, labelled, self.n_outputs_ = self.read_targets(y)
        self._check_lengths(len(x), len(target), domains)
        self.train_ = Train() if self.train is None else self.train.check_fields()
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        weight = None if sample_weight is None else row_weights(sample_weight, x)
        data = Data(
            torch.as_tensor(x), torch.as_tensor(target), torch.as_tensor(labelled),
            None if weight is None else torch.as_tensor(weight, dtype=torch.float32),
            None if domains is None else torch.as_tensor(row_numbers(domains, len(x))),
            self._views(),
        )  # fmt: skip
        run(self, *self._hold_out(data))
        return self

    def build(self, data: Data) -> None:
        """Make the network before anything else is started; a template may first put rows aside."""
        self.net_ = self.made_network(data)

    def made_network(self, data: Data) -> nn.Module:
        """Return a copy of the user's network, or one that fits the input."""
        if isinstance(self.net, nn.Module):
            return own_network(self.net, data, self.n_outputs_)
        return build(self.net, self.inputs_.modality, self.inputs_.shape, self.n_outputs_)

    def modules(self) -> dict[str, nn.Module]:
        """Return the learned modules by attribute name."""
        return {k: v for k, v in vars(self).items() if k.endswith("_") and isinstance(v, nn.Module)}

    def predictor(self) -> nn.Module:
        """Return the module that predicts: its weights are averaged (`Train.ema`) and kept at their best epoch."""
        return self.net_

    def tensors(self) -> dict[str, Tensor]:
        """Return the learned tensors by attribute name."""
        return {k: v for k, v in vars(self).items() if k.endswith("_") and isinstance(v, Tensor)}

    def training_mode(self, phase: Phase) -> None:
        """Put the phase's modules in training mode."""
        for part in (phase, phase.then):
            for module in () if part is None else part.modules:
                module.train()

    def refuse_texts(self, doing: str = "mixes rows", instead: str = "") -> None:
        """Raise `InputError` where rows are token codes, which can be neither mixed nor moved by small steps."""
        if self.inputs_.modality == "tokens":
            raise InputError(
                f"X holds texts, but {type(self).__name__} {doing}, which token codes do not allow. "
                f"Encode the texts as vectors first{instead}."
            )

    @torch.no_grad()
    def outputs(self, X: Any) -> NDArray[np.float64]:
        """Return the network's raw scores for `X`, shape ``(n, outputs)``, float64."""
        check_is_fitted(self)
        x = torch.as_tensor(self.inputs_.transform(X))
        return self._forward(x).double().numpy()

    @torch.no_grad()
    def features(self, X: Any) -> NDArray[np.float64]:
        """Return the representation before the output layer, shape ``(n, width)``, float64."""
        check_is_fitted(self)
        if not hasattr(self.net_, "features"):
            raise InputError(
                f"net: {type(self.net_).__name__} has no `features` module, so there is no representation."
            )
        return self._forward(torch.as_tensor(self.inputs_.transform(X)), self.net_.features).double().numpy()

    def validation_score(self, data: Data) -> float:
        """Return `quality` on held-out rows."""
        return self.quality(self._forward(data.x), data.y)

    @torch.no_grad()
    def _forward(self, x: Tensor, module: Any = None) -> Tensor:
        """Return the module's outputs in blocks; of vectors in float64, so that a row's score ignores its neighbours."""
        module = self.net_ if module is None else module
        if self.inputs_.modality != "vectors" or not isinstance(module, nn.Module):
            return in_blocks(module.eval(), x)
        try:
            return in_blocks(deepcopy(module).double().eval(), x.double())
        except RuntimeError:
            if isinstance(self.net, str):
                raise
            return in_blocks(module.eval(), x).double()  # a network of one's own that works in single precision only

    def _views(self) -> Views:
        return for_modality(self.inputs_.modality) if isinstance(self.views, str) else self.views

    def _hold_out(self, data: Data) -> tuple[Data, Data | None]:
        """Split labelled rows off for early stopping, stratified where every class has two rows."""
        share = self.train_.validation
        if share == 0:
            return data, None
        rows = data.labelled.nonzero().squeeze(1).numpy()
        y = data.y[rows].numpy()
        single = y.ndim > 1 or y.dtype.kind == "f" or np.bincount(y).min() < 2
        _, held = train_test_split(rows, test_size=share, random_state=self.seed_, stratify=None if single else y)
        held = torch.as_tensor(np.sort(held))
        validation = Data(data.x[held], data.y[held], data.labelled[held], views=data.views)
        data.labelled = data.labelled.clone()
        data.labelled[held] = False
        return data, validation

    def _check_lengths(self, n_rows: int, n_targets: int, domains: ArrayLike | None) -> None:
        if n_rows != n_targets:
            raise InputError(f"X has {n_rows} rows but y has {n_targets}: give one target per row.")
        if domains is not None:
            row_numbers(domains, n_rows)


def own_network(net: nn.Module, data: Data, outputs: int | tuple[int, ...]) -> nn.Module:
    """Return a copy of a user's network, with a head of `outputs` scores where it asks for one.

    `outputs` is the number of scores of a row, or their shape.

    Raises
    ------
    InputError
        When it does not map rows to so many scores.
    """
    example = data.batch(torch.arange(min(2, len(data)), device=data.x.device)).x
    if hasattr(net, "for_outputs") and isinstance(outputs, int):
        return net.for_outputs(outputs, example)  # type: ignore[no-any-return, operator]
    made = deepcopy(net)
    with torch.no_grad():
        scores = made.eval()(example)
    made.train(net.training)
    found = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
    wanted = (len(example), *(outputs if isinstance(outputs, tuple) else (outputs,)))
    if found != wanted:
        each = math.prod(wanted[1:])
        raise InputError(
            f"net: {type(net).__name__} must map {len(example)} rows to {each} scores each, shape {wanted}. Got {found}. "
            "Change its last layer, or pass nets.Joined(features), which makes one that fits."
        )
    return made


def in_blocks(module: nn.Module, x: Tensor) -> Tensor:
    """Return the module's outputs for many rows, so many at a time that memory holds; bytes become fractions."""
    size = getattr(module, "predict_rows", PREDICT_ROWS)
    blocks = (x[i : i + size] for i in range(0, max(1, len(x)), size))
    return torch.cat([module(b.float().div_(255) if b.dtype == torch.uint8 else b) for b in blocks])


class ClassLearner(ClassifierMixin, Learner):  # type: ignore[misc]
    """What all learners of one class per row share: reading labels, probabilities, predictions."""

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Encode labels as codes ``0 .. K-1``, unlabelled rows as -1."""
        self.classes_, codes = encode_classes(y)
        if len(self.classes_) < 2:
            raise InputError(
                f"y has one class only ({self.classes_.tolist()}): a classifier needs at least two. "
                "Check the label column, or add rows of another class."
            )
        return codes, codes != UNLABELED, len(self.classes_)

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Return the accuracy, with the mean confidence in the label as a tie-breaker below one row's worth."""
        p = scores.softmax(1)
        right = (p.argmax(1) == y).double().mean()
        return float(right + p.gather(1, y[:, None]).double().mean() / (2 * len(y)))

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return scores: ``(n,)`` for two classes (positive means ``classes_[1]``), else ``(n, K)``."""
        scores = self.outputs(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return class probabilities ``(n, K)``, columns in the order of ``classes_``."""
        scores = self.outputs(X)
        p = np.exp(scores - scores.max(1, keepdims=True))
        return np.asarray(p / p.sum(1, keepdims=True))

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each row, shape ``(n,)``."""
        best = self.outputs(X).argmax(1)
        return np.asarray(self.classes_[best])
