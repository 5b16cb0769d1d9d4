"""Five labels a class, and a pool that also holds classes nobody named: three methods side by side.

Six digits have five labels each; half of the unlabelled pictures show one of the other four digits. FixMatch takes every
row for one of the six; IOMatch and DAC learn which rows are none of them, and `predict_open` says so. Printed are the
accuracy on test digits of the six classes, the chance that an unknown digit scores above a known one (AUROC), and the
balanced accuracy over the six classes and "unknown". Run it: ``python examples/open_pool.py``.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits

from labelwise.learner import Train
from labelwise.parts.open_set import auroc, closed_accuracy, open_set_balanced_accuracy
from labelwise.semi_supervised import DAC, FixMatch, IOMatch

KNOWN = 6


def main(reduced: bool = False) -> None:
    """Fit the three methods and print a table."""
    X, digit = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, digit = X[order], digit[order]
    train, test = np.arange(900), np.arange(900, len(X))

    y = np.full(len(train), -1)  # -1 is "no label"
    for known in range(KNOWN):
        y[np.flatnonzero(digit[train] == known)[:5]] = known
    unknown = digit[test] >= KNOWN
    print(f"{len(y)} rows, {int((y >= 0).sum())} labels, {(digit[train] >= KNOWN).mean():.0%} of unknown digits")
    print(f"{'method':>10} {'closed':>8} {'AUROC':>8} {'open':>8}")

    settings = Train(epochs=5 if reduced else 40, batch_size=32)
    for method in (FixMatch, IOMatch, DAC):
        model = method(train=settings, random_state=0).fit(X[train], y)
        named = model.predict(X[test])
        if method is FixMatch:  # has no outlier score: how unsure it is must do
            score = 1 - model.predict_proba(X[test]).max(1)
            opened = np.where(score >= 0.5, -1, named)
        else:
            score, opened = model.outlier_score(X[test]), model.predict_open(X[test])
        closed, ranked = closed_accuracy(digit[test], named, unknown), auroc(score, unknown)
        both = open_set_balanced_accuracy(digit[test], opened, KNOWN)
        print(f"{method.__name__:>10} {closed:>8.3f} {ranked:>8.3f} {both:>8.3f}")


if __name__ == "__main__":
    main()
