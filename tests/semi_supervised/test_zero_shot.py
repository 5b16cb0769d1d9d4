from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr, softmax
from sklearn.datasets import load_digits

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.parts.pseudo_labels import top_per_class
from labelwise.semi_supervised import CacheModel, PromptTuning, TrainedCacheModel
from labelwise.semi_supervised.cache_model import cache_rows, divergence

X, Y = load_digits(return_X_y=True)
X = X[:600].astype(np.float32)
Y = Y[:600]
VECTORS = np.stack([X[c == Y].mean(0) for c in range(10)]) + np.random.default_rng(0).normal(0, 4.5, size=(10, 64))
NOTHING = np.full(600, -1)
SHORT = Train(epochs=3, batch_size=64, lr=5e-3)


def cosines(rows: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    def unit(a: np.ndarray) -> np.ndarray:
        return a / np.linalg.norm(a, axis=1, keepdims=True)

    return unit(rows.astype(float)) @ unit(vectors.astype(float)).T


def test_zero_shot_is_the_nearest_vector_in_angle() -> None:
    model = PromptTuning(class_vectors=VECTORS, strategy="fpl", train=SHORT, random_state=0).fit(X, NOTHING)
    np.testing.assert_array_equal(model.zero_shot(X), cosines(X, VECTORS).argmax(1))
    free = CacheModel(class_vectors=VECTORS, weight=0.0).fit(X, NOTHING)
    np.testing.assert_allclose(free.outputs(X), 100 * cosines(X, VECTORS), rtol=1e-4)


@pytest.mark.parametrize("strategy", ["fpl", "ifpl", "grip"])
def test_strategies_label_as_many_rows_of_every_class(strategy: str) -> None:
    model = PromptTuning(
        class_vectors=VECTORS, strategy=strategy, rounds=3, per_class=7, train=Train(epochs=1, batch_size=64), random_state=0
    )  # fmt: skip
    model.fit(X, NOTHING)
    counts = np.bincount(model.pseudo_[model.pseudo_ >= 0], minlength=10)
    assert set(counts) == ({60} if strategy == "grip" else {7})  # in the last round grip uses all of the pool
    assert int(model.round_) == (1 if strategy == "fpl" else 3)
    assert [model.per_class_rows(i) for i in (1, 2, 3)] == ([20, 40, 60] if strategy == "grip" else [7] * 3)


def test_fpl_takes_the_leaderboards_of_zero_shot() -> None:
    model = PromptTuning(class_vectors=VECTORS, strategy="fpl", train=SHORT, random_state=0).fit(X, NOTHING)
    chosen = top_per_class(softmax(100 * cosines(X, VECTORS), axis=1), 16)
    rows = np.flatnonzero(model.pseudo_.numpy() >= 0)
    assert len(np.intersect1d(rows, chosen.rows)) >= 158  # of 160; rounding may swap ties of saturated probabilities
    assert np.mean(model.pseudo_.numpy()[chosen.rows] == chosen.labels) > 0.98


def test_grip_starts_every_round_afresh() -> None:
    model = PromptTuning(class_vectors=VECTORS, strategy="grip", train=Train(epochs=1, batch_size=64), random_state=0)
    model.fit(X, NOTHING)
    from labelwise.training import Data

    data = Data(
        torch.as_tensor(model.inputs_.transform(X)), torch.as_tensor(NOTHING), torch.zeros(600, dtype=torch.bool)
    )
    assert float(model.net_.head.offset.detach().abs().sum()) > 0
    model.relabel(data, 2)
    assert all(float(w.detach().abs().sum()) == 0 for w in model.net_.parameters())


@pytest.mark.parametrize("sides", ["text", "features", "both"])
def test_only_the_chosen_side_learns(sides: str) -> None:
    model = PromptTuning(class_vectors=VECTORS, sides=sides, strategy="fpl", train=SHORT, random_state=0).fit(
        X, NOTHING
    )
    text, features = model.net_.head.offset.detach(), model.net_.features.change.offset.detach()
    assert bool(text.abs().sum() > 0) == (sides != "features")
    assert bool(features.abs().sum() > 0) == (sides != "text")
    assert text.shape == (1, 64)


def test_labels_for_some_classes_only_and_named_classes() -> None:
    names = np.array([f"digit {c}" for c in range(10)])
    some = np.where((Y < 5) & (np.arange(600) % 4 == 0), names[Y], None)
    given = dict(zip(names, VECTORS, strict=True))
    model = PromptTuning(class_vectors=given, rounds=2, train=SHORT, random_state=0).fit(X, some)
    assert model.classes_.tolist() == sorted(names)
    assert set(model.predict(X)) > {"digit 7"}
    coded = PromptTuning(class_vectors=VECTORS, rounds=2, train=SHORT, random_state=0)
    coded.fit(X, np.where((Y < 5) & (np.arange(600) % 4 == 0), Y, -1))
    assert (names[coded.predict(X)] == model.predict(X)).all()


@pytest.mark.parametrize(
    ("vectors", "y", "message"),
    [
        (VECTORS[:, :3], NOTHING, r"class_vectors must have shape \(K, 64\)"),
        (np.where(np.arange(10)[:, None] == 3, np.nan, VECTORS), NOTHING, "Row 3 is not"),
        (np.where(np.arange(10)[:, None] == 4, 0, VECTORS), NOTHING, "Row 4 is not"),
        (VECTORS, np.where(np.arange(600) == 5, 12, -1), "class_vectors has 10 rows, but y has 1 classes"),
        ({"a": VECTORS[0], "b": VECTORS[1]}, np.where(np.arange(600) == 5, "c", None), "y has the class 'c' in row 5"),
        ("text", NOTHING, "class_vectors must"),
    ],
)
def test_bad_class_vectors_are_named(vectors: object, y: np.ndarray, message: str) -> None:
    for cls in (PromptTuning, CacheModel):
        with pytest.raises(InputError, match=message):
            cls(class_vectors=vectors).fit(X, y)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 6), st.integers(2, 12))
