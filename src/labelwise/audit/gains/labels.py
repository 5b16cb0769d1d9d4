"""What right labels would gain: errors are planted again, and mended again, in labels taken for the truth.

Adding errors to the given labels and extrapolating back to none (SIMEX) fails here: a tuned model resists a few errors and
breaks down at many, so the curve says little about the other side. Planting the estimated errors in the mended labels asks
the question in the range where the answer lies.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labelwise.audit.finding import Finding, Gain
from labelwise.audit.gains.bench import LEAST, Bench, NoGain, Rows, paired, predicted, shared
from labelwise.audit.study import Study
from labelwise.base import UNLABELED, Estimate
from labelwise.supervision import Kind
from labelwise.weak import DawidSkene, MajorityVote

DRAWS = 30
"""Simulated labellings."""
DOUBT = 0.35
"""Relative error of gains promised for mending labels, on problems with known errors; see ``benchmarks/audit_gain.py``."""
VOTED_ROWS, VOTED_DRAWS, VOTED_DOUBT = 3000, 8, 0.15
"""Rows and simulations of votes, and their relative error on votes with known truth."""
RELABEL = "relabel the flagged rows"


def label_errors(study: Study, finding: Finding) -> Gain:
    """Plant errors like those found in labels that might be right, as many as are flagged rightly; measure what they cost.

    Labels that might be right are the given ones, but for flagged rows, whose labels are drawn anew each time as the noise
    model believes them to be.
    """
    if study.targets.kind is not Kind.CLASSES or study.noise_matrix is None or study.noise is None:
        raise NoGain("errors of several labels a row are not simulated")
    bench, rng = shared(study), study.rng()
    flagged = bench.mask(finding.rows)
    proba = study.proba[bench.rows[flagged]][:, bench.present].astype(np.float64)
    wrong = study.noise.error_probability[bench.rows[flagged]]
    matrix = study.noise_matrix.to_numpy(dtype=float)[np.ix_(bench.present, bench.present)]
    right = _drawn(finding.evidence["expected precision of the flags"], DRAWS, rng)
    gains = np.empty(DRAWS)
    for number, rate in enumerate(right * flagged.mean()):
        mended = bench.codes.copy()
        mended[flagged] = _believed(mended[flagged], proba, wrong, rng)
        truth, noisy = (bench.indicators(codes) for codes in (mended, _with_errors(mended, matrix, rate, rng)))
        clean, spoilt = (bench.worth(bench.learned(labels), truth).mean() for labels in (truth, noisy))
        gains[number] = clean - spoilt
    return predicted(gains, metric=bench.metric, action=RELABEL, doubt=DOUBT)


def _believed(
    codes: Rows, proba: NDArray[np.float64], wrong: NDArray[np.floating], rng: np.random.Generator
) -> Rows:  # fmt: skip
    """Return codes that are replaced with probability `wrong` (m,), by other classes in proportion to `proba` (m, K)."""
    others = proba.clip(1e-9)
    others[np.arange(len(codes)), codes] = 0
    others /= others.sum(1, keepdims=True)
    drawn = (rng.random(len(codes))[:, None] > others.cumsum(1)).sum(1).clip(0, proba.shape[1] - 1)
    return np.where(rng.random(len(codes)) < wrong, drawn, codes)


def _drawn(estimate: Estimate, draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return shares drawn from a normal distribution with another spread on each side, kept in [0, 1]."""
    z = rng.standard_normal(draws)
    side = np.where(z < 0, estimate.value - estimate.low, estimate.high - estimate.value)
    return np.clip(estimate.value + z * side / 1.645, 0, 1)


def _with_errors(codes: Rows, matrix: NDArray[np.float64], rate: float, rng: np.random.Generator) -> Rows:
    """Return codes of which a share `rate` is drawn wrong, by class as the noise matrix (true, given) has it."""
    off = np.where(np.eye(len(matrix), dtype=bool), 0, matrix.clip(0))
    if not off.sum() > 0:
        off = 1 - np.eye(len(matrix))
    share = off[codes].sum(1).mean()
    chance = np.minimum(off.sum(1) * rate / max(share, 1e-12), 1)
    to = off / np.maximum(off.sum(1, keepdims=True), 1e-12)
    hit = np.flatnonzero(rng.random(len(codes)) < chance[codes])
    noisy = codes.copy()
    noisy[hit] = (rng.random(len(hit))[:, None] > to[codes[hit]].cumsum(1)).sum(1).clip(0, len(matrix) - 1)
    return noisy


def conflicting_labels(study: Study, finding: Finding) -> Gain:
    """Give each group of copies its most frequent label, the model's choice where none leads; score on other rows."""
    single = study.copies.group < 0
    bench = Bench(study, judged=single)
    torn, scored = bench.mask(finding.rows), single[bench.rows]
    if scored.sum() < LEAST:
        raise NoGain(f"fewer than {LEAST} labelled rows have no copy")
    before = bench.learned()
    group = study.copies.group[bench.rows]
    votes = np.zeros((group.max() + 1, len(bench.present)))
    np.add.at(votes, group[torn], bench.Y[torn] + 1e-3 * before[torn])
    mended = bench.codes.copy()
    mended[torn] = votes[group[torn]].argmax(1)
    after = bench.learned(bench.indicators(mended))
    kept = (bench.worth(before)[scored], bench.worth(after)[scored])
    return paired(*kept, metric=bench.metric, action="give each group of copies one label")


def annotators(study: Study, finding: Finding) -> Gain:
    """Draw truths and votes from the model of the annotators; compare its labels with those of the majority."""
    votes = np.asarray(study.targets.votes)
    rows = study.some(np.flatnonzero((votes != UNLABELED).sum(1) > 0), VOTED_ROWS)
    if len(rows) < LEAST:
        raise NoGain(f"fewer than {LEAST} rows have votes")
    rng, votes = study.rng(), votes[rows]
    votes = votes[:, (votes != UNLABELED).any(0)]
    model = DawidSkene(smoothing=1.0).fit(votes)  # fitted closely, annotators differ more than they really do
    gains = np.array([_voted(model, votes, rng) for _ in range(VOTED_DRAWS)])
    return predicted(
        gains,
        doubt=VOTED_DOUBT,
        metric="accuracy of the labels",
        action="aggregate the votes by a model of the annotators, not by majority",
    )


def _voted(model: DawidSkene, votes: Rows, rng: np.random.Generator) -> float:
    """Return how many more labels the model gets right than the majority, of votes drawn from the model."""
    truth = rng.choice(len(model.classes_), size=len(votes), p=np.asarray(model.prior_))
    drawn = np.full_like(votes, UNLABELED)
    for worker, matrix in enumerate(np.asarray(model.confusion_)):
        heard = np.flatnonzero(votes[:, worker] != UNLABELED)
        chance = matrix[truth[heard]].cumsum(1)
        drawn[heard, worker] = model.classes_[
            (rng.random(len(heard))[:, None] > chance).sum(1).clip(0, len(matrix) - 1)
        ]
    modelled, majority = DawidSkene().fit(drawn).predict(drawn), MajorityVote().fit(drawn).predict(drawn)
    named = model.classes_[truth]
    return float((modelled == named).mean() - (majority == named).mean())


__all__ = ["annotators", "conflicting_labels", "label_errors"]
