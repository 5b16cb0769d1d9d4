from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn.functional import cosine_similarity

from labelwise.base import InputError
from labelwise.learner import Classifier, Train
from labelwise.training import Batch
from labelwise.unlearning import LAF, MembershipAttack
from labelwise.unlearning.laf import bounded

X, Y = load_digits(return_X_y=True)
X, Y, XT, YT = X[:900], Y[:900], X[900:], Y[900:]


@pytest.fixture(scope="module")
def model() -> Classifier:
    return Classifier(train=Train(epochs=20), random_state=0).fit(X, Y)


def test_a_class_is_forgotten_without_labels_and_the_rest_stays_near_retraining(model: Classifier) -> None:
    forget = Y == 3
    gold = Classifier(train=Train(epochs=20), random_state=0).fit(X[~forget], Y[~forget])
    blind = np.where(np.arange(len(Y)) < 10, Y, -1)  # labels name the classes only
    blind[:10] = np.arange(10)
    forgetful = LAF(estimator=model, random_state=0).fit(X, blind, forget=forget)
    assert forgetful.score(XT[YT == 3], YT[YT == 3]) < 0.2 < model.score(XT[YT == 3], YT[YT == 3])
    kept = YT != 3
    assert forgetful.score(XT[kept], YT[kept]) > gold.score(XT[kept], YT[kept]) - 0.05


@pytest.mark.slow
def test_forgetting_wrong_labels_mends_the_model() -> None:
    rng = np.random.default_rng(0)
    wrong = (rng.random(len(Y)) < 0.3) & np.isin(Y, (1, 7))
    noisy = np.where(wrong, 8, Y)
    model = Classifier(train=Train(epochs=120), random_state=0).fit(X, noisy)
    mended = LAF(estimator=model, repair_epochs=5, random_state=0).fit(X, noisy, forget=wrong)
    assert (mended.predict(X[wrong]) == noisy[wrong]).mean() < (model.predict(X[wrong]) == noisy[wrong]).mean() - 0.2


def test_a_few_labels_mend_the_head_and_no_other_label_counts(model: Classifier) -> None:
    forget, few = Y == 3, np.arange(len(Y)) % 10 == 0
    known = np.where(few & ~forget, Y, -1)
    method = LAF(estimator=model, erase_steps=60, describe_steps=60, repair_epochs=20, random_state=0)
    mended = method.fit(X, known, forget=forget)
    assert mended.taught_.sum() == (few & ~forget).sum()
    plain = LAF(estimator=model, erase_steps=60, describe_steps=60, random_state=0).fit(X, known, forget=forget)
    assert not torch.equal(mended.net_.head.weight, plain.net_.head.weight)
    assert torch.equal(mended.net_.features[0].weight, plain.net_.features[0].weight)
    none = np.full(len(Y), -1)
    none[:2] = Y[0]  # both are forgotten: nothing to mend with
    same = method.fit(X, none, forget=forget | (np.arange(len(Y)) < 2))
    assert torch.equal(same.net_.head.weight, model.net_.head.weight)


def test_nothing_to_forget_changes_nothing(model: Classifier) -> None:
    same = LAF(estimator=model, random_state=0).fit(X, Y)
    np.testing.assert_array_equal(same.predict_proba(XT), model.predict_proba(XT))


def test_the_original_estimator_is_left_alone_and_only_features_move(model: Classifier) -> None:
    before = model.predict_proba(XT)
    forgetful = LAF(estimator=model, erase_steps=10, describe_steps=10, random_state=0).fit(X, Y, forget=Y == 1)
    np.testing.assert_array_equal(model.predict_proba(XT), before)
    assert torch.equal(forgetful.net_.head.weight, model.net_.head.weight)
    assert not torch.equal(forgetful.net_.features[0].weight, model.net_.features[0].weight)


def test_alignment_is_its_equation(model: Classifier) -> None:
    laf = LAF(estimator=model, temperature=2.0, erase_steps=5, describe_steps=5, random_state=0).fit(
        X, Y, forget=Y == 1
    )
    kept, lost = (torch.as_tensor(laf.inputs_.transform(X[rows])) for rows in (Y == 0, Y == 1))
    with torch.no_grad():
        value = float(
            laf.align(Batch(kept, torch.zeros(len(kept)), torch.arange(len(kept)), unlabelled=Batch(lost, None, None)))
        )
        c_kept, c_lost = (
            1 - cosine_similarity(laf.net_.features(part), laf.origin_.features(part)) for part in (kept, lost)
        )
    expected = float(c_kept.mean()) - math.log(sum(math.exp(float(c) / 2.0) for c in c_lost))
    assert value == pytest.approx(expected, rel=1e-5)


def test_bounded_error_lies_between_one_and_e() -> None:
    values = bounded(torch.tensor([0.0, 1.0, 1e9]))
    torch.testing.assert_close(values, torch.tensor([1.0, math.exp(0.5), math.e]))


def test_a_wrong_mask_is_refused(model: Classifier) -> None:
    with pytest.raises(InputError, match=r"forget must be a boolean mask of shape \(900,\)"):
        LAF(estimator=model).fit(X, Y, forget=np.arange(3))


@pytest.mark.slow
def test_membership_attack_sees_memorised_rows_and_not_unseen_ones() -> None:
    rng = np.random.default_rng(0)
    members, labels = X[:300], rng.integers(0, 10, 300)  # random labels can only be memorised
    model = Classifier(train=Train(epochs=100, lr=5e-3), random_state=0).fit(members, labels)
    attack = MembershipAttack(random_state=0)
    leak = attack.measure(model.predict_proba(members), model.predict_proba(X[300:600]))
    assert leak.value > 0.75 and leak.low < leak.value < leak.high
    honest = attack.measure(model.predict_proba(XT[:400]), model.predict_proba(XT[400:800]))
    assert honest.value < 0.6
    inside, outside = (model.predict_proba(rows) for rows in (members, X[300:600]))
    assert (
        attack.rate(inside, outside, model.predict_proba(XT[:300])) < 0.3 < 0.8 < attack.rate(inside, outside, inside)
    )
