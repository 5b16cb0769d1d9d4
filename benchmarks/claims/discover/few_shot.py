"""Claims of Proto-Triplet, ICNN and UNPG: classes never trained on, among ten digits and ten letters."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score, silhouette_score
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from benchmarks.claims import Claim
from benchmarks.claims.harness import data_path
from labelwise.data.synthetic import symmetric_noise
from labelwise.discovery import NeighbourSeparation
from labelwise.losses import ICNN, UNPG, ProtoTriplet, prototypes_of
from labelwise.losses.proto_triplet import distances
from labelwise.parts.episodes import Episode, episodes

WAYS, EPISODES, TESTS = 5, 200, 200


def pictures(seed: int) -> tuple[Any, Any, Any, Any]:
    """Return 14 x 14 pictures of twelve classes to train on, and of eight others, of ten digits and ten letters."""
    parts = []
    for folder, first in (("mnist_test", 0), ("notmnist", 10)):
        file = np.load(data_path(folder, "data.npz"))
        X, y = file["X"][:4000].astype(np.float32) / 255, file["y"][:4000].astype(int) + first
        parts.append((X.reshape(len(X), 14, 2, 14, 2).mean((2, 4)).reshape(len(X), -1), y))
    X, y = (np.concatenate([part[at] for part in parts]) for at in (0, 1))
    rng = np.random.default_rng(seed)
    train = rng.permutation(20)[:12]
    some = rng.permutation(len(y))[:4000]
    X, y = X[some] - X.mean(0), y[some]
    seen = np.isin(y, train)
    return X[seen], y[seen], X[~seen], y[~seen]


def network(seed: int, width: int = 32) -> nn.Module:
    """Return a small embedding network."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(196, 128), nn.ReLU(), nn.Linear(128, width))


def episode_loss(net: nn.Module, X: Tensor, episode: Episode, extra: str) -> Tensor:
    """Return the loss of prototypical networks on an episode, and the mean with one of the losses of paper 22."""
    support, query = net(X[episode.support]), net(X[episode.query])
    y, query_y = torch.as_tensor(episode.support_y), torch.as_tensor(episode.query_y)
    centers = prototypes_of(support, y, WAYS)
    value = cross_entropy(-(distances(query, centers) ** 2), query_y)
    if extra == "triplet":
        return (value + ProtoTriplet()(query, query_y, centers)) / 2
    if extra == "icnn":
        return (value + ICNN()(query, query_y, support, y)) / 2
    return value


def trained(seed: int, data: tuple[Any, ...], extra: str, n_episodes: int = EPISODES) -> nn.Module:
    """Train on episodes of the first classes: 5 ways, 5 shots, 10 queries."""
    net = network(seed)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    X = torch.as_tensor(data[0])
    for episode in episodes(data[1], n_episodes, ways=WAYS, shots=5, queries=10, rng=np.random.default_rng(seed)):
        optimizer.zero_grad()
        episode_loss(net, X, episode, extra).backward()
        optimizer.step()
    return net


@torch.no_grad()
def few_shot(Z: Tensor, y: Any, seed: int, shots: int = 1) -> float:
    """Return the accuracy of nearest prototypes on episodes of classes never trained on."""
    right = []
    for episode in episodes(y, TESTS, ways=WAYS, shots=shots, queries=10, rng=np.random.default_rng(1000 + seed)):
        centers = prototypes_of(Z[episode.support], torch.as_tensor(episode.support_y), WAYS)
        guess = distances(Z[episode.query], centers).argmin(1).numpy()
        right.append(np.mean(guess == episode.query_y))
    return float(np.mean(right))


def against_prototypes(extra: str) -> Any:
    """Return a run: prototypical networks with and without the loss, 1 and 5 shots."""

    def run(seed: int) -> dict[str, float]:
        data = pictures(seed)
        told = {}
        for name, kind in (("baseline", ""), ("method", extra)):
            Z = trained(seed, data, kind)(torch.as_tensor(data[2])).detach()
            told[name], told[f"{name}, 5 shots"] = few_shot(Z, data[3], seed), few_shot(Z, data[3], seed, 5)
        return told

    return run


