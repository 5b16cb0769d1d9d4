"""Races of several labels a row: metrics and their parts a row, splits, the baseline, and a race from end to end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score

from labelwise.advice import race, shortlist
from labelwise.advice.candidates import Candidate, baseline_for, blend_of
from labelwise.advice.problem import Problem
from labelwise.advice.score import LABEL_METRICS
from labelwise.advice.splits import label_strata
from labelwise.base import InputError
from labelwise.baselines import MultiLabelBaseline
from labelwise.data.synthetic import partial_multilabel


def _drawn(seed: int, n: int = 60, unknown: float = 0.2, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.choice([-1, 0, 1], (n, 4), p=[unknown, 0.6 * (1 - unknown), 0.4 * (1 - unknown)])
    p = np.clip(rng.normal(0.5 + 0.2 * y, 0.2), 0, 1)
    return y, p.round(1) if ties else p


@given(st.integers(0, 50), st.booleans())
def test_scores_agree_with_scikit_learn(seed, ties):
    y, p = _drawn(seed, ties=ties)
    columns = [(y[k, c], p[k, c]) for c in range(4) for k in [y[:, c] >= 0]]
    wanted = np.mean([average_precision_score(t, s) for t, s in columns])
    assert np.isclose(LABEL_METRICS["mAP"](y, p), wanted)
    wanted = np.mean([f1_score(t, s > 0.5, zero_division=0) for t, s in columns])
    assert np.isclose(LABEL_METRICS["macro F1"](y, p), wanted)


@given(st.integers(0, 50), st.sampled_from(sorted(LABEL_METRICS)), st.booleans())
def test_rows_sum_to_the_score(seed, name, ties):
    y, p = _drawn(seed, ties=ties)
    metric = LABEL_METRICS[name]
    assert np.isclose(metric.rows(y, p).mean(), metric(y, p))


@pytest.mark.parametrize("name", sorted(LABEL_METRICS))
@pytest.mark.parametrize("ties", [False, True])
def test_a_rows_part_is_what_the_score_gains_by_the_row_again(name, ties):
    """The derivative by a row's weight, against a sample that holds every row m times, and that row a little more."""
    y, p = _drawn(3, n=24, ties=ties)
    metric, m = LABEL_METRICS[name], 400
    base = metric(y, p)
    gained = metric.rows(y, p) - base
    for row in range(0, 24, 5):
        more = np.concatenate([np.repeat(np.arange(24), m), np.full(24, row)])  # the row weighs 1 + 24 / m
        slope = (metric(y[more], p[more]) - base) * m * (1 + 1 / m)
        assert np.isclose(slope, gained[row], atol=0.02 + 0.05 * abs(gained[row]))


@given(st.integers(0, 30))
def test_what_is_behind_an_unknown_label_never_counts(seed):
    y, p = _drawn(seed)
    other = np.where(y < 0, np.random.default_rng(seed).random(p.shape), p)
    for metric in LABEL_METRICS.values():
        assert np.allclose(metric.rows(y, p), metric.rows(y, other))


def test_strata_are_the_rarest_label():
    y = np.array([[1, 1, 0], [1, 0, 0], [1, -1, 0], [0, 0, 0], [-1, -1, -1]])
    assert label_strata(y).tolist() == [1, 0, 0, 3, -1]


def test_the_baseline_is_one_plain_model_a_label():
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    drawn = partial_multilabel(200, 3, 5, random_state=0)
    model = MultiLabelBaseline(family="linear", penalty=0.01, draws=1).fit(drawn.X, drawn.y)
    kept = (drawn.y >= 0).any(axis=1)
    X = StandardScaler().fit(drawn.X[kept]).transform(drawn.X)
    for label, said in enumerate(model.predict_proba(drawn.X).T):
        known = drawn.y[:, label] >= 0
        wanted = LogisticRegression(C=1 / (0.01 * known.sum()), tol=1e-6).fit(X[known], drawn.y[known, label])
        assert np.abs(said - wanted.predict_proba(X)[:, 1]).max() < 0.01


def test_the_baseline_never_reads_behind_an_unknown_label_and_stands_labels_of_one_value():
    drawn = partial_multilabel(120, 3, 5, random_state=0)
    y = drawn.y.copy()
    y[:, 2] = np.where(drawn.truth[:, 2] == 1, 1, -1)
    model = MultiLabelBaseline(draws=2, random_state=0).fit(drawn.X, y)
    assert (model.predict_proba(drawn.X)[:, 2] > 0.9).all()
    assert model.predict(drawn.X).shape == (120, 3)
    with pytest.raises(InputError, match="row 4, column 1"):
        MultiLabelBaseline().fit(drawn.X, np.where(np.arange(360).reshape(120, 3) == 13, 2, y))
    with pytest.raises(InputError, match="no known entry"):
        MultiLabelBaseline().fit(drawn.X, np.full_like(y, -1))


def test_a_problem_of_several_labels_scores_rows_with_a_known_one():
    drawn = partial_multilabel(80, 3, 5, observed_positive=0.3, observed_negative=0.3, random_state=0)
    problem = Problem.read(drawn.X, drawn.y)
    assert problem.kind == "multilabel" and problem.metric.name == "mAP"
    assert np.array_equal(problem.y, drawn.y)
    assert np.array_equal(problem.rows.scorable, (drawn.y >= 0).any(axis=1))


def test_a_race_of_several_labels_finds_the_method_that_reads_the_features():
    drawn = partial_multilabel(300, 3, 6, sharpness=6, observed_positive=0.9, observed_negative=0.9, random_state=0)

    class Blind(MultiLabelBaseline):
        def predict_proba(self, X):
            return np.full((len(X), 3), 0.5)

    good = Candidate("good", lambda params: MultiLabelBaseline(family="linear", draws=1))
    blind = Candidate("blind", lambda params: Blind(family="linear", draws=1))
    result = race(drawn.X, drawn.y, [good], blind, budget_seconds=None, draws=1, folds=4, repeats=1, workers=1)
    assert result.verdict == "beats baseline" and result.metric == "mAP"
    assert result.oof.shape == (300, 3)
    both = blend_of(good, blind).build({}).fit(drawn.X, drawn.y)
    wanted = (good.build({}).fit(drawn.X, drawn.y).predict_proba(drawn.X) + 0.5) / 2
    assert np.allclose(both.predict_proba(drawn.X), wanted)


def test_the_shortlist_for_several_labels_holds_what_learns_from_them():
    names = [c.name for c in shortlist([], kind="multilabel")]
    assert names == ["MultiLabelClassifier"]
    for candidate in shortlist([], kind="multilabel", names=["MultiLabelClassifier", "HybridMultiLabel"]):
        assert candidate.build({}).__sklearn_tags__().classifier_tags.multi_label
    with pytest.raises(InputError, match="several labels"):
        shortlist([], kind="multilabel", names=["GCE"])
    assert isinstance(baseline_for(5, 3, kind="multilabel").build({}), MultiLabelBaseline)
