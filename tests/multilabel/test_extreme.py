"""Classifiers of very many labels: sparse labels end to end, negatives that are none, calibrated best labels, saving."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.datasets import load_iris
from torch import nn

from labelwise.base import InputError
from labelwise.data.synthetic import extreme_multilabel
from labelwise.learner import Train
from labelwise.losses import DecoupledSoftmax, SoftTopK
from labelwise.multilabel import NGAME, DualEncoder, OneVsRestLinear
from labelwise.parts.multilabel_measures import precision_at_k, top_k_calibration_error
from labelwise.persistence import load, save

pytestmark = pytest.mark.filterwarnings("ignore:.*never positive")
TRAIN = Train(epochs=8, batch_size=64, lr=5e-3, progress=False)
METHODS = [
    OneVsRestLinear(random_state=0),
    DualEncoder(train=TRAIN, width=32, random_state=0),
    NGAME(train=TRAIN, width=32, cluster=16, classifier_epochs=4, random_state=0),
]
each = pytest.mark.parametrize("model", METHODS, ids=lambda model: type(model).__name__)
DRAWN = extreme_multilabel(900, 60, n_groups=6, n_words=400, clear=0.8, noise=3, random_state=0)
X, Y, XT, YT = DRAWN.X[:600], DRAWN.y[:600], DRAWN.X[600:], DRAWN.y[600:]


def fresh(model, **changed):
    from sklearn.base import clone

    return clone(model).set_params(**changed)


@each
def test_sparse_labels_from_end_to_end(model, tmp_path):
    fitted = fresh(model).fit(X, Y)
    labels, scores = fitted.predict_top(XT, 5)
    assert labels.shape == scores.shape == (300, 5) and (np.diff(scores, axis=1) <= 0).all()
    assert precision_at_k(labels[:, :1], YT) == fitted.score(XT, YT) > 0.6
    proba, decided = fitted.predict_proba(XT), fitted.predict(XT)
    assert sparse.issparse(proba) and (np.diff(proba.indptr) == 5).all() and proba.shape == YT.shape
    assert (proba.data >= 0).all() and (proba.data <= 1).all()
    assert np.array_equal((proba > 0.5).toarray(), decided.toarray().astype(bool))
    save(fitted, tmp_path / "model")
    again = load(tmp_path / "model")
    assert np.array_equal(again.predict_top(XT, 5).scores, scores)
    assert np.array_equal(again.predict_proba(XT).toarray(), proba.toarray())


@each
def test_dense_features_and_dense_labels_are_read_too(model):
    fitted = fresh(model).fit(X.toarray(), Y.toarray())
    proba = fitted.predict_proba(XT.toarray())
    assert isinstance(proba, np.ndarray) and proba.shape == YT.shape
    assert np.array_equal(fitted.predict(XT.toarray()), (proba > 0.5).astype(int))
    assert fitted.score(XT.toarray(), YT.toarray()) > 0.4


@each
def test_one_class_a_row(model):
    rows, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    fitted = fresh(model, train__epochs=40) if hasattr(model, "train") else fresh(model)
    fitted.fit(rows, names)
    assert fitted.score(rows, names) > 0.85
    assert fitted.predict_proba(rows).sum(1) == pytest.approx(np.ones(150))


@each
def test_rows_without_a_label_are_left_out(model):
    empty = sparse.vstack([Y, sparse.csr_array((50, 60), dtype=np.int8)]).tocsr()
    rows = sparse.vstack([X, XT[:50]]).tocsr()
    few = {"calibration_share": 0.0}
    with_empty, without = fresh(model, **few).fit(rows, empty), fresh(model, **few).fit(X, Y)
    both = with_empty.score(XT, YT), without.score(XT, YT)
    assert abs(both[0] - both[1]) < 0.1


def test_rows_without_a_label_change_nothing_for_linear_ones():
    empty = sparse.vstack([Y, sparse.csr_array((50, 60), dtype=np.int8)]).tocsr()
    rows = sparse.vstack([X, XT[:50]]).tocsr()
    model = OneVsRestLinear(calibration_share=0, random_state=0, tol=1e-6, max_iter=2000)
    assert fresh(model).fit(rows, empty).coef_.toarray() == pytest.approx(
        fresh(model).fit(X, Y).coef_.toarray(), abs=1e-2
    )


@pytest.mark.parametrize("model", METHODS[1:], ids=lambda model: type(model).__name__)
def test_a_label_never_positive_is_said_and_never_predicted_unless_it_is_described(model):
    y = Y.tolil()
    y[:, 7] = 0
    with pytest.warns(UserWarning, match="1 of 60 labels are never positive, the first is label 7"):
        fitted = fresh(model).fit(X, y.tocsr())
    assert 7 not in fitted.predict_top(XT, 30).labels
    last = fitted.predict_top(XT, 60)
    assert (last.labels[:, -1] == -1).all() and np.isneginf(last.scores[:, -1]).all()
    told = fresh(model, label_features=DRAWN.label_features).fit(X, y.tocsr())
    rows = YT[:, [7]].toarray().ravel() == 1
    found = (told.predict_top(XT, 10).labels == 7).any(1)
    assert rows.sum() > 2 and found[rows].mean() > found[~rows].mean() + 0.3


def test_texts_with_described_labels(tmp_path):
    texts = ["red wine from a hill", "white wine from a lake", "a fast car in red", "an old car to sell"] * 12
    y = sparse.csr_array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]] * 12)
    model = DualEncoder(label_features=["wine", "car", "boat"], train=TRAIN, width=32, random_state=0).fit(texts, y)
    assert model.predict_top(["wine", "boat", "car"], 1).labels[:, 0].tolist() == [0, 2, 1]  # no row has the label boat
    save(model, tmp_path / "model")
    assert load(tmp_path / "model").predict_top(["wine"], 1).labels.tolist() == [[0]]
    with pytest.raises(InputError, match="fitted on texts"):
        model.predict_top(np.eye(3))
    with pytest.raises(InputError, match="label_features must be texts"):
        DualEncoder(label_features=np.eye(3)).fit(texts, y)


@each
def test_probabilities_of_the_best_labels_are_calibrated(model):
    drawn = extreme_multilabel(4000, 60, n_groups=6, n_words=400, clear=0.5, noise=5, random_state=1)
    model = fresh(model, calibration_share=0.25)
    if hasattr(model, "train"):
        model.set_params(train__epochs=4)
    fitted = model.fit(drawn.X[:2000], drawn.y[:2000])
    test, truth = drawn.X[2000:], drawn.y[2000:]
    proba = fitted.predict_proba(test)
    assert top_k_calibration_error(proba, truth, k=5) < 0.08
    scores = fitted.predict_top(test, 5).scores
    raw = proba.copy()
    top = np.argsort(-proba.toarray(), axis=1)[:, :5]
    raw[np.arange(2000)[:, None], top] = 1 / (1 + np.exp(-scores))
    assert top_k_calibration_error(proba, truth, k=5) < top_k_calibration_error(raw, truth, k=5)


@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csr_matrix, lambda m: m.toarray()])
def test_descriptions_of_labels_are_saved_with_the_model(form, tmp_path):
    model = DualEncoder(label_features=form(DRAWN.label_features), train=TRAIN, width=16, random_state=0).fit(X, Y)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    assert np.array_equal(again.predict_top(XT, 3).scores, model.predict_top(XT, 3).scores)
    assert sparse.issparse(model.label_features) == sparse.issparse(form(DRAWN.label_features))
    assert np.array_equal(again.fit(X, Y).predict_top(XT, 3).scores, model.predict_top(XT, 3).scores)


# -- negatives


def started(model, y=Y):
    """Return a model as the first batch finds it."""
    from labelwise.multilabel.dual_encoder import DualEncoder as Base

    kept = {}

    class Caught(Exception):
        pass

    def caught(self, batch):
        kept["batch"], kept["self"] = batch, self
        raise Caught

    class Stopped(type(model)):
        loss = caught
        _forget = lambda self: None  # noqa: E731

    names = {name: getattr(model, name) for name in model.get_params(deep=False)}
    made = Stopped(**names)
    assert isinstance(made, Base)
    try:
        made.fit(X, y)
    except Caught:
        made._x = made._scaled(X)
        from labelwise.parts.sparse_labels import read_labels

        made._labels = read_labels(y)
        made._label_x = made._described(np.arange(X.shape[0]))[0]
    return made, kept["batch"]


@pytest.mark.parametrize("negatives", ["all", "batch"])
def test_a_row_s_own_labels_and_unknown_ones_are_never_negatives(negatives):
    y = Y.toarray()
    y[np.random.default_rng(0).random(y.shape) < 0.2] = -1
    y[~(y == 1).any(1), 0] = 1
    model, batch = started(DualEncoder(train=TRAIN, width=16, negatives=negatives, random_state=0), y)
    rows = batch.index.numpy()
    pool = model.pool(rows)
    pos, unknown = model.masks(rows, pool)
    assert np.array_equal(pos.numpy(), (y == 1)[rows][:, pool])
    assert np.array_equal(unknown.numpy(), (y == -1)[rows][:, pool])
    assert (len(pool) == 60) == (negatives == "all") or len(pool) <= 60
    assert pos.any(1).all()


def test_what_is_behind_an_unknown_entry_has_no_gradient():
    y = Y.toarray()
    y[:, 3] = -1
    model, batch = started(DualEncoder(train=TRAIN, width=16, free=True, negatives="all", random_state=0), y)
    DualEncoder.loss(model, batch).backward()
    gradient = model.net_.table.grad.abs().sum(1)
    assert gradient[3] == 0 and (gradient > 0).sum() > 30


def test_gradients_of_chunks_computed_again_are_those_of_all_at_once():
    gradients = []
    for chunk in (1000, 7):
        model, batch = started(
            DualEncoder(train=TRAIN, width=16, dropout=0.0, negatives="all", chunk=chunk, random_state=0)
        )
        DualEncoder.loss(model, batch).backward()
        gradients.append(model.net_.encoder.weight.grad.clone())
    assert torch.allclose(gradients[0], gradients[1], atol=1e-5) and gradients[0].abs().sum() > 0


@pytest.mark.parametrize("criterion", [DecoupledSoftmax(sampled=1), SoftTopK(k=5)], ids=repr)
def test_other_criteria_and_free_vectors_and_a_net_of_one_s_own(criterion):
    model = DualEncoder(criterion=criterion, free=True, net="residual", train=TRAIN, width=32, random_state=0)
    assert model.fit(X, Y).score(XT, YT) > 0.5


def test_a_net_of_one_s_own(tmp_path):
    net = nn.Linear(400, 24)
    before = net.weight.detach().clone()
    model = DualEncoder(net=net, train=TRAIN, random_state=0).fit(X, Y)
    assert model.score(XT, YT) > 0.5 and torch.equal(net.weight, before)
    with pytest.raises(InputError, match="net must map"):
        DualEncoder(net=nn.Flatten(0)).fit(X, Y)
    with pytest.raises(InputError, match=r"DualEncoder.net must be"):
        DualEncoder(net="conv").fit(X, Y)


def test_early_stopping_and_checkpoints_come_with_the_loop(tmp_path):
    train = Train(epochs=4, batch_size=64, lr=5e-3, validation=0.2, checkpoint=str(tmp_path), progress=False)
    model = DualEncoder(train=train, width=16, negatives="batch", refresh=2, random_state=0).fit(X, Y)
    assert 0 < model.history_[-1]["validation"] <= 1
    again = DualEncoder(train=train, width=16, negatives="batch", refresh=2, random_state=0).fit(X, Y)
    assert np.array_equal(again.predict_top(XT, 3).scores, model.predict_top(XT, 3).scores)


# -- NGAME


def test_clusters_double_from_single_rows():
    model = NGAME(cluster=16)
    model.train_ = Train(epochs=20)
    sizes = []
    for epoch in range(20):
        model.epochs_done_ = torch.tensor(epoch)
        sizes.append(model.cluster_size())
    assert sizes[:3] == [1, 1, 2] and max(sizes) == 16 and sizes == sorted(sizes)


def test_clustered_batches_hold_more_informative_negatives():
    train = Train(epochs=10, batch_size=32, lr=3e-3, progress=False)
    drawn = extreme_multilabel(800, 300, n_groups=40, n_words=2000, random_state=0)
    share = {}
    for cluster in (1, 32):
        model = NGAME(train=train, width=32, cluster=cluster, refresh=2, classifier_epochs=0, random_state=0)
        share[cluster] = model.fit(drawn.X, drawn.y).informative_
    assert share[1][0] == share[32][0]  # both start with random batches
    assert share[32][-1] > 1.2 * share[1][-1]


def test_fusion_lies_between_both_stages():
    model = fresh(METHODS[2]).fit(X, Y)
    assert 0 <= model.mix_ <= 1 and not hasattr(model, "classifiers_") and model.vectors_.shape == (60, 32)
    assert fresh(METHODS[2], mix=0.0).fit(X, Y).mix_ == 0


# -- bad input


@each
@pytest.mark.parametrize(
    ("rows", "labels", "told"),
    [
        (X, Y[:-1], "600 rows but y has 599"),
        (X, 2 * Y, "holds 2"),
        (X, sparse.csr_array(Y.shape), "no positive"),
        (np.zeros((600, 4, 4, 3)), Y, "images"),
        (["a"] * 599 + [1], Y, "row 599"),
    ],
    ids=["lengths", "values", "empty", "images", "texts"],
)
def test_bad_input_is_named(model, rows, labels, told):
    with pytest.raises(InputError, match=told):
        fresh(model).fit(rows, labels)


def test_descriptions_of_other_labels_are_refused():
    with pytest.raises(InputError, match="describes 59 labels, but y has 60"):
        DualEncoder(label_features=DRAWN.label_features[:59]).fit(X, Y)
    with pytest.raises(InputError, match="k must be"):
        OneVsRestLinear().fit(X, Y).predict_top(XT, 0)


@pytest.mark.slow
def test_memory_is_far_below_rows_by_labels():
    drawn = extreme_multilabel(5000, 50_000, n_groups=1000, n_words=3000, random_state=0)
    model = DualEncoder(
        train=Train(epochs=1, batch_size=256, progress=False), width=16, hard=0, calibration_share=0.0, random_state=0
    )  # fmt: skip
    tracemalloc.start()
    model.fit(drawn.X, drawn.y).predict_proba(drawn.X[:100])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5000 * 50_000 / 4  # a quarter of a matrix of single bytes
