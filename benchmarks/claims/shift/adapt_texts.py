"""Claims of adapting texts and representations: ConDA, DASK, continued pre-training, DomainMix."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline

from benchmarks.claims import Claim, data_path
from benchmarks.claims.shift.places import digit_pictures
from labelwise.data.synthetic import two_domain_reviews
from labelwise.learner import Classifier, Train
from labelwise.shift import DANN, DASK, ConDA, ContinuedPretraining, DeepMMD, DomainMix

SEEDS = (0, 1, 2, 3, 4)

# -- written by a person, or by a chain of words


def passages(seed: int, n: int = 400, length: int = 40) -> list[list[str]]:
    """Return passages of plays, cut at random places."""
    import gzip

    path = next(data_path("text_lm").glob("*.txt.gz"))
    words = gzip.decompress(path.read_bytes()).decode().lower().split()
    rng = np.random.default_rng(seed)
    return [words[at : at + length] for at in rng.integers(len(words) - length, size=n)]


def chains(order: int, seed: int, n: int = 400, length: int = 40) -> list[list[str]]:
    """Return texts of a Markov chain that looks `order` words back, learnt from other passages of the plays."""
    rng = np.random.default_rng([seed, order])
    after: dict[tuple[str, ...], list[str]] = {}
    book = passages(seed + 1000, 3000)
    for text in book:
        for at in range(order, len(text)):
            after.setdefault(tuple(text[at - order : at]), []).append(text[at])
    keys = list(after)
    made = []
    for _ in range(n):
        text = list(keys[rng.integers(len(keys))])
        while len(text) < length:
            next_ = after.get(tuple(text[len(text) - order :]), book[int(rng.integers(3000))])
            text.append(next_[int(rng.integers(len(next_)))])
        made.append(text[:length])
    return made


def authors(seed: int) -> tuple[Any, Any, Any, Any, Any]:
    """Return source rows and labels, target rows, test rows and labels: the source's machine has no memory, the target's
    looks one word back; texts as 100 components of word and word-pair frequencies.
    """
    texts = [*passages(seed), *chains(0, seed), *passages(seed + 1), *chains(1, seed, 400)]
    text = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True), TruncatedSVD(100, random_state=0)
    )
    Z = text.fit_transform([" ".join(words) for words in texts]).astype(np.float32)
    y = np.repeat([0, 1, 0, 1], 400)
    there = np.random.default_rng(seed).permutation(800) + 800
    return Z[:800], y[:800], Z[there[:400]], Z[there[400:]], y[there[400:]]


def conda(seed: int) -> dict[str, float]:
    """F1 of machine texts on the target: source only, mean discrepancy, DANN and ConDA; one setting each."""
    X, y, X_target, X_test, y_test = authors(seed)
    rows, labels = np.concatenate([X, X_target]), np.concatenate([y, np.full(len(X_target), -1)])
    of = {"train": Train(epochs=20, batch_size=64, lr=2e-3, progress=False), "random_state": seed}

    def f1(model: Any) -> float:
        return float(f1_score(y_test, model.predict(X_test)))

    return {
        "baseline": f1(Classifier(**of).fit(X, y)), "method": f1(ConDA(**of).fit(rows, labels)),
        "mean discrepancy": f1(DeepMMD(**of).fit(rows, labels)), "DANN": f1(DANN(**of).fit(rows, labels)),
    }  # fmt: skip


# -- reviews


def made_reviews(seed: int, n: int = 400) -> tuple[list[str], Any, list[str], Any]:
    """Return training texts with labels (-1 for the target's) and test texts of the target with theirs."""
    made = two_domain_reviews(2 * n, random_state=seed)
    here, there = (np.flatnonzero(made.domain == d) for d in (0, 1))
    train, test = np.concatenate([here[:n], there[:n]]), there[n:]
    y = np.where(made.domain == 1, -1, made.y)[train]
    return [made.texts[i] for i in train], y, [made.texts[i] for i in test], made.y[test]


def real_reviews(seed: int, n: int = 800) -> tuple[list[str], Any, list[str], Any]:
    """Return reviews of books with labels and of kitchenware without, and kitchenware to test on; the first 40 words."""
    frame = pd.read_parquet(data_path("amazon_domains", "data.parquet"), columns=["domain", "text", "label"])
    rng = np.random.default_rng(seed)
    at = {d: rng.permutation(np.flatnonzero(frame["domain"] == d)) for d in ("books", "kitchen")}
    texts = [" ".join(text.split()[:40]) for text in frame["text"]]
    train, test = np.concatenate([at["books"][:n], at["kitchen"][:n]]), at["kitchen"][n : 2 * n]
    y = np.concatenate([frame["label"].to_numpy()[at["books"][:n]], np.full(n, -1)])
    return [texts[i] for i in train], y, [texts[i] for i in test], frame["label"].to_numpy()[test]


def pivoted(reviews: Any, seed: int) -> dict[str, float]:
    """Accuracy of DASK, of its network on the source alone, and without the words that pivots bring."""
    X, y, X_test, y_test = reviews(seed)
    of = {"train": Train(epochs=10, batch_size=64, lr=3e-3, progress=False), "random_state": seed}
    off = {"weight": 0.0, "branch": 0.0, "memory": 0.0}
    return {
        "baseline": DASK(**off, **of).fit(X, y).score(X_test, y_test), "method": DASK(**of).fit(X, y).score(X_test, y_test),
        "without branches": DASK(branch=0.0, **of).fit(X, y).score(X_test, y_test),
    }  # fmt: skip


def filled(X: Any, y: Any, seed: int, **fields: Any) -> ContinuedPretraining:
    """Return a small language model of reviews."""
    of = {"pretrain_epochs": 30, "width": 32, "train": Train(epochs=10, batch_size=64, lr=3e-3, progress=False)}
    return ContinuedPretraining(**{**of, "random_state": seed, **fields}).fit(X, y)


def gaps(seed: int) -> dict[str, float]:
    """Accuracy with and without filling gaps first, and with a mean discrepancy instead."""
    X, y, X_test, y_test = made_reviews(seed)
    tried = {
        "baseline": {"pretrain_epochs": 0},
        "method": {},
        "mean discrepancy": {"pretrain_epochs": 0, "mmd_weight": 1.0},
    }
    return {name: filled(X, y, seed, **fields).score(X_test, y_test) for name, fields in tried.items()}


def hidden(seed: int) -> dict[str, float]:
    """Accuracy when the gaps are words that say nothing of the class, any words, or words that say most."""
    X, y, X_test, y_test = made_reviews(seed)
    kinds = {"baseline": "uninformative", "method": "informative"}
    return {name: filled(X, y, seed, hidden=kind).score(X_test, y_test) for name, kind in kinds.items()}


# -- a third style


def styled(X: Any, blur: float, pale: float, tilt: float) -> Any:
    """Return digits in another style, as vectors."""
    slope = np.linspace(0, tilt, 8)[None, None, :]
    return (pale * gaussian_filter(X[..., 0], (0, blur, blur)) + slope).reshape(len(X), -1).astype(np.float32)


def mean_precision(Z: Any, y: Any) -> float:
    """Return the mean average precision of every row asking for the others of its class, by cosine."""
    Z = Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-12)
    order = np.argsort(-(Z @ Z.T) + 10 * np.eye(len(Z)), axis=1)[:, :-1]
    hit = y[order] == y[:, None]
    precision = np.cumsum(hit, axis=1) / np.arange(1, len(Z))
    return float(((precision * hit).sum(axis=1) / hit.sum(axis=1)).mean())


