"""Claims of methods that use structure beside the labels: long tails, graphs, two fidelities."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score, recall_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.claims import Claim, data_path, tuned
from labelwise.data.synthetic import long_tail, transition_noise
from labelwise.learner import Train
from labelwise.noisy import RCAL, BiasAwareRegressor, LabelWeightedDiffusion
from labelwise.noisy.rcal import outlier_factor, outliers

# -- RCAL: ten Gaussian classes, one size in fifty

CLASSES, WIDTH = 10, 32
TAILED = (
    "10 Gaussian classes in 32 dimensions, 500 to 10 rows (1:50), {:.0%} of the labels moved, more to larger classes"
)


def tailed(seed: int, rate: float) -> dict[str, Any]:
    """Return rows with wrong labels of long-tailed classes, clean balanced test rows, and the true means."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(CLASSES, WIDTH)) * 3.5 / np.sqrt(WIDTH)
    mix = rng.normal(size=(WIDTH, WIDTH)) / np.sqrt(WIDTH)
    root = np.linalg.cholesky(mix @ mix.T + 0.1 * np.eye(WIDTH))
    shares = long_tail(CLASSES, 50)
    y, y_test = (np.repeat(np.arange(CLASSES), n) for n in (np.round(500 * shares / shares[0]).astype(int), 200))
    flips = np.tile(shares, (CLASSES, 1))
    np.fill_diagonal(flips, 0)
    flips = rate * flips / flips.sum(1, keepdims=True) + (1 - rate) * np.eye(CLASSES)
    X, X_test = (means[c] + rng.normal(size=(len(c), WIDTH)) @ root.T for c in (y, y_test))
    noisy = transition_noise(y, flips, random_state=seed).y
    return {"X": X, "y": noisy, "X_test": X_test, "y_test": y_test, "means": means}


def balanced(model: Any, X: Any, y: Any) -> float:
    """Return the balanced accuracy: the mean recall of the classes in `y`."""
    return float(recall_score(y, model.predict(X), average="macro", labels=np.unique(y)))


def linear(weight: str | None = None) -> Any:
    """Return logistic regression on standardised features."""
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, class_weight=weight))


STRENGTHS = {"logisticregression__C": [1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 10.0]}


@cache
def ladder(rate: float, seed: int) -> dict[str, float]:
    """Return the balanced accuracies of the ladder, each step tuned with eight settings on noisy rows."""
    data = tailed(seed, rate)
    X, y = data["X"], data["y"]
    kept = np.ones(len(y), dtype=bool)
    for label in range(CLASSES):
        rows = np.flatnonzero(y == label)
        kept[rows] = ~outliers(outlier_factor(X[rows], 0.5, np.random.default_rng(seed)), "auto")
    models = {
        "CE": tuned(linear(), STRENGTHS, X, y, seed, score=balanced),
        "balanced CE": tuned(linear("balanced"), STRENGTHS, X, y, seed, score=balanced),
        "LOF": tuned(linear("balanced"), STRENGTHS, X[kept], y[kept], seed, score=balanced),
    }
    grid = {"C": [0.01, 0.1], "contamination": ["auto", 0.3]}
    models["no borrowing"] = tuned(RCAL(borrow=0.0, random_state=seed), grid, X, y, seed, score=balanced)
    models["RCAL"] = tuned(RCAL(random_state=seed), grid | {"borrow": [0.1, 0.3]}, X, y, seed, score=balanced)
    found = {name: balanced(model, data["X_test"], data["y_test"]) for name, model in models.items()}
    few = data["y_test"] >= 7
    for name in ("balanced CE", "RCAL"):
        found[f"{name}, three smallest"] = balanced(models[name], data["X_test"][few], data["y_test"][few])
    return found


def step(rate: float, lower: str, upper: str = "RCAL") -> Any:
    """Return the comparison of two steps of the ladder; the others are reported beside them."""

    def run(seed: int) -> dict[str, float]:
        found = ladder(rate, seed)
        return {"baseline": found[lower], "method": found[upper]} | found

    return run