def ranking(seed: int) -> dict[str, float]:
    """Compare how well silhouettes and the ICNN score rank embeddings by their few-shot accuracy on unseen classes."""
    data = pictures(seed)
    X, y = torch.as_tensor(data[2]), data[3]
    spaces = [X, *(trained(seed, data, "", n)(X).detach() for n in (0, 5, 15, 50, 200))]
    some = np.random.default_rng(seed).permutation(len(y))[:500]
    accuracy = [few_shot(Z, y, seed) for Z in spaces]
    silhouettes = [silhouette_score(Z[some], y[some]) for Z in spaces]
    icnn = [NeighbourSeparation(random_state=seed).measure(Z[some], y[some]).score.value for Z in spaces]
    return {"baseline": spearmanr(silhouettes, accuracy).statistic, "method": spearmanr(icnn, accuracy).statistic}


def verification(seed: int, criterion: UNPG, data: tuple[Any, ...], epochs: int = 6) -> float:
    """Train class vectors and an embedding of 16; return the AUC of telling pairs of one unseen class from others."""
    net = network(seed, 16)
    X, y = torch.as_tensor(data[0]), torch.as_tensor(np.unique(data[1], return_inverse=True)[1])
    classes = nn.Parameter(0.1 * torch.randn(int(y.max()) + 1, 16))
    optimizer = torch.optim.Adam([*net.parameters(), classes], lr=2e-3)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for rows in torch.randperm(len(X), generator=generator).split(64):
            optimizer.zero_grad()
            criterion(net(X[rows]), classes, y[rows]).backward()
            optimizer.step()
    with torch.no_grad():
        Z = normalize(net(torch.as_tensor(data[2][:600])), dim=1)
    i, j = np.triu_indices(len(Z), 1)
    return float(roc_auc_score(data[3][i] == data[3][j], (Z @ Z.T).numpy()[i, j]))


def unpg(rate: float, baseline: dict[str, Any]) -> Any:
    """Return a run: verification with UNPG, and with other settings, under wrong labels at `rate`."""

    def run(seed: int) -> dict[str, float]:
        X, y, X_test, y_test = pictures(seed)
        codes = np.unique(y, return_inverse=True)[1]
        noisy = symmetric_noise(codes, rate, n_classes=12, random_state=seed).y if rate else codes
        data, settings = (X, noisy, X_test, y_test), {"scale": 16.0, "margin": 0.2}
        told = {"baseline": verification(seed, UNPG(**{**settings, **baseline}), data)}
        return {**told, "method": verification(seed, UNPG(**settings), data)}

    return run


DATA = "14 x 14 pictures of digits and letters, 12 classes trained, 8 others tested"
SHOTS = {"data": f"{DATA}, 5 ways", "metric": "accuracy with one shot", "needs": ("mnist_test", "notmnist")}
AUC = {"metric": "AUC of telling pairs of one unseen class", "needs": ("mnist_test", "notmnist")}

CLAIMS = [
    Claim(
        method="labelwise.losses.ProtoTriplet", paper=22, baseline="prototypical network", run=against_prototypes("triplet"),
        statement="The triplet of queries and prototypes beside the cross-entropy improves few-shot accuracy.", **SHOTS,
    ),
    Claim(
        method="labelwise.losses.ICNN", paper=22, baseline="prototypical network", run=against_prototypes("icnn"),
        statement="The nearest-neighbour loss beside the cross-entropy improves few-shot accuracy.", **SHOTS,
    ),
    Claim(
        method="labelwise.discovery.NeighbourSeparation", paper=22, baseline="silhouette", run=ranking,
        data=f"{DATA}; pixels, and networks after 0, 5, 15, 50 and 200 episodes",
        metric="rank correlation with one-shot accuracy on unseen classes", needs=("mnist_test", "notmnist"),
        statement="The ICNN score ranks embeddings by their use for classes never trained on.",
    ),
    Claim(
        method="labelwise.losses.UNPG", paper=60, name="clean", data=DATA, baseline="CosFace",
        run=unpg(0.0, {"pairs": False}),
        statement="Pairs of the batch as further negatives improve verification.", **AUC,
    ),
    Claim(
        method="labelwise.losses.UNPG", paper=60, name="noise", data=f"{DATA}, 10 % wrong labels", baseline="CosFace",
        run=unpg(0.1, {"pairs": False}), statement="It does so under wrong labels.", **AUC,
    ),
    Claim(
        method="labelwise.losses.UNPG", paper=60, name="filter", data=f"{DATA}, 10 % wrong labels",
        baseline="UNPG with all pairs", run=unpg(0.1, {"whisker": None}),
        statement="Leaving out pairs beyond the whiskers matters under wrong labels.", **AUC,
    ),
]  # fmt: skip
