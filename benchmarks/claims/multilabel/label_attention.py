"""Claims of methods with one attention map a label, on notes, records and mosaics whose evidence is known."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score, roc_auc_score
from torch import Tensor, nn

from benchmarks.claims import Claim, data_path, tuned
from labelwise.learner import LongTailMultiLabelClassifier, Train
from labelwise.losses import MaskedBCE
from labelwise.multilabel import KeNet, LabelDependentAttention, PatchCT, TextSeries, TransICD
from labelwise.nets.label_attention import StepEncoder, real_mean
from labelwise.parts.multilabel_measures import average_precision

SEEDS = (0, 1, 2, 3)
RATES = {"train": [Train(epochs=15, batch_size=32, lr=lr) for lr in (5e-3, 1e-2)]}
LABELS, LENGTH, ROWS, TEST = 20, 30, 500, 400
SIZES: dict[str, Any] = {"width": 32, "layers": 1, "heads": 2}


class Notes(NamedTuple):
    """Rows, their labels, and which of the steps of a row set off which label, ``(n, L, steps)``."""

    X: Any
    y: Any
    planted: Any


def macro_auc(model: Any, X: Any, y: Any) -> float:
    """Return the mean AUC of labels that are yes for some rows and no for others."""
    p = model.predict_proba(X)
    mixed = np.flatnonzero(y.any(0) & ~y.all(0))
    return float(np.mean([roc_auc_score(y[:, label], p[:, label]) for label in mixed]))


def rare_f1(model: Any, X: Any, y: Any) -> float:
    """Return the mean F1 of the rarer half of the labels, which come last, at one half."""
    rare = np.arange(y.shape[1] // 2, y.shape[1])
    return float(f1_score(y[:, rare], model.predict(X)[:, rare], average="macro", zero_division=0))


def on_triggers(model: Any, notes: Notes) -> float:
    """Return the mean attention of labels that are yes on the words that set them off."""
    maps = model.word_maps(notes.X)[1]
    return float(np.mean([
        maps[row][label][notes.planted[row, label][: maps[row].shape[1]]].sum() for row, label in np.argwhere(notes.y == 1)
    ]))  # fmt: skip


class MeanPooled(nn.Module):
    """The comparison: the same encoder, one vector a text, the mean of its words."""

    def __init__(self, n_labels: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.encoder = StepEncoder("tokens", (64, 8192), **SIZES)
            self.head = nn.Linear(SIZES["width"], n_labels)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(b, L)``."""
        scores: Tensor = self.head(real_mean(self.encoder(x)))
        return scores


def mean_pooled(n_labels: int, seed: int) -> LongTailMultiLabelClassifier:
    return LongTailMultiLabelClassifier(net=MeanPooled(n_labels, seed), random_state=seed)


# -- TransICD


def notes(n: int, rng: np.random.Generator) -> Notes:
    """Draw notes of 30 words; every label that is yes plants its own two words; labels are yes by Zipf's law."""
    y = (rng.random((n, LABELS)) < 0.4 / np.arange(1, LABELS + 1)).astype(np.int8)
    words = np.array([[f"w{w}" for w in row] for row in rng.zipf(1.3, size=(n, LENGTH)) % 1000], dtype=object)
    planted = np.zeros((n, LABELS, LENGTH), bool)
    for row in range(n):
        places = iter(rng.permutation(LENGTH))
        for label in np.flatnonzero(y[row]):
            for key in range(2):
                place = next(places)
                words[row, place], planted[row, label, place] = f"l{label}k{key}", True
    return Notes([" ".join(row) for row in words], y, planted)


@cache
def noted(seed: int) -> tuple[Notes, Notes]:
    rng = np.random.default_rng(seed)
    return notes(ROWS, rng), notes(TEST, rng)