def test_cache_rows_are_the_central_half_of_the_most_probable(seed: int, n_classes: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    p = softmax(2 * rng.normal(size=(60, n_classes)), axis=1)
    rows, codes = cache_rows(torch.as_tensor(p), size)
    for c in range(n_classes):
        candidates = np.argsort(-p[:, c], kind="stable")[: 2 * size]
        score = [sum(rel_entr(p[j], p[a]).sum() for a in candidates) for j in candidates]
        expected = candidates[np.argsort(score, kind="stable")[:size]]
        assert set(rows[codes == c].tolist()) == set(expected.tolist())


def test_divergence_is_scipys() -> None:
    rng = np.random.default_rng(0)
    p, q = softmax(rng.normal(size=(4, 3)), axis=1), softmax(rng.normal(size=(5, 3)), axis=1)
    expected = [[rel_entr(a, b).sum() for b in q] for a in p]
    np.testing.assert_allclose(divergence(torch.as_tensor(p), torch.as_tensor(q)), expected, atol=1e-12)
    assert torch.isfinite(divergence(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))).all()


@pytest.mark.parametrize("semantic", [True, False])
def test_cache_scores_are_the_papers_formula(semantic: bool) -> None:
    """Row by row with loops, the standardisation of the authors' code included."""
    model = CacheModel(class_vectors=VECTORS, semantic=semantic, sharpness=1.7).fit(X, NOTHING)
    keys, labels = X[model.cached_.numpy()], model.cached_codes_.numpy()
    assert len(keys) == 160 and (np.bincount(labels) == 16).all()
    p, p_key = (softmax(10 * cosines(rows, VECTORS), axis=1) for rows in (X[:5], keys))
    for i in range(5):
        kl = np.array([rel_entr(p[i], q).sum() for q in p_key])
        kl = (kl - kl.mean()) / kl.std()
        sem = 2 * (1 - (kl - kl.min()) / (kl.max() - kl.min())) if semantic else np.ones(len(keys))
        affinity = cosines(X[i : i + 1], keys)[0] * sem
        scores = 100 * cosines(X[i : i + 1], VECTORS)[0]
        for key in range(len(keys)):
            scores[labels[key]] += 0.3 * np.exp(-1.7 * (1 - affinity[key]))
        np.testing.assert_allclose(model.outputs(X[i : i + 1])[0], scores, rtol=1e-4)


def test_labelled_rows_join_the_cache_with_their_labels() -> None:
    few = np.where(np.arange(600) < 30, Y, -1)
    model = CacheModel(class_vectors=VECTORS).fit(X, few)
    np.testing.assert_array_equal(model.cached_[:30], np.arange(30))
    np.testing.assert_array_equal(model.cached_codes_[:30], Y[:30])
    assert not np.isin(model.cached_[30:], np.arange(30)).any()


def test_the_teacher_does_not_learn_and_the_marginal_part_is_minus_the_entropy() -> None:
    model = TrainedCacheModel(class_vectors=VECTORS, train=SHORT, random_state=0).fit(X, NOTHING)
    same = CacheModel(class_vectors=VECTORS).fit(X, NOTHING)
    np.testing.assert_allclose(
        model._forward(torch.as_tensor(model.inputs_.transform(X)), model.teacher_), same.outputs(X)
    )
    from labelwise.training import Batch

    pool = Batch(torch.as_tensor(model.inputs_.transform(X)).float(), torch.as_tensor(NOTHING), torch.arange(600))
    parts = model.loss(Batch(pool.x[:0], pool.y[:0], pool.index[:0], unlabelled=pool))
    mean = model.net_(pool.x).softmax(1).mean(0).detach().numpy()
    assert float(parts["marginal"].detach()) == pytest.approx(0.3 * (mean * np.log(mean)).sum(), rel=1e-4)
    assert "supervised" not in parts


def test_without_class_vectors_the_means_of_the_labelled_rows_serve() -> None:
    few = np.where(np.arange(600) < 100, Y, -1)
    Z = (X - X.mean(0)) / np.maximum(X.std(0), 1e-12)
    means = np.stack([Z[:100][Y[:100] == c].mean(0) for c in range(10)])
    model = CacheModel(weight=0.0).fit(X, few)
    np.testing.assert_allclose(model.outputs(X), 100 * cosines(Z, means), rtol=1e-3, atol=1e-3)
