"""Claims of Loki: labels of a tree and of a bank's intents, a third seen in training; and of stacked embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from benchmarks.claims import Claim, data_path, tuned
from benchmarks.claims.losses.hybrid import compared as beside
from benchmarks.claims.losses.hybrid import encoded, macro_f1, quality
from labelwise.learner import MultiLabelClassifier, Train
from labelwise.multilabel import HybridMultiLabelClassifier, Loki, StackedEmbeddings, locus, next_class
from labelwise.parts.label_space import label_space, taxonomy

SEEDS = tuple(range(10))


class Problem(NamedTuple):
    """Training rows of the observed labels, test rows of all, and the space."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    observed: np.ndarray
    space: dict[str, Any]


def random_tree(rng: np.random.Generator, n_leaves: int = 60) -> np.ndarray:
    """Split random leaves into two or three until there are enough."""
    parents, leaves = [-1], [0]
    while len(leaves) < n_leaves:
        node = leaves.pop(int(rng.integers(len(leaves))))
        born = range(len(parents), len(parents) + int(rng.integers(2, 4)))
        parents += [node] * len(born)
        leaves += list(born)
    return np.array(parents)


def walk(parents: np.ndarray, labels: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Features: a random walk down the tree ends at a label's centre, rows scatter round it."""
    centre = np.zeros((len(parents), 16))
    for node in range(1, len(parents)):
        centre[node] = centre[parents[node]] + rng.normal(size=16)
    return centre[labels] + noise * rng.normal(size=(len(labels), 16))


def tree(seed: int, *, leaves_only: bool, noise: float = 2.0) -> Problem:
    """60 rows a label, half of them test; a third of the labels observed. The labels are the leaves or all nodes."""
    rng = np.random.default_rng(seed)
    parents = random_tree(rng)
    names = np.setdiff1d(np.arange(len(parents)), parents) if leaves_only else np.arange(len(parents))
    steps = taxonomy(parents).distances(names)[:, names]
    y = np.repeat(np.arange(len(names)), 60)
    X = walk(parents, names[y], noise, rng)
    test = np.arange(len(y)) % 2 == 0
    observed = rng.choice(len(names), len(names) // 3, replace=False)
    train = ~test & np.isin(y, observed)
    space = {"distances": steps} if leaves_only else {"distances": parents}
    return Problem(X[train], y[train], X[test], y[test], observed, space)


def bank(seed: int) -> Problem:
    """Questions to a bank with their MiniLM embeddings; intents are placed by the words of their names."""
    import pandas as pd

    frame = pd.read_parquet(data_path("banking77", "data.parquet"))
    X = np.load(data_path("banking77", "minilm.npz"))["emb"].astype(np.float32)
    y, test = frame["label"].to_numpy(), (frame["split"] == "test").to_numpy()
    names = frame.drop_duplicates("label").sort_values("label")["category"].str.replace("_", " ")
    words = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, min_df=3), TruncatedSVD(64, random_state=0), Normalizer()
    ).fit(frame["text"][~test])  # texts without their labels
    observed = np.random.default_rng(seed).choice(77, 26, replace=False)
    train = ~test & np.isin(y, observed)
    return Problem(X[train], y[train], X[test], y[test], observed, {"embeddings": words.transform(names)})


def compared(
    problem: Callable[[int], Problem], estimator: Any, score: Callable[[Problem, np.ndarray], float]
) -> Callable[[int], dict[str, float]]:
    """Return a run: the score of argmax and of Loki on the probabilities of one classifier."""

    def run(seed: int) -> dict[str, float]:
        task = problem(seed)
        model = Loki(estimator=clone(estimator), random_state=seed, **task.space).fit(task.X, task.y)
        plain = model.estimator_.predict(task.X_test)
        return {"baseline": score(task, plain), "method": score(task, model.predict(task.X_test))}

    return run


def squared_distance(task: Problem, predicted: np.ndarray) -> float:
    space = label_space(task.space["distances"])
    everything = space.distances(np.arange(space.n_labels))
    return float((everything[task.y_test, predicted] ** 2).mean())


def accuracy(task: Problem, predicted: np.ndarray) -> float:
    return float((predicted == task.y_test).mean())


def unseen_accuracy(task: Problem, predicted: np.ndarray) -> float:
    unseen = ~np.isin(task.y_test, task.observed)
    return float((predicted == task.y_test)[unseen].mean())


