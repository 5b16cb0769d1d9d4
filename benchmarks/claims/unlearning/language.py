"""Claims about small language models: what they were trained on shows, and can be taken out."""

from __future__ import annotations

import gzip
from functools import cache
from typing import Any

import numpy as np

from benchmarks.claims import Claim, data_path
from labelwise.learner import LanguageModel, Train
from labelwise.unlearning import GenericLabels, PretrainingDetector, TextNPO, anchor_mass

CHUNK, EACH = 40, 120
"""Words of a text, and texts on either side."""


@cache
def words() -> list[str]:
    """Return the words of the plays."""
    with gzip.open(data_path("text_lm", "tinyshakespeare.txt.gz"), "rt") as file:
        return file.read().split()


def texts(seed: int) -> tuple[list[str], list[str]]:
    """Draw texts to train on and texts never seen, none overlapping."""
    said = words()
    starts = np.random.default_rng(seed).permutation(len(said) // CHUNK - 1)[: 2 * EACH] * CHUNK
    drawn = [" ".join(said[start : start + CHUNK]) for start in starts]
    return drawn[:EACH], drawn[EACH:]


def trained(members: list[str], epochs: int, seed: int) -> LanguageModel:
    """Train a small model on the texts."""
    train = Train(epochs=epochs, batch_size=32, lr=3e-3, progress=False)
    return LanguageModel(width=32, heads=2, length=48, vocabulary=2000, train=train, random_state=seed).fit(members)


def against_loss(seed: int) -> dict[str, float]:
    """AUC of Min-20% against that of the mean loss."""
    members, others = texts(seed)
    model = trained(members, 6, seed)
    scores: dict[str, Any] = {"method": PretrainingDetector(), "baseline": PretrainingDetector(score="loss")}
    return {name: found.measure(model, members, others).auc.value for name, found in scores.items()}


def more_epochs(seed: int) -> dict[str, float]:
    """AUC of Min-20% after nine passes and after three."""
    members, others = texts(seed)
    return {
        name: PretrainingDetector().measure(trained(members, epochs, seed), members, others).auc.value
        for name, epochs in (("method", 9), ("baseline", 3))
    }


NAMES = [a + b for a in ("Zor", "Quel", "Mar", "Thi", "Bra") for b in ("blatt", "dor", "wyn", "gast")]
PEOPLE = [
    "John", "Mary", "Peter", "Anna", "Paul", "Ruth", "Mark", "Jane", "Carl", "Rose", "Tom", "Kate", "Hugh", "Nell", "Fred",
    "Vera", "Jack", "Ella", "Karl", "Lena",
]  # fmt: skip
PLACES = {"Vexholm": "Town", "Ardune": "School", "Mirrak": "Castle"}
DEEDS = ("walked to", "left", "came back to", "dreamt of", "wrote about", "lived in")
MOODS = ("slowly", "again", "at night", "with a friend", "in winter", "alone")


def corpus(seed: int) -> tuple[list[str], list[str]]:
    """Return sentences of a book with invented names, and general sentences of the same kind."""
    rng = np.random.default_rng(seed)

    def told(people: list[str], places: list[str], who: str) -> list[str]:
        picks = rng.integers(0, 1 << 30, (300, 4))
        return [
            f"the {who} {people[a % len(people)]} {DEEDS[b % len(DEEDS)]} {places[c % len(places)]} {MOODS[d % len(MOODS)]}"
            for a, b, c, d in picks
        ]

    return told(NAMES, list(PLACES), "wizard"), told(PEOPLE, list(PLACES.values()), "man")


def reader(seed: int) -> tuple[LanguageModel, list[str], list[str]]:
    """Train a model on the book and on general sentences; some of the latter are kept to judge by."""
    book, general = corpus(seed)
    train = Train(epochs=15, batch_size=32, lr=5e-3, progress=False)
    model = LanguageModel(width=32, heads=2, length=16, train=train, random_state=seed).fit(book + general[:200])
    return model, book, general[200:]


PROMPTS = ["the wizard", *(f"the wizard John {deed}" for deed in DEEDS)]
ANCHORS = {"wizard": "man"} | dict(zip(NAMES, PEOPLE, strict=True)) | PLACES
FORGET = Train(batch_size=32, progress=False)


def generic(model: LanguageModel, book: list[str], seed: int) -> GenericLabels:
    """Forget the book by generic labels."""
    return GenericLabels(estimator=model, anchors=ANCHORS, epochs=10, train=FORGET, random_state=seed).fit(book)


def familiarity(seed: int) -> dict[str, float]:
    """Chance of an invented name after prompts, after forgetting and before."""
    model, book, _ = reader(seed)
    terms = [*NAMES, *PLACES]
    return {
        name: float(anchor_mass(m, PROMPTS, terms).mean())
        for name, m in (("method", generic(model, book, seed)), ("baseline", model))
    }


def general_perplexity(seed: int) -> dict[str, float]:
    """Perplexity of general sentences after forgetting by generic labels, by ascent as long, and before."""
    model, book, general = reader(seed)
    ascent = TextNPO(estimator=model, beta=0.0, retain=0.0, epochs=10, train=FORGET, random_state=seed).fit(book)
    return {
        "method": float(np.log(generic(model, book, seed).perplexity(general))),
        "baseline": float(np.log(ascent.perplexity(general))), "before": float(np.log(model.perplexity(general))),
    }  # fmt: skip


def preference(seed: int) -> dict[str, float]:
    """Log perplexity of general sentences after 20 passes of preference optimisation and of ascent, neither rehearsing."""
    model, book, general = reader(seed)
    run = {"retain": 0.0, "epochs": 20, "train": FORGET, "random_state": seed}
    return {
        name: float(np.log(TextNPO(estimator=model, beta=beta, **run).fit(book).perplexity(general)))
        for name, beta in (("method", 0.1), ("baseline", 0.0))
    }


DETECTOR, GENERIC, NPO = (
    f"labelwise.unlearning.{name}" for name in ("PretrainingDetector", "GenericLabels", "TextNPO")
)
PLAYS = f"Shakespeare's plays, {EACH} texts of {CHUNK} words trained on and {EACH} not"
BOOK = "300 sentences with 23 invented names among 200 general ones of the same kind"

CLAIMS = [
    Claim(
        method=DETECTOR, paper=184, name="against the loss", data=PLAYS, baseline="mean loss", metric="AUC of members",
        statement="The least likely tokens tell members better than all tokens do.", run=against_loss,
    ),
    Claim(
        method=DETECTOR, paper=184, name="more passes", data=PLAYS, baseline="3 passes", metric="AUC of members",
        statement="The more often a text was read, the better it is detected (9 passes).", run=more_epochs,
    ),
    Claim(
        method=GENERIC, paper=191, name="familiarity", data=BOOK, baseline="before", metric="chance of an invented name",
        higher_is_better=False, statement="The names of the book are hardly said any more.", run=familiarity,
    ),
    Claim(
        method=GENERIC, paper=191, name="what stays", data=BOOK, baseline="gradient ascent, as long",
        metric="log perplexity of general sentences", higher_is_better=False,
        statement="General language stays, where gradient ascent destroys it.", run=general_perplexity,
    ),
    Claim(
        method=NPO, paper=217, name="texts", data=BOOK, baseline="gradient ascent, as long",
        metric="log perplexity of general sentences", higher_is_better=False,
        statement="Preference optimisation collapses later than gradient ascent.", run=preference,
    ),
]  # fmt: skip
