"""What enters a race: a name, how to build an estimator from hyper-parameters, and what may be tuned."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import clone, is_regressor
from sklearn.utils import get_tags

from labelwise.advice.blend import Blend, BlendMultiLabel, BlendRegressor
from labelwise.base import Method
from labelwise.baselines import Baseline, BaselineRegressor, MultiLabelBaseline
from labelwise.baselines.families import GRIDS, suitable

Params = dict[str, Any]
Grid = Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Candidate:
    """A method that may race.

    Parameters
    ----------
    name
        Shown in the leaderboard; unique in a race.
    build
        Makes an unfitted estimator from hyper-parameters. It is asked to ``fit(X, y)`` with class codes (-1 means
        unlabelled) or real targets (NaN), and then for ``predict_proba(X)`` and ``classes_``, or ``predict(X)``.
    tune
        Values a hyper-parameter may take; a list of such tables is drawn from in turns.
    note
        Why it races, in a sentence.
    cost
        ``seconds``, ``light`` or ``heavy``, as on the method's card: where time is limited, the heavy are tried last.

    Examples
    --------
    >>> from sklearn.naive_bayes import GaussianNB
    >>> bayes = Candidate("naive Bayes", lambda params: GaussianNB(**params), {"var_smoothing": [1e-9, 1e-3]})
    >>> bayes.draws(2, seed=0)
    [{}, {'var_smoothing': 0.001}]
    """

    name: str
    build: Callable[[Params], Any]
    tune: Grid | Sequence[Grid] = field(default_factory=dict)
    note: str = ""
    cost: str = ""

    def draws(self, number: int, seed: int) -> list[Params]:
        """Return at most `number` different settings: the defaults, then random ones of the tables in turns."""
        tables: list[Grid] = [self.tune] if isinstance(self.tune, Mapping) else [*self.tune] or [{}]
        rng, seen = np.random.default_rng([seed, *self.name.encode()]), set[str]()
        queues = [self._new(_shuffled(table, rng, defaults_first=len(tables) > 1), seen) for table in tables]
        queues[0] = itertools.chain([{}], queues[0])
        turns = (params for turn in itertools.zip_longest(*queues) for params in turn if params is not None)
        return list(itertools.islice(turns, number))

    def _new(self, settings: Iterator[Params], seen: set[str]) -> Iterator[Params]:
        """Pass on settings that are not `seen` yet and do not spell out what the defaults are anyway."""
        defaults: Params | None = None
        for params in settings:
            if defaults is None:
                defaults = self._defaults()
            if params and describe(params) not in seen and not _within(params, defaults):
                seen.add(describe(params))
                yield params

    def _defaults(self) -> Params:
        """Return the hyper-parameters of the estimator built from nothing, as far as it tells them."""
        try:
            return dict(self.build({}).get_params())
        except Exception:  # a method that cannot be built fails in its first fit, where that is noted
            return {}


def _within(params: Params, defaults: Params) -> bool:
    return all(
        defaults.get(name) is not None and type(defaults[name]) is type(value) and repr(defaults[name]) == repr(value)
        for name, value in params.items()
    )


def _shuffled(table: Grid, rng: np.random.Generator, defaults_first: bool) -> Iterator[Params]:
    """Yield all combinations of a table in random order, without listing them.

    In the table of a family, the first value of each hyper-parameter is the family's default, and is drawn first.
    """
    sizes = [len(values) for values in table.values()]
    total = math.prod(sizes)
    order = rng.permutation(total) if total <= 10_000 else rng.integers(total, size=10_000)
    for place in [0, *order] if defaults_first else order:
        step = np.unravel_index(int(place), sizes) if sizes else ()
        yield {name: values[int(i)] for (name, values), i in zip(table.items(), step, strict=True)}


def describe(params: Params) -> str:
    """Return hyper-parameters as JSON text, the same text for the same values."""
    return json.dumps(params, sort_keys=True, default=repr)


def from_class(method: type, *, random_state: int | None = 0, name: str | None = None, note: str = "") -> Candidate:
    """Return a method class of the catalogue as a candidate, tuned over what its class says.

    A drop-in loss is trained by the plain `labelwise.learner.Classifier`, ``Regressor`` or ``MultiLabelClassifier``, and
    tuned together with its training.
    """
    tune: dict[str, Any] = dict(getattr(method, "tune", {}))
    cost = str(method.card.cost) if issubclass(method, Method) else ""
    if not (issubclass(method, Method) and method.card.kind == "loss"):
        return Candidate(
            name or method.__name__, lambda params: seeded(method(**params), random_state), tune, note, cost
        )
    from labelwise.learner import Classifier, MultiLabelClassifier, Regressor

    learner: Any = {"regression": Regressor, "multi-label": MultiLabelClassifier}.get(method.card.task, Classifier)
    return Candidate(
        name or method.__name__, partial(_trained, method, learner, random_state), {**learner.tune, **tune}, note
    )


def _trained(method: type, learner: Any, random_state: int | None, params: Params) -> Any:
    """Return the plain learner with the loss, its hyper-parameters told apart from those of the training."""
    training = {key: value for key, value in params.items() if key in learner.tune}
    loss: Any = method(**{key: value for key, value in params.items() if key not in training})
    return learner(criterion=loss, random_state=random_state, **training)


def seeded(estimator: Any, random_state: int | None) -> Any:
    """Set the estimator's ``random_state``, if it has one that is not set; return it."""
    parameters = estimator.get_params(deep=False)
    if "random_state" in parameters and parameters["random_state"] is None:
        estimator.set_params(random_state=random_state)
    return estimator


