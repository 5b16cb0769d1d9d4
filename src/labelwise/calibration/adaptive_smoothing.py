"""Adaptive smoothing (Bai, Anderson, Kim and Sojoudi 2024): a mix of an accurate and a robust classifier."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing, check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from labelwise.base import UNLABELED, Card, Count, Fields, Fraction, InputError, Method, NonNegative, Positive
from labelwise.calibration.adversarial import AdversarialTraining
from labelwise.calibration.bounds import probability_margin
from labelwise.calibration.differentiable import differentiable, raw_rows
from labelwise.calibration.robustness import margin_objective, right
from labelwise.calibration.trials import iris_trial
from labelwise.inputs import Inputs
from labelwise.learner import Classifier, Train
from labelwise.parts.attacks import pgd
from labelwise.supervision import encode_classes

Codes = NDArray[np.integer[Any]]
Doubles = NDArray[np.float64]
Mixing = Literal["probability", "logit"]
ALPHAS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
SCALES = (0.5, 1.0, 2.0)
TINY = 1e-30


def needed_margin(alpha: float) -> float:
    """Return ``(1 - alpha) / alpha``: the margin at which the robust classifier alone decides; infinite at 0.

    >>> needed_margin(0.5)
    1.0
    """
    return (1 - alpha) / alpha if alpha > 0 else np.inf


def certified(robust: ArrayLike, alpha: float) -> NDArray[np.bool_]:
    """Return at which rows of the robust classifier's probabilities ``(n, K)`` the mix must predict what it does.

    Where its largest probability exceeds the next by ``(1 - alpha) / alpha`` or more, no distribution of the accurate
    classifier can turn the mix round: it can shift at most ``1 - alpha`` from one class to another. Where that margin holds
    over a ball, so does the prediction.

    >>> certified([[0.7, 0.3], [0.6, 0.4]], alpha=0.75)
    array([ True, False])
    """
    top = np.sort(np.asarray(robust, dtype=np.float64), axis=1)[:, -2:]
    return np.asarray(top[:, 1] - top[:, 0] >= needed_margin(alpha))


class Mixture(nn.Module):
    """Scores of the mix from rows in the units of X: ``log((1 - a) softmax(u f) + a softmax(v g))``.

    `mixing` ``logit`` is ``(1 - a) u f + a v g`` instead, the obvious mix, for comparison. `orders` (2, K) are the columns
    of either classifier in the order of the mix.
    """

    orders: Tensor

    def __init__(
        self, accurate: nn.Module, robust: nn.Module, orders: Tensor, alpha: float, u: float, v: float, mixing: Mixing
    ) -> None:
        super().__init__()
        self.accurate, self.robust = accurate, robust
        self.register_buffer("orders", orders)
        self.alpha, self.u, self.v, self.mixing = alpha, u, v, mixing

    def forward(self, x: Tensor) -> Tensor:
        """Return log-probabilities ``(b, K)``, or mixed logits."""
        f, g = (model(x)[:, order] for model, order in zip((self.accurate, self.robust), self.orders, strict=True))
        mixed: Tensor
        if self.mixing == "logit":
            mixed = (1 - self.alpha) * self.u * f + self.alpha * self.v * g
            return mixed
        mixed = (1 - self.alpha) * (self.u * f).softmax(1) + self.alpha * (self.v * g).softmax(1)
        return mixed.clamp_min(TINY).log()


class AdaptiveSmoothing(ClassifierMixin, Method, Fields):  # type: ignore[misc]
    """Mix the probabilities of an accurate and of a robust classifier: nearly as accurate, nearly as robust.

    ``p = (1 - alpha) softmax(u z_accurate) + alpha softmax(v z_robust)``. Where the robust classifier is sure it decides
    (see `certified`); where it is not, the accurate one may. That pays if the robust classifier is surer when right than
    when wrong. What is not given is tuned on the rows of ``fit``, which should be new to both classifiers: the most
    accurate setting that loses at most `loss` of the robust classifier's accuracy on attacked rows.

    Differs from the paper: the rule by which alpha, u and v are chosen, which it leaves to the reader; classifiers without
    logits enter with the logarithm of their probabilities. `GatedSmoothing` learns alpha row by row.

    Parameters
    ----------
    accurate, robust
        Classifiers with ``predict_proba``, fitted. None fits a `Classifier` and an `AdversarialTraining` on three quarters
        of the rows, and tunes on the others.
    alpha
        Share of the robust classifier, in [0, 1]; None tunes it. From 1/2 on certificates exist.
    accurate_scale, robust_scale
        ``u`` and ``v``, > 0; None tunes them.
    loss
        Robust accuracy that may be lost for the sake of clean accuracy.
    mixing
        ``probability``, or ``logit`` for comparison: logits know no bound, so the accurate classifier can overrule anything.
    radius, norm, ascents, bounds
        Of the attack that tunes, as in `AdversarialTraining`.
    train
        How to optimise classifiers that are not given.
    random_state
        Seed.

    Attributes
    ----------
    alpha_, u_, v_
        The setting.
    tried_
        A row (alpha, u, v, clean accuracy, accuracy on attacked rows) for every setting tried.

    References
    ----------
    Bai, Anderson, Kim, Sojoudi: Improving the Accuracy-Robustness Trade-Off of Classifiers via Adaptive Smoothing.
    SIAM Journal on Mathematics of Data Science, 2024.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from labelwise.learner import Train
    >>> X, y = load_iris(return_X_y=True)
    >>> model = AdaptiveSmoothing(radius=0.2, train=Train(epochs=25, batch_size=16), random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.85), bool(0.5 <= model.alpha_ <= 1)
    (True, True)
    """

    accurate: BaseEstimator | None = None
    robust: BaseEstimator | None = None
    alpha: Annotated[float, Fraction] | None = None
    accurate_scale: Annotated[float, Positive] | None = None
    robust_scale: Annotated[float, Positive] | None = None
    loss: Annotated[float, NonNegative] = 0.02
    mixing: Mixing = "probability"
    radius: Annotated[float, NonNegative] = 0.1
    norm: Literal["inf", "2"] = "inf"
    ascents: Annotated[int, Count] = 10
    bounds: tuple[float, float] | None = None
    train: Train | None = None
    random_state: int | np.random.RandomState | None = None

    card = Card(
        paper=125, year=2024, kind="post-hoc", handles=frozenset({"calibration"}), cost="heavy",
        reference="Bai, Anderson, Kim, Sojoudi, Adaptive Smoothing, SIMODS 2024.",
        race=True,
        apart="It gives up accuracy on plain rows to withstand attacked ones, which a race does not have.",
    )  # fmt: skip

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return iris, and a weak attack that is quickly made."""
        return iris_trial(fields={"ascents": 2, "train": Train(epochs=15, batch_size=16, progress=False)})

    def fit(self, X: Any, y: ArrayLike, attacked: Any = None) -> Self:
        """Tune the mix on rows `X` with classes `y`.

        Parameters
        ----------
        X, y
            Rows and their classes; rows without a label (-1, None) are left out.
        attacked
            The same rows as an attacker would change them. None attacks the mix itself at every setting, which takes two
            learners of labelwise.

        Raises
        ------
        InputError
            For classifiers with different classes, and where something has to be tuned that cannot be attacked.
        """
        self.check_fields()
        if getattr(getattr(X, "dtype", None), "kind", "") == "c":
            raise InputError("Complex data not supported: X must hold real numbers.")
        X, y = (
            np.asarray(rows) if hasattr(rows, "__array__") and not hasattr(rows, "__len__") else rows for rows in (X, y)
        )
        classes, codes = encode_classes(y)
        if (self.accurate is None) != (self.robust is None):
            raise InputError("accurate and robust: give both classifiers, or neither. Got one.")
        _same_length(X, codes)
        X, codes = self._models(X, classes, codes)
        self.classes_ = np.asarray(self.accurate_.classes_)
        if not set(classes.tolist()) <= set(self.classes_.tolist()):
            raise InputError(f"y has classes {classes.tolist()}, but the classifiers know {self.classes_.tolist()}.")
        codes = np.append(np.searchsorted(self.classes_, classes), UNLABELED)[codes]
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.accurate_, name):
                setattr(self, name, getattr(self.accurate_, name))
        self._tune(X, codes, attacked)
        return self

    def predict_proba(self, X: Any) -> Doubles:
        """Return mixed probabilities ``(n, K)``, columns in the order of ``classes_``."""
        check_is_fitted(self, "alpha_")
        return self._mixed(*self._scores(X), self.alpha_, self.u_, self.v_)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each row ``(n,)``."""
        best = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[best])

    def certified(self, X: Any, radius: float | None = None) -> NDArray[np.bool_]:
        """Return at which rows ``(n,)`` the mix certainly predicts what the robust classifier does.

        Parameters
        ----------
        X
            Rows.
        radius
            None: at the row itself. A number: nothing within this distance (in every entry) can change the prediction,
            proved by interval arithmetic; takes a robust learner whose network is a stack of linear layers and ReLUs.
        """
        check_is_fitted(self, "alpha_")
        if self.mixing != "probability":
            raise InputError("mixing='logit' has no certificate: logits are not bounded. Use mixing='probability'.")
        if radius is None:
            return certified(softmax(self.v_ * self._scores(X)[1], axis=1), self.alpha_)
        module, inputs, _ = differentiable(self.robust_)
        margin = probability_margin(module, raw_rows(inputs, X), radius, self.v_)
        return np.asarray(margin.numpy() >= needed_margin(self.alpha_))

    def differentiable(self) -> tuple[nn.Module, Inputs, NDArray[Any]]:
        """Return the mix as a module of rows in the units of X, for attacks; see `labelwise.calibration.differentiable`."""
        check_is_fitted(self, "alpha_")
        return self._module(self.alpha_, self.u_, self.v_), differentiable(self.accurate_)[1], self.classes_

    # -- the two classifiers

    def _models(self, X: Any, classes: NDArray[Any], codes: Codes) -> tuple[Any, Codes]:
        """Note or fit the two classifiers; return the rows to tune on, and their codes."""
        if self.accurate is not None and self.robust is not None:
            self.accurate_, self.robust_ = self.accurate, self.robust
            for name in ("accurate", "robust"):
                check_is_fitted(getattr(self, name), "classes_")
            if set(self.accurate_.classes_) != set(self.robust_.classes_):
                found = f"{list(self.accurate_.classes_)} and {list(self.robust_.classes_)}"
                raise InputError(f"accurate and robust must know the same classes. Got {found}.")
            return X, codes
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        fit, held = _halves(codes, seed)
        plain = Classifier(train=self.train, random_state=seed)
        hard = AdversarialTraining(
            radius=self.radius, norm=self.norm, bounds=self.bounds, train=self.train, random_state=seed
        )
        plain.inputs_ = Inputs(plain)
        plain.inputs_.fit(X, codes)  # says what is wrong with X before rows are taken from it
        rows, labels = _safe_indexing(X, fit), classes[codes[fit]]
        self.accurate_, self.robust_ = plain.fit(rows, labels), hard.fit(rows, labels)
        return _safe_indexing(X, held), codes[held]

    def _scores(self, X: Any) -> tuple[Doubles, Doubles]:
        """Return the scores of both classifiers, columns in the order of ``classes_``."""
        accurate, robust = _logits(self.accurate_, X), _logits(self.robust_, X)
        return accurate[:, self._order(self.accurate_)], robust[:, self._order(self.robust_)]

    def _order(self, model: Any) -> NDArray[np.intp]:
        places = {label: place for place, label in enumerate(model.classes_.tolist())}
        return np.array([places[label] for label in self.classes_.tolist()])

    def _mixed(self, accurate: Doubles, robust: Doubles, alpha: float, u: float, v: float) -> Doubles:
        if self.mixing == "logit":
            return np.asarray(softmax((1 - alpha) * u * accurate + alpha * v * robust, axis=1))
        return np.asarray((1 - alpha) * softmax(u * accurate, axis=1) + alpha * softmax(v * robust, axis=1))

    def _module(self, alpha: float, u: float, v: float) -> Mixture:
        orders = torch.as_tensor(np.stack([self._order(self.accurate_), self._order(self.robust_)]))
        modules = differentiable(self.accurate_)[0], differentiable(self.robust_)[0]
        return Mixture(*modules, orders, alpha, u, v, self.mixing).eval()

    # -- tuning

    def _tune(self, X: Any, codes: Codes, attacked: Any) -> None:
        """Choose one number after the other; keep what was tried."""
        self.tried_ = np.zeros((0, 5))
        self.alpha_, self.u_, self.v_ = (
            start if given is None else float(given)
            for given, start in ((self.alpha, 1.0), (self.accurate_scale, 1.0), (self.robust_scale, 1.0))
        )
        if None not in (self.alpha, self.accurate_scale, self.robust_scale):
            return
        judge = self._judge(X, codes, attacked)
        self.floor_ = judge(1.0, self.u_, self.v_)[1] - self.loss
        for name, given, values in (
            ("alpha_", self.alpha, ALPHAS), ("v_", self.robust_scale, SCALES), ("u_", self.accurate_scale, SCALES),
            ("alpha_", self.alpha, ALPHAS),
        ):  # fmt: skip
            if given is None:
                self._choose(name, values, judge)

    def _choose(self, name: str, values: tuple[float, ...], judge: Callable[..., tuple[float, float]]) -> None:
        """Set one number to its best value: the most accurate of those robust enough, else the most robust."""
        found = []
        for value in values:
            setattr(self, name, value)
            setting = (self.alpha_, self.u_, self.v_)
            clean, robust = judge(*setting)
            self.tried_ = np.vstack([self.tried_, [*setting, clean, robust]])
            enough = robust >= self.floor_ - 1e-12
            found.append((enough, clean if enough else robust, robust, value))
        setattr(self, name, max(found)[-1])

    def _judge(self, X: Any, codes: Codes, attacked: Any) -> Callable[..., tuple[float, float]]:
        """Return a function of a setting that gives accuracy on the rows and on attacked ones."""
        known = codes != UNLABELED
        scores = [score[known] for score in self._scores(X)]
        codes = codes[known]

        def clean(*setting: float) -> float:
            return float((self._mixed(scores[0], scores[1], *setting).argmax(1) == codes).mean())

        if attacked is not None:
            changed = [score[known] for score in self._scores(attacked)]
            return lambda *s: (clean(*s), float((self._mixed(changed[0], changed[1], *s).argmax(1) == codes).mean()))
        try:
            inputs = differentiable(self.robust_)[1], differentiable(self.accurate_)[1]
        except InputError as error:
            raise InputError(
                "alpha, accurate_scale and robust_scale must be given where a classifier has no gradient to attack it by, "
                f"or attacked= rows passed to fit. {error}"
            ) from error
        x, y = raw_rows(inputs[0], X)[torch.as_tensor(known)], torch.as_tensor(codes)
        return lambda *setting: (clean(*setting), self._under_attack(self._module(*setting), x, y))

    def _under_attack(self, module: nn.Module, x: Tensor, y: Tensor) -> float:
        worst = pgd(
            lambda changed: margin_objective(module(changed), y), x, self.radius, norm=self.norm, steps=self.ascents,
            random_start=False, bounds=self.bounds,
        )  # fmt: skip
        return float(right(module, worst, y).double().mean())


def _logits(model: Any, X: Any) -> Doubles:
    """Return a classifier's logits ``(n, K)`` up to a constant a row."""
    if hasattr(model, "outputs"):
        return np.asarray(log_softmax(model.outputs(X), axis=1))
    return np.log(np.maximum(np.asarray(model.predict_proba(X), dtype=np.float64), TINY))


def _halves(codes: Codes, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Split off a quarter of the labelled rows, stratified; where a class has fewer than four, use all for both."""
    rows = np.flatnonzero(codes != UNLABELED)
    if np.bincount(codes[rows]).min() < 4:
        return rows, rows
    fit, held = train_test_split(rows, test_size=0.25, random_state=seed, stratify=codes[rows])
    return np.sort(fit), np.sort(held)


def _same_length(X: Any, codes: Codes) -> None:
    n_rows = X.shape[0] if hasattr(X, "shape") else len(X)
    if n_rows != len(codes):
        raise InputError(f"X has {n_rows} rows but y has {len(codes)}: give one label per row.")
