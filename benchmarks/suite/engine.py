"""The training loop beside one written by hand, and Lightning's Trainer: the same network, rows and batches."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

from benchmarks.suite.compare import at_least
from benchmarks.suite.timing import Entry, Pair


def rows(small: bool) -> tuple[Any, Any]:
    """Rows whose ten classes a small network can learn."""
    import torch

    from benchmarks import engine as bench

    torch.set_num_threads(1)
    drawn = torch.Generator().manual_seed(0)
    x = torch.randn(bench.ROWS // (20 if small else 1), bench.INPUTS, generator=drawn)
    return x, (x @ torch.randn(bench.INPUTS, bench.CLASSES, generator=drawn)).argmax(1)


def right(model: Any, x: Any, y: Any) -> float:
    """Share of the rows that a network, or a learner of ours, classifies rightly."""
    found = model.predict(x.numpy()) if hasattr(model, "predict") else model(x).argmax(1).numpy()
    return float((found == y.numpy()).mean())


def compared(ours: str, theirs: Callable[..., Any] | str, epochs: int, batch: int, small: bool) -> Pair:
    """Train once, set-up included."""
    from benchmarks import engine as bench

    x, y = rows(small)
    epochs = 1 if small else epochs
    call = getattr(bench, theirs) if isinstance(theirs, str) else theirs

    def agree(mine: Any, other: Any) -> str:
        return at_least("accuracy", right(mine, x, y), right(other, x, y), slack=0.2 if small else 0.01)

    size = f"MLP {bench.INPUTS}-{bench.HIDDEN}-{bench.CLASSES}, {epochs * len(x) // batch:,} steps of {batch}"
    return Pair(size, partial(getattr(bench, ours), x, y, epochs), partial(call, x, y, epochs), agree)


def lightning(loader: Callable[[Any, Any], Any], x: Any, y: Any, epochs: int) -> Any:
    """Train with Lightning's Trainer on the CPU, without logger, checkpoints, progress bar and summary."""
    import pytorch_lightning as pl
    import torch
    from torch.nn.functional import cross_entropy

    from benchmarks import engine as bench

    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    class Module(pl.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.net = bench.mlp()

        def training_step(self, rows: Any, _: int) -> Any:
            return cross_entropy(self.net(rows[0]), rows[1])

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.AdamW(self.parameters(), lr=2e-3)
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(x) // bench.BATCH)
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    module = Module()
    trainer = pl.Trainer(
        max_epochs=epochs, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(module, loader(x, y))
    return module.net


def dataloader(x: Any, y: Any) -> Any:
    """The loader that Lightning's guide shows: row by row, put together to batches."""
    from torch.utils.data import DataLoader, TensorDataset

    from benchmarks import engine as bench

    return DataLoader(TensorDataset(x, y), batch_size=bench.BATCH, shuffle=True)


class Batches:
    """Batches cut from shuffled tensors, as our engine and the loop by hand do."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __iter__(self) -> Any:
        import torch

        from benchmarks import engine as bench

        for rows in torch.randperm(len(self.x)).split(bench.BATCH):
            yield self.x[rows], self.y[rows]

    def __len__(self) -> int:
        from benchmarks import engine as bench

        return -(-len(self.x) // bench.BATCH)


HAND = (
    "input checks, working out what y is, per-row indices and weights, hooks and the fitted estimator, which a loop by "
    "hand does not have"
)
ENTRIES = [
    Entry("training", ("torch", "a loop by hand"), partial(compared, "ours", "hand_loop", 10, 256), HAND),
    Entry("training, two views (FixMatch)", ("torch", "a loop by hand"),
          partial(compared, "our_two_views", "hand_two_views", 5, 224), HAND),
    Entry("training", ("pytorch-lightning", "`Trainer`, `DataLoader`"),
          partial(compared, "ours", partial(lightning, dataloader), 5, 256)),
    Entry("training", ("pytorch-lightning", "`Trainer`, batches of tensors"),
          partial(compared, "ours", partial(lightning, Batches), 5, 256)),
]  # fmt: skip
