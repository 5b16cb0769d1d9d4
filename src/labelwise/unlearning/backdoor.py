"""A backdoor planted through the unlabelled pool: how far would it get with this learner and this data (paper 129)?"""

from __future__ import annotations

from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from sklearn.utils import check_random_state

from labelwise.base import UNLABELED, Card, Count, Estimate, Fields, Fraction, InputError, Method, Natural, Range
from labelwise.display import html_of
from labelwise.parts.interval import share
from labelwise.unlearning.unlearnable import checked_pictures

Pictures = NDArray[Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class BackdoorReport(NamedTuple):
    """What the attack achieved.

    Attributes
    ----------
    success
        Share of test pictures of other classes that are taken for the target once they carry the trigger.
    control
        The same share for the learner trained without poisons: what the trigger does by itself.
    accuracy, clean_accuracy
        Accuracy on test pictures without trigger, of the poisoned and of the clean learner.
    defended, defended_accuracy
        `success` and `accuracy` when the pool is perturbed before training; None where no defence was asked for.
    spectral
        Chance that a poison has a higher spectral signature than another picture of its pseudo-class, in the poisoned
        learner's representation: 0.5 sees nothing; None where the learner has no ``features``.
    rows
        Pictures of the pool that carry the trigger ``(m,)``.
    """

    success: Estimate
    control: Estimate
    accuracy: float
    clean_accuracy: float
    defended: Estimate | None
    defended_accuracy: float | None
    spectral: float | None
    rows: Ints

    def describe(self) -> str:
        """Say it in words."""
        told = f"{len(self.rows)} poisons: the trigger makes {self.success} of other pictures the target's"
        told += f" ({self.control} without poisons); accuracy {self.accuracy:.1%}, before {self.clean_accuracy:.1%}."
        return told if self.defended is None else f"{told} With the pool perturbed: {self.defended}."

    def _repr_html_(self) -> str:
        return html_of(self)


class SemiSupervisedBackdoor(Method, Fields):
    """Plant a backdoor through unlabelled pictures, and measure how far it gets with a learner of one's own.

    Some pictures of the target class in the pool get a faint grid of dots all over. A semi-supervised learner labels them
    rightly by itself, and binds the grid, which is easier than the class, to that label. No label is touched, and neither
    the learner nor the labelled rows are known to the attacker. Meant as an audit before an unchecked pool is used.

    Parameters
    ----------
    target
        The class that triggered pictures are to be taken for.
    rate
        Share of the pool that is poisoned, in [0, 1]; 0.002 in the paper, more in small pools.
    intensity
        Brightness of the dots, in (0, 1]: no value moves by more (the L-infinity bound); 30/255 in the paper.
    width, gap
        Pixels of a dot and between dots.
    pattern
        ``grid``: dots all over the picture; ``patch``: one bright square in a corner, which views and crops can lose.
    victims
        ``target``: poisons are of the target class; ``others``: of all other classes, which should fail.
    defend
        Also measure the pool perturbed by `perturb_band` before training.
    random_state
        Seed of the choice of poisons and of the defence.

    References
    ----------
    Shejwalkar, Lyu, Houmansadr: The Perils of Learning From Unlabeled Data: Backdoor Attacks on Semi-supervised Learning,
    ICCV 2023 (paper 129).

    Examples
    --------
    >>> X, truth = np.zeros((6, 4, 4, 1)), np.array([0, 1, 1, 0, 1, 1])
    >>> attack = SemiSupervisedBackdoor(target=1, rate=0.5, random_state=0)
    >>> poisoned, rows = attack.poison(X, truth, pool=np.ones(6, bool))
    >>> len(rows), float(np.abs(poisoned - X).max().round(3)), bool((truth[rows] == 1).all())
    (3, 0.118, True)
    """

    target: Any = 1
    rate: Annotated[float, Fraction] = 0.02
    intensity: Annotated[float, Range(0, 1, low_open=True)] = 30 / 255
    width: Annotated[int, Count] = 1
    gap: Annotated[int, Natural] = 1
    pattern: Literal["grid", "patch"] = "grid"
    victims: Literal["target", "others"] = "target"
    defend: bool = False
    random_state: int | np.random.RandomState | None = None

    card = Card(
        paper=129, year=2023, kind="diagnostic", handles=frozenset({"poisoning"}), needs=frozenset({"pictures"}),
        reference="Shejwalkar et al., The Perils of Learning From Unlabeled Data, ICCV 2023.", cost="heavy",
    )  # fmt: skip

    def trigger(self, shape: tuple[int, ...]) -> Floats:
        """Return what is added to a picture of shape ``(h, w, c)``, entries 0 and `intensity`."""
        height, width = shape[:2]
        if self.pattern == "patch":
            side = max(1, height // 4)
            on = (np.arange(height)[:, None] >= height - side) & (np.arange(width) >= width - side)
        else:
            period = self.width + self.gap
            rows, columns = (np.arange(length) % period < self.width for length in (height, width))
            on = rows[:, None] & columns
        return self.intensity * np.broadcast_to(on[:, :, None], shape).astype(np.float64)

    def add(self, X: ArrayLike) -> Pictures:
        """Return pictures ``(n, h, w, c)`` with the trigger, in their own type: bytes do not wrap around at 255."""
        pictures = checked_pictures(X)
        if pictures.dtype == np.uint8:
            moved = pictures.astype(np.float64) + np.round(255 * self.trigger(pictures.shape[1:]))
            return moved.clip(0, 255).astype(np.uint8)
        return (pictures + self.trigger(pictures.shape[1:])).clip(0, 1).astype(pictures.dtype)

    def poison(self, X: ArrayLike, truth: ArrayLike, pool: ArrayLike) -> tuple[Pictures, Ints]:
        """Return the pictures with some of the pool's poisoned, and which.

        Parameters
        ----------
        X
            Pictures ``(n, h, w, c)``, bytes or floats in [0, 1].
        truth
            Right classes ``(n,)``, by which an attacker chooses what to poison.
        pool
            Mask ``(n,)`` of the unlabelled rows.
        """
        self.check_fields()
        pictures, names, loose = checked_pictures(X), np.asarray(truth), np.asarray(pool, dtype=bool)
        if not len(pictures) == len(names) == len(loose):
            told = f"{len(pictures)}, {len(names)} and {len(loose)}"
            raise InputError(f"X, truth and pool must have one entry a picture. Got {told}.")
        wanted = (names == self.target) == (self.victims == "target")
        free = np.flatnonzero(loose & wanted)
        count = round(self.rate * int(loose.sum()))
        if count > len(free) or not len(free):
            raise InputError(
                f"rate: {count} pictures are to be poisoned, but the pool holds {len(free)} that qualify (target "
                f"{self.target!r}, victims {self.victims!r}). Lower rate, or choose another target."
            )
        rows = np.sort(check_random_state(self.random_state).choice(free, count, replace=False))
        poisoned = pictures.copy()
        poisoned[rows] = self.add(pictures[rows])
        return poisoned, rows

    def measure(
        self, learner: Any, X: ArrayLike, y: ArrayLike, truth: ArrayLike, X_test: ArrayLike, y_test: ArrayLike
    ) -> BackdoorReport:
        """Train clones of `learner` on the clean and on the poisoned pool and compare them.

        Parameters
        ----------
        learner
            Any classifier of pictures that takes unlabelled rows as -1, such as `labelwise.semi_supervised.FixMatch`.
        X, y
            Pictures ``(n, h, w, c)`` and labels ``(n,)``, -1 in the pool.
        truth
            Right classes ``(n,)``, used by the attacker only.
        X_test, y_test
            Test pictures and their classes.
        """
        labels, wanted = np.asarray(y), np.asarray(y_test)
        poisoned, rows = self.poison(X, truth, labels == UNLABELED)
        test = checked_pictures(X_test)
        clean = clone(learner).fit(checked_pictures(X), labels)
        attacked = clone(learner).fit(poisoned, labels)
        defended, accuracy = None, None
        if self.defend:
            seen = poisoned.copy()
            pool = labels == UNLABELED
            seen[pool] = perturb_band(poisoned[pool], random_state=self.random_state)
            model = clone(learner).fit(seen, labels)
            defended, accuracy = self._success(model, test, wanted), _accuracy(model, test, wanted)
        return BackdoorReport(
            self._success(attacked, test, wanted), self._success(clean, test, wanted), _accuracy(attacked, test, wanted),
            _accuracy(clean, test, wanted), defended, accuracy, spectral_auc(attacked, poisoned, labels == UNLABELED, rows),
            rows,
        )  # fmt: skip

    def _success(self, model: Any, test: Pictures, wanted: NDArray[Any]) -> Estimate:
        others = wanted != self.target
        if not others.any():
            raise InputError(f"y_test holds class {self.target!r} only: pictures of other classes are needed.")
        hit = model.predict(self.add(test[others])) == self.target
        return share(int(hit.sum()), len(hit))


def perturb_band(X: ArrayLike, low: float = 0.6, strength: float = 0.5, random_state: Any = None) -> Pictures:
    """Return pictures whose fine structure is scaled at random: a defence against triggers that repeat.

    Parameters
    ----------
    X
        Pictures ``(n, h, w, c)``, bytes or floats in [0, 1].
    low
        Frequencies above this share of the highest are perturbed, in [0, 1].
    strength
        Each picture's coefficients there are multiplied by numbers from ``1 - 2 strength`` to 1, one a frequency.
    random_state
        Seed.
    """
    pictures = checked_pictures(X)
    scale = 255.0 if pictures.dtype == np.uint8 else 1.0
    spectrum = np.fft.rfft2(pictures / scale, axes=(1, 2))
    vertical = np.abs(np.fft.fftfreq(pictures.shape[1]))[:, None]
    horizontal = np.fft.rfftfreq(pictures.shape[2])[None]
    band = np.maximum(vertical, horizontal) >= 0.5 * low
    factor = 1 - 2 * strength * check_random_state(random_state).random_sample(spectrum.shape[:3])
    spectrum *= np.where(band, factor, 1.0)[..., None]
    moved = np.fft.irfft2(spectrum, s=pictures.shape[1:3], axes=(1, 2)).clip(0, 1) * scale
    return (np.round(moved) if scale > 1 else moved).astype(pictures.dtype)


def spectral_auc(model: Any, X: Pictures, pool: NDArray[np.bool_], rows: Ints) -> float | None:
    """Return how well squared projections on each pseudo-class's widest direction tell poisons from others (Tran 2018)."""
    if not hasattr(model, "features"):
        return None
    at = np.flatnonzero(pool)
    try:
        Z = np.asarray(model.features(X[at]))
    except InputError:  # a network of the user's that has no representation apart
        return None
    guess = np.asarray(model.predict(X[at]))
    score = np.zeros(len(at))
    for name in np.unique(guess):
        some = guess == name
        centred = Z[some] - Z[some].mean(0)
        score[some] = (centred @ np.linalg.svd(centred, full_matrices=False)[2][0]) ** 2
    poisons = np.isin(at, rows)
    beside = np.isin(guess, np.unique(guess[poisons]))
    return float(roc_auc_score(poisons[beside], score[beside])) if not poisons[beside].all() else None


def _accuracy(model: Any, X: Pictures, y: NDArray[Any]) -> float:
    return float((model.predict(X) == y).mean())