def estimated_means(seed: int) -> dict[str, float]:
    """Compare the mean distance to the true class means of RCAL's and of the noisy classes' means."""
    data = tailed(seed, 0.4)
    X, y, truth = data["X"], data["y"], data["means"]
    polluted = np.array([X[y == k].mean(0) for k in range(CLASSES)])
    cleaned = {f"borrow {g}": RCAL(borrow=g, random_state=seed).fit(X, y).means_ for g in (0.0, 0.1, 0.3)}
    error = {name: float(np.linalg.norm(m - truth, axis=1).mean()) for name, m in cleaned.items()}
    return {"baseline": float(np.linalg.norm(polluted - truth, axis=1).mean()), "method": error["borrow 0.1"]} | error


BALANCED = "balanced accuracy on clean test rows"


def rcal_claims() -> list[Claim]:
    """Return the ladder at two noise rates, each step tuned with the same budget, and the claim on the means."""
    steps = {
        "CE": ("cross-entropy", "RCAL beats logistic regression on noisy long-tailed rows."),
        "balanced CE": ("class-balanced cross-entropy", "RCAL beats class-balanced logistic regression."),
        "LOF": ("class-balanced, outliers dropped", "RCAL beats dropping outliers without draws and borrowing."),
        "no borrowing": ("RCAL with borrow=0", "Statistics borrowed from the nearest heads help the tail classes."),
    }
    ladders = [
        Claim(
            method="labelwise.noisy.RCAL", paper=44, name=f"{name}, {rate:.0%}", data=TAILED.format(rate), metric=BALANCED,
            baseline=f"{baseline}, tuned with eight settings", statement=statement, run=step(rate, name),
            seeds=range(10), tried="first measured with five seeds; ten, because the steps are small beside the spread",
        )
        for rate in (0.2, 0.4) for name, (baseline, statement) in steps.items()
    ]  # fmt: skip
    means = Claim(
        method="labelwise.noisy.RCAL", paper=44, name="means", data=TAILED.format(0.4), baseline="means of noisy classes",
        metric="mean distance to the true class means", higher_is_better=False, run=estimated_means,
        statement="Cleaned and borrowed means are nearer the truth than those of the noisy classes.",
    )  # fmt: skip
    return [*ladders, means]


# -- flow diffusion: a planted cluster, and the classes of Cora


@cache
def planted(seed: int, boundary: float) -> tuple[Any, Any]:
    """Return a random graph of 2000 nodes with a planted cluster of 100 (edges inside with 0.1, outside with 0.01)."""
    rng = np.random.default_rng(seed)
    inside = np.arange(2000) < 100
    rate = np.where(inside[:, None] & inside, 0.1, np.where(inside[:, None] | inside, boundary, 0.01))
    upper = sparse.csr_array(np.triu(rng.random((2000, 2000)) < rate, 1))
    return (upper + upper.T).astype(float), inside


def f1(found: Any, inside: Any) -> float:
    """Return the F1 score of the nodes found."""
    return float(f1_score(np.asarray(inside, bool), np.asarray(found, bool)))


def diffused(graph: Any, labels: Any, node: int, volume: float, disagree: float) -> Any:
    """Return the cluster of least conductance over source masses of one to five times the cluster's volume."""
    models = [
        LabelWeightedDiffusion(disagree=disagree, mass=times * volume).fit(graph, labels, seed=node)
        for times in (1, 2, 3, 4, 5)
        if times * volume <= 0.9 * graph.sum()
    ]
    return min(models, key=lambda model: model.conductance_).predict()


def weighted_diffusion(flipped: float, boundary: float, rival: str) -> Any:
    """Return the comparison of mean F1 over five seed nodes on planted graphs."""

    def run(seed: int) -> dict[str, float]:
        graph, inside = planted(seed, boundary)
        rng = np.random.default_rng(seed)
        labels = np.where(rng.random(2000) < flipped, ~inside, inside)
        volume = float(graph.sum(1)[inside].sum())
        nodes = rng.permutation(np.flatnonzero(inside & labels))[:5]
        ways = {"plain graph": 1.0, "label-weighted": 0.05}
        found = {
            name: float(np.mean([f1(diffused(graph, labels, int(node), volume, factor), inside) for node in nodes]))
            for name, factor in ways.items()
        }
        found["labels alone"] = f1(labels, inside)
        return {"baseline": found[rival], "method": found["label-weighted"]} | found

    return run


