"""What all learners with evidence per label keep: maps that sum to one, masks, bad input, networks of one's own."""

import numpy as np
import pytest
import torch

from labelwise.base import InputError
from labelwise.learner import Train
from labelwise.losses import LabelMargin, MaskedBCE
from labelwise.multilabel import LabelDependentAttention, PatchCT, TextSeries, TransICD
from labelwise.multilabel.label_dependent_attention import JointAttention
from labelwise.multilabel.trials import TRIGGERS, triggered_texts
from labelwise.nets.label_attention import Steps
from labelwise.persistence import load, save

SMALL = {"width": 16, "layers": 1, "heads": 2, "random_state": 0}
QUICK = Train(epochs=2, batch_size=32)
METHODS = [TransICD, LabelDependentAttention, PatchCT]


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


@pytest.mark.parametrize("method", [TransICD, LabelDependentAttention])
def test_trained_on_trigger_words_it_attends_to_them(method, trial):
    train = Train(epochs=25, batch_size=16, lr=1e-2)
    model = method(train=train, **SMALL | {"layers": 0}).fit(trial["X"], trial["y"])
    found = model.top_tokens(trial["X_test"], k=1, labels=[0, 1, 2])
    right = [found[i][label][0][0] == TRIGGERS[label] for i, label in np.argwhere(trial["y_test"] == 1)]
    assert np.mean(right) > 0.8
    assert (model.predict(trial["X_test"]) == trial["y_test"]).mean() > 0.9


def test_a_source_that_is_missing_contributes_zeros(trial):
    """A row without its series is scored as one of a network whose series branch is cut off, and like for texts."""
    rng = np.random.default_rng(0)
    series = rng.normal(size=(160, 2, 9))
    series[::3] = np.nan
    rows = TextSeries([None if i % 4 == 0 else text for i, text in enumerate(trial["X"])], series)
    for variant in ("labelwise", "pooled"):
        model = LabelDependentAttention(variant=variant, train=QUICK, **SMALL).fit(rows, trial["y"])
        net = model.net_.eval()
        x = torch.as_tensor(model.inputs_.transform(rows))
        _, vectors = net.attended(x)
        assert (vectors[::3, :, 16:] == 0).all()
        assert (vectors[::4, :, :16] == 0).all()
        assert (vectors[1, :, :16] != 0).any()
        assert (vectors[1, :, 16:] != 0).any()
        alone = TextSeries(rows.texts, np.full_like(series, np.nan))
        cut = net.score(vectors * (torch.arange(32) < 16))
        np.testing.assert_allclose(model.outputs(alone), cut.detach(), atol=1e-5)
        told = model.attention(rows)
        assert told.series.shape == (160, 3, 3)
        np.testing.assert_allclose(
            told.series.sum(2), np.where(np.arange(160) % 3 == 0, 0, 1)[:, None] * np.ones(3), atol=1e-5
        )
        assert told.texts[0].shape == (3, 0)
        np.testing.assert_allclose(told.texts[1].sum(1), 1, atol=1e-5)
        assert len(model.top_tokens(rows[:5])) == 5