@cache
def coded(seed: int, name: str) -> Any:
    """Tune the rate of one of the three networks on held-out training notes, then train it on all."""
    data = noted(seed)[0]
    models: dict[str, Any] = {
        "mean": mean_pooled(LABELS, seed),
        "attention": TransICD(criterion=MaskedBCE(), random_state=seed, **SIZES),
        "margin": TransICD(random_state=seed, **SIZES),
        "no layers": TransICD(random_state=seed, **(SIZES | {"layers": 0})),
    }
    return tuned(models[name], RATES, data.X, data.y, seed, score=macro_auc)


def on_notes(score: Callable[[Any, Any, Any], float], baseline: str) -> Callable[[int], dict[str, float]]:
    """Return a run: code-wise attention with margins against another network."""

    def run(seed: int) -> dict[str, float]:
        test = noted(seed)[1]
        return {
            "baseline": score(coded(seed, baseline), test.X, test.y),
            "method": score(coded(seed, "margin"), test.X, test.y),
        }

    return run


def mass_on_notes(seed: int) -> dict[str, float]:
    """Attention on the words that set labels off, against the .6 that it should reach."""
    test = noted(seed)[1]
    told = {name: on_triggers(coded(seed, name), test) for name in ("margin", "attention", "no layers")}
    return {
        "baseline": 0.6, "method": told["margin"], "without the margin": told["attention"],
        "without transformer layers": told["no layers"],
    }  # fmt: skip


@cache
def intents(seed: int) -> tuple[list[str], Any, list[str], Any]:
    """Return questions to a bank and the words of their intent's name, those of two intents or more, rare ones last."""
    import pandas as pd

    frame = pd.read_parquet(data_path("banking77", "data.parquet"))
    names = [set(name.lower().replace("?", "").split("_")) for name in frame["category"]]
    kinds = frame.drop_duplicates("category")["category"].str.lower().str.replace("?", "").str.split("_")
    counts = kinds.explode().value_counts()
    stop = {"a", "an", "the", "to", "my", "by", "of", "in", "and", "or", "i", "for", "not", "is", "with", "on"}
    words = [word for word in counts.index if counts[word] >= 2 and word not in stop]
    y = np.array([[word in name for word in words] for name in names], dtype=np.int8)
    train = np.flatnonzero(frame["split"] == "train")
    test = np.flatnonzero(frame["split"] == "test")
    rng = np.random.default_rng(seed)
    train, test = rng.choice(train, 700, replace=False), rng.choice(test, 500, replace=False)
    y = y[:, np.argsort(-y[train].sum(0), kind="stable")]
    texts = frame["text"].tolist()
    return [texts[i] for i in train], y[train], [texts[i] for i in test], y[test]


@cache
def banked(seed: int, name: str) -> Any:
    """Tune the rate of a network on held-out training questions, then train it on all."""
    X, y, _, _ = intents(seed)
    models: dict[str, Any] = {
        "mean": mean_pooled(y.shape[1], seed),
        "margin": TransICD(random_state=seed, **SIZES),
        "kenet": KeNet(random_state=seed, **SIZES),
        "kenet, no label attention": KeNet(use_label_attention=False, random_state=seed, **SIZES),
    }
    return tuned(models[name], RATES, X, y, seed, score=macro_auc)


def on_intents(
    score: Callable[[Any, Any, Any], float], baseline: str, method: str
) -> Callable[[int], dict[str, float]]:
    """Return a run on questions to a bank."""

    def run(seed: int) -> dict[str, float]:
        _, _, X, y = intents(seed)
        return {"baseline": score(banked(seed, baseline), X, y), "method": score(banked(seed, method), X, y)}

    return run


# -- LabelDependentAttention


