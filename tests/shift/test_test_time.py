from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from torch import nn

from labelwise.base import InputError
from labelwise.data.synthetic import labelled_stream
from labelwise.data.synthetic.streams import MOVED, STREAMS
from labelwise.learner import Classifier, Train
from labelwise.shift import TENT, NormAdapt, PriorTracker
from labelwise.shift.moved import Shape, _fit, find_move
from labelwise.shift.norm_adapt import SOURCE_ROWS, Moments, renorm
from labelwise.shift.tent import adam

SOURCE = 600


@cache
def problem(kind, seed):
    """A stream and a network fitted on the first source rows; the others are held out."""
    stream = labelled_stream(kind, random_state=seed)
    net = Classifier(train=Train(epochs=20, batch_size=32), random_state=seed)
    return stream, net.fit(stream.X_source[:SOURCE], stream.y_source[:SOURCE])


def adapter(method, kind, seed, **settings):
    stream, net = problem(kind, seed)
    model = method(estimator=net, **settings).fit(stream.X_source[SOURCE:], stream.y_source[SOURCE:])
    return model, stream, (net.predict(stream.X) == stream.y).mean()


def followed(model, stream, batch=50):
    parts = range(0, len(stream.X), batch)
    return (np.concatenate([model.predict(stream.X[i : i + batch]) for i in parts]) == stream.y).mean()


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", STREAMS)
def test_never_more_than_a_point_below_the_unadapted_model(kind, seed):
    for method in (NormAdapt, TENT, PriorTracker):
        model, stream, plain = adapter(method, kind, seed)
        assert followed(model, stream) >= plain - 0.01, f"{method.__name__}: {model.stream_.reason}"


@pytest.mark.parametrize("method", [NormAdapt, TENT])
def test_gains_where_the_inputs_moved(method):
    gains = []
    for kind in MOVED:
        model, stream, plain = adapter(method, kind, 0)
        gains.append(followed(model, stream) - plain)
    assert np.mean(gains) > 0.08 and model.stream_.adapted_batches > 0


def test_tracking_the_shares_gains_where_they_changed():
    gains = []
    for kind in ("prior", "correlated", "one class after another"):
        model, stream, plain = adapter(PriorTracker, kind, 1)
        gains.append(followed(model, stream) - plain)
    assert np.mean(gains) > 0.02
    low, high = model.stream_.prior_low, model.stream_.prior_high
    assert (low <= model.stream_.prior).all() and (model.stream_.prior <= high).all()


def test_without_the_guard_it_collapses_where_classes_come_one_by_one():
    model, stream, plain = adapter(TENT, "one class after another", 0, guard=False)
    assert followed(model, stream) < plain - 0.2


def test_where_nothing_changed_the_source_model_answers_to_the_last_bit():
    for method in (NormAdapt, TENT, PriorTracker):
        model, stream, _ = adapter(method, "i.i.d.", 0)
        first = model.predict_proba(stream.X[:80])
        assert np.array_equal(first, model.estimator_.predict_proba(stream.X[:80]))
        assert (model.stream_.serving, model.stream_.adapted_batches) == ("source", 0)


@pytest.mark.parametrize("method", [NormAdapt, TENT, PriorTracker])
def test_reset_starts_a_new_stream(method):
    model, stream, _ = adapter(method, "moved", 0, guard=method is NormAdapt)
    answers = [model.predict_proba(stream.X[i : i + 50]) for i in (0, 50, 100)]
    assert not np.array_equal(answers[0], model.predict_proba(stream.X[:50]))  # state is carried on
    model.reset()
    assert (model.stream_.rows_seen, model.stream_.window) == (0, None)
    for i, answer in zip((0, 50, 100), answers, strict=True):
        assert np.array_equal(model.predict_proba(stream.X[i : i + 50]), answer)


def test_partial_fit_adapts_without_reading_labels():
    model, stream, _ = adapter(TENT, "moved", 0)
    other, _, _ = adapter(TENT, "moved", 0)
    model.predict_proba(stream.X[:100])
    other.partial_fit(stream.X[:100], np.zeros(100))
    rest = stream.X[100:150]
    assert np.array_equal(model.predict_proba(rest), other.predict_proba(rest))
    fresh = PriorTracker(estimator=LogisticRegression()).partial_fit(stream.X_source, stream.y_source)
    assert len(fresh.held_) == 200  # the first call fits