def cora(seed: int) -> dict[str, float]:
    """Compare mean F1 over the seven classes of Cora, three seed nodes each; labels from a classifier of few nodes."""
    parts = np.load(data_path("citation_graphs", "cora.npz"))
    X = sparse.csr_matrix((parts["X_data"], parts["X_indices"], parts["X_indptr"]), shape=tuple(parts["X_shape"]))
    y, (a, b) = parts["y"], parts["edges"].T
    graph = sparse.coo_array((np.ones(len(a)), (a, b)), shape=(len(y), len(y))).tocsr()
    graph = graph.maximum(graph.T)
    component = connected_components(graph)[1]
    largest = component == np.bincount(component).argmax()
    X, y, graph = X[largest], y[largest], graph[largest][:, largest]
    rng = np.random.default_rng(seed)
    found: dict[str, list[float]] = {"plain graph": [], "label-weighted": [], "labels alone": []}
    for label in range(7):
        inside = y == label
        known = np.r_[rng.permutation(np.flatnonzero(inside))[:20], rng.permutation(np.flatnonzero(~inside))[:80]]
        model = LogisticRegression(C=10.0, class_weight="balanced", max_iter=1000).fit(X[known], inside[known])
        labels, volume = model.predict(X), float(graph.sum(1)[inside].sum())
        for node in known[:3]:
            for name, factor in (("plain graph", 1.0), ("label-weighted", 0.05)):
                found[name].append(f1(diffused(graph, labels, int(node), volume, factor), inside))
        found["labels alone"].append(f1(labels, inside))
    scores = {name: float(np.mean(values)) for name, values in found.items()}
    return {"baseline": scores["plain graph"], "method": scores["label-weighted"]} | scores


PLANTED = "planted cluster of 100 in 2000 nodes (0.1 inside, {b} across), {f:.0%} of the labels flipped"


def flow_claims() -> list[Claim]:
    """Return planted clusters at several noise rates against the plain graph and the labels alone, and Cora."""
    rivals = {
        "plain graph": "flow diffusion on the plain graph, the same masses",
        "labels alone": "the noisy labels themselves",
    }
    planted_claims = [
        Claim(
            method="labelwise.noisy.LabelWeightedDiffusion", paper=245, name=f"{rival}, {f:.0%} flipped, {b} across",
            data=PLANTED.format(f=f, b=b), baseline=baseline, metric="F1 of the cluster, mean of five seed nodes",
            statement=f"Diffusion on label-weighted edges finds the cluster better than the {rival}.",
            run=weighted_diffusion(f, b, rival),
        )
        for f, b in ((0.1, 0.01), (0.2, 0.01), (0.3, 0.01), (0.2, 0.005)) for rival, baseline in rivals.items()
    ]  # fmt: skip
    random_labels = Claim(
        method="labelwise.noisy.LabelWeightedDiffusion", paper=245, name="random labels", margin=-0.05,
        data=PLANTED.format(f=0.5, b=0.01), baseline=rivals["plain graph"],
        metric="F1 of the cluster, mean of five seed nodes",
        statement="With labels that say nothing it is no worse than the plain graph (within five points).",
        run=weighted_diffusion(0.5, 0.01, "plain graph"),
    )  # fmt: skip
    real = Claim(
        method="labelwise.noisy.LabelWeightedDiffusion", paper=245, name="Cora", baseline=rivals["plain graph"],
        data="Cora (largest component), each class in turn; labels by logistic regression from 100 labelled nodes",
        metric="F1 of the class, mean over classes and three seed nodes", needs=("citation_graphs",), run=cora,
        statement="On a real graph, noisy labels from attributes improve local clusters.",
    )  # fmt: skip
    return [*planted_claims, random_labels, real]


def pick(source: Any, baseline: str, method: str) -> Any:
    """Return the comparison of two of a source's figures; the others are reported beside them."""

    def run(seed: int) -> dict[str, float]:
        found = source(seed)
        return {"baseline": found[baseline], "method": found[method]} | found

    return run


