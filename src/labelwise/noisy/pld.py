"""Recommendation from clicks that are partly accidents: personalised loss resampling (Zhang et al. 2025)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import deepcopy
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from labelwise.base import Card, Count, InputError, Natural, NonNegative, Positive
from labelwise.learner import Learner
from labelwise.parts.loss_resampling import GroupwiseLossResampler
from labelwise.supervision.arrays import to_numpy
from labelwise.training import Batch, Data, Phase, Train, run

Doubles = NDArray[np.float64]
Ints = NDArray[np.int64]

REDRAWS = 20
"""How often a negative item that the user has is drawn again."""
CELLS = 1 << 22


class MatrixFactorisation(nn.Module):
    """Scores ``u . v`` of user and item vectors."""

    def __init__(self, n_users: int, n_items: int, dim: int) -> None:
        super().__init__()
        self.config = {"n_users": n_users, "n_items": n_items, "dim": dim}
        self.users, self.items = nn.Embedding(n_users, dim), nn.Embedding(n_items, dim)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=0.1)

    def forward(self, pairs: Tensor) -> Tensor:
        """Return the scores ``(...)`` of pairs ``(..., 2)`` of a user and an item."""
        found: Tensor = (self.users(pairs[..., 0]) * self.items(pairs[..., 1])).sum(-1)
        return found

    def scores(self, users: Tensor) -> Tensor:
        """Return the scores of all items ``(m, items)`` for the users ``(m,)``."""
        found: Tensor = self.users(users) @ self.items.weight.T
        return found

    def squares(self, pairs: Tensor) -> Tensor:
        """Return the squared lengths of both vectors, ``(...)``."""
        found: Tensor = self.users(pairs[..., 0]).square().sum(-1) + self.items(pairs[..., 1]).square().sum(-1)
        return found


class PLDRecommender(Learner):
    """Learn preferences from noisy clicks, choosing each user's positives by their loss among the user's own (PLD).

    Bayesian personalised ranking of a user's item i above an unseen item j, ``softplus(s_uj - s_ui)``. After `warmup`
    epochs each step draws a user, a pool of the user's items and one unseen item, and trains on one item of the pool,
    drawn with probability ``softmax(-loss / tau)``: items that do not fit the user's other items are seldom trained on.
    Losses are compared within a user only, since those of a user of unusual taste are high for clean items too.

    Differs from the paper: an epoch draws as many users as there are interactions; learning rates follow `Train` (its
    setting is ``Train(lr=1e-3, schedule="constant", batch_size=2048)``), with a fresh optimiser after the warm-up.

    Parameters
    ----------
    dim
        Length of the user and item vectors.
    pool
        Candidates of a draw, >= 1.
    tau
        Temperature of the choice, > 0.
    within
        ``user``: the method. ``all``: pools of different users' items, a global small-loss rule. ``none``: no choice,
        plain BPR.
    warmup
        Epochs without a choice, out of ``train.epochs``.
    penalty
        L2 penalty of the vectors of a step's rows.
    net
        ``auto``: matrix factorisation. Or a module that maps pairs ``(..., 2)`` to scores ``(...)``, with a method
        ``scores(users)`` for all items.
    views
        Not used.

    Attributes
    ----------
    n_users_, n_items_ : int
    net_ : nn.Module
    seen_ : int tensor
        Keys ``user * n_items_ + item`` of the interactions, ascending.

    References
    ----------
    Kaike Zhang, Qi Cao, Yunfan Wu, Fei Sun, Huawei Shen, Xueqi Cheng: Personalized Denoising Implicit Feedback for Robust
    Recommender System. WWW 2025 (paper 121). BPR: Rendle et al., UAI 2009.

    Examples
    --------
    >>> from labelwise.learner import Train
    >>> tastes = np.kron(np.eye(2), np.ones((10, 10)))  # two groups of users, each with its own items
    >>> clicks = np.argwhere((tastes == 1) & (np.random.default_rng(0).random((20, 20)) < 0.7))
    >>> model = PLDRecommender(dim=8, train=Train(epochs=40, batch_size=64, lr=1e-2), random_state=0).fit(clicks)
    >>> model.recommend([0, 15], k=2) // 10
    array([[0, 0],
           [1, 1]])
    """

    dim: Annotated[int, Count] = 64
    pool: Annotated[int, Count] = 5
    tau: Annotated[float, Positive] = 0.1
    within: Literal["user", "all", "none"] = "user"
    warmup: Annotated[int, Natural] = 5
    penalty: Annotated[float, NonNegative] = 1e-4

    card = Card(
        paper=121, year=2025, kind="learner", handles=frozenset({"noise"}), supervision=frozenset(), task="any",
        needs=frozenset({"interactions"}), cost="light",
        reference="Zhang et al.: Personalized Denoising Implicit Feedback for Robust Recommender System. WWW 2025.",
        apart="It ranks items for users from their clicks.",
    )  # fmt: skip
    tune = {"tau": [0.05, 0.1, 0.3], "penalty": [1e-4, 1e-3, 1e-2], "within": ["user", "none"]}

    def fit(self, X: Any, y: Any = None) -> Self:  # type: ignore[override]
        """Learn the vectors of users and items.

        Parameters
        ----------
        X
            Interactions: whole numbers ``(n, 2)``, a user and an item a row, repeats counted once; or a sparse matrix
            (users, items), not zero where there was an interaction.
        y
            Not used.

        Raises
        ------
        InputError
            Fields out of range, and interactions that are none.
        """
        self.check_fields()
        pairs, self.n_users_, self.n_items_ = read_interactions(X)
        self.train_ = Train() if self.train is None else self.train.check_fields()
        if self.train_.validation:
            raise InputError(f"PLDRecommender.train must have validation=0. Got {self.train_.validation}.")
        self.seed_ = int(check_random_state(self.random_state).randint(2**31 - 1))
        x = torch.as_tensor(pairs)
        run(self, Data(x, torch.zeros(len(x)), torch.ones(len(x), dtype=torch.bool)))
        del self._resampler
        return self

    def build(self, data: Data) -> None:
        """Make the vectors, or copy the user's module."""
        if isinstance(self.net, nn.Module):
            self.net_: Any = deepcopy(self.net)
        elif self.net == "auto":
            self.net_ = MatrixFactorisation(self.n_users_, self.n_items_, self.dim)
        else:
            raise InputError(f"PLDRecommender.net must be 'auto' or an nn.Module. Got {self.net!r}.")

    def start(self, data: Data) -> None:
        """Remember what everybody has, and group the interactions by user."""
        self.seen_ = (data.x[:, 0] * self.n_items_ + data.x[:, 1]).sort().values
        self._resampler = GroupwiseLossResampler(data.x[:, 0], self.pool, self.tau)

    def phases(self) -> list[Phase]:
        """Return the warm-up and the rest."""
        early = min(self.warmup, self.train_.epochs)
        phases = [
            Phase(self.loss, [self.net_], early),
            Phase(self.loss if self.within == "none" else self.resampled, [self.net_], self.train_.epochs - early),
        ]
        return [phase for phase in phases if phase.epochs]

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield a pool of interactions for each of `batch_size` users, one after the other in each batch."""
        self._resampler.shuffle(generator)
        (rank, processes), size = data.shard, self.train_.batch_size
        for _ in range(self.steps(data)):
            if self.within == "user":
                rows = self._resampler.draw(size, generator)
            else:
                rows = self._resampler.draw(size * self.pool, generator, pool=1).view(size, self.pool)
            yield data.batch(rows[rank::processes].reshape(-1))

    def steps(self, data: Data) -> int:
        """Return the number of batches that hold as many users as there are interactions."""
        return math.ceil(len(data) / self.train_.batch_size)

    def loss(self, batch: Batch) -> Tensor:
        """Return the ranking loss of the first interaction of each pool: plain BPR."""
        pairs = batch.x.view(-1, self.pool, 2)[:, 0]
        return self.ranking(pairs, self.unseen(pairs[:, 0]))

    def resampled(self, batch: Batch) -> Tensor:
        """Return the ranking loss of one interaction of each pool, drawn by the losses of all of them."""
        pools = batch.x.view(-1, self.pool, 2)
        item = self.unseen(pools[:, 0, 0])[:, None].expand(-1, self.pool)
        if self.within == "all":
            item = self.unseen(pools[..., 0].flatten()).view(item.shape)
        with torch.no_grad():
            place = self._resampler.choose(self.margins(pools, item))
        line = torch.arange(len(pools), device=place.device)
        return self.ranking(pools[line, place], item[line, place])

    def margins(self, pairs: Tensor, item: Tensor) -> Tensor:
        """Return ``softplus(s_uj - s_ui)`` of pairs ``(..., 2)`` and other items ``(...)``."""
        other = torch.stack([pairs[..., 0], item], -1)
        value: Tensor = F.softplus(self.net_(other) - self.net_(pairs))
        return value

    def ranking(self, pairs: Tensor, item: Tensor) -> Tensor:
        """Return the mean ranking loss ``()`` with its penalty."""
        value = self.margins(pairs, item).mean()
        squares = getattr(self.net_, "squares", None)
        if squares is None or not self.penalty:
            return value
        other = torch.stack([pairs[..., 0], item], -1)
        length: Tensor = squares(pairs) + self.net_.items(other[..., 1]).square().sum(-1)
        return value + self.penalty / 2 * length.mean()

    def unseen(self, users: Tensor) -> Tensor:
        """Draw an item that the user does not have for each of the users ``(b,)``."""
        item = torch.randint(self.n_items_, users.shape, device=users.device)
        for _ in range(REDRAWS):
            key = users * self.n_items_ + item
            place = torch.searchsorted(self.seen_, key).clamp_max(len(self.seen_) - 1)
            clash = self.seen_[place] == key
            if not clash.any():
                break
            item = torch.where(clash, torch.randint(self.n_items_, users.shape, device=users.device), item)
        return item

    # -- after fitting

    @torch.no_grad()
    def predict(self, X: Any) -> Doubles:
        """Return the scores ``(n,)`` of interactions given as in `fit`; higher means preferred."""
        check_is_fitted(self)
        found: Doubles = self.net_.eval()(torch.as_tensor(self._pairs(X))).double().numpy()
        return found

    @torch.no_grad()
    def recommend(self, users: ArrayLike, k: int = 20, *, exclude_seen: bool = True) -> Ints:
        """Return the `k` items of the highest scores ``(m, k)``, the best first, for users ``(m,)`` or one user ``(k,)``.

        With `exclude_seen`, items of the user's interactions come last.
        """
        check_is_fitted(self)
        asked = self._users(users)
        if not 1 <= k <= self.n_items_:
            raise InputError(f"k must be from 1 to {self.n_items_}, the number of items. Got {k}.")
        blocks = [self._top(part, k, exclude_seen) for part in self._blocks(asked)]
        found = np.concatenate([np.zeros((0, k), dtype=np.int64), *blocks])
        return np.asarray(found[0] if np.ndim(users) == 0 else found)

    def _top(self, users: Tensor, k: int, exclude_seen: bool) -> Ints:
        scores = self.net_.eval().scores(users)
        if exclude_seen:
            keys = users[:, None] * self.n_items_ + torch.arange(self.n_items_)
            scores = scores.masked_fill(torch.isin(keys, self.seen_), -torch.inf)
        return np.asarray(scores.topk(k, 1).indices.numpy())

    @torch.no_grad()
    def interaction_loss(self, X: Any, *, within_user: bool = False) -> Doubles:
        """Return how badly each interaction fits ``(n,)``: its ranking loss against all items, high where suspicious.

        With `within_user`, standardised among the user's own interactions in `X`: comparable across users.
        """
        check_is_fitted(self)
        pairs = torch.as_tensor(self._pairs(X))
        parts = []
        for part in self._blocks(pairs):
            gap = self.net_.eval().scores(part[:, 0]) - self.net_(part)[:, None]
            parts.append(F.softplus(gap).mean(1))
        loss = torch.cat(parts).double().numpy()
        return standardised(loss, pairs[:, 0].numpy()) if within_user else loss

    def _blocks(self, rows: Tensor) -> Iterator[Tensor]:
        """Yield rows few enough to score all items for each of them."""
        size = max(1, CELLS // self.n_items_)
        yield from (rows[first : first + size] for first in range(0, len(rows), size))

    def _users(self, users: ArrayLike) -> Tensor:
        asked = np.atleast_1d(np.asarray(users))
        if asked.ndim != 1 or asked.dtype.kind not in "iu" or ((asked < 0) | (asked >= self.n_users_)).any():
            raise InputError(f"users must be whole numbers from 0 to {self.n_users_ - 1}. Got {users!r}.")
        return torch.as_tensor(asked.astype(np.int64))

    def _pairs(self, X: Any) -> Ints:
        pairs = as_pairs(X)
        high = (pairs >= (self.n_users_, self.n_items_)).any(1)
        if high.any():
            row = int(high.argmax())
            raise InputError(
                f"X holds the pair {pairs[row].tolist()} in row {row}, but there were {self.n_users_} users and "
                f"{self.n_items_} items in fit."
            )
        return pairs

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return clicks of two groups of users with a taste each, for the common checks."""
        from sklearn.metrics import roc_auc_score

        rng = np.random.default_rng(0)
        likes = np.kron(np.eye(2, dtype=bool), np.ones((15, 20), dtype=bool))
        pairs = np.argwhere(np.ones_like(likes))
        clicked = (likes & (rng.random(likes.shape) < 0.5)).ravel()
        return {
            "X": pairs[clicked], "y": None, "X_test": pairs[~clicked], "y_test": likes.ravel()[~clicked],
            "fields": {"dim": 8}, "features": False, "floor": 0.7,
            "score": lambda model, X, y: float(roc_auc_score(y, model.predict(X))),
        }  # fmt: skip


