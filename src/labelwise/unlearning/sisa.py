"""Sharded training, so that a withdrawal trains again only where the rows were (Bourtoule et al. 2021)."""

from __future__ import annotations

import time
from copy import copy, deepcopy
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.dummy import DummyClassifier
from sklearn.utils import ClassifierTags, RegressorTags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from labelwise.base import UNLABELED, Card, Count, Fields, InputError, Method
from labelwise.learner import Learner
from labelwise.supervision import encode_classes
from labelwise.supervision.arrays import is_missing
from labelwise.training import Phase, Train
from labelwise.unlearning.base import forget_mask
from labelwise.unlearning.certificate import taken
from labelwise.unlearning.exact import Exact
from labelwise.unlearning.fine_tune import FineTune
from labelwise.unlearning.steps import RANDOM_BATCHES


class Committee(Fields):
    """The mean of fitted models: of their class probabilities, of their votes where they have none, or of their targets."""

    def of(self, models: list[Any], classes: NDArray[Any] | None) -> Self:
        """Take fitted models, and the classes to answer with; None for real targets."""
        self.models_ = models
        if classes is not None:
            self.classes_ = classes
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        classes = hasattr(self, "classes_")
        tags.estimator_type = "classifier" if classes else "regressor"
        tags.classifier_tags, tags.regressor_tags = (ClassifierTags(), None) if classes else (None, RegressorTags())
        return tags

    @available_if(lambda self: hasattr(self, "classes_"))  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the mean share of each class ``(n, K)``."""
        total: Any = 0.0
        for model in self.models_:
            known = np.asarray(model.classes_)[:, None] == self.classes_
            share = model.predict_proba(X) if hasattr(model, "predict_proba") else None
            total = total + (model.predict(X)[:, None] == self.classes_ if share is None else share @ known)
        return np.asarray(total / np.maximum(total.sum(1, keepdims=True), 1e-300))

    @available_if(lambda self: hasattr(self, "classes_"))  # type: ignore[untyped-decorator]
    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the shares ``(n, K)``; of two classes ``(n,)``, how much larger that of ``classes_[1]`` is."""
        shares = self.predict_proba(X)
        return np.asarray(shares[:, 1] - shares[:, 0] if shares.shape[1] == 2 else shares)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the likeliest class, or the mean target, of each row."""
        if hasattr(self, "classes_"):
            return np.asarray(self.classes_[self.predict_proba(X).argmax(1)])
        return np.asarray(np.mean([model.predict(X) for model in self.models_], axis=0))


class _GoOn(FineTune):
    """Training goes on from a fitted learner, on every row it is given."""

    card = FineTune.card

    def phases(self) -> list[Phase]:
        return self.stages()


class SISA(Exact, Method, Fields):
    """A model for each shard of the rows, so that forgetting a row trains one of them again: exact, and cheap.

    Every row goes to a shard and a slice by chance alone. A shard's model is trained slice by slice, and its state after
    each slice is kept: forgetting rows goes back to the state before their first slice. The answer is the models'
    mean. Afterwards the model is what it would be had the rows never been there, with the same places for all others.

    What it costs: each model sees ``1 / shards`` of the rows, so accuracy falls where rows are few; and rows that are spread
    over all shards train nearly everything again. `withdraw` tells how many rows were trained on again.

    Parameters
    ----------
    estimator
        Any estimator of labelwise or scikit-learn; None takes `labelwise.learner.Classifier`.
    shards
        Number of models, >= 1.
    slices
        Steps in which a shard's rows are added, >= 1. More than 1 needs a learner of labelwise that `FineTune` can train on,
        or an estimator with ``partial_fit``.
    random_state
        Seed of the places and of the fits.

    References
    ----------
    Bourtoule et al., Machine Unlearning, IEEE S&P 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.ensemble import ExtraTreesClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> model = SISA(estimator=ExtraTreesClassifier(20), shards=10, random_state=0).fit(X[:1000], y[:1000])
    >>> after = model.withdraw(X[:1000], y[:1000], forget=np.arange(1000) == 7)
    >>> after.rows_again_ < 150, after.score(X[1000:], y[1000:]) > 0.8
    (True, True)
    """

    estimator: Any = None
    shards: Annotated[int, Count] = 5
    slices: Annotated[int, Count] = 1
    random_state: int | None = None

    card = Card(
        year=2021, reference="Bourtoule et al., Machine Unlearning, IEEE S&P 2021.", kind="estimator",
        handles=frozenset({"forgetting"}), needs=frozenset({"forget"}), task="any", cost="heavy",
        expected_failed_checks=RANDOM_BATCHES, apart="It is worth its price only where rows will be withdrawn.",
    )  # fmt: skip
    tune = {"shards": [3, 5, 10]}

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, forget: ArrayLike | None = None
    ) -> Self:
        """Train all shards on `X`; then withdraw the rows marked in `forget`, if any.

        Parameters
        ----------
        X, y
            Rows in the estimator's own form; rows without a label are left out.
        sample_weight
            Weights ``(n,)``, for estimators that take them; not with slices.
        forget
            Boolean mask ``(n,)``; None forgets nothing.

        Raises
        ------
        InputError
            When the mask does not fit, X and y disagree, nothing is labelled, or the estimator cannot be trained by slices.
        """
        self.check_fields()
        self.__dict__.pop("model_", None)
        rows, labels = self.held(X, y)
        mask = forget_mask(forget, len(labels))
        known = self._read(labels)
        started = time.perf_counter()
        rng = np.random.default_rng(self.random_state)
        # drawn for every row, so that no row's place depends on another row
        self.shard_ = np.where(known, rng.integers(self.shards, size=len(labels)), -1)
        self.slice_ = rng.integers(self.slices, size=len(labels))
        self.seeds_ = rng.integers(2**31 - 1, size=(self.shards, self.slices))
        self._weight = self.weights(sample_weight, rows)
        self.states_: list[list[Any]] = [[] for _ in range(self.shards)]
        self._train(rows, labels, dict.fromkeys(range(self.shards), 0))
        self.seconds_ = time.perf_counter() - started
        if mask.any():
            self.__dict__.update(vars(self.withdraw(X, y, mask)))
        return self

    def withdraw(self, X: Any, y: ArrayLike, forget: ArrayLike) -> Self:
        """Return a copy that never saw the rows marked in `forget`; this model stays as it is.

        `rows_again_` is the number of rows that were trained on again, `seconds_` the time.

        Parameters
        ----------
        X, y
            The rows of `fit`, in the same order.
        forget
            Boolean mask ``(n,)``; rows withdrawn before may be marked again.
        """
        check_is_fitted(self, "model_")
        started = time.perf_counter()
        rows, labels = self.held(X, y)
        if len(labels) != len(self.shard_):
            raise InputError(f"X has {len(labels)} rows, but fit had {len(self.shard_)}: give the same rows again.")
        gone = forget_mask(forget, len(labels)) & (self.shard_ >= 0)
        if (gone == (self.shard_ >= 0)).all():
            raise InputError("forget marks every row that is left: nothing is left to learn from.")
        after = copy(self)
        first = {int(s): int(self.slice_[gone & (self.shard_ == s)].min()) for s in np.unique(self.shard_[gone])}
        after.shard_ = np.where(gone, -1, self.shard_)
        after.states_ = [list(states) for states in self.states_]
        after._train(rows, labels, first)
        after.seconds_ = time.perf_counter() - started
        return after

    def _read(self, labels: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which rows have a label."""
        if not self.of_classes():
            known = np.asarray(~is_missing(labels).reshape(len(labels), -1).any(1))
            if len(labels) and not known.any():
                raise InputError("y is missing (NaN) in every row: at least one target is needed.")
            return known
        _, codes = encode_classes(labels)
        return np.asarray(codes != UNLABELED)

    def _train(self, X: Any, y: NDArray[Any], first: dict[int, int]) -> None:
        """Train shards again, each from the slice given for it on; make the committee anew."""
        self.rows_again_ = 0
        left = self.shard_ >= 0
        if self.of_classes():
            self.classes_, _ = encode_classes(y[left], least=1)
        for shard, begin in first.items():
            states = self.states_[shard][:begin]
            for step in range(begin, self.slices):
                mine = (self.shard_ == shard) & (self.slice_ <= step)
                states.append(self._state(states[-1] if states else None, X, y, mine, int(self.seeds_[shard, step])))
            self.states_[shard] = states
            self.rows_again_ += int(((self.shard_ == shard) & (self.slice_ >= begin)).sum())
        models = [states[-1] for states in self.states_ if states[-1] is not None]
        self.took(next((model for model in models if not isinstance(model, DummyClassifier)), None))
        self.model_ = Committee().of(models, self.classes_ if self.of_classes() else None)

    def _state(self, before: Any, X: Any, y: NDArray[Any], mine: NDArray[np.bool_], seed: int) -> Any:
        """Return a shard's model after one more slice; None while it has no row."""
        if not mine.any():
            return None
        rows, labels = taken(X, mine), y[mine]
        if self.of_classes() and len(np.unique(labels.astype(str) if labels.dtype == object else labels)) < 2:
            return DummyClassifier().fit(np.zeros((len(labels), 1)), labels)
        beside = {} if self._weight is None else {"sample_weight": self._weight[mine]}
        model = self.unfitted()
        if "random_state" in model.get_params(deep=False):
            model.set_params(random_state=seed)
        if self.slices == 1:
            return model.fit(rows, labels, **beside)
        return self._further(model, before, rows, labels, seed)

    def _further(self, model: Any, before: Any, X: Any, y: NDArray[Any], seed: int) -> Any:
        """Return a model that goes on from the one before, where it knows all classes that there are now."""
        if isinstance(model, Learner):
            train = Train() if model.train is None else model.train
            epochs = max(1, round(2 * train.epochs / (self.slices + 1)))
            unknown = not hasattr(before, "net_") or (self.of_classes() and not np.isin(y, before.classes_).all())
            if unknown:
                return model.set_params(train=train, train__epochs=epochs).fit(X, y)
            return _GoOn(estimator=before, epochs=epochs, train=train, random_state=seed).fit(X, y).model_
        if not hasattr(model, "partial_fit"):
            raise InputError(
                f"SISA.slices must be 1 for {type(model).__name__}, which has no partial_fit. Got {self.slices}."
            )
        model = model if before is None or isinstance(before, DummyClassifier) else deepcopy(before)
        classes = {"classes": self.classes_} if self.of_classes() else {}
        return model.partial_fit(X, y, **classes)