# -- two fidelities: forces on a particle in the plane


def double_well(X: Any) -> Any:
    """Return the force of ``2 (x^2 - 1)^2 + 1.5 y^2 + x y + 0.6 sin(3x) cos(2y)``, minus its gradient."""
    x, y = X.T
    along = 8 * x * (x**2 - 1) + y + 1.8 * np.cos(3 * x) * np.cos(2 * y)
    across = 3 * y + x - 1.2 * np.sin(3 * x) * np.sin(2 * y)
    return -np.c_[along, across]


def biased_well(X: Any) -> Any:
    """Return a cheap force: right on the left, and off by the gradient of a wave on the right."""
    x, y = X.T
    gate = 1 / (1 + np.exp(-8 * x))
    slope = 8 * gate * (1 - gate)
    wave, inner = np.sin(2 * x + 2 * y), 2 * np.cos(2 * x + 2 * y)
    return double_well(X) - 3 * np.c_[slope * wave + gate * inner, gate * inner]


def places(n: int, rng: Any) -> Any:
    """Draw places of the particle."""
    return rng.uniform(-1.6, 1.6, (n, 2))


@cache
def force_errors(seed: int) -> dict[str, float]:
    """Return mean absolute errors of the force of three ways, each with four settings tried on 12 trusted rows.

    An epoch of the accurate rows alone is one step: 400 or 1000 of them.
    """
    rng = np.random.default_rng(seed)
    few, many, test = (places(n, rng) for n in (50, 2000, 1000))
    X, y = np.r_[few, many], np.r_[double_well(few), biased_well(many)]
    trusted, truth = np.arange(len(X)) < 50, double_well(test)
    held = rng.permutation(50)[:12]
    train = Train(epochs=15, batch_size=64, lr=3e-3)
    ways = {
        "accurate only": [
            {"train": clone(train).set_params(weight_decay=decay, epochs=epochs)}
            for epochs in (400, 1000) for decay in (1e-2, 1.0)
        ],
        "unweighted": [{"bandwidth": None, "finetune_rate": rate} for rate in (0.1, 0.3, 0.6, 1.0)],
        "weighted": [{"bandwidth": g, "finetune_rate": rate} for g in (1.0, 2.0) for rate in (0.3, 1.0)],
    }  # fmt: skip

    def error(setting: dict[str, Any], rows: Any, X_test: Any, y_test: Any) -> float:
        model = BiasAwareRegressor(**({"train": train, "random_state": seed} | setting))
        model.fit(X[rows], y[rows], trusted=trusted[rows])
        return float(np.abs(model.predict(X_test) - y_test).mean())

    found = {}
    for name, settings in ways.items():
        rows = np.flatnonzero(trusted) if name == "accurate only" else np.arange(len(X))
        part = np.setdiff1d(rows, held)
        best = min(settings, key=lambda setting, part=part: error(setting, part, X[held], y[held]))  # type: ignore[misc]
        found[name] = error(best, rows, test, truth)
    return found


def two_fidelity_claims() -> list[Claim]:
    """Return weighted pre-training against the accurate rows alone and against unweighted pre-training."""
    rivals = {
        "accurate only": "Pre-training on many cheap, biased targets lowers the error of few accurate ones.",
        "unweighted": "Weights by the estimated bias make cheap targets more useful.",
    }
    return [
        Claim(
            method="labelwise.noisy.BiasAwareRegressor", paper=180, name=rival, higher_is_better=False, statement=statement,
            data="force on a particle in a 2-D double well; 50 accurate rows, 2000 cheap ones off by a wave on the right",
            baseline=f"{rival}, four settings tried", metric="mean absolute error of the force",
            run=pick(force_errors, rival, "weighted"),
            tried="a smoother cheap bias on the same well: the weights helped only slightly (0.268 against 0.285). A "
            "particle among five Lennard-Jones atoms: 50 accurate rows teach this network nothing of such a force.",
        )
        for rival, statement in rivals.items()
    ]  # fmt: skip


CLAIMS = [*rcal_claims(), *flow_claims(), *two_fidelity_claims()]
