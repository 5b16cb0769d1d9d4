"""The words of the methods' pages: what each entry of a card means to somebody with a problem."""

from __future__ import annotations

PARTS = (
    "What it does",
    "When to use it",
    "When not to use it",
    "Parameters",
    "Example",
    "Claim as measured",
    "Reference",
    "Related methods",
)
"""The headings of every method's page, in this order; others may stand between them."""

PROBLEMS = {
    "noise": "labels that are wrong",
    "few labels": "few labels",
    "missing labels": "rows without a label, from which it learns too",
    "imbalance": "classes of very different size",
    "votes": "several annotators or rules that vote on a row",
    "label shift": "another mix of classes where the model is used",
    "covariate shift": "rows that look different where the model is used",
    "open set": "rows of no known class",
    "unseen classes": "classes without a training row",
    "poisoning": "a pool somebody may have tampered with",
    "forgetting": "rows or classes to withdraw from a trained model",
    "calibration": "probabilities that must be trusted",
    "duplicates": "rows that repeat",
    "outliers": "rows unlike all others",
    "representation": "features or an encoder whose worth is in question",
    "clean labels": "labels that are right: plain training",
}
KINDS = {
    "learner": "It trains a network (`net=` takes any `nn.Module`).",
    "estimator": "It is a scikit-learn estimator that trains no network.",
    "post-hoc": "It wraps a classifier, yours or the default, and works on what that one says.",
    "diagnostic": "It measures and changes nothing.",
    "part": "It is a part to use inside something else.",
}
COSTS = {
    "seconds": "Seconds: a closed form or a small fit.",
    "light": "Light: about the cost of training one small model.",
    "heavy": "Heavy: several networks, views or stages, a few times the cost of plain training.",
}
NEEDS = {
    "distances": "distances between the labels",
    "forget": "which rows to forget (`forget=`)",
    "target rows": "rows without a label from the place where the model will be used",
    "views": "two views of every row",
    "trusted": "some rows whose labels are known to be right (`trusted=`)",
    "graph": "a graph between the rows",
    "interactions": "pairs of users and items",
    "texts": "texts as lists of strings, not their embeddings",
    "pictures": "pictures `(n, h, w, c)`",
    "votes": "the votes of several annotators or rules (`votes=`)",
    "outliers": "rows known to be of no class",
    "member rows": "which rows the model was trained on",
    "network weights": "the weights of a trained network",
}
READS = {
    "classes": "class labels (`-1` or `None`: no label)",
    "real": "real targets (NaN: no target)",
    "multilabel": "several labels a row (1 yes, 0 no, -1 unknown)",
    "votes": "votes, a column a voter (`-1` or `None`: abstained)",
}
VERDICTS = {
    "shown": ("success", "Shown"),
    "mixed": ("warning", "Partly shown"),
    "not shown": ("warning", "Not shown"),
    "opposite": ("danger", "The opposite was measured"),
    None: ("note", "Not measured"),
}
BADGES = {
    "shown": "shown",
    "not shown": "**not shown**",
    "opposite": "**opposite**",
    "mixed": "mixed",
    None: "not measured",
}
