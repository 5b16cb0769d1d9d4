"""The suite itself: a good method passes every check, and each fault is caught by the check that is meant for it."""

from __future__ import annotations

from typing import Annotated, Any
from unittest import SkipTest

import numpy as np
import pytest
import torch
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted, validate_data

from labelwise.base import UNLABELED, Card, Fields, Fraction, Method
from labelwise.checks import check_method, method_checks
from labelwise.losses.base import Loss
from labelwise.supervision import encode_classes


class Good(Method, ClassifierMixin, Fields):
    """Mix the mean of the nearest class with logistic regression.

    Parameters
    ----------
    share
        Of the regression, in [0, 1].
    random_state
        Not used.

    Examples
    --------
    >>> Good(share=0.5)
    Good(share=0.5)
    """

    share: Annotated[float, Fraction] = 1.0
    random_state: int | None = None

    card = Card(kind="estimator", reference="Made up for this test.", handles=frozenset({"noise"}))
    tune = {"share": [0.0, 1.0]}

    def fit(self, X: Any, y: Any) -> Good:
        """Fit on labelled rows."""
        self.check_fields()
        if y is None:
            validate_data(self, X, y)
        X = validate_data(self, X)
        self.classes_, codes = encode_classes(y)
        if len(X) != len(codes):
            raise ValueError(f"X has {len(X)} rows but y has {len(codes)}")
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class only: {self.classes_}")
        known = codes != UNLABELED
        self.model_ = LogisticRegression().fit(X[known], codes[known])
        return self

    def predict(self, X: Any) -> Any:
        """Return classes."""
        best = self.predict_proba(X).argmax(1)
        return self.classes_[best]

    def predict_proba(self, X: Any) -> Any:
        """Return probabilities."""
        check_is_fitted(self)
        return self.model_.predict_proba(validate_data(self, X, reset=False))


def outcomes(cls: type[Any]) -> dict[str, str]:
    told = {}
    for check in method_checks(cls):
        if check.name == "survives saving and loading" and not cls.__module__.startswith("labelwise."):
            continue  # only classes of labelwise are saved
        try:
            check()
            told[check.name] = "passed"
        except SkipTest:
            told[check.name] = "skipped"
        except Exception as error:
            told[check.name] = f"failed: {error}"
    return told


def failed(cls: type[Any]) -> list[str]:
    return [name for name, told in outcomes(cls).items() if told.startswith("failed")]


def variant(**body: Any) -> type[Any]:
    return type("Good", (Good,), {"__doc__": Good.__doc__, "__module__": __name__, "card": Good.card, **body})


def test_a_good_method_passes_everything():
    told = outcomes(Good)
    assert {name: what for name, what in told.items() if what.startswith("failed")} == {}
    assert sum(what == "passed" for what in told.values()) > 60
    assert "beats chance" in told


def moved(self: Any, X: Any, y: Any) -> Any:
    np.random.seed(0)  # noqa: NPY002
    return Good.fit(self, X, y)


def scaled(self: Any, X: Any, y: Any) -> Any:
    if isinstance(X, np.ndarray):
        X *= 2
    return Good.fit(self, X, y)


def renamed(self: Any, X: Any, y: Any) -> Any:
    self.share = 0.25
    return Good.fit(self, X, y)


def guessing(self: Any, X: Any) -> Any:
    return np.full(len(X), self.classes_[0])


def restless(self: Any, X: Any) -> Any:
    return np.random.default_rng().permutation(Good.predict_proba(self, X))


def everything(self: Any, X: Any, y: Any) -> Any:
    """Take the missing label for one more class."""
    names = [str(label) for label in y]
    if len(set(names)) < 2:
        names[0] = "other"
    self.classes_, codes = np.unique(names, return_inverse=True)
    self.model_ = LogisticRegression().fit(validate_data(self, X), codes)
    return self