def decided(candidate: Candidate, params: Params) -> Candidate:
    """Return a candidate that builds what `candidate` would with `params`, whatever it is asked for, and can be pickled."""
    return Candidate(candidate.name, partial(_copy, candidate.build(params)), {}, candidate.note)


def _copy(estimator: Any, params: Params) -> Any:
    return clone(estimator)


def baseline_for(
    n_features: int,
    n_outputs: int,
    *,
    kind: str = "classes",
    sparse: bool = False,
    image: bool = False,
    random_state: int | None = 0,
) -> Candidate:
    """Return the plain baseline as a candidate: as many draws as any challenger, spread over its families.

    Parameters
    ----------
    n_features, n_outputs, sparse, image
        The shape of X, and the number of classes (of targets plus one if real, of labels): they decide the families.
    kind
        Of the targets: ``classes``, ``real`` or ``multilabel``.
    random_state
        Seed of the estimators built.
    """
    made: type = {"classes": Baseline, "real": BaselineRegressor, "multilabel": MultiLabelBaseline}[kind]

    def build(params: Params) -> Any:
        default = {"family": "linear", "penalty": GRIDS["linear"]["penalty"][0]}
        return made(**{"draws": 1, "random_state": random_state} | default | params)

    grids = [{"family": [f], **GRIDS[f]} for f in suitable(n_features, n_outputs, sparse, image)]
    return Candidate("baseline", build, grids, "Plain supervised learning on the labelled rows, tuned as carefully.")


def blend_of(candidate: Candidate, baseline: Candidate) -> Candidate:
    """Return the average of a candidate and the baseline as a candidate; its hyper-parameters are those of both."""

    def build(params: Params) -> Any:
        first, second = candidate.build(params.get("first", {})), baseline.build(params.get("second", {}))
        blend = BlendRegressor if is_regressor(first) else BlendMultiLabel if labels_rows(second) else Blend
        return blend(first=first, second=second)

    name = f"{candidate.name} + {baseline.name}"
    return Candidate(name, build, {}, f"Average of what {candidate.name} and {baseline.name} predict.")


def labels_rows(estimator: Any) -> bool:
    """Whether an estimator gives several labels to a row."""
    return bool(get_tags(estimator).classifier_tags and get_tags(estimator).classifier_tags.multi_label)