def test_a_collapse_is_found_and_thrown_away():
    model, stream, plain = adapter(TENT, "moved correlated", 0, lr=1.0, steps=5)  # far too large steps
    assert followed(model, stream) >= plain - 0.01
    assert model.stream_.resets > 3


def test_the_fitted_estimator_is_left_alone():
    stream, net = problem("moved", 0)
    before = [weight.clone() for weight in net.net_.parameters()]
    followed(adapter(TENT, "moved", 0, guard=False)[0], stream)
    assert all(torch.equal(a, b) for a, b in zip(before, net.net_.parameters(), strict=True))


def test_one_not_fitted_is_fitted_on_a_part():
    stream, _ = problem("moved", 0)
    y = np.where(np.arange(800) % 4 == 0, -1, stream.y_source)
    model = NormAdapt(random_state=0).fit(stream.X_source, y)
    assert len(model.held_) == 150 and model.classes_.tolist() == [0, 1, 2, 3]
    few = PriorTracker().fit(stream.X_source[:30], stream.y_source[:30])
    assert few.held_ is None and few.predict_proba(stream.X).shape == (1000, 4)


def test_any_classifier_and_any_names_of_classes():
    stream = labelled_stream("prior", random_state=1)
    names = np.array(["a", "b", "c", "d"])
    inner = GaussianNB().fit(stream.X_source[:400], names[stream.y_source[:400]])
    held = stream.y_source[400:] != 3  # a class without held-out rows
    model = PriorTracker(estimator=FrozenEstimator(inner)).fit(
        stream.X_source[400:][held], names[stream.y_source[400:]][held]
    )
    assert model.classes_.tolist() == ["a", "b", "c", "d"]
    assert set(model.predict(stream.X)) <= set(names)


# -- the arithmetic


def test_the_likelihood_of_a_mixture_agrees_with_scipy():
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=400)
    Z = rng.normal(size=(400, 4)) * [1, 2, 0.5, 1] + 4 * np.eye(3, 4)[codes]
    shape = Shape.of(Z, codes, 3)
    scores = shape.scores(Z)
    within = scores - np.stack([scores[codes == k].mean(0) for k in range(3)])[codes]
    assert np.cov(within.T) == pytest.approx(np.eye(4), abs=0.35)  # round
    moved = find_move(shape, Z + np.array([3, 0, 0, 1]))
    assert moved.moved and moved.prior == pytest.approx(np.bincount(codes) / 400, abs=0.05)
    prior, value = _fit(shape, scores[codes != 1], np.zeros(4), moving=False)
    density = sum(
        p * multivariate_normal(centre, np.diag(spread)).pdf(scores[codes != 1])
        for p, centre, spread in zip(prior, shape.centres, shape.variances, strict=True)
    )
    assert prior[1] < 0.05 and value - 2 * np.log(2 * np.pi) == pytest.approx(np.log(density).mean(), abs=1e-3)


@pytest.mark.parametrize("share", [[0.9, 0.05, 0.05], [1, 0, 0]])
def test_other_shares_are_not_taken_for_a_move(share):
    rng = np.random.default_rng(1)
    draw = lambda p, n: (k := rng.choice(3, n, p=p), rng.normal(size=(n, 5)) + 3 * np.eye(3, 5)[k])  # noqa: E731
    codes, Z = draw([1 / 3] * 3, 300)
    move = find_move(Shape.of(Z, codes, 3), draw(share, 256)[1])
    assert not move.moved and move.prior == pytest.approx(share, abs=0.06)


def test_moments_with_shares_agree_with_those_of_weighted_rows():
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=90)
    x = torch.as_tensor(rng.normal(size=(90, 2, 3, 3)) + codes[:, None, None, None])
    prior = np.array([0.2, 0.3, 0.5])
    window = 2 * x + 1
    offset, factor = Moments(x, codes, 3).affine(window, np.bincount(codes) / 90)
    assert factor == pytest.approx(np.full(2, 2 ** (90 / (90 + SOURCE_ROWS))))
    weight = (prior / np.bincount(codes) * 90)[codes]
    mean = np.average(x.mean((2, 3)).numpy(), axis=0, weights=weight)
    offset, factor = Moments(x, codes, 3).affine(window, prior)
    assert offset + factor * mean == pytest.approx(window.mean((0, 2, 3)).numpy())