def records(n: int, rng: np.random.Generator) -> tuple[TextSeries, Notes]:
    """Draw records: five trigger words a label, of which a note shows one in two thirds of the cases; two motifs a label.

    The series of two channels shows one of the label's two motifs in two thirds of the cases, at a random time.
    """
    y = (rng.random((n, 8)) < 0.25).astype(np.int8)
    words = np.array([[f"w{w}" for w in row] for row in rng.zipf(1.3, size=(n, 20)) % 400], dtype=object)
    planted, series = np.zeros((n, 8, 20), bool), 0.5 * rng.normal(size=(n, 2, 24))
    motifs = np.random.default_rng(0).normal(size=(8, 2, 2, 4)) * 1.5
    for row, label in np.argwhere(y == 1):
        if rng.random() < 2 / 3:
            place = rng.choice(np.flatnonzero(~planted[row].any(0)))
            words[row, place], planted[row, label, place] = f"l{label}k{rng.integers(5)}", True
        if rng.random() < 2 / 3:
            start = 4 * int(rng.integers(6))
            series[row, :, start : start + 4] += motifs[label, rng.integers(2)]
    texts = [" ".join(row) for row in words]
    shown = y * planted.any(2)
    return TextSeries(texts, series), Notes(texts, y, planted & shown[:, :, None].astype(bool))


@cache
def recorded(seed: int) -> tuple[TextSeries, Notes, TextSeries, Notes]:
    rng = np.random.default_rng(seed)
    return *records(500, rng), *records(400, rng)


@cache
def joint(seed: int, name: str) -> Any:
    """Tune the rate of a network on held-out training records, then train it on all."""
    both, text, _, _ = recorded(seed)
    model: Any = LabelDependentAttention(radius=0, width=32, random_state=seed)
    if name == "mean":
        model = mean_pooled(8, seed)
    X = {"both": both, "text": text.X, "mean": text.X, "series": both.series}[name]
    return tuned(model, RATES, X, text.y, seed, score=macro_auc)


def on_records(method: str, baseline: str) -> Callable[[int], dict[str, float]]:
    """Return a run: macro AUC of two networks on test records."""

    def run(seed: int) -> dict[str, float]:
        both, test = recorded(seed)[2:]
        X = {"both": both, "text": test.X, "mean": test.X, "series": both.series}
        return {
            who: macro_auc(joint(seed, name), X[name], test.y)
            for who, name in (("baseline", baseline), ("method", method))
        }

    return run


def mass_on_records(seed: int) -> dict[str, float]:
    """Attention on the trigger word of labels that show one, against a bar of .6."""
    both, test = recorded(seed)[2:]
    maps = joint(seed, "both").attention(both).texts
    rows, labels = np.nonzero(test.planted.any(2))
    found = [maps[row][label][test.planted[row, label]].sum() for row, label in zip(rows, labels, strict=True)]
    return {"baseline": 0.6, "method": float(np.mean(found))}


# -- KeNet


class Briefs(NamedTuple):
    """Short texts, their labels, and what is known of their terms."""

    X: list[str]
    y: Any
    X_test: list[str]
    y_test: Any
    known: dict[str, str]


@cache
def briefs(seed: int) -> Briefs:
    """Draw texts of eight words, a term or two among them; 12 topics of 40 terms each, defined by the topic's four words."""
    rng = np.random.default_rng(seed)
    known = {f"t{topic}x{term}": " ".join(f"topic{topic}m{m}" for m in rng.choice(4, 2, replace=False))
             for topic in range(12) for term in range(40)}  # fmt: skip
    y = np.zeros((1000, 12), np.int8)
    texts = []
    for row in range(1000):
        words = [f"w{w}" for w in rng.zipf(1.3, size=8) % 300]
        for place, topic in zip(rng.permutation(8), rng.choice(12, 1 + rng.integers(2), replace=False), strict=False):
            words[place], y[row, topic] = f"t{topic}x{rng.integers(40)}", 1
        texts.append(" ".join(words))
    return Briefs(texts[:500], y[:500], texts[500:], y[500:], known)


