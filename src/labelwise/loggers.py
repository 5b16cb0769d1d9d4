"""Where training writes its numbers while it runs: CSV, TensorBoard, MLflow, or any logger of Lightning Fabric."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from labelwise.base import InputError, require

if TYPE_CHECKING:
    from labelwise.learner import Learner

FOLDER = "labelwise_logs"
"""Where loggers write when `Train.log` names no directory."""
NAMED = ("csv", "tensorboard", "mlflow")


@runtime_checkable
class Logger(Protocol):
    """What a logger must have, as those of Lightning Fabric do."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write numbers of one step."""

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Write the settings, once."""

    def finalize(self, status: str) -> None:
        """Close; the status is ``success`` or ``failed``."""


class Log:
    """A learner's numbers on their way to a logger: settings first, then every epoch, and steps if asked for."""

    def __init__(self, learner: Learner) -> None:
        train = learner.train_
        self.logger = make_logger(train.logger, train.log, type(learner).__name__)
        self.every = train.log_steps
        self.steps = 0
        with suppress(NotImplementedError):  # Fabric's CSV logger keeps numbers only
            self.logger.log_hyperparams(settings_of(learner))

    def step(self, value: Any, rate: float) -> None:
        """Write the loss of an optimiser step where it is one of every `Train.log_steps`."""
        self.steps += 1
        if self.every is not None and self.steps % self.every == 0:
            self.logger.log_metrics({"step/loss": float(value), "step/lr": rate}, self.steps)

    def epoch(self, number: int, row: Mapping[str, float], rate: float) -> None:
        """Write the numbers of an epoch; `number` counts over all phases."""
        self.logger.log_metrics({**row, "lr": rate}, number)


def make_logger(wanted: Any, directory: str | None, name: str) -> Logger:
    """Return the logger that `Train.logger` asks for.

    Raises
    ------
    InputError
        For an unknown name, or an object that is no logger.
    MissingExtra
        When the package is not installed; the message names the extra.
    """
    if not isinstance(wanted, str):
        if isinstance(wanted, Logger):
            return wanted
        raise InputError(
            f"Train.logger must be one of {', '.join(map(repr, NAMED))}, or a logger with log_metrics, log_hyperparams and "
            f"finalize, as those of Lightning Fabric are. Got {type(wanted).__name__}."
        )
    if wanted == "csv":
        from lightning_fabric.loggers.csv_logs import CSVLogger

        return _as_logger(CSVLogger(directory or FOLDER, name, flush_logs_every_n_steps=1))
    if wanted == "tensorboard":
        require("tensorboard", extra="tensorboard", why="Train(logger='tensorboard')")
        from lightning_fabric.loggers.tensorboard import TensorBoardLogger

        return _as_logger(TensorBoardLogger(directory or FOLDER, name, default_hp_metric=False))
    if wanted == "mlflow":
        return MLflowLogger(directory, name)
    raise InputError(f"Train.logger must be one of {', '.join(map(repr, NAMED))}, or a Fabric logger. Got {wanted!r}.")


def _as_logger(made: Any) -> Logger:
    logger: Logger = made
    return logger


class MLflowLogger:
    """Writes to the active MLflow run, or to a run of its own that ends with the training.

    Parameters
    ----------
    directory
        Its ``mlflow.db`` (SQLite) is the store; None takes MLflow's own setting, such as ``MLFLOW_TRACKING_URI``.
    experiment
        Name of the experiment a run of its own belongs to.
    """

    def __init__(self, directory: str | None, experiment: str) -> None:
        mlflow = require("mlflow", extra="mlflow", why="Train(logger='mlflow')")
        active = mlflow.active_run() if directory is None else None
        uri = None
        if directory is not None:
            folder = Path(directory).absolute()
            folder.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.client = mlflow.MlflowClient(tracking_uri=uri)
        self.own = active is None
        self.run_id: str = self._start(experiment) if active is None else active.info.run_id

    def _start(self, experiment: str) -> str:
        known = self.client.get_experiment_by_name(experiment)
        number = self.client.create_experiment(experiment) if known is None else known.experiment_id
        return str(self.client.create_run(number).info.run_id)

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        """Write the settings."""
        for name, value in params.items():
            self.client.log_param(self.run_id, name, value)

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write numbers of one step."""
        for name, value in metrics.items():
            self.client.log_metric(self.run_id, name, value, step=step)

    def finalize(self, status: str) -> None:
        """End a run of its own."""
        if self.own:
            self.client.set_terminated(self.run_id, "FINISHED" if status == "success" else "FAILED")


def settings_of(learner: Any) -> dict[str, Any]:
    """Return a learner's settings as plain values, nested ones with a dot: ``train.lr``."""
    found = {"method": type(learner).__name__, **learner.get_params(deep=True)}
    if learner.train is None:
        found |= {f"train__{name}": value for name, value in learner.train_.get_params(deep=False).items()}
    plain = {name: value for name, value in found.items() if isinstance(value, (bool, int, float, str))}
    return {name.replace("__", "."): value for name, value in plain.items()}
