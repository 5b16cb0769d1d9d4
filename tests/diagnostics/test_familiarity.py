"""Familiarity against repeating every mention; splits, vectors of one's own, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.diagnostics import Familiarity
from labelwise.diagnostics.familiarity import name_vectors, similarity

NAMES = ["alpha", "beta", "gamma", "delta", "omega"]


def slow(train, evaluation, vectors, k, weighting):
    """Repeat each training label by its mentions, sort, cut at k, and weigh rank by rank."""
    found = []
    for name in evaluation:
        mentions = []
        for other, count in train.items():
            a, b = vectors[name], vectors[other]
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            mentions += [max(0.0, cosine)] * count
        mentions = sorted(mentions, reverse=True)[:k]
        n = len(mentions)
        weights = [{"zipf": 1 / r, "linear": (n - r + 1) / n, "none": 1.0}[weighting] for r in range(1, n + 1)]
        found.append(sum(w * s for w, s in zip(weights, mentions, strict=True)) / sum(weights))
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(1, 30), min_size=3, max_size=3), st.integers(1, 80), st.integers(0, 999),
    st.sampled_from(["zipf", "linear", "none"]),
)  # fmt: skip
def test_familiarity_is_the_definition(counts, k, seed, weighting):
    rng = np.random.default_rng(seed)
    vectors = {name: rng.normal(size=3) for name in NAMES}
    train = dict(zip(NAMES[:3], counts, strict=True))
    found = Familiarity(k=k, weighting=weighting, embedding=vectors).measure(train, NAMES[3:])
    expected = slow(train, NAMES[3:], vectors, k, weighting)
    assert list(found.labels.values()) == pytest.approx(expected)
    assert found.familiarity.value == pytest.approx(np.mean(expected))
    assert 0 <= found.familiarity.low <= found.familiarity.value <= found.familiarity.high <= 1


def test_the_same_names_are_wholly_familiar_and_others_not():
    known = Familiarity().measure({"river": 5000, "person": 10}, ["river"])
    assert known.labels["river"] == pytest.approx(1)
    assert known.seen == 1
    assert "100%" in str(known)
    new = Familiarity().measure({"river": 5000}, ["xyz"])
    assert new.labels["xyz"] == 0
    assert new.nearest["xyz"] == ("river", 0.0)


def test_mentions_and_counts_are_the_same():
    train = ["person"] * 40 + ["place"] * 3
    assert (
        Familiarity().measure(train, ["people"]).labels
        == Familiarity().measure({"person": 40, "place": 3}, ["people"]).labels
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 200), st.integers(1, 200))
def test_more_mentions_of_the_nearest_label_are_more_familiar(few, more):
    few, more = sorted((few, more))
    found = [Familiarity().measure({"persons": n, "river": 300}, ["person"]).familiarity.value for n in (few, more)]
    assert found[0] <= found[1] + 1e-12


def test_spelling_does_not_matter():
    vectors = name_vectors(["SportsTeam", "sports_team", "sports-team", "Sports Team"])
    np.testing.assert_allclose(vectors @ vectors.T, 1)
    assert name_vectors(["", "-"]).shape == (2, 1)


def test_a_function_may_embed():
    found = Familiarity(embedding=lambda names: [[len(name), 1.0] for name in names]).measure(["ab"], ["cd"])
    assert found.labels["cd"] == pytest.approx(1)


def test_splits_are_terciles_and_the_cut_removes_copies():
    train = ["person", "river", "sports team", "music album"]
    evaluation = ["persons", "rivers", "team", "zzz", "qqq", "album cover"]
    splits = Familiarity().split(train, evaluation)
    order = similarity(train, evaluation).max(1)
    score = dict(zip(evaluation, order, strict=True))
    parts = [splits.easy, splits.medium, splits.hard]
    assert sorted([*splits.easy, *splits.medium, *splits.hard]) == sorted(evaluation)
    assert [len(part) for part in parts] == [2, 2, 2]
    assert min(score[name] for name in splits.easy) >= max(score[name] for name in splits.hard)
    harder = Familiarity().split(train, evaluation, cut=0.6)
    assert "person" not in harder.training
    assert similarity(harder.training, evaluation).max() <= 0.6 + 0.2  # other names change the weights of n-grams
    assert Familiarity().split(train, evaluation, by="mean").training == train


@pytest.mark.parametrize(
    ("train", "evaluation", "told"),
    [
        ([], ["a"], "train holds no label"),
        (["a"], [], "evaluation holds no label"),
        ("person", ["a"], "Got the text"),
        ({"a": 1.5}, ["a"], "whole counts"),
        ({"a": -1}, ["a"], "whole counts"),
        ([1, 2], ["a"], "names"),
    ],
)
def test_bad_labels(train, evaluation, told):
    with pytest.raises(InputError, match=told):
        Familiarity().measure(train, evaluation)


def test_bad_vectors_and_cuts():
    with pytest.raises(InputError, match="no vector for"):
        Familiarity(embedding={"a": [1.0]}).measure(["a"], ["b"])
    with pytest.raises(InputError, match="finite vector"):
        Familiarity(embedding=lambda names: np.full((len(names), 2), np.nan)).measure(["a"], ["b"])
    with pytest.raises(InputError, match="removes every"):
        Familiarity().split(["abc"], ["abc"], cut=0.5)
    with pytest.raises(InputError, match="by must"):
        Familiarity().split(["abc"], ["abc"], by="median")
