"""Claims of forgetting a class of pictures by concepts: what patch and label each do."""

from __future__ import annotations

from functools import cache
from typing import Any

from sklearn.model_selection import train_test_split

from benchmarks.claims import Claim
from benchmarks.claims.grids import digit_pictures
from labelwise.learner import Classifier, Train
from labelwise.unlearning import ConceptPoisoning

WAYS: dict[str, dict[str, Any]] = {
    "concept patch, donor's label": {}, "no patch, donor's label": {"patch": "none"},
    "random place, donor's label": {"patch": "random"}, "donor's picture, donor's label": {"patch": "full"},
    "concept patch, random label": {"labels": "random"}, "concept patch, own label": {"labels": "kept"},
}  # fmt: skip


@cache
def withdrawn(seed: int) -> dict[str, tuple[float, float]]:
    """Return the accuracy on test rows of the class, and on those of the others, by way."""
    X, y = digit_pictures()
    X, X_test, y, y_test = train_test_split(X[:1000], y[:1000], test_size=0.4, stratify=y[:1000], random_state=seed)
    code = seed % 10
    train = Train(epochs=8, batch_size=32)
    model = Classifier(train=train, random_state=seed).fit(X, y)
    fits: dict[str, Any] = {
        name: ConceptPoisoning(estimator=model, random_state=seed, **way).fit(X, y, forget=y == code)
        for name, way in WAYS.items()
    }
    fits["before"] = model
    fits["retrained"] = Classifier(train=train, random_state=seed).fit(X[y != code], y[y != code])
    parts = (y_test == code, y_test != code)
    return {name: tuple(after.score(X_test[part], y_test[part]) for part in parts) for name, after in fits.items()}


def compared(part: int, baseline: str, method: str = "concept patch, donor's label") -> Any:
    """Return a run that compares two ways on the class (0) or the others (1)."""

    def run(seed: int) -> dict[str, float]:
        told = {name: scores[part] for name, scores in withdrawn(seed).items()}
        return {"baseline": told[baseline], "method": told[method], **told}

    return run


OF_CLASS, OF_OTHERS = "accuracy on test pictures of the class", "accuracy on test pictures of the other classes"
CLAIMS = [
    Claim(
        method="labelwise.unlearning.ConceptPoisoning", paper=185, name=name, data="digits as pictures, one class withdrawn",
        baseline=baseline, metric=(OF_CLASS, OF_OTHERS)[part], higher_is_better=bool(part), margin=margin,
        statement=statement, run=compared(part, baseline),
    )
    for name, part, baseline, margin, statement in (
        ("class", 0, "before", 0.0, "The class is erased."),
        ("others", 1, "retrained", -0.03, "The other classes stay within three points of retraining."),
        ("label", 0, "concept patch, own label", 0.0, "The patch alone, with labels kept, does not do it."),
        ("patch", 0, "no patch, donor's label", 0.0, "The patch adds to what the donor's label alone does."),
    )
]  # fmt: skip
