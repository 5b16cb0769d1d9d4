"""Domain-context calibration: what it divides by, whom it helps, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from labelwise.base import InputError
from labelwise.shift import DomainContextCalibration
from labelwise.shift.context import label_bias, random_texts


def scorer(texts):
    """Probability of praise, which the word "plot" raises."""
    logit = np.array([sum({"great": 2, "dull": -2, "plot": 1.5}.get(word, 0) for word in t.split()) for t in texts])
    praise = 1 / (1 + np.exp(-logit))
    return np.c_[1 - praise, praise]


def task(n=300, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    fill = [rng.choice(["plot", "story", "the", "film"], 4, p=[0.5, 0.2, 0.2, 0.1]) for _ in range(n)]
    return [" ".join([*words, "great" if k else "dull"]) for words, k in zip(fill, y, strict=True)], y


def test_it_divides_by_the_mean_answer_to_random_words():
    texts, y = task()
    model = DomainContextCalibration(scorer=scorer, random_state=0).fit(texts)
    assert len(model.null_) == 20 and all(len(text.split()) == 5 for text in model.null_)
    assert set(" ".join(model.null_).split()) <= set(" ".join(texts).split())
    bias = scorer(model.null_).mean(0)
    assert model.bias_ == pytest.approx(bias)
    ratio = scorer(texts) / bias
    assert model.predict_proba(texts) == pytest.approx(ratio / ratio.sum(1, keepdims=True))
    right, before = (model.predict(texts) == y).mean(), (scorer(texts).argmax(1) == y).mean()
    assert right > before + 0.05
    free = DomainContextCalibration(scorer=scorer, null="content-free").fit(texts)
    assert free.bias_ == pytest.approx([0.5, 0.5]) and (free.predict(texts) == y).mean() == before
    assert label_bias(scorer, texts, ["the day is here"], random_state=0) > 0.1


def test_classifiers_names_and_other_inputs():
    texts, y = task(60)
    names = np.array(["blame", "praise"])
    bayes = make_pipeline(CountVectorizer(), MultinomialNB()).fit(texts, names[y])
    assert set(DomainContextCalibration(scorer=bayes).fit(texts).predict(texts)) <= set(names)
    given = DomainContextCalibration(scorer=scorer, classes=["no", "yes"]).fit(texts)
    assert given.classes_.tolist() == ["no", "yes"]
    X = np.random.default_rng(0).normal(size=(40, 1)) + 1
    sigmoid = lambda rows: np.c_[1 / (1 + np.exp(np.ravel(rows))), 1 / (1 + np.exp(-np.ravel(rows)))]  # noqa: E731
    null = lambda rows, n, rng: [rows[i] for i in rng.integers(len(rows), size=n)]  # noqa: E731
    model = DomainContextCalibration(scorer=sigmoid, null=null, n_null=50, random_state=0).fit(X)
    assert 0.4 < model.predict(X).mean() < 0.6 < (sigmoid(X).argmax(1)).mean()


def test_random_texts_have_the_mean_length_and_the_words_frequencies():
    rng = np.random.default_rng(0)
    made = random_texts(["a a a a a a a a a b"], 200, rng)
    assert {len(text.split()) for text in made} == {10}
    assert np.mean([word == "b" for text in made for word in text.split()]) == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize(
    ("fields", "X", "message"),
    [
        ({"scorer": None}, ["a"], "scorer is None"),
        ({"scorer": scorer, "null": "noise"}, ["a"], "null must be"),
        ({"scorer": scorer}, [], "no input"),
        ({"scorer": scorer}, [" "], "no words"),
        ({"scorer": scorer}, [1.0], "must hold texts"),
        ({"scorer": lambda texts: np.ones(len(texts))}, ["a"], "scorer must return shape"),
        ({"scorer": lambda texts: np.tile([0.0, 1.0], (len(texts), 1))}, ["a"], "probability 0 for every null"),
        ({"scorer": scorer, "classes": ["a"]}, ["a"], "names 1 labels"),
        ({"scorer": scorer, "n_null": 0}, ["a"], "n_null"),
    ],
)
def test_what_cannot_work_is_said(fields, X, message):
    with pytest.raises(InputError, match=message):
        DomainContextCalibration(**fields).fit(X)