def test_adam_agrees_with_torch():
    mine, theirs = (nn.Parameter(torch.tensor([1.0, -2.0])) for _ in range(2))
    state, optimizer = {"step": 0}, torch.optim.Adam([theirs], lr=0.1)
    for _ in range(5):
        adam([mine], torch.autograd.grad((mine**4).sum(), [mine]), state, 0.1)
        optimizer.zero_grad()
        (theirs**4).sum().backward()
        optimizer.step()
    assert mine.detach().numpy() == pytest.approx(theirs.detach().numpy(), abs=1e-5)


def test_statistics_of_batch_normalisation_are_those_of_the_rows():
    torch.manual_seed(0)
    source = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))
    module, x = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)), torch.randn(96, 3)
    module.load_state_dict(source.state_dict())
    renorm(module, source, x)
    hidden, share = source[0](x), 96 / (96 + SOURCE_ROWS)
    assert torch.allclose(module[1].running_mean, share * hidden.mean(0), atol=1e-5)
    assert torch.allclose(module[1].running_var, share * hidden.var(0) + 1 - share, atol=1e-4)


def networks():
    yield nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4)), {"1.weight", "1.bias"}
    yield nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 4)), {"1.weight", "1.bias"}
    yield nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), set()


@pytest.mark.parametrize("number", range(3))
def test_only_scales_and_shifts_move(number):
    net, moving = list(networks())[number]
    stream, _ = problem("moved", 0)
    plain = Classifier(net=net, train=Train(epochs=10, batch_size=64), random_state=0)
    plain.fit(stream.X_source[:SOURCE], stream.y_source[:SOURCE])
    model = TENT(estimator=plain, guard=False).fit(stream.X_source[SOURCE:], stream.y_source[SOURCE:])
    model.predict_proba(stream.X[:64])
    after = dict(model.adapted_.net.named_parameters())
    changed = {name for name, value in plain.net_.named_parameters() if not torch.equal(value, after[name])}
    assert changed == moving
    assert (model.adapted_.gain != 1).any() == (not moving)


def test_pictures_and_texts_are_adapted_too():
    X, y = load_digits(return_X_y=True)
    pictures = (X * 15).astype(np.uint8).reshape(-1, 8, 8, 1)
    bare = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    net = Classifier(net=bare, train=Train(epochs=10, batch_size=32), random_state=0).fit(pictures[:600], y[:600])
    dark = (pictures[1000:1400] * 0.4).astype(np.uint8)
    model = NormAdapt(estimator=net).fit(pictures[600:1000], y[600:1000])
    assert model.predict_proba(dark).shape == (400, 10)
    assert model.adapted_.factor.shape == (1, 1, 1, 1) and 0.3 < float(model.adapted_.factor) < 0.7
    texts = ["good fine", "bad poor", "good nice", "bad awful"] * 20
    reader = Classifier(train=Train(epochs=2), random_state=0).fit(texts, [1, 0, 1, 0] * 20)
    told = TENT(estimator=reader, guard=False).fit(texts, [1, 0, 1, 0] * 20)
    assert (told.predict_proba(["good good", "awful"]) != reader.predict_proba(["good good", "awful"])).all()


def test_bad_input():
    X, y = np.random.default_rng(0).normal(size=(100, 3)), np.arange(100) % 2
    with pytest.raises(InputError, match="PriorTracker takes any classifier"):
        TENT(estimator=LogisticRegression()).fit(X, y)
    with pytest.raises(InputError, match="class 2, which the fitted estimator does not know"):
        PriorTracker(estimator=LogisticRegression().fit(X, y)).fit(X, y + 1)
    with pytest.raises(InputError, match="kind must be one of"):
        labelled_stream("sudden")


def test_a_stream_says_what_was_done_to_it():
    stream = labelled_stream("scaled", n_rows=4000, random_state=0)
    back = (stream.X - stream.offset) / stream.factor
    for k in range(4):
        assert back[stream.y == k].mean(0) == pytest.approx(stream.X_source[stream.y_source == k].mean(0), abs=0.35)
    drifting = labelled_stream("drifting", random_state=0).offset
    assert np.abs(drifting[0]).max() == 0 and (np.abs(drifting[-1]) >= np.abs(drifting[500])).all()
    one = labelled_stream("one class after another", random_state=0)
    assert (np.diff(one.y) != 0).sum() == 3 and (one.shares.max(1) == 1).all()