@cache
def knowing(seed: int, *off: str) -> Any:
    """Tune the rate of KeNet, some parts switched off, on held-out training texts, then train it on all."""
    data = briefs(seed)
    switches: dict[str, Any] = dict.fromkeys(off, False)
    model = KeNet(knowledge=data.known, knowledge_length=8, random_state=seed, **SIZES, **switches)
    return tuned(model, RATES, data.X, data.y, seed, score=macro_auc)


def on_briefs(*off: str) -> Callable[[int], dict[str, float]]:
    """Return a run: KeNet with and without a part, macro AUC and macro F1."""

    def run(seed: int) -> dict[str, float]:
        data, models = briefs(seed), {"baseline": knowing(seed, *off), "method": knowing(seed)}
        told = {who: macro_auc(model, data.X_test, data.y_test) for who, model in models.items()}
        f1 = {
            f"{who}, macro F1": float(
                f1_score(data.y_test, model.predict(data.X_test), average="macro", zero_division=0)
            )
            for who, model in models.items()
        }
        return told | f1

    return run


# -- PatchCT


@cache
def mosaics(seed: int) -> tuple[Any, Any, Any, Any, Any]:
    """Return mosaics of nine places, four of them with a digit, their labels, and the digit at each place (-1: none)."""
    images, digits = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(images))
    made = []
    for n, pool in ((800, order[:1200]), (300, order[1200:])):
        chosen = rng.choice(pool, (n, 9))
        there = np.argsort(rng.random((n, 9)), axis=1) < 4
        cells = (images[chosen] / 16 * there[:, :, None]).reshape(n, 3, 3, 8, 8)
        pictures = cells.transpose(0, 1, 3, 2, 4).reshape(n, 24, 24, 1) + 0.1 * rng.normal(size=(n, 24, 24, 1))
        found = np.where(there, digits[chosen], -1)
        made += [pictures, (found[:, :, None] == np.arange(10)).any(1).astype(np.int8), found]
    X, y, _, X_test, y_test, found = made
    return X, y, X_test, y_test, found


@cache
def seen(seed: int, name: str) -> Any:
    """Train one of three networks of the same size."""
    X, y = mosaics(seed)[:2]
    train = Train(epochs=20, batch_size=32, lr=5e-3)
    sizes: dict[str, Any] = {"width": 32, "layers": 1, "heads": 2, "patch": 8, "train": train, "random_state": seed}
    models: dict[str, Any] = {
        "transport": PatchCT(criterion=MaskedBCE(), **sizes), "none": PatchCT(criterion=MaskedBCE(), weight=0.0, **sizes),
        "label attention": TransICD(criterion=MaskedBCE(), **sizes),
    }  # fmt: skip
    return models[name].fit(X, y)


def mean_precision(seed: int, name: str) -> float:
    _, _, X, y, _ = mosaics(seed)
    return float(np.nanmean(average_precision(seen(seed, name).predict_proba(X), y)))


def located(seed: int, name: str) -> float:
    """Return the share of labels in test mosaics whose map is highest at a place with that digit."""
    _, _, X, y, found = mosaics(seed)
    best = seen(seed, name).attention(X).reshape(len(X), 10, 9).argmax(2)
    rows, labels = np.nonzero(y)
    return float((found[rows, best[rows, labels]] == labels).mean())


def on_mosaics(measure: Callable[[int, str], float], baseline: str) -> Callable[[int], dict[str, float]]:
    """Return a run: PatchCT against another network of the same size."""
    return lambda seed: {"baseline": measure(seed, baseline), "method": measure(seed, "transport")}


