from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_diabetes, load_digits
from torch.nn.functional import cross_entropy

from labelwise.base import InputError
from labelwise.learner import Classifier, Regressor, Train
from labelwise.training import Batch
from labelwise.unlearning import NPO, FineTune, GradientAscent, Relabel
from labelwise.unlearning.base import Unlearner

X, Y = load_digits(return_X_y=True)
X, Y, XT, YT = X[:600], Y[:600], X[600:1200], Y[600:1200]
XR, YR = load_diabetes(return_X_y=True)
GONE = Y == 3


@pytest.fixture(scope="module")
def model() -> Classifier:
    return Classifier(train=Train(epochs=20), random_state=0).fit(X, Y)


@pytest.fixture(scope="module")
def regressor() -> Regressor:
    return Regressor(train=Train(epochs=60, batch_size=32, lr=5e-3), random_state=0).fit(XR, YR)


@pytest.mark.parametrize(
    "method",
    [
        GradientAscent(), NPO(), NPO(beta=1.0, retain="original"), NPO(prefer="second"), Relabel(),
        Relabel(to="uniform", lr=3e-3), Relabel(to="second"), FineTune(shrink=0.2, epochs=10),
    ],
)  # fmt: skip
def test_a_class_is_forgotten_and_the_others_are_kept(method: Any, model: Classifier) -> None:
    method.set_params(estimator=model, random_state=0)
    before = model.predict_proba(XT)
    after = method.fit(X, Y, forget=GONE)
    three = YT == 3
    assert after.score(XT[three], YT[three]) < 0.4 < 0.8 < after.score(XT[~three], YT[~three])
    np.testing.assert_array_equal(model.predict_proba(XT), before)


@pytest.mark.parametrize("method", [GradientAscent(retain_weight=10.0), NPO(retain_weight=10.0)])
def test_real_targets_are_driven_away(method: Any, regressor: Regressor) -> None:
    gone = YR > 250
    after = method.set_params(estimator=regressor, random_state=0, forget_steps=30).fit(XR, YR, forget=gone)
    error = [np.abs(m.predict(XR[gone]) - YR[gone]).mean() for m in (regressor, after)]
    assert error[1] > 1.2 * error[0] and after.score(XR[~gone], YR[~gone]) > -0.2


def test_ascent_has_no_end_and_npo_ends_by_itself(model: Classifier) -> None:
    drift = {}
    for name, method in {"ascent": GradientAscent, "npo": NPO}.items():
        more = {"beta": 1.0} if name == "npo" else {}
        after = method(
            estimator=model, forget_steps=300, lr=3e-3, retain="nothing", train=Train(schedule="constant"), random_state=0,
            **more,
        ).fit(X, Y, forget=GONE)  # fmt: skip
        pairs = zip(after.net_.parameters(), model.net_.parameters(), strict=True)
        drift[name] = sum(float((a - b).detach().square().sum()) for a, b in pairs) ** 0.5
    assert drift["ascent"] > 1.5 * drift["npo"]


def test_npo_of_a_batch_is_its_equation(model: Classifier) -> None:
    npo = NPO(estimator=model, beta=0.5, forget_steps=5, random_state=0).fit(X, Y, forget=GONE)
    rows = torch.as_tensor(npo.inputs_.transform(X[:20]))
    y = torch.as_tensor(np.where(np.arange(20) < 15, Y[:20], -1))  # five rows without a label
    with torch.no_grad():
        value = float(npo.forgetting(Batch(rows, y, torch.arange(20))))
        now, before = (net(rows[:15]).log_softmax(1)[range(15), y[:15]].numpy() for net in (npo.net_, npo.origin_))
    assert value == pytest.approx(float((2 / 0.5 * np.log1p(np.exp(0.5 * (now - before)))).mean()), rel=1e-4)


def test_other_labels_are_never_the_rows_own(model: Classifier) -> None:
    for to in ("random", "second"):
        method = Relabel(estimator=model, to=to, forget_steps=2, random_state=0).fit(X, Y, forget=GONE)
        rows = torch.as_tensor(method.inputs_.transform(X))
        batch = Batch(rows, torch.as_tensor(Y), torch.arange(600))
        instead = method.instead(batch)
        assert bool((instead.sum(1) == 1).all()) and not bool((instead.argmax(1) == batch.y).any())
    expected = np.argsort(model.predict_proba(X), 1)
    own = expected[:, -1] == Y
    np.testing.assert_array_equal(instead.argmax(1).numpy()[own], expected[own, -2])


def test_holding_the_original_is_a_divergence_from_it(model: Classifier, regressor: Regressor) -> None:
    for estimator, rows, y in ((model, X, Y), (regressor, XR, YR)):
        method = NPO(estimator=estimator, retain="original", forget_steps=3, lr=1e-2, random_state=0)
        method.fit(rows, y, forget=np.arange(len(y)) < 30)
        x = torch.as_tensor(method.inputs_.transform(rows[:50]))
        value = float(method.retaining(Batch(x, torch.as_tensor(y[:50]), torch.arange(50))).detach())
        method.net_ = estimator.net_
        same = method.retaining(Batch(x, torch.as_tensor(y[:50]), torch.arange(50)))
        assert value > 1e-4 and float(same.detach()) == pytest.approx(0, abs=1e-6)


def test_shrinking_to_nothing_and_drawing_anew_is_a_new_start(model: Classifier) -> None:
    new = FineTune(estimator=model, shrink=0.0, noise=1.0, epochs=1, lr=1e-9, random_state=0).fit(X, Y, forget=GONE)
    old = FineTune(estimator=model, epochs=1, lr=1e-9, random_state=0).fit(X, Y, forget=GONE)
    assert new.score(X, Y) < 0.4 and old.score(X, Y) == pytest.approx(model.score(X, Y), abs=0.01)
    same = FineTune(estimator=model, shrink=0.0, noise=1.0, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(same.predict_proba(XT), model.predict_proba(XT))


def test_forgotten_rows_have_no_part_in_fine_tuning(model: Classifier) -> None:
    moved = np.where(GONE[:, None], np.random.default_rng(0).normal(size=X.shape) * 9, X)
    other = np.where(GONE, (Y + 1) % 10, Y)
    for shrink in (1.0, 0.5):
        method = FineTune(estimator=model, shrink=shrink, epochs=2, random_state=0)
        first = method.fit(X, Y, forget=GONE).predict_proba(XT)
        np.testing.assert_array_equal(method.fit(moved, other, forget=GONE).predict_proba(XT), first)


def test_fine_tuning_needs_a_kept_label(model: Classifier) -> None:
    with pytest.raises(InputError, match="no label among the kept rows"):
        FineTune(estimator=model).fit(X, np.where(GONE, Y, -1), forget=GONE)


def test_losses_of_unlabelled_rows_are_nothing(model: Classifier) -> None:
    method: Unlearner = NPO(estimator=model, forget_steps=1, random_state=0).fit(X, Y, forget=GONE)
    scores = torch.randn(4, 10)
    y = torch.tensor([1, -1, 3, -1])
    told = method.row_losses(scores, y)
    torch.testing.assert_close(told[[0, 2]], cross_entropy(scores[[0, 2]], y[[0, 2]], reduction="none"))
    assert told[1] == told[3] == 0


def test_a_preferred_class_asks_for_classes(regressor: Regressor) -> None:
    with pytest.raises(InputError, match="prefer='second' asks for classes"):
        NPO(estimator=regressor, prefer="second").fit(XR, YR, forget=np.arange(len(YR)) < 9)
