"""A membership-inference attack: can one tell from a model's outputs which rows it was trained on?"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_predict

from labelwise.base import Card, Count, Estimate, Fields, InputError, Method


class MembershipAttack(Method, Fields):
    """Boosted trees on sorted class probabilities, trained to tell rows seen in training from rows never seen.

    A model that has forgotten rows should have them look like unseen ones: `rate` near the value of a model retrained
    without them is good; near 1 means that they are still remembered.

    Parameters
    ----------
    folds
        Cross-validation folds of the attack, so that no row is attacked by a model that saw it.
    random_state
        Seed of the attack.

    References
    ----------
    Shokri et al., Membership Inference Attacks against Machine Learning Models, 2017; used as in paper 8.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> sure, unsure = rng.dirichlet([20, 1], 200), rng.dirichlet([2, 2], 200)
    >>> attack = MembershipAttack(random_state=0)
    >>> bool(attack.measure(sure, unsure).value > 0.8)
    True
    """

    folds: Annotated[int, Count] = 5
    random_state: int | None = None

    card = Card(
        year=2017, kind="diagnostic", handles=frozenset({"forgetting"}), task="classification", cost="seconds",
        needs=frozenset({"member rows"}),
        reference="Shokri et al., Membership Inference Attacks against Machine Learning Models, IEEE S&P 2017.",
    )  # fmt: skip

    def measure(self, members: ArrayLike, others: ArrayLike) -> Estimate:
        """Return the attack's balanced accuracy between probabilities of members ``(a, K)`` and of others ``(b, K)``.

        0.5 is no leak. The interval is the normal one of the two rates at 90 %.
        """
        X, y = _attack_rows(members, others)
        guess = cross_val_predict(self._attacker(), X, y, cv=self.folds)
        rates = [float((guess[y == side] == side).mean()) for side in (0, 1)]
        spread = sum(r * (1 - r) / max(1, int((y == s).sum())) for s, r in zip((0, 1), rates, strict=True))
        half = 1.645 * 0.5 * float(np.sqrt(spread))
        value = float(np.mean(rates))
        return Estimate(value, value - half, value + half)

    def rate(self, members: ArrayLike, others: ArrayLike, questioned: ArrayLike) -> float:
        """Return the share of `questioned` rows ``(c, K)`` that the attack takes for members."""
        X, y = _attack_rows(members, others)
        attacker = self._attacker().fit(X, y)
        return float(attacker.predict(_sorted(questioned)).mean())

    def _attacker(self) -> Any:
        return HistGradientBoostingClassifier(
            max_iter=60, max_leaf_nodes=8, class_weight="balanced", random_state=self.random_state
        )


def _sorted(proba: ArrayLike) -> NDArray[np.float64]:
    return -np.sort(-np.asarray(proba, dtype=np.float64), axis=1)


def _attack_rows(members: ArrayLike, others: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    inside, outside = _sorted(members), _sorted(others)
    if inside.shape[1] != outside.shape[1]:
        raise InputError(
            f"members have {inside.shape[1]} classes but others {outside.shape[1]}: use the same model for both."
        )
    return np.vstack([inside, outside]), np.repeat([1, 0], [len(inside), len(outside)])
