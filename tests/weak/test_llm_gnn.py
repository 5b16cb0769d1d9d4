"""LLM-GNN: graph convolution, choice of nodes, filter of answers, and the whole on planted communities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import entropy as scipy_entropy

from labelwise.annotators import Answer, Ask, Simulated
from labelwise.base import InputError
from labelwise.nets.graph_convolution import GraphConvolution, as_tensor, read_graph, smoothing
from labelwise.weak import LLMGNN
from labelwise.weak.node_choice import believed, change_of_entropy, choose, pagerank, percentile


def random_graph(seed: int, n: int = 12, share: float = 0.2) -> np.ndarray:
    upper = np.triu(np.random.default_rng(seed).random((n, n)) < share, 1)
    return (upper | upper.T).astype(float)


def test_a_graph_may_be_given_in_four_ways() -> None:
    dense = random_graph(0)
    a, b = np.nonzero(np.triu(dense))
    looped = sparse.coo_array(dense + 3 * np.eye(12))
    for graph in (dense, looped, np.c_[a, b], np.c_[np.r_[a, b, a], np.r_[b, a, b]], np.triu(dense)):
        assert (read_graph(graph, 12).toarray() == dense).all()
    assert read_graph([], 3).nnz == 0


@pytest.mark.parametrize("graph", [np.ones((3, 3)), [[0, 12]], [[-1, 2]], [[0.5, 1.0]], -random_graph(0), [[[0]]]])
def test_what_is_no_graph_is_refused(graph: Any) -> None:
    with pytest.raises(InputError, match="graph"):
        read_graph(graph, 12)


@pytest.mark.parametrize("seed", range(3))
def test_the_network_is_two_convolutions(seed: int) -> None:
    A, rng = random_graph(seed), np.random.default_rng(seed)
    X = rng.normal(size=(12, 5))
    net = GraphConvolution(5, 7, 3, dropout=0.5).double().eval()
    looped = A + np.eye(12)
    S = looped / np.sqrt(np.outer(looped.sum(1), looped.sum(1)))
    assert smoothing(sparse.csr_array(A)).toarray() == pytest.approx(S)
    W1, b1, W2, b2 = (p.detach().numpy() for p in net.parameters())
    expected = S @ (np.maximum(S @ X @ W1.T + b1, 0) @ W2.T + b2)
    sparse_S = as_tensor(smoothing(sparse.csr_array(A))).double()
    scores = net(torch.from_numpy(S @ X), sparse_S)
    assert scores.detach().numpy() == pytest.approx(expected, abs=1e-6)
    loss = lambda weight: (S @ (np.maximum(S @ X @ W1.T + b1, 0) @ weight.T + b2))[:4].sum()  # noqa: E731
    scores[:4].sum().backward()
    bumped = W2.copy()
    bumped[1, 2] += 1e-5
    assert float(net.head.weight.grad[1, 2]) == pytest.approx((loss(bumped) - loss(W2)) / 1e-5, rel=1e-3, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_pagerank_is_the_stationary_share_of_a_random_surfer(seed: int) -> None:
    A = random_graph(seed, share=0.15)
    degree = A.sum(1)
    walk = np.where(degree[:, None] > 0, A / np.maximum(degree, 1)[:, None], 1 / 12)
    values, vectors = np.linalg.eig((0.85 * walk + 0.15 / 12).T)
    expected = np.abs(vectors[:, np.argmax(values.real)].real)
    assert pagerank(sparse.csr_array(A)) == pytest.approx(expected / expected.sum(), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=30))
def test_change_of_entropy_is_what_it_says(labels: list[int]) -> None:
    codes = np.array(labels)
    told = [scipy_entropy(np.bincount(np.delete(codes, i), minlength=4)) - scipy_entropy(np.bincount(codes, minlength=4))
            for i in range(len(codes))]  # fmt: skip
    assert change_of_entropy(codes, 4) == pytest.approx(np.array(told), abs=1e-9)


def test_unsure_answers_of_frequent_classes_go_first() -> None:
    codes = np.array([0] * 8 + [1] * 2)
    sure = np.array([0.9, 0.2, 0.9, 0.9, 0.3, 0.9, 0.9, 0.9, 0.25, 0.9])
    assert np.flatnonzero(~believed(codes, sure, 2, drop=0.2)).tolist() == [1, 4]
    assert np.flatnonzero(~believed(codes, sure, 2, drop=0.2, variety=0)).tolist() == [1, 8]
    assert set(codes[believed(codes, sure, 2, drop=1.0)]) == {0, 1}


def test_choice_weighs_ranks_and_not_values() -> None:
    telling, near = np.array([1.0, 1e9, 2.0, 3.0]), np.array([0.4, 0.1, 0.2, 0.3])
    assert percentile(telling).tolist() == [0.25, 1, 0.5, 0.75]
    assert choose(telling, near, 2, easy=0.0).tolist() == [1, 3]
    assert choose(telling, near, 2, easy=1.0).tolist() == [0, 3]


def communities(seed: int, n: int = 300, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Features, edges, classes and the distance of each node to its class centre, scaled to [0, 1]."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, n_classes, n)
    noise = rng.normal(size=(n, 8)) * rng.uniform(0.3, 1.7, (n, 1))
    X = 1.2 * np.eye(8)[truth] + noise
    same = truth[:, None] == truth
    edges = np.argwhere(np.triu(rng.random((n, n)) < np.where(same, 0.08, 0.004), 1))
    far = np.linalg.norm(noise, axis=1)
    return X, edges, truth, (far - far.min()) / np.ptp(far)


def test_nodes_without_a_label_get_their_community() -> None:
    X, edges, truth, far = communities(0)
    annotator = Simulated(truth=truth, difficulty=far, easy=1.0, hard=0.4)
    model = LLMGNN(n_classes=3, budget=60, random_state=0).fit(X, graph=edges, annotator=annotator)
    given = np.array([answer.label for answer in model.answers_]) == truth[model.chosen_]
    assert (model.labels_ == truth).mean() > max(0.85, given.mean())
    assert len(model.chosen_) == 60 and len(model.kept_) == 48 and model.cost_ == 60
    assert np.allclose(model.proba_.sum(1), 1) and (model.predict(X, edges) == model.labels_).all()


def test_easy_nodes_are_answered_better() -> None:
    X, edges, truth, far = communities(1)
    right = {}
    for easy in (0.0, 1.0):
        model = LLMGNN(n_classes=3, budget=90, easy=easy, epochs=1, random_state=0)
        model.fit(X, graph=edges, annotator=Simulated(truth=truth, difficulty=far, easy=1.0, hard=0.0))
        right[easy] = (np.array([answer.label for answer in model.answers_]) == truth[model.chosen_]).mean()
    assert right[1.0] > right[0.0] + 0.05


def test_known_nodes_are_not_asked_about_and_are_believed() -> None:
    X, edges, truth, _ = communities(2)
    known = np.full(300, -1)
    known[:30] = truth[:30]
    asked: list[int] = []

    def answer(node: int) -> int | None:
        asked.append(node)
        return None if node % 2 else int(truth[node])

    model = LLMGNN(n_classes=3, budget=40, random_state=0, drop=0.0).fit(
        X, known, graph=edges, annotator=Ask(function=answer)
    )
    assert len(asked) == 40 and min(asked) >= 30
    assert set(model.kept_) == {*range(30), *(node for node in asked if node % 2 == 0)}
    assert (model.labels_ == truth).mean() > 0.85


def test_items_are_what_the_annotator_sees_and_labels_may_be_words() -> None:
    X, edges, truth, _ = communities(3)
    names = np.array(["a", "b", "c"])
    texts = [f"about {name}" for name in names[truth]]
    annotator = Ask(function=lambda text: Answer(text[-1], 0.9), classes=["a", "b", "c"])
    model = LLMGNN(budget=45, random_state=0, weighted=True).fit(X, graph=edges, annotator=annotator, items=texts)
    assert model.classes_.tolist() == ["a", "b", "c"] and (model.labels_ == names[truth]).mean() > 0.85


def test_bad_input_is_told() -> None:
    X, edges, truth, _ = communities(4, n=40)
    annotator = Simulated(truth=truth)
    with pytest.raises(InputError, match=r"LLMGNN\.n_classes must be given"):
        LLMGNN().fit(X, graph=edges, annotator=annotator)
    with pytest.raises(InputError, match="items must be one for each of the 40 rows"):
        LLMGNN(n_classes=3).fit(X, graph=edges, annotator=annotator, items=["a"])
    with pytest.raises(InputError, match="named 0 classes for 40 nodes"):
        LLMGNN(n_classes=3).fit(X, graph=edges, annotator=Ask(function=lambda _: None))
    with pytest.raises(InputError, match="y must have one entry"):
        LLMGNN(n_classes=3).fit(X, [0, 1], graph=edges, annotator=annotator)
    with pytest.raises(InputError, match="8 columns"):
        LLMGNN(n_classes=3, budget=30).fit(X, graph=edges, annotator=annotator).predict(X[:, :3])


@pytest.mark.parametrize("importance", ["pagerank", "degree", "spread"])
def test_every_importance_chooses_the_budget(importance: str) -> None:
    X, edges, truth, _ = communities(5, n=90)
    model = LLMGNN(n_classes=3, budget=20, importance=importance, random_state=1)  # type: ignore[arg-type]
    assert len(set(model.fit(X, graph=edges, annotator=Simulated(truth=truth)).chosen_)) == 20
