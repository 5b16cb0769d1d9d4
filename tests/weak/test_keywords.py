"""Classes from keywords: against plain numpy, thresholds, encoders of all kinds, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer

from labelwise.base import InputError
from labelwise.weak import Lbl2TransformerVec, Lbl2Vec, keyword_vectors

TOPICS = {"sport": ["match", "team", "goal", "coach"], "travel": ["hotel", "beach", "flight", "pool"]}

WORDS = [word for topic in TOPICS.values() for word in topic]


def corpus(seed=0, n=120):
    """Documents of two topics, with words that both use."""
    rng = np.random.default_rng(seed)
    names = np.array(["sport", "travel"])[np.arange(n) % 2]
    texts = [" ".join(rng.choice([*TOPICS[name], "the", "our", "good"], 8)) for name in names]
    return texts, names


def unit(Z):
    length = np.sqrt((Z**2).sum(-1, keepdims=True))
    return Z / np.where(length > 0, length, 1)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.sampled_from([None, 0.2]), st.sampled_from([None, 0.3]))
def test_against_plain_numpy(seed, n_classes, threshold, offset):
    rng = np.random.default_rng(seed)
    Z, words = rng.normal(size=(40, 5)), {k: rng.normal(size=(3, 5)) for k in range(n_classes)}
    model = Lbl2TransformerVec(keywords=words, threshold=threshold, offset=offset, n_max=7, clean=False).fit(Z)
    mean = unit(Z).mean(0)
    docs = unit(unit(Z) - mean)
    for k in range(n_classes):
        centre = unit(unit(unit(words[k]) - mean).mean(0))
        cosine = [float(row @ centre) for row in docs]
        order = sorted(range(40), key=lambda i: -cosine[i])[:7]
        least = max(-1 if threshold is None else threshold, -1 if offset is None else max(cosine) - offset)
        kept = [i for i in order if cosine[i] >= least] or order[:1]
        assert model.chosen_[k].tolist() == kept
        assert np.allclose(model.label_vectors_[k], unit(docs[kept].mean(0)))
    assert np.array_equal(model.predict(Z), (docs @ model.label_vectors_.T).argmax(1))


@pytest.mark.parametrize(
    "model",
    [
        Lbl2Vec(n_components=10), Lbl2Vec(encoder=TfidfVectorizer()), Lbl2TransformerVec(model="tfidf"),
        Lbl2TransformerVec(encoder=HashingVectorizer(n_features=256)),
        Lbl2TransformerVec(encoder=lambda texts: np.array([[t.count(w) for w in WORDS] for t in texts])),
    ],
)  # fmt: skip
def test_encoders_of_all_kinds(model):
    texts, names = corpus()
    model.set_params(keywords={"sport": ["match", "team"], "travel": ["hotel"]})
    assert (model.fit(texts[:80]).predict(texts[80:]) == names[80:]).mean() > 0.9
    assert model.decision_function(texts).shape == (120, 2)
    assert np.abs(model.decision_function(texts)).max() <= 1 + 1e-9


def test_names_and_descriptions_describe_classes():
    texts, names = corpus()
    by_name = Lbl2Vec(keywords=["match", "hotel"], n_components=10).fit(texts)
    assert by_name.classes_.tolist() == ["hotel", "match"]
    told = {"sport": "the match of a team", "travel": "a hotel with a pool"}
    assert (Lbl2Vec(keywords=told, n_components=10).fit(texts).predict(texts) == names).mean() > 0.9


def test_outliers_are_left_out():
    rng = np.random.default_rng(0)
    Z = np.vstack([rng.normal([5, 0, 0], 0.1, (30, 3)), rng.normal([0, 5, 0], 0.1, (30, 3)), [[3, 0, 3]]])
    words = {0: np.array([[1.0, 0, 0.2]]), 1: np.array([[0, 1.0, 0]])}
    fields = {"keywords": words, "n_max": 31, "threshold": 0.2, "center": False}
    assert 60 in Lbl2TransformerVec(clean=False, **fields).fit(Z).chosen_[0]
    assert 60 not in Lbl2TransformerVec(clean=True, **fields).fit(Z).chosen_[0]


@pytest.mark.parametrize("seed", range(3))
def test_documents_refine_poor_keywords(seed):
    """One keyword a class is a noisy direction; the documents near it know better."""
    rng = np.random.default_rng(seed)
    y = np.arange(600) % 3
    Z = rng.normal(3 * np.eye(20)[y], 1)
    words = {k: rng.normal(np.eye(20)[k], 0.35)[None] for k in range(3)}
    model = Lbl2TransformerVec(keywords=words).fit(Z)
    assert (model.predict(Z) == y).mean() > (model.keyword_scores(Z).argmax(1) == y).mean() + 0.03


def test_keyword_vectors_against_loops():
    texts, _ = corpus(1, 40)
    Z = np.random.default_rng(0).normal(size=(40, 6))
    found = keyword_vectors({"a": ["match", "absent"], "b": ["pool", "the team"]}, texts, Z)
    assert len(found["a"]) == 1
    assert len(found["b"]) == 3
    holding = [i for i, text in enumerate(texts) if "match" in text.split()]
    assert np.allclose(found["a"][0], unit(unit(Z[holding]).sum(0)))
    with pytest.raises(InputError, match="no document holds a keyword of class 'b'"):
        keyword_vectors({"a": ["match"], "b": ["absent"]}, texts, Z)
    with pytest.raises(InputError, match="embeddings must be"):
        keyword_vectors(TOPICS, texts, Z[:5])


def test_unknown_keywords_are_told():
    texts, _ = corpus()
    model = Lbl2Vec(keywords={"sport": ["match", "cricket"], "travel": ["hotel"]}, n_components=5).fit(texts)
    assert model.unknown_keywords_ == {"sport": ["cricket"], "travel": []}
    with pytest.raises(InputError, match="no document knows a keyword of class 'travel': \\['inn'\\]"):
        Lbl2Vec(keywords={"sport": ["match"], "travel": ["inn"]}).fit(texts)


def test_bad_input():
    texts, _ = corpus()
    good = {"sport": ["match"], "travel": ["hotel"]}
    vectors = {"a": np.eye(3)[:1], "b": np.eye(3)[1:2]}
    for keywords, X, told in (
        (None, texts, "keywords must name at least two"),
        ({"sport": ["match"]}, texts, "at least two classes"),
        ({"sport": ["match"], "travel": []}, texts, "keywords of class 'travel'"),
        ({"sport": ["match"], "travel": ["hotel", 3]}, texts, "keywords of class 'travel'"),
        (good, "one text", "X is a str"),
        (good, [*texts, 5], "Row 120 is 5"),
        (good, np.ones((5, 3)), "are words, but X holds vectors"),
        (vectors, [[np.nan, 1, 2]], "finite vectors"),
        (vectors, np.ones((4, 2)), r"vectors \(k, 2\)"),
    ):
        with pytest.raises((InputError, TypeError), match=told):
            Lbl2Vec(keywords=keywords).fit(X)
    with pytest.raises(InputError, match="one vector a text"):
        Lbl2TransformerVec(keywords=good, encoder=lambda texts: np.ones(3)).fit(texts)
    model = Lbl2TransformerVec(keywords=vectors).fit(np.random.default_rng(0).normal(size=(20, 3)))
    with pytest.raises(InputError, match="fit was given vectors"):
        model.predict(texts)
    with pytest.raises(InputError, match="X has 2 columns; fit had 3"):
        model.predict(np.ones((2, 2)))
