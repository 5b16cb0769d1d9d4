"""Documents of hidden topics: counts, words of one topic only, shares of the sources, the exact posterior."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multinomial

from labelwise.base import InputError
from labelwise.data.synthetic import topic_shift


def test_shapes_anchors_and_shares():
    drawn = topic_shift(400, n_classes=3, n_words=30, n_domains=4, anchors=2, concentration=1.0, random_state=0)
    assert drawn.X.shape == (1600, 30) and (drawn.X.sum(1) >= 1).all()
    assert drawn.words.sum(1) == pytest.approx(np.ones(3)) and drawn.priors.sum(1) == pytest.approx(np.ones(4))
    for topic in range(3):
        anchors = slice(2 * topic, 2 * topic + 2)
        assert (drawn.words[topic, anchors] > 0).all() and (np.delete(drawn.words, topic, 0)[:, anchors] == 0).all()
        assert drawn.X[drawn.y != topic, anchors].sum() == 0
    for source in range(4):
        shares = np.bincount(drawn.y[drawn.domains == source], minlength=3) / 400
        assert shares == pytest.approx(drawn.priors[source], abs=0.1)
    again = topic_shift(400, n_classes=3, n_words=30, n_domains=4, anchors=2, concentration=1.0, random_state=0)
    assert np.array_equal(again.X, drawn.X)


def test_the_posterior_is_bayes_rule():
    drawn = topic_shift(20, n_classes=3, n_words=12, n_domains=3, anchors=1, length=5, random_state=1)
    likely = np.array([[multinomial.pmf(row, row.sum(), words) for words in drawn.words] for row in drawn.X])
    joint = likely * drawn.priors[drawn.domains]
    assert drawn.posterior() == pytest.approx(joint / joint.sum(1, keepdims=True), abs=1e-6)


@pytest.mark.parametrize(
    "wrong", [{"n_rows": 0}, {"n_classes": 1}, {"anchors": 20}, {"concentration": 0.0}, {"mixing": -1.0}, {"length": 0}]
)
def test_sizes_out_of_range_are_refused(wrong):
    with pytest.raises(InputError):
        topic_shift(**{"n_classes": 5, "n_words": 100, **wrong})