@pytest.mark.parametrize(
    ("body", "caught_by"),
    [
        ({"fit": moved}, "leaves global random state untouched"),
        ({"fit": scaled}, "leaves its arguments untouched"),
        ({"fit": renamed}, "leaves its fields untouched"),
        ({"predict": guessing}, "beats chance"),
        ({"predict_proba": restless}, "same seed same result"),
        ({"fit": everything}, "unlabelled rows are no class"),
        ({"fit": everything}, "refuses no row labelled"),
        ({"__doc__": "Short."}, "summary is a sentence"),
        ({"__annotations__": {"width": int}, "width": 3}, "fields are documented"),
        ({"__doc__": "This one line says what the method does."}, "examples run"),
        ({"__doc__": Good.__doc__.replace(">>> Good(share=0.5)", ">>> Good(share=0.6)")}, "examples run"),
        ({"card": Card(paper=999, handles={"noise"})}, "card is complete"),
        ({"card": Card(paper=7)}, "card is complete"),
        ({"card": Card(paper=7, handles={"noise"})}, "says where it comes from"),
        ({"tune": {"weight": [1]}}, "card is complete"),
        ({"tune": {"share": [2.0]}}, "card is complete"),
        ({"card": Card(reference="x", expected_failed_checks={"check_no_such": "x"})}, "declared failures exist"),
        ({"card": Card(reference="x", expected_failed_checks={"check_fit1d": "x"})}, "sklearn check_fit1d"),
        ({"check_fields": lambda self: self}, "fields out of range are refused"),
        ({"predict": lambda self, X: np.zeros(len(X))}, "refuses to predict before fit"),
    ],
)
def test_a_fault_is_caught(body, caught_by):
    cls = variant(**body)
    told = next(check for check in method_checks(cls) if check.name == caught_by)
    with pytest.raises(Exception) as error:
        told()
    assert not isinstance(error.value, SkipTest)


class Short(Good):
    """Short."""

    card = Good.card


def test_check_method_reports_all_failures_together():
    with pytest.raises(ExceptionGroup, match="Short fails 3 checks") as error:
        check_method(Short)
    notes = [note.removeprefix("check: Short: ") for failure in error.value.exceptions for note in failure.__notes__]
    assert notes == ["summary is a sentence", "examples run", "survives saving and loading"]


class GoodLoss(Loss):
    """The ordinary cross-entropy, written out for the tests of the checks.

    Examples
    --------
    >>> GoodLoss()
    GoodLoss()
    """

    card = Card(kind="loss", reference="Made up for this test.")

    def pointwise(self, logits: Any, y: Any, index: Any = None) -> Any:
        """Return the loss of each row."""
        return torch.nn.functional.cross_entropy(logits, y, reduction="none")


def test_a_good_loss_passes_everything():
    assert failed(GoodLoss) == []


def loss(**body: Any) -> type[Any]:
    return type("GoodLoss", (GoodLoss,), {"__doc__": GoodLoss.__doc__, "__module__": __name__, **body})


@pytest.mark.parametrize(
    ("body", "caught_by"),
    [
        ({"pointwise": lambda s, f, y, i=None: f.exp().sum(1).log() - f[:, 0]}, "finite at extreme scores"),
        ({"pointwise": lambda s, f, y, i=None: 0 * f.sum(1)}, "finite loss and gradient"),
        ({"pointwise": lambda s, f, y, i=None: f.var(0, correction=0).sum().expand(2)}, "a batch of one"),
        ({"pointwise": lambda s, f, y, i=None: f.cumsum(0)[:, 0]}, "permuting rows permutes values"),
        ({"pointwise": lambda s, f, y, i=None: f.sum(1).double()}, "keeps single and double precision"),
        ({"pointwise": lambda s, f, y, i=None: -f[:, 0] - 0 * y}, "beats chance"),
        (
            {"forward": lambda s, f, y, i=None, weight=None: s.pointwise(f, y).mean()},
            "rows without weight do not matter",
        ),
        ({"check": lambda s, f, y, i: None}, "refuses shapes that do not fit"),
        ({"reads_index": True, "check": lambda s, f, y, i: None}, "state per row needs the index"),
        ({"bind": lambda s, n, k: None}, "finite loss and gradient"),
    ],
)
def test_a_fault_of_a_loss_is_caught(body, caught_by):
    told = next(check for check in method_checks(loss(card=GoodLoss.card, **body)) if check.name == caught_by)
    with pytest.raises(Exception) as error:
        told()
    assert not isinstance(error.value, SkipTest)