CODES = "notes of 30 words, 20 labels by Zipf's law, each set off by two words of its own; 500 notes"
BANK = "banking77: 700 questions, labels are the words of the intents' names"
CLAIMS = [
    Claim(
        method="labelwise.multilabel.TransICD", paper=57, name=name, data=data, metric=metric, baseline=baseline,
        statement=statement, seeds=SEEDS, run=run, needs=("banking77",) if data is BANK else (),
    )
    for name, data, metric, baseline, statement, run in (
        ("mean", CODES, "macro AUC", "the mean of the same transformer's words, binary cross-entropy",
         "Code-wise attention finds the codes of notes better than one vector a note.", on_notes(macro_auc, "mean")),
        ("rare", CODES, "macro F1 of the 10 rarest labels", "the same attention, binary cross-entropy",
         "Margins by label frequency raise the F1 of rare labels.", on_notes(rare_f1, "attention")),
        ("evidence", CODES, "attention on the words that set a label off", "a bar at .6",
         "The attention of a label is on the words that set it off.", mass_on_notes),
        ("intents", BANK, "macro AUC", "the mean of the same transformer's words, binary cross-entropy",
         "Code-wise attention beats one vector a text on real questions.", on_intents(macro_auc, "mean", "margin")),
    )
]  # fmt: skip
CLAIMS.append(
    Claim(
        method="labelwise.losses.LabelMargin", paper=57, data=CODES, metric="macro F1 of the 10 rarest labels", seeds=SEEDS,
        statement="Margins by label frequency raise the F1 of rare labels.", run=on_notes(rare_f1, "attention"),
        baseline="binary cross-entropy, the same network of code-wise attention, same tuning budget",
    )
)  # fmt: skip

EHR = "records: notes of 20 words with trigger words, series of 24 times with motifs, 8 labels; 500 records"
BRIEF = (
    "texts of eight words, one or two of them terms of 12 topics, each term defined by words of its topic; 500 texts"
)
MOSAICS = "mosaics of 3 x 3 places, four with a digit, noise; 800 mosaics, other digits in the test"
CLAIMS += [
    Claim(
        method=f"labelwise.multilabel.{method}", paper=paper, name=name, data=data, metric=metric, baseline=baseline,
        statement=statement, seeds=SEEDS, run=run, needs=("banking77",) if data is BANK else (),
    )
    for method, paper, name, data, metric, baseline, statement, run in (
        ("LabelDependentAttention", 250, "series", EHR, "macro AUC", "the same method on the notes alone",
         "A series beside the notes helps.", on_records("both", "text")),
        ("LabelDependentAttention", 250, "notes", EHR, "macro AUC", "the same method on the series alone",
         "Notes beside the series help.", on_records("both", "series")),
        ("LabelDependentAttention", 250, "mean", EHR, "macro AUC", "a transformer, mean of its words",
         "On notes alone, attention against label vectors beats one vector a note.", on_records("text", "mean")),
        ("LabelDependentAttention", 250, "evidence", EHR, "attention on trigger words", "a bar at .6",
         "The attention of a label is on the word that sets it off.", mass_on_records),
        ("KeNet", 253, "knowledge", BRIEF, "macro AUC", "the same network without knowledge",
         "Definitions of terms help with short texts.", on_briefs("use_knowledge")),
        ("KeNet", 253, "label attention", BRIEF, "macro AUC", "the same network without label attention",
         "Attention by label helps with short texts.", on_briefs("use_label_attention")),
        ("KeNet", 253, "intents", BANK, "macro AUC", "the same network without label attention",
         "Attention by label helps with real questions.", on_intents(macro_auc, "kenet, no label attention", "kenet")),
        ("PatchCT", 255, "precision", MOSAICS, "mean average precision", "the same network without transport",
         "Transport between patches and labels raises mean average precision.", on_mosaics(mean_precision, "none")),
        ("PatchCT", 255, "places", MOSAICS, "labels whose map is highest at their digit", "the same without transport",
         "With transport the map finds where a label is.", on_mosaics(located, "none")),
        ("PatchCT", 255, "attention", MOSAICS, "labels whose map is highest at their digit", "attention by label",
         "The map of transport finds where a label is better than attention by label.",
         on_mosaics(located, "label attention")),
    )
]  # fmt: skip
