"""Classes nobody has labelled: finding, counting and recognising them."""

from __future__ import annotations

from labelwise.discovery.base import Discovery, DiscoveryEstimator
from labelwise.discovery.class_relation import ClassRelationDistillation, relation_loss
from labelwise.discovery.gmm import GaussianMixturePrototypes
from labelwise.discovery.hypersphere import HypersphericalClassifier, UnitHead
from labelwise.discovery.kmeans import NCDKMeans
from labelwise.discovery.projection import ProjectionBasedDiscovery
from labelwise.discovery.separation import NeighbourSeparation, NeighbourSeparationResult
from labelwise.discovery.spectral import NCDSpectral
from labelwise.discovery.split_merge import NormalInverseWishart, SplitMerge, split_score
from labelwise.discovery.validation import HiddenClassResult, hidden_class_validation

__all__ = [
    "ClassRelationDistillation",
    "Discovery",
    "DiscoveryEstimator",
    "GaussianMixturePrototypes",
    "HiddenClassResult",
    "HypersphericalClassifier",
    "NCDKMeans",
    "NCDSpectral",
    "NeighbourSeparation",
    "NeighbourSeparationResult",
    "NormalInverseWishart",
    "ProjectionBasedDiscovery",
    "SplitMerge",
    "UnitHead",
    "hidden_class_validation",
    "relation_loss",
    "split_score",
]
