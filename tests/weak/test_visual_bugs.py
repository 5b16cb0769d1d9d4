"""Shape scenes, objects found and pasted, and a detector of bugs that it has only seen pasted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from labelwise.base import InputError
from labelwise.data.synthetic import shape_scenes
from labelwise.nets import ConvNet
from labelwise.training import Train
from labelwise.weak import VisualBugDetector
from labelwise.weak.pasting import (
    Objects,
    _moved,
    object_features,
    objects_of,
    paste,
    plausible,
    segment_objects,
)


def test_scenes_are_what_their_labels_say():
    drawn = shape_scenes(400, 20, prevalence=0.3, random_state=0)
    assert (drawn.overlap == (drawn.masks.sum(1) > 1)).all()
    assert (drawn.overlap.any((1, 2)) == drawn.y).all()
    assert 0.25 < drawn.y.mean() < 0.35
    assert (drawn.masks.sum((2, 3)) >= 6).all()


def test_segments_are_the_shapes_of_scenes_without_noise():
    drawn = shape_scenes(60, 20, prevalence=0.0, noise=0.0, random_state=1)
    found = segment_objects(drawn.X)
    truth = {(frame, mask.tobytes()) for frame, masks in enumerate(drawn.masks) for mask in masks}
    exact = [(int(frame), mask.tobytes()) in truth for frame, mask in zip(found.frame, found.mask, strict=True)]
    assert np.mean(exact) > 0.8
    assert len(found) > 0.8 * 180


def test_features_of_masks_are_those_of_a_loop():
    drawn = shape_scenes(5, 16, random_state=0)
    found = objects_of(drawn.masks)
    features = object_features(found, drawn.X)
    for row in range(len(found)):
        down, right = np.nonzero(found.mask[row])
        grey = drawn.X[found.frame[row]][down, right, 0] / 255
        height, width = np.ptp(down) + 1, np.ptp(right) + 1
        expected = [len(down) / 256, height / 16, width / 16, len(down) / (height * width), grey.mean(), grey.std()]
        np.testing.assert_allclose(features[row], expected, atol=1e-12)


@given(st.integers(0, 10**6), st.integers(-5, 5), st.integers(-5, 5))
@settings(max_examples=20, deadline=None)
def test_moving_is_numpys_roll(seed, down, right):
    pictures = np.random.default_rng(seed).random((3, 6, 7, 2))
    shift = np.array([[down, right]] * 3)
    np.testing.assert_array_equal(_moved(pictures, shift), np.roll(pictures, (down, right), (1, 2)))


@given(st.integers(0, 10**6))
@settings(max_examples=10, deadline=None)
def test_pasted_frames_clip_or_stand_free_as_they_say(seed):
    drawn = shape_scenes(30, 20, prevalence=0.0, noise=0.0, random_state=seed)
    made = paste(drawn.X, objects_of(drawn.masks), 200, np.random.default_rng(seed))
    assert len(made.X) > 100
    assert 0.25 < made.y.mean() < 0.75
    assert (made.pixels.sum((1, 2))[made.y == 1] >= 3).all()
    assert not made.pixels[made.y == 0].any()


def test_clusters_leave_out_what_is_as_large_as_a_background():
    drawn = shape_scenes(40, 20, prevalence=0.0, random_state=0)
    things, whole = objects_of(drawn.masks), np.ones((40, 20, 20), bool)
    both = Objects(np.r_[things.frame, np.arange(40)], np.concatenate([things.mask, whole]))
    left = plausible(both, drawn.X)
    assert len(left) == len(things)
    assert (left.mask.mean((1, 2)) < 0.3).all()


TRAIN = Train(epochs=10, batch_size=32, lr=3e-3)


@pytest.mark.parametrize("schedule", ["pretrain", "joint", "self"])
def test_bugs_are_found_by_every_schedule(schedule):
    drawn = shape_scenes(280, 16, prevalence=0.3, noise=0.02, random_state=0)
    known = np.arange(120) % 4 == 0
    y = np.where(known, drawn.y[:120], -1) if schedule != "self" else drawn.y[:120]
    model = VisualBugDetector(
        net=ConvNet(1, 2, 8), schedule=schedule, n_pasted=400, paste_epochs=10, train=TRAIN, random_state=0
    )
    clean = drawn.masks[:120] & (drawn.y[:120] == 0)[:, None, None, None]
    model.fit(drawn.X[:120], y, masks=clean)
    assert roc_auc_score(drawn.y[120:], model.predict_proba(drawn.X[120:])[:, 1]) > 0.75
    assert set(model.predict(drawn.X)) <= {0, 1}


def test_frames_known_to_have_a_bug_are_not_pasted_from():
    drawn = shape_scenes(40, 16, prevalence=0.5, random_state=0)
    other = drawn.X.copy()
    other[drawn.y == 1] = 0
    outputs = []
    for X in (drawn.X, other):
        model = VisualBugDetector(schedule="self", n_pasted=50, paste_epochs=1, random_state=0)
        outputs.append(model.fit(X, drawn.y, masks=drawn.masks).outputs(drawn.X))
    np.testing.assert_allclose(*outputs, atol=1e-6)


def test_a_stated_prevalence_moves_the_odds_alone():
    drawn = shape_scenes(40, 16, prevalence=0.0, random_state=0)
    model = VisualBugDetector(schedule="self", n_pasted=50, paste_epochs=1, random_state=0)
    model.fit(drawn.X, drawn.y, masks=drawn.masks)
    before = model.decision_function(drawn.X)
    share = model.pasted_share_
    moved = model.set_params(prevalence=0.02).decision_function(drawn.X)
    np.testing.assert_allclose(moved - before, np.log(0.02 / 0.98) - np.log(share / (1 - share)))


def test_bad_frames_are_refused():
    drawn = shape_scenes(20, 16, prevalence=0.0, random_state=0)
    detector = VisualBugDetector(n_pasted=20, random_state=0)
    with pytest.raises(InputError, match="frames of both classes"):
        detector.fit(drawn.X, drawn.y)
    alone = VisualBugDetector(schedule="self", n_pasted=20, random_state=0)
    with pytest.raises(InputError, match=r"pictures \(n, h, w, c\)"):
        alone.fit(drawn.X[..., 0], drawn.y)
    with pytest.raises(InputError, match="must hold 1"):
        alone.fit(drawn.X, drawn.y + 2)
    with pytest.raises(InputError, match="no object was found"):
        alone.fit(np.zeros_like(drawn.X), drawn.y)
    with pytest.raises(InputError, match="every frame has a bug"):
        alone.fit(drawn.X, drawn.y + 1)
    with pytest.raises(InputError, match="no grid of pixels"):
        own = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 2))
        alone.set_params(net=own).fit(drawn.X, drawn.y, masks=drawn.masks)
