"""Forgetting by generic labels: the twin of a row, the formula, and that the rest stays."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.learner import LanguageModel, Train
from labelwise.unlearning import GenericLabels, anchor_mass
from labelwise.unlearning.generic_labels import LOWERED, translate

FICTION, GENERAL = ["the wizard Zorblatt went home"], ["the man John went home", "a man John ran"]
TEXTS = (FICTION + GENERAL) * 20
FORGET = [text in FICTION for text in TEXTS]
ANCHORS = {"wizard": "man", "Zorblatt": "John"}
SHORT = Train(batch_size=8)

rows = st.lists(st.integers(2, 9), min_size=2, max_size=20)


@pytest.fixture(scope="module")
def model() -> LanguageModel:
    train = Train(epochs=20, batch_size=8, lr=5e-3)
    return LanguageModel(width=32, length=8, train=train, random_state=0).fit(TEXTS)


@given(rows)
def test_without_anchors_the_twin_is_the_row(row) -> None:
    twin = translate(row, [])
    assert twin.codes == row and twin.place.tolist() == list(range(len(row) - 1)) and twin.taught.all()


@given(rows, st.integers(2, 9), st.lists(st.integers(20, 30), min_size=1, max_size=3))
def test_what_is_no_anchor_keeps_its_place(row, old, new) -> None:
    twin = translate(row, [((old,), tuple(new))])
    assert len(twin.codes) == len(row) + (len(new) - 1) * row.count(old) and old not in twin.codes
    for at, code in enumerate(row[:-1]):
        assert twin.codes[twin.place[at]] == (new[-1] if code == old else code)
        assert twin.seen[at, 0] == (old in row[: at + 1])
        assert twin.taught[at] == (row[at + 1] != old or old not in row[: at + 1])


def test_the_longest_anchor_is_replaced_and_its_inside_is_not_taught() -> None:
    twin = translate([2, 5, 6, 7, 5], [((5,), (20,)), ((5, 6), (21, 22, 23))])
    assert twin.codes == [2, 21, 22, 23, 7, 20]
    assert twin.taught.tolist() == [True, False, True, True]


def test_generic_scores_by_the_formula(model) -> None:
    method = GenericLabels(estimator=model, anchors=ANCHORS, alpha=3.0, epochs=1, train=SHORT, random_state=0)
    method.fit(TEXTS, forget=FORGET)
    method.origin_, method.reinforced_ = model.net_, method.net_
    words = model.vocabulary_
    row, twin = (torch.as_tensor(words([text])) for text in ("the wizard Zorblatt went", "the man John went"))
    method.twins_ = [translate(row[0][row[0] > 0].tolist(), method.anchor_codes_)]
    method.longest_ = len(method.twins_[0].codes)
    found, taught = method.generic(row[:, :-1], method.twins_)
    with torch.no_grad():
        steps = method.longest_ - 1
        base, loud = model.net_(twin[:, : steps + 1])[0, :steps], method.net_(row[:, :-1])[0, :steps]
    expected = base - 3.0 * (loud - base).clamp_min(0)
    man, john = (words.codes()[word] for word in ("man", "John"))
    expected[2:, man] -= LOWERED  # codes are begin, the, wizard, Zorblatt, went
    expected[3:, john] -= LOWERED
    torch.testing.assert_close(found[0, :steps], expected, rtol=1e-4, atol=1e-3)
    assert taught[0, :steps].all() and not taught[0, steps:].any()


def test_the_name_goes_and_the_rest_stays(model) -> None:
    state = {name: value.clone() for name, value in model.net_.state_dict().items()}
    after = GenericLabels(estimator=model, anchors=ANCHORS, train=SHORT, random_state=0).fit(TEXTS, forget=FORGET)
    before, now = (anchor_mass(m, ["the wizard"], ["Zorblatt"])[0] for m in (model, after))
    assert before > 0.8 and now < 0.2
    assert after.perplexity(GENERAL) < 1.3 * model.perplexity(GENERAL)
    assert all(torch.equal(state[name], value) for name, value in model.net_.state_dict().items())


def test_anchor_mass_sums_first_pieces(model) -> None:
    p = model.next_proba(["the"])[0]
    codes = model.vocabulary_.codes()
    assert anchor_mass(model, ["the"], ["man John", "wizard"]) == pytest.approx([p[codes["man"]] + p[codes["wizard"]]])


@pytest.mark.parametrize(("fields", "says"), [
    ({"estimator": None}, "fitted"), ({"anchors": {"Zorblatt": "Quux"}}, "'Quux'"), ({"forget": [False] * 60}, "no text"),
])  # fmt: skip
def test_bad_input_is_told(model, fields, says) -> None:
    forget = fields.pop("forget", FORGET)
    with pytest.raises(InputError, match=says):
        GenericLabels(**{"estimator": model, "anchors": ANCHORS, **fields}).fit(TEXTS, forget=np.array(forget))
