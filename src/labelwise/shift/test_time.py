"""What test-time adaptation shares: rows held out of training, a window of the stream, and the guard."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags, _safe_indexing, get_tags, indexable
from sklearn.utils.validation import check_is_fitted

from labelwise.base import UNLABELED, Count, Fields, InputError, Method, Range
from labelwise.supervision import encode_classes

Doubles = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]

FEWEST = 40
"""With fewer labelled rows none are held out, and the model is never changed."""


class Imitation(NamedTuple):
    """Held-out source rows made to look like the stream: the rows, their classes, and weights each must gain under."""

    rows: Any
    codes: Codes
    weights: list[Doubles]


@dataclass
class Stream:
    """What a stream has shown so far.

    Attributes
    ----------
    rows_seen, batches
        How much has arrived.
    serving
        ``source`` or ``adapted``: which model answered the last batch.
    adapted_batches
        How many batches the adapted model answered.
    resets
        How often the adaptation was thrown away.
    reason
        Why the last batch was answered so, in plain words.
    prior, prior_low, prior_high
        Class shares of the window with their interval; the source's before anything arrived.
    window
        The last rows, oldest first.
    state
        What else a method carries on.
    """

    prior: Doubles
    prior_low: Doubles
    prior_high: Doubles
    rows_seen: int = 0
    batches: int = 0
    serving: str = "source"
    adapted_batches: int = 0
    resets: int = 0
    reason: str = "nothing has arrived yet"
    window: Any = None
    state: dict[str, Any] = field(default_factory=dict)


class TestTimeAdapter(Method, ClassifierMixin, Fields):  # type: ignore[misc]
    """Answers batch after batch, adapts to them without labels, and falls back to the source model where that is safer.

    Every call of ``predict_proba``, ``predict`` or, after fitting, ``partial_fit`` is one batch of the stream, in the order
    of their arrival; the batch itself is among what it is answered by. ``reset()`` starts a new stream.

    Parameters
    ----------
    estimator
        A classifier. One that is fitted already, or is wrapped in `sklearn.frozen.FrozenEstimator`, is taken as it is: the
        rows of ``fit`` are then held out, and must not have been trained on. One that is not fitted is fitted on a part.
    held_out
        Share of the rows held out where the estimator has to be fitted.
    guard
        Answer by the adapted model only where that pays: the inputs or shares have evidently changed, and held-out source
        rows made to look like the stream are predicted better by it. Otherwise always adapt, as in the literature.
    window
        Rows of the stream that are remembered.
    random_state
        Seed of what is held out.
    """

    estimator: Any = None
    held_out: Annotated[float, Range(low=0, high=1, low_open=True, high_open=True)] = 0.25
    guard: bool = True
    window: Annotated[int, Count] = 256
    random_state: int | None = None

    __test__: ClassVar[bool] = False
    """Not a test, whatever its name."""

    # -- what a method writes

    @abstractmethod
    def _rows(self, X: Any) -> Any:
        """Return what the method works on, for rows `X`."""

    @abstractmethod
    def _source(self, rows: Any) -> Doubles:
        """Return the probabilities of the model as it was."""

    @abstractmethod
    def _adapted(self, rows: Any) -> Doubles:
        """Return the probabilities of the model as it is now."""

    @abstractmethod
    def _learn(self, rows: Any) -> bool:
        """Adapt to the window and its newest rows; return whether there is evidence of a change."""

    @abstractmethod
    def _imitation(self) -> Imitation:
        """Return held-out source rows that look like the window."""

    def _default(self) -> Any:
        """Return the estimator to fit if none is given."""
        from labelwise.learner import Classifier

        return Classifier(random_state=self.random_state)

    def _describe_source(self) -> None:
        """Learn what the method needs of ``held_``, ``held_codes_`` and ``estimator_``."""

    def _forget(self) -> None:
        """Throw the adaptation away."""

    def _alarm(self, rows: Any) -> str | None:
        """Return in plain words why the adapted model has collapsed, if it has."""
        return None

    @staticmethod
    def _joined(old: Any, new: Any) -> Any:
        return np.concatenate([old, new])

    # -- the template

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the estimator, if it is not, and describe rows it was not trained on.

        Parameters
        ----------
        X
            (n, ...) inputs, whatever the estimator accepts.
        y
            (n,) classes; unlabelled rows (-1, None, NaN) are left out.
        """
        self.check_fields()
        if getattr(getattr(X, "dtype", None), "kind", "") == "c":
            raise InputError("Complex data not supported: X must hold real numbers.")
        self.classes_, codes = encode_classes(y)
        X, codes = indexable(X, codes)
        known = np.flatnonzero(codes != UNLABELED)
        base = self._default() if self.estimator is None else self.estimator
        self._check_estimator(base)
        if _is_fitted(base):
            self.estimator_ = base.estimator if isinstance(base, FrozenEstimator) else base
            codes, held = self._in_its_classes(codes), known
        else:
            train, held = self._split(codes, known)
            self.estimator_ = clone(base).fit(_safe_indexing(X, train), self.classes_[codes[train]])
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self.estimator_, name):
                setattr(self, name, getattr(self.estimator_, name))
        self.held_: Any = None
        self.held_codes_ = codes[held]
        self.held_ = self._rows(_safe_indexing(X, held)) if len(held) else None
        counts = np.bincount(self.held_codes_ if len(held) else codes[known], minlength=len(self.classes_)) + 1.0
        self.source_prior_ = counts / counts.sum()
        if len(held):
            self._describe_source()
        return self.reset()

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None) -> Self:
        """Adapt to a batch without answering it; labels are not read. Before ``fit``, the same as ``fit(X, y)``."""
        if not hasattr(self, "stream_"):
            return self.fit(X, y)
        self.predict_proba(X)
        return self

    def reset(self) -> Self:
        """Go back to the source model, and start a new stream."""
        check_is_fitted(self)
        prior = self.source_prior_
        self.stream_ = Stream(prior, prior, prior)
        self._forget()
        return self

    def predict_proba(self, X: Any) -> Doubles:
        """Adapt to a batch and return its probabilities ``(n, K)``, columns in the order of ``classes_``."""
        check_is_fitted(self)
        rows, stream = self._rows(X), self.stream_
        if not len(rows) or (self.held_ is None and self.guard):
            return self._source(rows)
        stream.window = (rows if stream.window is None else self._joined(stream.window, rows))[-self.window :]
        stream.rows_seen, stream.batches = stream.rows_seen + len(rows), stream.batches + 1
        changed = self._learn(rows)
        if not self.guard:
            stream.serving, stream.reason = "adapted", "there is no guard"
        else:
            stream.serving, stream.reason = self._judged(rows, changed)
        stream.adapted_batches += stream.serving == "adapted"
        return self._adapted(rows) if stream.serving == "adapted" else self._source(rows)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Adapt to a batch and return the most probable class of each row ``(n,)``."""
        best = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def _judged(self, rows: Any, changed: bool) -> tuple[str, str]:
        """Say which model answers, and why."""
        alarm = self._alarm(rows) if changed else None
        if alarm is not None:
            self.stream_.resets += 1
            self._forget()
            return "source", f"reset: {alarm}"
        if not changed:
            return "source", "no evidence of a change"
        gain = self._least_gain()
        if gain <= 0:
            return "source", "on source rows that look like these, the adapted model is not better"
        return "adapted", f"on source rows that look like these, the adapted model is better by {gain:.1%} or more"

    def _least_gain(self) -> float:
        """Return the lower bound of the gain in accuracy on the imitation, under the least favourable weights."""
        rows, codes, weights = self._imitation()
        right = (self._adapted(rows).argmax(axis=1) == codes).astype(np.float64)
        gain = right - (self._source(rows).argmax(axis=1) == codes)
        return min(_lower_bound(gain, weight) for weight in weights)

    # -- reading

    def _check_estimator(self, base: Any) -> None:
        if not hasattr(base, "predict_proba"):
            raise InputError(
                f"{type(self).__name__}.estimator must have predict_proba. Got {base!r}: "
                "wrap it in sklearn.calibration.CalibratedClassifierCV."
            )

    def _split(self, codes: Codes, known: Codes) -> tuple[Codes, Codes]:
        """Return the rows to train on and those to hold out, of every class its part."""
        counts = np.bincount(codes[known])
        if len(known) < FEWEST or counts.min() < 4 or int(self.held_out * len(known)) < len(counts):
            return known, known[:0]
        train, held = train_test_split(
            known, test_size=self.held_out, random_state=self.random_state, stratify=codes[known]
        )
        return np.sort(train), np.sort(held)

    def _in_its_classes(self, codes: Codes) -> Codes:
        """Return `codes` in the order of the fitted estimator's classes."""
        names = np.asarray(self.estimator_.classes_).tolist()
        unknown = [name for name in self.classes_.tolist() if name not in names]
        if unknown:
            raise InputError(
                f"y holds the class {unknown[0]!r}, which the fitted estimator does not know: {names[:10]}."
            )
        table = np.array([names.index(name) for name in self.classes_.tolist()])
        self.classes_ = np.asarray(self.estimator_.classes_)
        return np.where(codes == UNLABELED, UNLABELED, table[codes])

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self._default() if self.estimator is None else self.estimator).input_tags
        return tags


def _is_fitted(model: Any) -> bool:
    if isinstance(model, FrozenEstimator):
        return True
    try:
        check_is_fitted(model)
    except NotFittedError:
        return False
    return True


def _lower_bound(gain: Doubles, weight: Doubles, sure: float = 1.64) -> float:
    """Return the weighted mean of `gain` less so many standard errors."""
    share = weight / weight.sum()
    mean = float(share @ gain)
    return mean - sure * float(np.sqrt((share**2) @ (gain - mean) ** 2))
