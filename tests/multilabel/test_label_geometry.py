"""Embeddings of a tree's terms, and soft contrast beside a multi-label criterion."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from labelwise.base import InputError
from labelwise.data.synthetic import label_tree, partial_multilabel
from labelwise.learner import MultiLabelClassifier, Train
from labelwise.losses import HierarchicalMultiSimilarity
from labelwise.losses.multi_similarity import multi_similarity
from labelwise.multilabel import HierarchicalEmbedding, SoftConClassifier
from labelwise.persistence import load, save

SHORT = Train(epochs=2, batch_size=256, progress=False)
QUICK = Train(epochs=100, batch_size=256, lr=0.03, weight_decay=0.0, progress=False)


def terms(depth=3, branching=3):
    tree = label_tree(depth, branching)
    node = np.repeat(np.arange(len(tree)), 2)
    return tree, node, np.eye(len(node))


def order_kept(model, X, node, tree):
    z, steps = model.transform(X), tree.distances(node, node)
    pairs = np.triu(steps, 1) > 0
    return spearmanr((z @ z.T)[pairs], -steps[pairs]).statistic


def test_levels_grade_what_synonyms_alone_leave_unordered():
    tree, node, X = terms()
    deep = HierarchicalEmbedding(tree=tree.parent, width=24, train=QUICK, random_state=0).fit(X, node)
    flat = HierarchicalEmbedding(width=24, train=QUICK, random_state=0).fit(X, node)
    assert order_kept(deep, X, node, tree) > order_kept(flat, X, node, tree) + 0.25
    assert (deep.predict(X) == node).mean() > 0.95
    z = deep.transform(X)
    assert np.linalg.norm(z, axis=1) == pytest.approx(1)
    assert (z[0::2] * z[1::2]).sum(1).min() > 0.7  # synonyms coincide


def test_distances_are_looked_up_by_concept():
    tree, node, X = terms(2, 2)
    names = np.array([f"concept {k}" for k in range(len(tree))])
    by_name = HierarchicalEmbedding(tree=tree.parent, labels=names, train=SHORT, random_state=0).fit(X, names[node])
    assert by_name.steps_.numpy().tolist() == tree.distances(np.arange(7)).tolist()
    some = np.isin(node, [1, 3, 6])
    part = HierarchicalEmbedding(tree=tree.parent, train=SHORT, random_state=0).fit(X[some], node[some])
    assert part.steps_.numpy().tolist() == tree.distances([1, 3, 6], [1, 3, 6]).tolist()
    assert set(part.predict(X)) <= {1, 3, 6}


def test_batches_come_from_one_tree_at_a_time():
    forest = [-1, 0, 0, -1, 3, 3]
    node = np.repeat(np.arange(6), 4)
    seen = []

    class Watch(HierarchicalMultiSimilarity):
        def pointwise(self, similarity, distance):
            seen.append(float(distance.max()))
            return super().pointwise(similarity, distance)

    train = Train(epochs=3, batch_size=8, progress=False)
    model = HierarchicalEmbedding(tree=forest, criterion=Watch(), train=train, random_state=0)
    model.fit(np.eye(24), node)
    assert (
        len(seen) == 3 * 4 and max(seen) <= 2
    )  # in the other tree the distance is 2 at the least, by the meeting node
    assert sorted(model.tree_of_.tolist()) == [0, 0, 0, 1, 1, 1]
    assert multi_similarity(torch.zeros(1, 1), torch.zeros(1, 1) > 0, torch.zeros(1, 1) > 0).shape == (1,)


def test_saved_with_its_tree(tmp_path):
    tree, node, X = terms(2, 3)
    model = HierarchicalEmbedding(tree=tree.parent, train=SHORT, random_state=0).fit(X, node)
    save(model, tmp_path / "model")
    assert np.array_equal(load(tmp_path / "model").transform(X), model.transform(X))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tree": [1, 2, 0, 0]}, "0 -> 1 -> 2 -> 0"),
        ({"tree": [-1, 0]}, "not a node of the tree"),
        ({"tree": label_tree(2, 3).parent, "labels": ["a"]}, "13 different names"),
        ({"tree": np.ones((13, 13))}, "label 0 is at 1 from itself"),
        ({"width": 0}, "HierarchicalEmbedding.width"),
    ],
)
def test_bad_trees_are_named(fields, message):
    _, node, X = terms(2, 3)
    with pytest.raises(InputError, match=message):
        HierarchicalEmbedding(**fields).fit(X, node)


def drawn(n=300):
    return partial_multilabel(n, 4, positive_rate=0.3, observed_negative=0.7, random_state=0)


def test_without_contrast_it_is_the_plain_classifier():
    data, train = drawn(), Train(epochs=3, batch_size=32, progress=False)
    X, y = data.X, np.where((data.y >= 0).any(1)[:, None], data.y, 0)
    plain = MultiLabelClassifier(train=train, random_state=0).fit(X, y).predict_proba(X)
    assert SoftConClassifier(contrast=0.0, train=train, random_state=0).fit(X, y).predict_proba(X).shape == plain.shape


def test_soft_contrast_is_trained_beside_the_criterion():
    data, train = drawn(), Train(epochs=15, batch_size=64, progress=False)
    truth, value = np.where(data.y < 0, 0, data.y), {}
    for contrast in (0.0, 3.0):
        model = SoftConClassifier(contrast=contrast, train=train, random_state=0).fit(data.X, truth)
        with torch.no_grad():
            q = model.projector_(torch.as_tensor(model.features(data.X)).float())
            value[contrast] = model.soft_.parts(q, q, torch.as_tensor(truth))
    for part in ("instance", "labels"):
        assert float(value[3.0][part]) < 0.9 * float(value[0.0][part])
    assert float(model.soft_.bias.detach()) != 0


def test_rows_without_labels_are_used_and_what_is_unknown_is_not():
    data, train = drawn(), Train(epochs=3, batch_size=64, progress=False)
    y = data.y.copy()
    y[100:] = -1
    model = SoftConClassifier(train=train, random_state=0).fit(data.X, y)
    other = SoftConClassifier(train=train, random_state=0).fit(np.r_[data.X[:100], data.X[100:] + 1], y)
    assert not np.allclose(model.predict_proba(data.X), other.predict_proba(data.X))
    with pytest.raises(InputError, match="features"):
        SoftConClassifier(net=torch.nn.Linear(data.X.shape[1], 4), train=train).fit(data.X, data.y)
