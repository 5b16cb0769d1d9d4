"""Generators with hidden truth: every one returns the data and what was planted in them.

Tests can so check the mechanism (the noise matrix that was recovered, the share that was found) and not only accuracy.
All are vectorised, take `random_state` and return a small frozen dataclass.

==============================  ========================================================================
what is wrong                   generator
==============================  ========================================================================
nothing                         `blobs`, `mixture`, `long_tail`
classes are lopsided            `long_tailed`, `tail_shares`
labels are wrong                `symmetric_noise`, `pair_noise`, `transition_noise`, `instance_noise`,
                                `boundary_noise`
rows are of no known class      `open_set_noise`, `open_pool`
several people or rules voted   `crowd`, `labelling_functions`
domains differ                  `prior_shift`, `covariate_shift`, `topic_shift`,
                                `two_domain_reviews`
rows change on the way          `labelled_stream`, `charging_curves`
labels belong to groups         `proportion_bags`, `set_bags`, `two_kind_bags`
labels are incomplete           `partial_multilabel`
labels are very many            `extreme_multilabel`
rows repeat                     `planted_duplicates`
rows carry a hidden trigger     `backdoor_pool`
classes were never seen         `taxonomy`, `label_tree`, `random_tree`
only probabilities are there    `calibrated_probabilities`
the signal moves about          `dynamic_signal`
joints are to be found          `stick_figures`
objects run into each other     `shape_scenes`
==============================  ========================================================================
"""

from __future__ import annotations

from labelwise.data.synthetic.annotators import Crowd, crowd
from labelwise.data.synthetic.backdoor import BackdoorPool, backdoor_pool
from labelwise.data.synthetic.bags import (
    ProportionBags,
    SetBags,
    TwoKindBags,
    proportion_bags,
    set_bags,
    two_kind_bags,
)
from labelwise.data.synthetic.batteries import ChargingCurves, charging_curves
from labelwise.data.synthetic.drawing import long_tail
from labelwise.data.synthetic.duplicates import PlantedDuplicates, planted_duplicates
from labelwise.data.synthetic.dynamic_signal import DynamicSignal, dynamic_signal
from labelwise.data.synthetic.extreme import ExtremeMultiLabel, extreme_multilabel
from labelwise.data.synthetic.label_noise import (
    NoisyLabels,
    boundary_noise,
    instance_noise,
    pair_noise,
    pair_transition,
    symmetric_noise,
    symmetric_transition,
    transition_noise,
)
from labelwise.data.synthetic.labelling_functions import FunctionVotes, labelling_functions
from labelwise.data.synthetic.long_tailed import LongTailed, long_tailed, tail_shares
from labelwise.data.synthetic.mixtures import Blobs, Mixture, blobs, mixture
from labelwise.data.synthetic.multilabel import PartialMultiLabel, partial_multilabel
from labelwise.data.synthetic.open_set import OpenPool, OpenSetNoise, open_pool, open_set_noise
from labelwise.data.synthetic.probabilities import Probabilities, calibrated_probabilities
from labelwise.data.synthetic.reviews import Reviews, two_domain_reviews
from labelwise.data.synthetic.shape_scenes import ShapeScenes, shape_scenes
from labelwise.data.synthetic.shifts import CovariateShift, PriorShift, covariate_shift, prior_shift
from labelwise.data.synthetic.stick_figures import StickFigures, stick_figures
from labelwise.data.synthetic.streams import LabelledStream, labelled_stream
from labelwise.data.synthetic.taxonomy import LabelTree, Taxonomy, label_tree, random_tree, taxonomy
from labelwise.data.synthetic.topics import TopicShift, topic_shift

__all__ = [
    "BackdoorPool",
    "Blobs",
    "ChargingCurves",
    "CovariateShift",
    "Crowd",
    "DynamicSignal",
    "ExtremeMultiLabel",
    "FunctionVotes",
    "LabelTree",
    "LabelledStream",
    "LongTailed",
    "Mixture",
    "NoisyLabels",
    "OpenPool",
    "OpenSetNoise",
    "PartialMultiLabel",
    "PlantedDuplicates",
    "PriorShift",
    "Probabilities",
    "ProportionBags",
    "Reviews",
    "SetBags",
    "ShapeScenes",
    "StickFigures",
    "Taxonomy",
    "TopicShift",
    "TwoKindBags",
    "backdoor_pool",
    "blobs",
    "boundary_noise",
    "calibrated_probabilities",
    "charging_curves",
    "covariate_shift",
    "crowd",
    "dynamic_signal",
    "extreme_multilabel",
    "instance_noise",
    "label_tree",
    "labelled_stream",
    "labelling_functions",
    "long_tail",
    "long_tailed",
    "mixture",
    "open_pool",
    "open_set_noise",
    "pair_noise",
    "pair_transition",
    "partial_multilabel",
    "planted_duplicates",
    "prior_shift",
    "proportion_bags",
    "random_tree",
    "set_bags",
    "shape_scenes",
    "stick_figures",
    "symmetric_noise",
    "symmetric_transition",
    "tail_shares",
    "taxonomy",
    "topic_shift",
    "transition_noise",
    "two_domain_reviews",
    "two_kind_bags",
]  # fmt: skip
