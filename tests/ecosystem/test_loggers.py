"""Loggers get every epoch while training runs, and cost nothing when there is none."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest
from tests.ecosystem.estimators import rows

from labelwise.base import InputError, MissingExtra
from labelwise.learner import Classifier, Train
from labelwise.loggers import settings_of
from labelwise.semi_supervised import FixMatch

X, Y = rows()


def trained(**train):
    settings = {"epochs": 3, "batch_size": 32, "validation": 0.2, "progress": False}
    return Classifier(train=Train(**settings, **train), random_state=0).fit(X, Y)


class Kept:
    def __init__(self):
        self.metrics, self.params, self.status = [], {}, []

    def log_metrics(self, metrics, step=None):
        self.metrics.append((step, metrics))

    def log_hyperparams(self, params):
        self.params |= params

    def finalize(self, status):
        self.status.append(status)


def test_any_logger_gets_settings_epochs_and_steps():
    logger = Kept()
    model = trained(logger=logger, log_steps=2)
    assert logger.status == ["success"]
    epochs = [(step, row) for step, row in logger.metrics if "epoch" in row]
    assert [{k: v for k, v in row.items() if k != "lr"} for _, row in epochs] == model.history_
    assert [step for step, _ in epochs] == [0, 1, 2]
    assert epochs[0][1]["lr"] > epochs[2][1]["lr"] > 0
    steps = [(step, row) for step, row in logger.metrics if "step/loss" in row]
    assert [step for step, _ in steps] == [2, 4, 6, 8]
    assert logger.params["train.epochs"] == 3
    assert logger.params["method"] == "Classifier"


def test_parts_of_the_loss_are_logged():
    logger = Kept()
    FixMatch(train=Train(epochs=1, batch_size=32, progress=False, logger=logger), random_state=0).fit(X, Y)
    assert len(logger.metrics[0][1]) > 4


def test_a_logger_changes_no_number():
    plain, logged = trained(), trained(logger=Kept(), log_steps=1)
    assert np.array_equal(plain.predict_proba(X), logged.predict_proba(X))


def test_a_failed_training_is_told():
    logger = Kept()
    train = Train(epochs=3, lr=1e30, optimizer="sgd", progress=False, logger=logger)
    with pytest.raises(FloatingPointError):
        Classifier(train=train, random_state=0).fit(1e20 * X, Y)
    assert logger.status == ["failed"]


def test_csv(tmp_path):
    model = trained(logger="csv", log=str(tmp_path))
    (path,) = tmp_path.glob("Classifier/version_0/metrics.csv")
    with path.open() as file:
        found = [float(row["loss"]) for row in csv.DictReader(file)]
    assert np.allclose(found, [row["loss"] for row in model.history_])
    assert (tmp_path / "metrics.csv").exists()


def test_tensorboard(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    model = trained(logger="tensorboard", log=str(tmp_path))
    (path,) = tmp_path.glob("Classifier/version_0")
    events = EventAccumulator(str(path)).Reload()
    assert np.allclose([e.value for e in events.Scalars("validation")], [row["validation"] for row in model.history_])
    assert [e.step for e in events.Scalars("lr")] == [0, 1, 2]


@pytest.mark.slow
def test_mlflow(tmp_path):
    mlflow = pytest.importorskip("mlflow")
    model = trained(logger="mlflow", log=str(tmp_path))
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("Classifier").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.params["train.epochs"] == "3"
    losses = sorted(client.get_metric_history(run.info.run_id, "loss"), key=lambda m: m.step)
    assert np.allclose([m.value for m in losses], [row["loss"] for row in model.history_])


@pytest.mark.parametrize(("name", "module"), [("tensorboard", "tensorboard"), ("mlflow", "mlflow")])
def test_a_missing_package_names_its_extra(name, module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=rf"{name}.*not installed.*labelwise\[{name}\]"):
        trained(logger=name)


@pytest.mark.parametrize(("given", "message"), [("wandb", "'wandb'"), (3, "Got int")])
def test_what_is_no_logger(given, message):
    with pytest.raises(InputError, match=f"Train.logger must be one of 'csv', 'tensorboard', 'mlflow'.*{message}"):
        trained(logger=given)


def test_a_checkpoint_resumes_under_another_logger(tmp_path):
    first = trained(checkpoint=str(tmp_path / "state"))
    again = trained(checkpoint=str(tmp_path / "state"), logger=Kept(), log=str(tmp_path / "log"))
    assert np.array_equal(first.predict_proba(X), again.predict_proba(X))


def test_settings_are_plain():
    model = trained()
    assert all(isinstance(value, (bool, int, float, str)) for value in settings_of(model).values())