def guessed_unseen(seed: int) -> dict[str, float]:
    """Accuracy on rows of unseen intents: Loki, and the unseen intent whose name is nearest to the argmax's."""
    task = bank(seed)
    model = Loki(estimator=LOGISTIC, random_state=seed, **task.space).fit(task.X, task.y)
    names = task.space["embeddings"]
    unseen = np.setdiff1d(np.arange(77), task.observed)
    gap = ((names[:, None] - names[None, unseen]) ** 2).sum(axis=2)
    neighbour = unseen[gap.argmin(axis=1)][model.estimator_.predict(task.X_test)]
    return {
        "baseline": unseen_accuracy(task, neighbour),
        "method": unseen_accuracy(task, model.predict(task.X_test)),
        "all intents, argmax": accuracy(task, model.estimator_.predict(task.X_test)),
        "all intents, Loki": accuracy(task, model.predict(task.X_test)),
    }


def locus_growth(seed: int) -> dict[str, float]:
    """Reachable labels after five more classes, chosen at random or by `next_class`; 20 trees of 120 leaves."""
    sizes = np.zeros(2)
    for repeat in range(20):
        rng = np.random.default_rng([seed, repeat])
        space = taxonomy(random_tree(rng, 120))
        start = rng.choice(space.n_labels, 3, replace=False)
        chance = rng.choice(np.setdiff1d(np.arange(space.n_labels), start), 5, replace=False)
        for i, more in enumerate((chance, next_class(space, start, 5))):
            sizes[i] += locus(space, np.append(start, more)).mean() / 20
    return {"baseline": sizes[0], "method": sizes[1]}


def error_after_choice(seed: int) -> dict[str, float]:
    """Squared tree distance after collecting examples of ten more labels, random or chosen."""
    rng = np.random.default_rng(seed)
    parents = random_tree(rng)
    space, n_labels = taxonomy(parents), len(parents)
    y = np.repeat(np.arange(n_labels), 60)
    X = walk(parents, y, 2.0, rng)
    test = np.arange(len(y)) % 2 == 0
    start = rng.choice(n_labels, 10, replace=False)
    chance = rng.choice(np.setdiff1d(np.arange(n_labels), start), 10, replace=False)
    errors = []
    for more in (chance, next_class(space, start, 10)):
        observed = np.append(start, more)
        train = ~test & np.isin(y, observed)
        model = Loki(estimator=LOGISTIC, distances=parents, random_state=seed).fit(X[train], y[train])
        task = Problem(X[train], y[train], X[test], y[test], observed, {"distances": parents})
        errors.append(squared_distance(task, model.predict(X[test])))
    return {"baseline": errors[0], "method": errors[1]}


def rates(name: str = "train") -> dict[str, list[Train]]:
    """The settings tried for every network: passes and learning rates."""
    return {name: [Train(epochs=epochs, batch_size=64, lr=lr) for epochs in (10, 30) for lr in (5e-4, 2e-3)]}


def stacked(seed: int) -> dict[str, float]:
    """Macro F1 of the stack and of the best single encoder, both with plain binary cross-entropy."""
    data, plain = encoded(seed), MultiLabelClassifier(random_state=seed)
    singles = [
        macro_f1(tuned(plain, rates(), data.X[:, at], data.y, seed, score=macro_f1), data.X_test[:, at], data.y_test)
        for at in (slice(0, 20), slice(20, 40), slice(40, 60))
    ]
    side_by_side = tuned(plain, rates(), data.X, data.y, seed, score=macro_f1)
    stack = StackedEmbeddings(blocks=[20, 20, 20], final=MultiLabelClassifier(), random_state=seed)
    stack = tuned(stack, rates("final__train"), data.X, data.y, seed, score=macro_f1)
    return {
        "baseline": max(singles), "method": macro_f1(stack, data.X_test, data.y_test),
        "side by side, without meta predictions": macro_f1(side_by_side, data.X_test, data.y_test),
    }  # fmt: skip


def hybrid(seed: int) -> dict[str, float]:
    """F1 of rare labels with the whole hybrid loss and with binary cross-entropy."""
    data = encoded(seed)
    plain = tuned(MultiLabelClassifier(random_state=seed), rates(), data.X, data.y, seed, score=macro_f1)
    whole = tuned(HybridMultiLabelClassifier(random_state=seed), rates(), data.X, data.y, seed, score=macro_f1)
    return beside("rare F1", quality(plain, data), quality(whole, data))


KNN, LOGISTIC = KNeighborsClassifier(5), make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
LEAVES = "synthetic tree of 60 leaves, a third observed"
NODES = "synthetic tree with 60 leaves, all nodes are labels, a third observed"
DISTANCE = "squared tree distance on rows of all labels"
BANK = "banking77 on MiniLM embeddings, 26 of 77 intents observed, distances between embedded intent names"
ENCODED = "three noisy projections of a latent with 8 correlated labels, 40 % to 2 % positive; 1,200 rows"
TEMPERATURE = "temperature by rows of observed classes only: a smaller gain; the rule used was found on such trees"

