"""Methods whose decisions weigh classes: raced, reported and handed over by what they decide, with their probabilities."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss

from labelwise import scores
from labelwise.advice import race
from labelwise.advice.candidates import Candidate
from labelwise.advice.problem import Problem
from labelwise.baselines import Baseline
from labelwise.data.synthetic import partial_multilabel
from labelwise.imbalanced import LogitAdjustment
from labelwise.learner import LongTailMultiLabelClassifier, Train
from labelwise.model import Model


def lopsided(n: int = 600) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = (rng.random(n) < 0.08).astype(int)
    return (rng.normal(size=(n, 3)) + 1.2 * y[:, None]).astype(np.float32), y


class Encoder:
    def transform(self, frame):
        return frame.to_numpy(dtype=np.float32)


@pytest.fixture(scope="module")
def result():
    X, y = lopsided()
    adjusted = Candidate("adjusted", lambda params: LogitAdjustment(random_state=0))
    plain = Candidate("plain", lambda params: Baseline(family="linear", draws=1))
    return race(
        X, y, [adjusted], plain, budget_seconds=None, draws=1, folds=4, repeats=1, workers=1, metric="balanced accuracy"
    )


def test_the_score_is_of_the_decisions_and_probabilities_stay(result):
    _, y = lopsided()
    assert result.verdict == "beats baseline" and result.chosen.name == "adjusted"
    said = result.oof_decisions.argmax(axis=1)
    probable = result.oof.argmax(axis=1)
    assert balanced_accuracy_score(y, said) > balanced_accuracy_score(y, probable) + 0.1
    assert np.allclose(result.oof.sum(axis=1), 1, atol=1e-5)
    assert abs(result.oof[:, 1].mean() - y.mean()) < 0.02, "probabilities are those of the training shares"
    assert (result.oof_rows["prediction"] == said).all()
    assert np.allclose(result.oof_rows["confidence"], result.oof[np.arange(len(y)), said])


def test_log_loss_reads_probabilities():
    X, y = lopsided()
    problem = Problem.read(X, y, metric="log loss")
    said = problem._predict(LogitAdjustment(random_state=0).fit(X, y), X)
    assert said.shape == (len(y), 4)
    assert problem.scores(np.arange(len(y)), said)["score"] == pytest.approx(-log_loss(y, said[:, :2]), abs=1e-4)


def test_the_model_predicts_what_it_decides():
    import pandas as pd

    X, y = lopsided()
    estimator = LogitAdjustment(random_state=0).fit(X, y)
    told = Model(encoder=Encoder(), estimator=estimator, classes=["no", "yes"]).predict_frame(pd.DataFrame(X))
    said = estimator.predict(X)
    assert (told["prediction"] == np.where(said == 1, "yes", "no")).all()
    assert np.allclose(told["proba_yes"], estimator.predict_proba(X)[:, 1])
    assert np.allclose(told["confidence"], np.where(said == 1, told["proba_yes"], told["proba_no"]))
    assert (told["confidence"] < 0.5).any(), "some are said although they are less probable than not"


def test_thresholds_of_labels_are_decisions():
    import pandas as pd

    drawn = partial_multilabel(400, 3, 5, positive_rate=0.15, random_state=0)
    model = LongTailMultiLabelClassifier(decide="f1", train=Train(epochs=15, batch_size=32), random_state=0)
    model.fit(drawn.X, drawn.y)
    assert ((model.decision_proba(drawn.X) > 0.5) == (model.predict(drawn.X) == 1)).all()
    frame = Model(encoder=Encoder(), estimator=model, classes=["a", "b", "c"], several=True).predict_frame(
        pd.DataFrame(drawn.X)
    )
    lists = [set(text.split("; ")) - {""} for text in frame["prediction"]]
    assert lists == [{"abc"[i] for i in np.flatnonzero(row)} for row in model.predict(drawn.X)]


def test_scores_tell_decisions_from_probabilities():
    y, proba, decision = np.array([0, 0, 1]), np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4]]), np.eye(2)[[0, 0, 1]]
    told = scores.classification_scores(y, proba, decision, draws=5)
    assert told["accuracy"]["value"] == 1
    assert told["log loss"]["value"] == pytest.approx(log_loss(y, proba))
    assert scores.classification_scores(y, proba, draws=5)["accuracy"]["value"] == pytest.approx(2 / 3)
