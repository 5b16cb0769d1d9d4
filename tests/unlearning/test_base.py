from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression

from labelwise.base import Card, InputError
from labelwise.learner import Classifier, MultiLabelClassifier, Regressor, Train
from labelwise.persistence import load, save
from labelwise.training import Phase
from labelwise.unlearning import LAF
from labelwise.unlearning.base import Unlearner, forget_mask, rows_named

X, Y = load_iris(return_X_y=True)
XR, YR = load_diabetes(return_X_y=True)
SHORT = Train(epochs=8, batch_size=32)


class Plain(Unlearner):
    """Trains on what is kept: the smallest method."""

    card = Card(task="any")

    def stages(self) -> list[Phase]:
        return [Phase(self.supervised, [self.net_], 1, None, self.paired(20), 20)]


@pytest.fixture(scope="module")
def model() -> Classifier:
    return Classifier(train=SHORT, random_state=0).fit(X, Y)


@pytest.fixture(scope="module")
def regressor() -> Regressor:
    return Regressor(train=SHORT, random_state=0).fit(XR, YR)


def test_a_regressor_is_withdrawn_from_too(regressor: Regressor) -> None:
    forget = np.arange(len(YR)) < 40
    before = regressor.predict(XR)
    after = Plain(estimator=regressor, random_state=0).fit(XR, YR, forget=forget)
    assert after.score(XR[~forget], YR[~forget]) > 0.2
    assert not np.allclose(after.predict(XR), before)
    np.testing.assert_array_equal(regressor.predict(XR), before)
    assert type(after.model_) is Regressor and not hasattr(after, "predict_proba")


def test_real_targets_are_measured_with_the_estimators_mean_and_spread(regressor: Regressor) -> None:
    half = np.arange(len(YR)) % 2 == 0
    after = Plain(estimator=regressor, random_state=0).fit(XR[half], YR[half], forget=np.arange(half.sum()) < 3)
    targets, labelled, width = after.read_targets(YR)
    np.testing.assert_allclose(targets[:, 0], (YR - YR.mean()) / YR.std(), atol=1e-4)
    assert labelled.all() and width == 1


def test_batches_are_paired_without_end_and_never_mix(model: Classifier) -> None:
    seen: list[tuple[set[int], set[int]]] = []

    class Watch(Plain):
        card = Card(task="any")

        def supervised(self, batch: Any) -> Any:
            seen.append((set(batch.index.tolist()), set(batch.unlabelled.index.tolist())))
            return super().supervised(batch)

    forget = np.arange(len(Y)) % 50 == 0
    Watch(estimator=model, random_state=0).fit(X, Y, forget=forget)
    assert len(seen) == 20
    kept, lost = (set().union(*(pair[side] for pair in seen)) for side in (0, 1))
    assert lost == set(np.flatnonzero(forget).tolist()) and kept == set(np.flatnonzero(~forget).tolist())


def test_what_is_handed_on_predicts_alike_and_holds_nothing_from_before(model: Classifier, tmp_path: Path) -> None:
    after = LAF(estimator=model, erase_steps=5, describe_steps=5, random_state=0).fit(X, Y, forget=Y == 0)
    np.testing.assert_array_equal(after.model_.predict_proba(X), after.predict_proba(X))
    assert not hasattr(after.model_, "criterion_") and not hasattr(after.model_, "history_")
    save(after, tmp_path / "after")
    again = load(tmp_path / "after")
    np.testing.assert_array_equal(again.predict_proba(X), after.predict_proba(X))
    assert not hasattr(again, "original_") and not hasattr(again.estimator, "net_")
    for kept in ("after", "handed on"):
        if kept == "handed on":
            save(after.model_, tmp_path / kept)
        with safe_open(tmp_path / kept / "tensors.safetensors", "np") as file:
            stored = [file.get_tensor(name) for name in file.keys()]  # noqa: SIM118
        old = model.net_.features[0].weight.detach().numpy()
        assert not any(array.shape == old.shape and np.allclose(array, old) for array in stored)
    written = json.loads((tmp_path / "after" / "model.json").read_text())
    assert "origin_" not in json.dumps(written) and hasattr(after, "original_")


def test_a_withdrawal_can_be_withdrawn_from(model: Classifier) -> None:
    once = Plain(estimator=model, random_state=0).fit(X, Y, forget=Y == 0)
    twice = Plain(estimator=once, random_state=0).fit(X, Y, forget=Y == 0)
    assert type(twice.model_) is Classifier and twice.seconds_ > 0


def test_sample_weights_count(model: Classifier) -> None:
    weight = np.where(Y == 2, 0.0, 1.0)
    after = Plain(estimator=model, train=Train(lr=0.1), random_state=0).fit(X, Y, weight, forget=np.arange(150) < 5)
    assert (after.predict(X[Y == 2]) == 2).mean() < (model.predict(X[Y == 2]) == 2).mean()


@pytest.mark.parametrize(
    ("forget", "told"),
    [
        (np.ones(150, bool), "forget marks all 150 rows"),
        (np.ones(200, bool), "forget marks among 200 rows, but X has only 150"),
        (np.arange(3), r"forget must be a boolean mask of shape \(150,\)"),
        (np.zeros(10, bool), r"forget must be a boolean mask of shape \(150,\)"),
    ],
)
def test_masks_that_do_not_fit_are_refused(model: Classifier, forget: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        Plain(estimator=model).fit(X, Y, forget=forget)


def test_estimators_that_do_not_fit_are_refused(model: Classifier, regressor: Regressor) -> None:
    with pytest.raises(InputError, match=r"Plain.estimator: Classifier is not fitted"):
        Plain(estimator=Classifier()).fit(X, Y)
    several = MultiLabelClassifier(train=SHORT, random_state=0).fit(X, (X > 2).astype(int))
    with pytest.raises(InputError, match=r"Got MultiLabelClassifier; Retrain and SISA"):
        Plain(estimator=several).fit(X, Y)
    with pytest.raises(InputError, match=r"LAF.estimator must be a classifier of one class per row"):
        LAF(estimator=regressor).fit(XR, YR)
    with pytest.raises(InputError, match="must be an instance of Learner"):
        Plain(estimator=LogisticRegression()).fit(X, Y)
    with pytest.raises(InputError, match="y has 2 targets a row"):
        Plain(estimator=regressor).fit(XR, np.c_[YR, YR])


def test_rows_are_named_by_id_class_or_domain() -> None:
    np.testing.assert_array_equal(rows_named([3, 5], [1, 3, 5, 3]), [False, True, True, True])
    np.testing.assert_array_equal(rows_named([3.0], ["1", "3"]), [False, True])
    np.testing.assert_array_equal(rows_named("b", np.array(["a", "b"], dtype=object)), [False, True])


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="2 of the names are no id of the data: '7', '9'"):
        rows_named([7, 1, 9], [1, 2, 3], "id")
    with pytest.raises(InputError, match="4 were named, but the data has 2 rows"):
        rows_named([1, 2, 3, 4], [1, 2], "id")
    with pytest.raises(InputError, match="no id to forget was named"):
        rows_named([], [1, 2], "id")
    with pytest.raises(InputError, match="forget marks all 2 rows"):
        rows_named(["a"], ["a", "a"], "domain")


def test_nothing_marked_is_an_empty_mask() -> None:
    assert not forget_mask(None, 4).any() and forget_mask([True, False], 2).sum() == 1