CLAIMS = [
    Claim(
        method="labelwise.multilabel.Loki", paper=15, name="distance, nearest neighbours", data=LEAVES, seeds=SEEDS,
        statement="The Fréchet mean errs by less than the most probable class.", metric=DISTANCE,
        baseline="argmax of the same 5 nearest neighbours", higher_is_better=False,
        run=compared(lambda seed: tree(seed, leaves_only=True), KNN, squared_distance), tried=TEMPERATURE,
    ),
    Claim(
        method="labelwise.multilabel.Loki", paper=15, name="distance, logistic regression", data=LEAVES, seeds=SEEDS,
        statement="The Fréchet mean errs by less than the most probable class.", metric=DISTANCE,
        baseline="argmax of the same logistic regression", higher_is_better=False,
        run=compared(lambda seed: tree(seed, leaves_only=True), LOGISTIC, squared_distance), tried=TEMPERATURE,
    ),
    Claim(
        method="labelwise.multilabel.Loki", paper=15, name="unseen labels", data=NODES, seeds=SEEDS,
        statement="It is right on rows of labels never observed, where argmax cannot be.",
        baseline="argmax of the same logistic regression", metric="accuracy on rows of unseen labels",
        run=compared(lambda seed: tree(seed, leaves_only=False), LOGISTIC, unseen_accuracy),
    ),
    Claim(
        method="labelwise.multilabel.Loki", paper=15, name="accuracy", data=NODES, seeds=SEEDS,
        statement="What it gains on unseen labels it does not lose on the observed ones.",
        baseline="argmax of the same logistic regression", metric="accuracy on rows of all labels",
        run=compared(lambda seed: tree(seed, leaves_only=False), LOGISTIC, accuracy),
        tried="the temperature is chosen for squared distance, which is another aim",
    ),
    Claim(
        method="labelwise.multilabel.Loki", paper=15, name="accuracy, separated classes", data=f"{NODES}, little noise",
        statement="Where classes hardly overlap, accuracy over all labels rises.", seeds=SEEDS,
        baseline="argmax of the same 5 nearest neighbours", metric="accuracy on rows of all labels",
        run=compared(lambda seed: tree(seed, leaves_only=False, noise=1.0), KNN, accuracy),
    ),
    Claim(
        method="labelwise.multilabel.Loki", paper=15, name="names as metric, all labels", data=BANK, seeds=SEEDS,
        statement="With a metric derived from the labels' names, accuracy over all labels rises.",
        baseline="argmax of the same logistic regression", metric="accuracy on rows of all intents",
        run=compared(bank, LOGISTIC, accuracy), needs=("banking77",),
        tried="the paper's gain is for a zero-shot model that knows every label; names here are placed by word counts",
    ),
    Claim(
        method="labelwise.multilabel.Loki", paper=15, name="names as metric, unseen labels", data=BANK, seeds=SEEDS,
        statement="A metric derived from the labels' names predicts unseen labels better than the argmax's neighbour.",
        baseline="unseen intent nearest to the argmax", metric="accuracy on rows of unseen intents",
        run=guessed_unseen, needs=("banking77",),
        tried="the baseline gives up every observed intent, which Loki does not",
    ),
    Claim(
        method="labelwise.multilabel.Loki", paper=15, name="active locus", data="20 synthetic trees of 120 leaves a seed",
        statement="Choosing classes far from the locus makes more labels reachable than choosing at random.",
        baseline="random classes", metric="share of labels reachable after five more classes", run=locus_growth,
    ),
    Claim(
        method="labelwise.multilabel.Loki", paper=15, name="active choice", seeds=SEEDS,
        data="synthetic tree with 60 leaves, all nodes are labels, 10 observed and 10 chosen",
        statement="Classes chosen that way lower the error more than random ones.", baseline="random classes",
        metric=DISTANCE, higher_is_better=False, run=error_after_choice,
    ),
    Claim(
        method="labelwise.multilabel.StackedEmbeddings", paper=62, run=stacked, metric="macro F1", data=ENCODED,
        statement="Stacking several encoders' embeddings beats each of them.",
        baseline="the best single encoder, chosen on the test rows; same network and tuning",
    ),
    Claim(
        method="labelwise.multilabel.HybridMultiLabelClassifier", paper=62, run=hybrid, data=ENCODED,
        statement="The hybrid loss raises the F1 of rare labels.", metric="F1 of the three rarest of 8 labels",
        baseline="binary cross-entropy, same tuning",
    ),
]  # fmt: skip