@pytest.mark.slow
def test_both_sources_are_read():
    """One label follows a word, the other a bump of the series."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (200, 2))
    texts = [" ".join(rng.permutation([*"abcdef", "fever"][: 6 + yes])) for yes in y[:, 0]]
    bump = np.exp(-((np.arange(12) - rng.integers(2, 10, (200, 1))) ** 2)) * y[:, 1:] * 4
    rows = TextSeries(texts, (rng.normal(size=(200, 12)) * 0.3 + bump)[:, None])
    model = LabelDependentAttention(train=Train(epochs=25, batch_size=16, lr=1e-2), **SMALL).fit(rows[:150], y[:150])
    assert ((model.predict(rows[150:]) == y[150:]).mean(0) > 0.85).all()


def test_pooled_labels_share_a_map_and_label_texts_are_read(trial):
    model = LabelDependentAttention(variant="pooled", labels=list(TRIGGERS), train=QUICK, **SMALL)
    for row in model.fit(trial["X"], trial["y"]).attention(trial["X_test"][:5]):
        np.testing.assert_array_equal(row, np.broadcast_to(row[:1], row.shape))


def test_joint_attention_is_its_equation():
    torch.manual_seed(0)
    attention = JointAttention(2, radius=1)
    attention.filter.data = torch.tensor([[[1.0, 2.0, 0.5]]])
    attention.bias.data = torch.tensor([0.1, -0.2])
    hidden, labels = torch.randn(1, 4, 3), torch.randn(2, 3)
    real = torch.tensor([[True, True, True, False]])
    found = attention.scores(Steps(hidden, real), labels).detach()
    for label in range(2):
        G = [float(torch.cosine_similarity(hidden[0, t], labels[label], dim=0)) if t < 3 else 0.0 for t in range(4)]
        for t in range(4):
            before, after = (G[t - 1] if t else 0.0), (G[t + 1] if t < 3 else 0.0)
            expected = max(0.0, before + 2 * G[t] + 0.5 * after + (0.1, -0.2)[label])
            assert found[0, label, t].item() == pytest.approx(expected, abs=1e-5)


def test_label_vectors_are_kept_apart(trial):
    """The second term makes label vectors tell their own labels."""
    train = Train(epochs=15, batch_size=16, lr=1e-2)
    model = LabelDependentAttention(train=train, label_weight=5.0, **SMALL).fit(trial["X"], trial["y"])
    assert model.net_.eval().of_labels().argmax(1).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ((["a", 3], np.zeros((2, 1, 4))), "Row 1"),
        ((["a"], np.zeros((2, 1, 4))), "as many"),
        ((["a", "b"], np.array([[[0, np.nan]], [[np.nan] * 2]])), "row 0"),
        ((["a", "b"], np.zeros((2, 4))), "series must"),
    ],
)
def test_bad_pairs_of_sources(wrong, told):
    with pytest.raises(InputError, match=told):
        TextSeries(*wrong)


def test_other_sources_than_fitted_and_labels_that_do_not_fit(trial):
    rows = TextSeries(trial["X"], np.zeros((160, 1, 8)))
    model = LabelDependentAttention(train=QUICK, **SMALL).fit(rows, trial["y"])
    for other in (trial["X"], TextSeries(trial["X"], np.zeros((160, 2, 8)))):
        with pytest.raises(InputError, match=r"TextSeries|shape"):
            model.predict(other)
    for labels in (["a", "b"], np.zeros((2, 4))):
        with pytest.raises(InputError, match="each of the 3 labels"):
            LabelDependentAttention(labels=labels, train=QUICK).fit(trial["X"], trial["y"])
    X, y = pictures()
    with pytest.raises(InputError, match="labels are texts"):
        LabelDependentAttention(labels=list("abc"), train=QUICK, **SMALL).fit(X, y)


def test_top_tokens_by_hand():
    from labelwise.multilabel.label_evidence import _top

    assert _top(["a", "b", "a", "c"], np.array([0.2, 0.35, 0.2, 0.25]), 2) == [("a", 0.4), ("b", 0.35)]


def test_top_tokens_tells_the_predicted_labels_and_refuses_what_has_no_words(trial):
    model = TransICD(train=Train(epochs=8, batch_size=16, lr=1e-2), **SMALL).fit(trial["X"], trial["y"])
    texts = trial["X_test"][:10]
    told = model.top_tokens(texts)
    assert [sorted(row) for row in told] == [np.flatnonzero(row).tolist() for row in model.predict(texts)]
    assert all(list(row) == [2, 0] for row in model.top_tokens(texts, labels=np.array([2, 0])))
    with pytest.raises(InputError, match="columns of y"):
        model.top_tokens(texts, labels=[3])
    one = TransICD(train=QUICK, **SMALL).fit(texts * 4, ["left", "right"] * 20)
    assert [list(row) for row in one.top_tokens(texts)] == [[int(c == "right")] for c in one.predict(texts)]
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