def standardised(values: Doubles, groups: Ints) -> Doubles:
    """Return the values minus their group's mean over its standard deviation, (n,); 0 where a group has one value only.

    >>> standardised(np.array([1.0, 3.0, 7.0]), np.array([0, 0, 5]))
    array([-1.,  1.,  0.])
    """
    group, count = np.unique(groups, return_inverse=True)[1], np.unique(groups, return_counts=True)[1]
    gap = values - (np.bincount(group, values) / count)[group]
    spread = np.sqrt(np.bincount(group, gap**2) / count)[group]
    return np.asarray(np.divide(gap, spread, out=np.zeros_like(gap), where=spread > 1e-12))


def as_pairs(X: Any) -> Ints:
    """Return interactions as int64 pairs ``(n, 2)`` in the order given."""
    if sparse.issparse(X):
        matrix: Any = X
        cells = matrix.tocsr().tocoo()
        kept = cells.data != 0
        return np.stack([cells.row[kept], cells.col[kept]], 1).astype(np.int64)
    pairs = to_numpy(X, "X")[0]
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise InputError(
            "X must be interactions: whole numbers (n, 2), a user and an item a row, or a sparse matrix (users, items). "
            f"Got {pairs.dtype} of shape {pairs.shape}."
        )
    if (pairs < 0).any():
        row = int((pairs < 0).any(1).argmax())
        raise InputError(f"X must hold users and items numbered from 0. Row {row} holds {pairs[row].tolist()}.")
    return pairs.astype(np.int64)


def read_interactions(X: Any) -> tuple[Ints, int, int]:
    """Return the different pairs, and the numbers of users and items: a matrix's shape, or the largest number and one."""
    pairs = np.unique(as_pairs(X), axis=0)
    if len(pairs) == 0:
        raise InputError("X holds no interaction. At least one pair of a user and an item is needed.")
    given = np.shape(X)
    shape = given if sparse.issparse(X) else pairs.max(0) + 1
    n_users, n_items = (int(size) for size in shape)
    if n_items < 2:
        raise InputError("X has one item only, so there is nothing to rank it against.")
    return pairs, n_users, n_items
