"""Claims of the spectrum of features that were pre-trained on wrong labels."""

from __future__ import annotations

from benchmarks.claims import Claim
from benchmarks.claims.noisy.single_network import FEATURES, spectrum

CLAIMS = [
    Claim(
        method="labelwise.diagnostics.FeatureSpectrum", paper=234, run=spectrum, data=FEATURES,
        baseline="right labels", metric="largest singular value ratio of features of 30 % wrong labels",
        statement="Wrong labels in pre-training flatten the leading direction of the features.",
    ),
]  # fmt: skip
