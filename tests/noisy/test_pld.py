"""PLD: what a step trains on, what is recommended, and noise told from taste."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import zscore
from sklearn.metrics import roc_auc_score

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.noisy import PLDRecommender
from labelwise.noisy.pld import read_interactions, standardised

TRAIN = Train(epochs=25, batch_size=128, lr=1e-2, progress=False)


def clicks(seed: int, noise: int = 3):
    """Return the clicks of 60 users on 80 items, four tastes, `noise` random clicks a user, and which are random."""
    rng = np.random.default_rng(seed)
    likes = np.kron(np.eye(4, dtype=bool), np.ones((15, 20), dtype=bool))
    right = likes & (rng.random(likes.shape) < 0.6)
    wrong = (rng.random(likes.shape) < noise / 80) & ~right
    pairs = np.argwhere(right | wrong)
    return pairs, wrong[tuple(pairs.T)], likes


@pytest.fixture(scope="module")
def fitted():
    pairs, wrong, likes = clicks(0)
    return PLDRecommender(dim=16, train=TRAIN, random_state=0).fit(pairs), pairs, wrong, likes


def test_learns_tastes_and_doubts_random_clicks(fitted):
    model, pairs, wrong, likes = fitted
    unseen = np.argwhere(np.ones_like(likes))
    unseen = unseen[~np.isin(unseen @ [80, 1], pairs @ [80, 1])]
    assert roc_auc_score(likes[tuple(unseen.T)], model.predict(unseen)) > 0.9
    assert roc_auc_score(wrong, model.interaction_loss(pairs, within_user=True)) > 0.8


def test_loss_of_an_interaction_is_the_mean_over_all_items(fitted):
    model, pairs, _, _ = fitted
    user, item = pairs[17]
    scores = model.predict(np.c_[np.full(80, user), np.arange(80)])
    assert model.interaction_loss(pairs)[17] == pytest.approx(np.log1p(np.exp(scores - scores[item])).mean(), rel=1e-4)


def test_recommendations_are_the_highest_unseen_scores(fitted):
    model, pairs, _, _ = fitted
    every = model.predict(np.argwhere(np.ones((60, 80)))).reshape(60, 80)
    everything = model.recommend(np.arange(60), 80, exclude_seen=False)
    np.testing.assert_allclose(np.take_along_axis(every, everything, 1), -np.sort(-every, 1), atol=1e-5)
    new = model.recommend(np.arange(60), 10)
    seen = sparse.csr_array((np.ones(len(pairs)), pairs.T), shape=(60, 80)).toarray() > 0
    assert not seen[np.arange(60)[:, None], new].any()
    for user in range(60):
        rest = np.sort(every[user][~seen[user]])[::-1]
        np.testing.assert_allclose(every[user][new[user]], rest[:10], atol=1e-5)
    np.testing.assert_array_equal(model.recommend(3, 10), new[3])


def test_pairs_matrix_and_repeats_are_the_same_interactions(fitted):
    model, pairs, _, _ = fitted
    matrix = sparse.csr_array((np.ones(len(pairs)), pairs.T), shape=(60, 80))
    for same in (matrix, np.r_[pairs, pairs[:50]]):
        other = PLDRecommender(dim=16, train=TRAIN, random_state=0).fit(same)
        np.testing.assert_array_equal(other.predict(pairs), model.predict(pairs))


def test_infinite_temperature_chooses_like_plain_ranking():
    """With no preference for small losses, the mean of what is trained on is that of all of a user's interactions."""
    pairs, _, _ = clicks(1)
    auc = {}
    for name, fields in {"tau": {"tau": 1e9}, "none": {"within": "none"}}.items():
        model = PLDRecommender(dim=16, train=TRAIN, random_state=0, **fields).fit(pairs)
        auc[name] = model.interaction_loss(pairs).mean()
    assert auc["tau"] == pytest.approx(auc["none"], rel=0.1)


@pytest.mark.parametrize(("within", "seldom"), [("user", True), ("none", False)])
def test_random_clicks_are_seldom_trained_on(within, seldom):
    """Count what reaches the loss in an epoch after the warm-up."""
    pairs, wrong, _ = clicks(2)
    trained: list[np.ndarray] = []

    class Watched(PLDRecommender):
        def ranking(self, pairs, item):
            trained.append(pairs.numpy() @ [80, 1])
            return super().ranking(pairs, item)

    Watched(dim=16, warmup=10, within=within, train=TRAIN, random_state=0).fit(pairs)
    late = np.concatenate(trained[len(trained) // 2 :])
    share = np.isin(late, pairs[wrong] @ [80, 1]).mean()
    assert (share < 0.5 * wrong.mean()) == seldom


def test_negatives_are_unseen():
    pairs, _, _ = clicks(3)

    class Watched(PLDRecommender):
        def margins(self, pairs, item):
            key = pairs[..., 0] * self.n_items_ + item
            assert not torch.isin(key, self.seen_).any()
            return super().margins(pairs, item)

    for within in ("user", "all", "none"):
        quick = Train(epochs=3, batch_size=64, progress=False)
        Watched(dim=4, warmup=1, within=within, train=quick, random_state=0).fit(pairs)


def test_a_user_who_has_everything_is_no_endless_loop():
    pairs = np.argwhere(np.ones((3, 4)))
    PLDRecommender(dim=2, train=Train(epochs=2, progress=False), random_state=0).fit(pairs)


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.integers(-40, 40).map(lambda v: v / 8), min_size=1, max_size=30), seed=st.integers(0, 99))
def test_standardised_within_groups(values, seed):
    group = np.random.default_rng(seed).integers(0, 4, len(values)) * 7
    found = standardised(np.array(values), group)
    for g in np.unique(group):
        mine = np.array(values)[group == g]
        expected = zscore(mine) if mine.std() > 1e-9 else np.zeros(len(mine))
        np.testing.assert_allclose(found[group == g], expected, atol=1e-4)


@pytest.mark.parametrize(
    ("X", "told"),
    [
        (np.zeros((0, 2), int), "no interaction"),
        (np.array([[0, 1], [2, -1]]), r"Row 1 holds \[2, -1\]"),
        (np.array([[0.5, 1.0]]), "whole numbers"),
        (np.array([0, 1]), "whole numbers"),
        (np.array([[0, 0], [1, 0]]), "one item only"),
        (sparse.csr_array((3, 3)), "no interaction"),
    ],
)
def test_bad_interactions(X, told):
    with pytest.raises(InputError, match=told):
        PLDRecommender().fit(X)


def test_bad_questions(fitted):
    model = fitted[0]
    with pytest.raises(InputError, match="users"):
        model.recommend([60])
    with pytest.raises(InputError, match="k must"):
        model.recommend([0], 81)
    with pytest.raises(InputError, match="row 1"):
        model.predict([[0, 0], [0, 80]])
    with pytest.raises(InputError, match="validation"):
        PLDRecommender(train=Train(validation=0.1)).fit([[0, 0], [0, 1]])
    with pytest.raises(InputError, match="net"):
        PLDRecommender(net="mlp").fit([[0, 0], [0, 1]])


def test_stored_zeros_are_no_interactions():
    matrix = sparse.csr_array(np.eye(3))
    matrix.data[1] = 0
    assert read_interactions(matrix)[0].tolist() == [[0, 0], [2, 2]]
