"""Adapting texts: words that say the class, their neighbours, gaps; contrast in two domains; clusters of another place."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.cluster import DBSCAN
from sklearn.datasets import load_iris

from labelwise.base import InputError
from labelwise.data.synthetic import two_domain_reviews
from labelwise.learner import Train
from labelwise.losses.nt_xent import nt_xent
from labelwise.parts.domains import mmd
from labelwise.parts.reliable_clusters import overlap, reciprocal_distances, reliable_clusters
from labelwise.shift import DASK, ConDA, ContinuedPretraining, DomainMix
from labelwise.shift.continued_pretraining import chosen, informativeness
from labelwise.shift.domain_mix import certainty, hardest_triplets
from labelwise.shift.pivots import neighbours, remembered, word_scores
from labelwise.training import Batch

WORDS = 30


def texts(seed, n=40, length=6):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, WORDS, size=(n, length))
    tokens[np.arange(length) >= rng.integers(2, length + 1, size=n)[:, None]] = 0
    return tokens, rng.integers(2, size=n)


def slow_scores(tokens, y):
    scores = np.zeros(WORDS)
    for w in range(1, WORDS):
        held = [int(k) for row, k in zip(tokens, y, strict=True) if w in row]
        scores[w] = (held.count(1) - held.count(0)) / len(held) if held else 0
    return scores


def test_word_scores_and_the_memory_are_those_of_the_paper():
    tokens, y = texts(0)
    fast = word_scores(torch.as_tensor(tokens), torch.eye(2)[y], WORDS)
    np.testing.assert_allclose(fast[:, 1], slow_scores(tokens, y), atol=1e-6)
    np.testing.assert_allclose(fast[:, 0], -fast[:, 1], atol=1e-6)
    rng = np.random.default_rng(1)
    one = torch.as_tensor(tokens[:1])  # of one text, the order of texts is no question
    memory, p = torch.as_tensor(rng.normal(size=(WORDS, 2))), torch.tensor([[0.05, 0.95]], dtype=torch.float64)
    usable = torch.as_tensor(rng.random(WORDS) < 0.7)
    for threshold, said in ((0.9, 1.0), (0.99, 0.0)):
        found = remembered(memory, one, p, 0.1, threshold, usable)
        expected = memory.clone()
        for w in set(tokens[0]) - {0}:
            if usable[w]:
                expected[w] = 0.9 * memory[w] + 0.1 * said * torch.tensor([-1.0, 1.0], dtype=torch.float64)
        torch.testing.assert_close(found, expected)


def test_neighbours_are_words_that_meet_more_often_than_by_chance():
    rng = np.random.default_rng(0)
    rows = rng.integers(5, WORDS, size=(400, 8))
    rows[:100, 3], rows[:100, 4] = 1, 2  # these two always stand together
    rows[100:200, 0], rows[100:200, 7] = 3, 4  # these two never within two steps
    near = neighbours(torch.as_tensor(rows), torch.tensor([1, 3]), WORDS, window=2, least=5, confidence=0.2)
    assert near[1, 0] == 2 and not (near[3] == 4).any() and not near[[0, 2, 4]].any()
    met = np.zeros((WORDS, WORDS))
    for row in rows:
        for i in range(8):
            for j in range(8):
                if i != j and abs(i - j) <= 2 and row[i] != row[j]:
                    met[row[i], row[j]] += 1
    p, joint = met.sum(1) / met.sum(), met / met.sum()
    tie = np.log(joint[1, 2] / (p[1] * p[2])) / -np.log(joint[1, 2])
    for confidence, there in ((tie - 0.01, True), (tie + 0.01, False)):
        near = neighbours(torch.as_tensor(rows), torch.tensor([1]), WORDS, window=2, confidence=confidence)
        assert bool((near[1] == 2).any()) == there


def test_hidden_words_are_as_many_whatever_is_hidden():
    tokens = torch.as_tensor(texts(2, n=60, length=12)[0])
    said = torch.rand(WORDS, generator=torch.Generator().manual_seed(0))
    real, masks = tokens > 0, {}
    for which in ("random", "informative", "uninformative"):
        masks[which] = chosen(tokens, 0.3, said, which)
        assert not (masks[which] & ~real).any()
        assert torch.equal(masks[which].sum(1), (0.3 * real.sum(1)).round().clamp_min(1).long())
    mean = {which: float(said[tokens[mask]].mean()) for which, mask in masks.items()}
    assert mean["informative"] > mean["random"] + 0.1 > mean["uninformative"] + 0.2


def test_informative_words_are_those_of_one_class():
    tokens, y = texts(3, n=200)
    tokens[:, 0] = 1 + y  # words 1 and 2 tell the class
    said = informativeness(torch.as_tensor(tokens), torch.as_tensor(y), 2, WORDS)
    assert set(said.argsort(descending=True)[:2].tolist()) == {1, 2}
    w = 7
    a, b = ((tokens[y == k] == w).any(1).sum() for k in (0, 1))
    expected = abs(np.log((a + 1) / ((y == 0).sum() + 2)) - np.log((b + 1) / ((y == 1).sum() + 2)))
    assert float(said[w]) == pytest.approx(expected, rel=1e-5)


def test_reviews_share_their_pivots_only():
    made = two_domain_reviews(200, noise=0.0, random_state=0)
    words = [
        {w for text, d in zip(made.texts, made.domain, strict=True) if d == k for w in text.split()} for k in (0, 1)
    ]
    assert words[0] & words[1] == {w for kind in made.pivots for w in kind}
    for text, k, d in zip(made.texts, made.y, made.domain, strict=True):
        judged = [w for w in text.split() if w.startswith(("pivot", "opinion"))]
        assert set(judged) <= {*made.pivots[k], *made.opinions[d][k]} and len(judged) in (3, 4)


def reviews(n=150):
    made = two_domain_reviews(n, noise=0.1, random_state=0)
    return made.texts, made.y, made.domain


@pytest.mark.parametrize("cls", [DASK, ContinuedPretraining])
def test_target_labels_are_not_used_and_vectors_are_refused(cls):
    X, y, where = reviews(20)
    more = {"pretrain_epochs": 1} if cls is ContinuedPretraining else {"least": 2}
    fields = {"train": Train(epochs=1, batch_size=32, progress=False), "random_state": 0, **more}
    one = cls(**fields).fit(X, np.where(where == 1, -1, y), domains=where)
    two = cls(target=1, **fields).fit(X, np.where(where == 1, 1 - y, y), domains=where)
    assert np.array_equal(one.predict_proba(X), two.predict_proba(X))
    with pytest.raises(InputError, match="reads texts"):
        cls(**fields).fit(np.zeros((4, 2)), [0, 1, 0, 1])


def test_pivots_are_the_words_of_judgement_and_bring_the_targets_opinions():
    X, y, where = reviews(300)
    model = DASK(pivots=8, train=Train(epochs=3, batch_size=64, progress=False), random_state=0)
    model.fit(X, np.where(where == 1, -1, y))
    made = two_domain_reviews(300, noise=0.1, random_state=0)
    codes = {w: int(model.inputs_.tokenizer([w])[0, 0]) for w in " ".join(X).split()}
    pivots = set(model.net_.features.pivot.nonzero().squeeze(1).tolist())
    assert len(pivots & {codes[w] for kind in made.pivots for w in kind}) >= 6
    near = {int(w) for w in model.net_.features.near[list(pivots)].flatten()} - {0}
    opinions = {codes[w] for kind in made.opinions[1] for w in kind}
    assert len(near & opinions) > 0.7 * len(near)


def test_label_words_are_one_a_class_and_start_the_scores():
    X, y, where = reviews(20)
    train = Train(epochs=1, batch_size=32, lr=1e-9, progress=False)
    with pytest.raises(InputError, match="label_words must hold 2"):
        ContinuedPretraining(label_words=["good"], train=train).fit(X, np.where(where == 1, -1, y))
    model = ContinuedPretraining(label_words=["bad", "good"], pretrain_epochs=1, train=train, random_state=0)
    model.fit(X, np.where(where == 1, -1, y))
    tied = model.net_.features.embedding.weight[model.label_codes_]
    torch.testing.assert_close(model.net_.head.weight, tied, atol=1e-6, rtol=0)


def flowers():
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(150)
    return X[order], np.where(np.arange(150) < 90, y[order], -1)


def test_conda_is_labels_contrast_and_discrepancy():
    X, y = flowers()
    model = ConDA(contrast=0.3, weight=2.0, train=Train(epochs=1, progress=False), random_state=0).fit(X, y)
    x = torch.as_tensor(model.inputs_.transform(X))
    there = Batch(x[100:110], torch.full((10,), -1), torch.arange(100, 110))
    here = Batch(x[:12], torch.as_tensor(y[:12]), torch.arange(12), unlabelled=there)
    here.strong, there.strong = x[:12] + 0.1, x[100:110] - 0.1  # cached views
    parts = model.loss(here)
    h = [model.net_.features(v) for v in (here.x, here.strong, there.x, there.strong)]
    z = [model.projection_(v) for v in h]
    labels = sum(torch.nn.functional.cross_entropy(model.net_.head(v), here.y) for v in h[:2]) / 2
    contrast = (nt_xent(z[0], z[1], 0.5) + nt_xent(z[2], z[3], 0.5)) / 2
    apart = mmd(z[0] * (300 / 64) ** 0.5, z[2] * (300 / 64) ** 0.5, (10, 15, 20, 50))
    for name, value in (("supervised", 0.7 * labels), ("contrast", 0.3 * contrast), ("discrepancy", 2 * apart)):
        torch.testing.assert_close(parts[name], value)


def test_reciprocal_distances_are_jaccard_of_neighbour_sets():
    Z = np.random.default_rng(0).normal(size=(25, 3))
    gap = ((Z[:, None] - Z[None]) ** 2).sum(2)
    near = [set(np.argsort(row)[:6]) for row in gap]
    own = [{j for j in near[i] if i in near[j]} for i in range(25)]
    expected = np.array([[1 - len(a & b) / len(a | b) for b in own] for a in own])
    found = reciprocal_distances(Z, 6).toarray()
    np.testing.assert_allclose(np.where(found == 0, 1, found), expected, atol=1e-6)


def test_clusters_that_hang_on_the_tolerance_are_left_out():
    rng = np.random.default_rng(0)
    Z = np.concatenate([rng.normal(size=(40, 5)) * 0.1 + 5 * k for k in range(3)] + [rng.normal(size=(30, 5)) * 4 - 10])
    found = reliable_clusters(reciprocal_distances(Z, 15), least=10)
    plain = DBSCAN(eps=0.6, min_samples=4, metric="precomputed").fit_predict(
        np.where((d := reciprocal_distances(Z, 15).toarray()) == 0, 1, d)
    )
    assert found.codes.max() >= 2 and (np.bincount(found.codes[found.codes >= 0]) >= 10).all()
    for k in range(found.codes.max() + 1):  # what is left is part of one true group and of one plain cluster
        rows = found.codes == k
        assert len(set(np.flatnonzero(rows) // 40)) == 1 and len(set(plain[rows])) == 1
    a, b = rng.integers(-1, 4, size=(2, 50))
    for i, value in enumerate(overlap(a, b)):
        one, two = ({j for j in range(50) if c[j] == c[i]} if c[i] >= 0 else {i} for c in (a, b))
        assert value == pytest.approx(len(one & two) / len(one | two))


def test_balance_is_least_where_domains_are_equally_likely():
    assert float(certainty(torch.zeros(4, 2))) == pytest.approx(0, abs=1e-6)
    assert float(certainty(torch.tensor([[50.0, 0.0]]))) == pytest.approx(np.log(2))
    z, y = torch.tensor([[0.0], [1.0], [3.0], [9.0]]), torch.tensor([0, 0, 1, 2])
    expected = np.log1p(np.exp([1.0 - 3.0, 1.0 - 2.0])).mean()  # the other two have no partner
    assert float(hardest_triplets(z, y)) == pytest.approx(expected, rel=1e-6)
    assert float(hardest_triplets(z, torch.arange(4))) == 0


def test_clusters_of_the_target_become_classes():
    X, y = load_iris(return_X_y=True)
    source = y < 2
    rows = np.concatenate([X[source], X[~source] + [0, 0, 2, 0]])  # a class that the source does not have
    labels = np.concatenate([y[source], np.full(50, -1)])
    model = DomainMix(warm=2, train=Train(epochs=6, batch_size=32, progress=False), random_state=0).fit(rows, labels)
    assert int(model.clusters_) >= 1 and (model.identity_[:100] == -1).all() and (model.identity_[100:] >= 0).sum() > 20
    assert not hasattr(model, "rows_seen") and set(model.predict(rows)) <= {0, 1}
