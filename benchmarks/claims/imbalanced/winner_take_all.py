"""Claims of winner-take-all regression: both square roots of a number, and patches of photographs with two shifts."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.ndimage import uniform_filter
from sklearn.datasets import load_sample_images
from torch import nn

from benchmarks.claims import Claim, tuned
from labelwise.imbalanced import WinnerTakeAllRegressor
from labelwise.learner import Train
from labelwise.losses import WinnerTakeAll

SIDE = 16


class Problem(NamedTuple):
    """Training and test rows."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def roots(seed: int) -> Problem:
    """Numbers in [0, 1] and one of their square roots, with a little noise."""
    rng = np.random.default_rng(seed)
    x = rng.random((1000, 1))
    y = np.sqrt(x[:, 0]) * rng.choice([-1, 1], 1000) + 0.05 * rng.normal(size=1000)
    return Problem(x[:400], y[:400], x[400:], y[400:])


@functools.cache
def pictures() -> list[np.ndarray]:
    """Two photographs in grey, from 0 to 1; patches for testing come from the right third."""
    return [np.asarray(image, dtype=np.float64).mean(2) / 255 for image in load_sample_images().images]


def patches(seed: int) -> Problem:
    """Patches blurred by a 5 x 5 box; the sharp one is moved a pixel to the left or to the right, as chance has it."""
    rng = np.random.default_rng(seed)
    parts = []
    for low, high, n in ((0.0, 0.65, 3000), (0.67, 1.0, 1000)):
        blurred, sharp = [], []
        for image in (pictures()[number] for number in rng.integers(2, size=n)):
            top = int(rng.integers(image.shape[0] - SIDE - 8))
            left = int(rng.integers(low * image.shape[1], high * image.shape[1] - SIDE - 8))
            wide = image[top : top + SIDE + 8, left : left + SIDE + 8]
            side = int(rng.choice([-1, 1]))
            blurred.append(uniform_filter(wide, 5)[4:-4, 4:-4].ravel())
            sharp.append(wide[4:-4, 4 + side : 4 + side + SIDE].ravel())
        parts += [np.array(blurred), np.array(sharp)]
    return Problem(*parts)


def nearest_error(answers: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Mean squared error of the answer nearest to each target, (n,)."""
    gap = answers.reshape(*answers.shape[:2], -1) - y.reshape(len(y), 1, -1)
    return np.asarray((gap**2).mean(2).min(1))


def rmse(error: np.ndarray) -> float:
    return float(np.sqrt(error.mean()))


def psnr(error: np.ndarray) -> float:
    return float(-10 * np.log10(error + 1e-8).mean())


@functools.cache
def models(problem: Callable[[int], Problem], seed: int) -> tuple[Problem, Any, Any]:
    """Return the data, one head and several, the best of four settings each by the nearest answer's error."""
    data = problem(seed)
    small = data.X.shape[1] == 1
    epochs, batch_size = (60, 32) if small else (15, 64)
    trains = [Train(epochs=epochs, batch_size=batch_size, lr=lr) for lr in (1e-3, 2e-3, 4e-3, 8e-3)]
    given: dict[str, Any] = {"residual": not small, "form": "mse" if small else "psnr", "random_state": seed}
    one = WinnerTakeAllRegressor(heads=1, choice_share=0.0, **given)
    several = WinnerTakeAllRegressor(heads=2 if small else 4, **given)
    made = [tuned(model, {"train": trains}, data.X, data.y, seed, score=nearness) for model in (one, several)]
    return data, made[0], made[1]


def nearness(model: WinnerTakeAllRegressor, X: np.ndarray, y: np.ndarray) -> float:
    return -float(nearest_error(model.predict_all(X), y).mean())


def compared(
    problem: Callable[[int], Problem], measure: Callable[[np.ndarray], float], best: bool
) -> Callable[[int], dict[str, float]]:
    """Return a run: the nearest answer, or the one that `predict` says, against one head trained alone."""

    def run(seed: int) -> dict[str, float]:
        data, plain, model = models(problem, seed)
        y, answers = data.y_test, model.predict_all(data.X_test)
        told = {
            "nearest of heads": measure(nearest_error(answers, y)),
            "chosen answer": measure(nearest_error(model.predict(data.X_test)[:, None], y)),
            "mean of heads": measure(nearest_error(answers.mean(1)[:, None], y)),
        }
        baseline = measure(nearest_error(plain.predict_all(data.X_test), y))
        return {"baseline": baseline, "method": told["nearest of heads" if best else "chosen answer"], **told}

    return run


def revived(seed: int) -> dict[str, float]:
    """Two heads of a small network, one of which starts far off, with and without relaxation."""
    data, found = roots(seed), {}
    x, y = (torch.as_tensor(part, dtype=torch.float32) for part in (data.X, data.y[:, None]))
    for name, relaxed in (("baseline", 0.0), ("method", 0.05)):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 2))
        with torch.no_grad():
            net[2].bias[1] = 20.0
        loss, adam = WinnerTakeAll(relaxed=relaxed), torch.optim.Adam(net.parameters(), lr=1e-2)
        for _ in range(2000):
            rows = torch.randint(len(x), (64,))
            adam.zero_grad()
            loss(net(x[rows]), y[rows]).backward()
            adam.step()
        with torch.no_grad():
            answers = net(torch.as_tensor(data.X_test, dtype=torch.float32)).numpy()
        found[name] = rmse(nearest_error(answers, data.y_test))
    return found


METHOD = "labelwise.imbalanced.WinnerTakeAllRegressor"
ROOTS = "400 numbers in [0, 1] and plus or minus their root, noise 0.05"
PATCHES = "16 x 16 patches of two photographs, blurred; the sharp one is a pixel to the left or right"
ONE = "the same network with one head, same tuning"

CLAIMS = [
    Claim(
        method=METHOD, paper=68, name="roots, nearest answer", data=ROOTS, baseline=ONE, higher_is_better=False,
        statement="The nearest of two answers is right where one answer collapses to the middle.",
        metric="RMSE of the nearest answer", run=compared(roots, rmse, best=True),
    ),
    Claim(
        method=METHOD, paper=68, name="roots, one answer", data=ROOTS, baseline=ONE, higher_is_better=False,
        statement="The one answer that is chosen on held-out rows errs no more than the single head by over 0.01.",
        metric="RMSE of one answer", run=compared(roots, rmse, best=False), margin=-0.01,
    ),
    Claim(
        method=METHOD, paper=68, name="patches, nearest answer", data=PATCHES, baseline=ONE,
        statement="The nearest of four answers restores a patch better than one head.", metric="PSNR of the nearest answer",
        run=compared(patches, psnr, best=True), seeds=(0, 1, 2),
    ),
    Claim(
        method=METHOD, paper=68, name="patches, one answer", data=PATCHES, baseline=ONE,
        statement="The best single head restores a patch better than one head trained alone.", metric="PSNR of one answer",
        run=compared(patches, psnr, best=False), seeds=(0, 1, 2),
        tried="what predict says is the best of the heads and their means on held-out rows",
    ),
    Claim(
        method="labelwise.losses.WinnerTakeAll", paper=68, data=ROOTS, baseline="no relaxation: only the winner learns",
        statement="A small share for the losers brings a head back that began far from every target.",
        metric="RMSE of the nearest answer", higher_is_better=False, run=revived,
    ),
]  # fmt: skip
