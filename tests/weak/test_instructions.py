"""Labelling instructions: average precision against scikit-learn, the greedy search against trying everything."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from labelwise.base import InputError
from labelwise.weak import LabellingInstructions
from labelwise.weak.instructions import precision


def modes(seed, n=240, d=12):
    """Three classes of two modes each, and phrases: the class's mean direction, and noise."""
    rng = np.random.default_rng(seed)
    mode = rng.integers(6, size=n)
    centres = 3 * np.eye(d)[:6]
    phrases = {k: {"right": centres[[2 * k, 2 * k + 1]].mean(0), "noise": rng.normal(size=d)} for k in range(3)}
    return rng.normal(centres[mode], 1), mode // 2, phrases


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_precision_against_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    scores, relevant = rng.normal(size=30), rng.random(30) < 0.3
    relevant[0] = True
    assert precision(scores, relevant, 30) == pytest.approx(average_precision_score(relevant, scores))
    assert precision(scores, relevant, 1) == relevant[scores.argmax()]


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


@pytest.mark.parametrize("seed", range(2))
def test_greedy_search_against_trying_everything(seed):
    X, y, phrases = modes(seed, 40)
    model = LabellingInstructions(phrases=phrases, budget=2, n_exemplars=50).fit(X, y)
    for k in range(3):
        chosen, value = [], 0.0
        for _ in range(2):
            tried = {}
            for row in np.flatnonzero(y == k):
                for text, vector in phrases[k].items():
                    members = [*chosen, X[row], vector]
                    scores = [max(cosine(x, m) for m in members) for x in X]
                    tried[row, text] = average_precision_score(y == k, scores)
            best = max(tried, key=lambda pair: round(tried[pair], 12))
            if tried[best] <= value:
                break
            value, chosen = tried[best], [*chosen, X[best[0]], phrases[k][best[1]]]
        assert model.instructions_[k][-1].precision == pytest.approx(value)
        assert len(model.queries_[k]) == len(chosen)


def test_precision_grows_and_stops():
    X, y, phrases = modes(0)
    model = LabellingInstructions(phrases=phrases, budget=10).fit(X, y)
    for pairs in model.instructions_.values():
        values = [pair.precision for pair in pairs]
        assert 1 <= len(pairs) <= 10
        assert values == sorted(values)
        assert len(set(values)) == len(values)
    new, truth, _ = modes(1)
    assert model.average_precision(new, truth).mean() > 0.8
    assert (model.predict(new) == truth).mean() > 0.8


def test_a_picture_is_retrieved_by_its_best_patch():
    rng = np.random.default_rng(0)
    y = np.arange(30) % 2
    patches = rng.normal(0, 0.2, (30, 4, 5))
    patches[np.arange(30), rng.integers(4, size=30), y] += 3  # one patch of four shows the class
    items = np.repeat(np.arange(30), 4)
    model = LabellingInstructions(budget=3, n_exemplars=60).fit(patches.reshape(120, 5), np.repeat(y, 4), items=items)
    for code, pairs in model.instructions_.items():
        assert pairs[-1].precision == pytest.approx(1)
        assert patches.reshape(120, 5)[pairs[0].row, code] > 2


def test_rows_without_a_class_are_left_out():
    X, y, _ = modes(0)
    part = np.where(np.arange(240) < 120, y, -1)
    ours, expected = LabellingInstructions().fit(X, part), LabellingInstructions().fit(X[:120], y[:120])
    assert ours.instructions_ == expected.instructions_


def test_bad_input():
    X, y, phrases = modes(0, 30)
    with pytest.raises(InputError, match=r"for every class\. Class 2"):
        LabellingInstructions(phrases={k: phrases[k] for k in range(2)}).fit(X, y)
    with pytest.raises(InputError, match="phrase 'short' of class 0"):
        LabellingInstructions(phrases={k: {"short": np.ones(3)} for k in range(3)}).fit(X, y)
    with pytest.raises(InputError, match="one entry for each of the 30 rows"):
        LabellingInstructions().fit(X, y, items=[1, 2])
    with pytest.raises(InputError, match="must have one class"):
        LabellingInstructions().fit(X, np.arange(30) % 2, items=np.zeros(30))
