"""What all learners with evidence per label keep: maps that sum to one, masks, bad input, networks of one's own."""

import numpy as np
import pytest
import torch

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.losses import LabelMargin, MaskedBCE
from labelwise.multilabel import TransICD
from labelwise.multilabel.trials import TRIGGERS, triggered_texts
from labelwise.nets.label_attention import Steps
from labelwise.persistence import load, save

SMALL = {"width": 16, "layers": 1, "heads": 2, "random_state": 0}
QUICK = Train(epochs=2, batch_size=32)
METHODS = [TransICD]


def pictures(n=40, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n, 8, 12, 1)), rng.integers(0, 2, (n, 3))


@pytest.fixture(scope="module")
def trial():
    return triggered_texts()


@pytest.mark.parametrize("method", METHODS)
def test_maps_of_texts_sum_to_one_over_their_words(method, trial):
    model = method(train=QUICK, **SMALL).fit(trial["X"], trial["y"])
    maps = model.attention(["fever w1 w2", "", "pain"])
    assert [m.shape for m in maps] == [(3, 3), (3, 0), (3, 1)]
    for m in maps[::2]:
        np.testing.assert_allclose(m.sum(1), 1, atol=1e-5)
        assert (m >= 0).all()
    assert np.isfinite(model.predict_proba(["", "fever"])).all()


@pytest.mark.parametrize("method", METHODS)
def test_maps_of_pictures_and_series_have_their_shape(method):
    X, y = pictures()
    maps = method(train=QUICK, patch=4, **SMALL).fit(X, y).attention(X[:5])
    assert maps.shape == (5, 3, 2, 3)
    np.testing.assert_allclose(maps.sum((2, 3)), 1, atol=1e-5)
    series = np.random.default_rng(0).normal(size=(40, 2, 10))
    maps = method(train=QUICK, patch=5, **SMALL).fit(series, y).attention(series)
    assert maps.shape == (40, 3, 2)


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_has_no_gradient_behind_unknown_labels(method, trial):
    model = method(train=QUICK, **SMALL).fit(trial["X"], trial["y"])
    scores = torch.randn(6, 3, requires_grad=True)
    y = torch.tensor([[1, 0, -1], [-1, -1, 1], [0, -1, 0], [-1, -1, -1], [1, 1, 1], [0, 0, -1]])
    (slope,) = torch.autograd.grad(model.criterion_(scores, y), scores)
    assert (slope[y < 0] == 0).all()
    assert (slope[y >= 0] != 0).all()


@pytest.mark.parametrize("method", METHODS)
def test_rows_without_any_known_label_change_nothing(method, trial):
    """An unlabelled text is not read: neither its words nor how many there are matter beyond the shuffling of rows."""
    X, y = list(trial["X"][:60]), trial["y"][:60].copy()
    y[50:] = -1
    other = X[:50] + ["something else entirely"] * 10
    models = [method(train=QUICK, **SMALL).fit(rows, y) for rows in (X, other)]
    np.testing.assert_array_equal(*(model.predict_proba(trial["X_test"]) for model in models))


@pytest.mark.parametrize("method", METHODS)
def test_saved_and_loaded_it_shows_the_same_maps(method, tmp_path, trial):
    model = method(train=QUICK, **SMALL).fit(trial["X"], trial["y"])
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    for here, there in zip(model.attention(trial["X"][:5]), again.attention(trial["X"][:5]), strict=True):
        np.testing.assert_array_equal(here, there)
    X, y = pictures()
    model = method(train=QUICK, **SMALL).fit((255 * X).astype(np.uint8), y)
    save(model, tmp_path / "pictures")
    np.testing.assert_array_equal(load(tmp_path / "pictures").predict_proba(X[:4].astype(np.uint8)),
                                  model.predict_proba(X[:4].astype(np.uint8)))  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_trained_on_trigger_words_it_attends_to_them(method, trial):
    train = Train(epochs=25, batch_size=16, lr=1e-2)
    model = method(train=train, **SMALL).fit(trial["X"], trial["y"])
    found = model.top_tokens(trial["X_test"], k=1, labels=[0, 1, 2])
    right = [found[i][label][0][0] == TRIGGERS[label] for i, label in np.argwhere(trial["y_test"] == 1)]
    assert np.mean(right) > 0.8
    assert (model.predict(trial["X_test"]) == trial["y_test"]).mean() > 0.9


def test_top_tokens_by_hand():
    from labelwise.multilabel.label_evidence import _top

    assert _top(["a", "b", "a", "c"], np.array([0.2, 0.35, 0.2, 0.25]), 2) == [("a", 0.4), ("b", 0.35)]


def test_top_tokens_tells_the_predicted_labels_and_refuses_what_has_no_words(trial):
    model = TransICD(train=Train(epochs=8, batch_size=16, lr=1e-2), **SMALL).fit(trial["X"], trial["y"])
    texts = trial["X_test"][:10]
    told = model.top_tokens(texts)
    assert [sorted(row) for row in told] == [np.flatnonzero(row).tolist() for row in model.predict(texts)]
    with pytest.raises(InputError, match="k must"):
        model.top_tokens(texts, k=0)
    X, y = pictures()
    with pytest.raises(InputError, match="attention"):
        TransICD(train=QUICK, **SMALL).fit(X, y).top_tokens(X)


class Letters(torch.nn.Module):
    """An encoder of one's own: pixels one by one."""

    def __init__(self, width=6):
        super().__init__()
        self.width = width
        self.lift = torch.nn.Linear(1, width)

    def forward(self, x):
        steps = x.flatten(1)[:, :, None]
        return Steps(self.lift(steps), torch.ones(steps.shape[:2], dtype=torch.bool))


@pytest.mark.parametrize("method", METHODS)
def test_an_encoder_of_ones_own(method):
    X, y = pictures()
    own = Letters()
    before = own.lift.weight.clone()
    model = method(net=own, train=QUICK, random_state=0).fit(X, y)
    assert model.attention(X[:2]).shape == (2, 3, 96)
    torch.testing.assert_close(own.lift.weight, before)
    with pytest.raises(InputError, match="width"):
        method(net=torch.nn.Linear(3, 3), train=QUICK).fit(X, y)


@pytest.mark.parametrize("method", METHODS)
def test_what_has_no_steps_is_refused(method, trial):
    with pytest.raises(InputError, match="no steps"):
        method(train=QUICK).fit(np.random.default_rng(0).normal(size=(20, 4)), np.eye(20, 3, dtype=int))
    with pytest.raises(InputError, match="no steps"):
        method(net="mlp", train=QUICK).fit(trial["X"], trial["y"])
    with pytest.raises(InputError, match="heads"):
        method(width=10, train=QUICK).fit(trial["X"], trial["y"])
    with pytest.raises(InputError, match="patch=5"):
        method(patch=5, train=QUICK).fit(*pictures())


def test_without_a_margin_it_is_plain_label_wise_attention(trial):
    plain = TransICD(criterion=MaskedBCE(), train=QUICK, **SMALL).fit(trial["X"], trial["y"])
    same = TransICD(criterion=LabelMargin(margin=0.0), train=QUICK, **SMALL).fit(trial["X"], trial["y"])
    np.testing.assert_allclose(plain.predict_proba(trial["X"]), same.predict_proba(trial["X"]), atol=1e-5)
