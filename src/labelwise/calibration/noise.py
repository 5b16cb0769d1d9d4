"""Estimating how calibration labels are wrong, from held-out scores and the labels themselves."""

from __future__ import annotations

import numpy as np
from scipy.special import softmax

from labelwise.calibration.maps import SEARCH_ROWS, Likelihood, fit_temperature
from labelwise.parts import confident_joint
from labelwise.parts.calibration_measures import Codes, Doubles
from labelwise.parts.noise_matrix import NoiseMatrix

ROUNDS, STEPS = 15, 3
"""Rounds of expectation maximisation, and steps of the matrix in each."""
TRUST = 2.0
"""Right labels of each class that are assumed to have been seen."""
FEW = 5000
"""Most rows that the temperature is fitted to in between."""


def estimate_noise(logits: Doubles, codes: Codes) -> NoiseMatrix:
    """Return the noise matrix and temperature of the greatest joint likelihood, started from the confident joint.

    The confident joint takes rows that the classifier gets wrong for wrongly labelled ones, and the worse calibrated the
    scores the more of them. So the matrix is refined by expectation maximisation over the unknown true classes, in turn
    with the temperature of the scores.
    """
    logits, codes = logits[:SEARCH_ROWS], codes[:SEARCH_ROWS]
    matrix = _confident(np.asarray(softmax(logits, axis=1)), codes)
    for _ in range(ROUNDS):
        factor = fit_temperature(Likelihood(logits[:FEW], codes[:FEW], matrix))
        proba = np.asarray(softmax(factor * logits, axis=1))
        for _ in range(STEPS):
            matrix = _step(matrix, proba, codes)
    return NoiseMatrix(matrix)


def _confident(proba: Doubles, codes: Codes) -> Doubles:
    reading = confident_joint.read(codes, proba)
    sure = confident_joint.confident_classes(reading, confident_joint.thresholds(reading))
    counts = confident_joint.calibrate(confident_joint.count_joint(reading, sure), reading.counts)
    return _columns(counts + TRUST * np.eye(reading.n_classes))


def _step(matrix: Doubles, proba: Doubles, codes: Codes) -> Doubles:
    """Count (given, true) pairs by the posterior of the true class."""
    joint = matrix[codes] * proba
    joint /= np.maximum(joint.sum(1, keepdims=True), 1e-300)
    given = np.eye(len(matrix))[codes]
    return _columns(given.T @ joint + TRUST * np.eye(len(matrix)))


def _columns(counts: Doubles) -> Doubles:
    return np.asarray(counts / counts.sum(0))