def third_style(seed: int) -> dict[str, float]:
    """Retrieval among digits of a style seen by nobody: source only, DomainMix, and without the balance of domains."""
    X, y = digit_pictures()
    order = np.random.default_rng(seed).permutation(len(y))
    known, other = order[:1000][y[order[:1000]] < 5], order[:1000][y[order[:1000]] >= 5]
    test = order[1000:1500]
    rows = np.concatenate([styled(X[known], 0, 1, 0), styled(X[other], 0.5, 0.7, 0.3)])
    labels = np.concatenate([y[known], np.full(len(other), -1)])
    Z = styled(X[test], 0.3, 0.8, -0.3)
    of = {"train": Train(epochs=15, batch_size=64, lr=2e-3, progress=False), "random_state": seed}
    plain = Classifier(train=Train(epochs=20, batch_size=64, lr=2e-3, progress=False), random_state=seed)
    fitted = {
        "baseline": plain.fit(rows[labels >= 0], labels[labels >= 0]), "method": DomainMix(**of).fit(rows, labels),
        "without balance": DomainMix(balance=0.0, **of).fit(rows, labels),
    }  # fmt: skip
    return {name: mean_precision(model.features(Z), y[test]) for name, model in fitted.items()}


MADE = "synthetic reviews of two domains that share eight words of judgement; 400 texts each"
REAL = "amazon_domains, books to kitchen, 800 texts each, their first 40 words"
ON_SOURCE = "the same network on the source alone; one setting for all"

CLAIMS = [
    Claim(
        method="labelwise.shift.ConDA", paper=190, run=conda, needs=("text_lm",), seeds=SEEDS,
        statement="Contrast in both domains and mean discrepancy carry the detection of machine texts to another machine.",
        data="passages of plays against Markov chains: words at random in the source, one word back in the target",
        baseline=ON_SOURCE, metric="F1 of machine texts on the target",
    ),
    Claim(
        method="labelwise.shift.DASK", paper=142, name="made-up reviews", data=MADE, baseline=ON_SOURCE, seeds=SEEDS,
        statement="Pivots and the words near them carry sentiment to another domain.",
        metric="accuracy on other target texts", run=lambda seed: pivoted(made_reviews, seed),
    ),
    Claim(
        method="labelwise.shift.DASK", paper=142, name="real reviews", data=REAL, baseline=ON_SOURCE, seeds=SEEDS,
        statement="Pivots and the words near them carry sentiment to another domain.", needs=("amazon_domains",),
        metric="accuracy on other target texts", run=lambda seed: pivoted(real_reviews, seed),
    ),
    Claim(
        method="labelwise.shift.ContinuedPretraining", paper=204, data=MADE, run=gaps, seeds=SEEDS,
        statement="Filling gaps in texts of both domains first raises accuracy on the target.",
        baseline="the same model without that stage", metric="accuracy on other target texts",
    ),
    Claim(
        method="labelwise.shift.ContinuedPretraining", paper=204, name="which words are hidden", data=MADE, run=hidden,
        statement="Hiding words that say the class helps more than hiding words that do not, at the same rate.",
        baseline="uninformative words hidden", metric="accuracy on other target texts", seeds=SEEDS,
    ),
    Claim(
        method="labelwise.shift.DomainMix", paper=207, run=third_style, seeds=SEEDS,
        statement="Labelled rows of one style and clusters of another give features for a third.",
        data="digits: 0-4 plain with labels, 5-9 blurred and tilted without; all ten in a third style asked for",
        baseline="the same network on the labelled style alone, as many epochs",
        metric="mean average precision of retrieval in the third style",
    ),
]  # fmt: skip
