"""Zero-shot classes by propagation: classifier weights of seen classes are passed over a graph of classes."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import kneighbors_graph
from sklearn.preprocessing import normalize

from labelwise.base import Card, Count, InputError, Natural
from labelwise.multilabel.ridge_mapping import SURVEY
from labelwise.multilabel.zero_shot import TINY, Doubles, Ints, ZeroShot
from labelwise.parts.label_space import Graph, label_space


class GraphPropagation(ZeroShot):
    """Regresses classifier weights of seen classes on node features smoothed over a graph, and reads them at unseen ones.

    Node features ``F`` are smoothed by ``hops`` steps of ``D^-1/2 (A + I) D^-1/2``; ridge regression from the smoothed
    features of seen classes to the weights of their logistic regression gives weights to every class.

    Differs from the paper, a survey that lists graph networks: the linear model is their closed form. Seen classes keep
    the weights they were trained to, unless `relearn` is set.

    Parameters
    ----------
    graph
        What connects the classes: a sparse (M, M) matrix of edge weights, a list of ``(a, b)`` or ``(a, b, weight)``
        tuples, or the parents of a tree, with -1 for a root. The first N nodes are the classes, in the order of
        `class_vectors` or `labels`, the others only connect. None: `neighbours` nearest classes by the cosine of their
        vectors.
    node_features
        (M, p) features of all nodes. None: `class_vectors`, zeros for nodes that are no class; without either, one
        indicator a node, so that the graph alone says which classes are alike.
    hops
        Steps of smoothing, >= 0.
    neighbours
        Of the graph made of class vectors, >= 1.
    relearn
        Whether seen classes, too, are scored by regressed weights.

    Attributes
    ----------
    classes_ : (N,) all classes, what `predict` can return.
    seen_ : (N,) whether a class had training rows.
    weights_ : (N, d + 1) weights of the classes, the offset last.
    strength_, offset_ : what was used.

    References
    ----------
    Chen, Geng, Chen, Pan, He, Zhang, Horrocks, Chen: Zero-shot and few-shot learning with knowledge graphs: a comprehensive
    survey. Proceedings of the IEEE 2023 (paper 48): propagation-based methods.

    Examples
    --------
    Classes on a line of which the middle one has no row; only the graph says that it lies there:

    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat([0, 1, 3, 4], 20)
    >>> X = np.c_[y, np.ones(80)] + 0.1 * rng.normal(size=(80, 2))
    >>> line = [(0, 1), (1, 2), (2, 3), (3, 4)]
    >>> model = GraphPropagation(graph=line, labels=range(5), strength=0.1, offset=0.0).fit(X, y)
    >>> model.classes_, model.seen_
    (array([0, 1, 2, 3, 4]), array([ True,  True, False,  True,  True]))
    """

    graph: Any = None
    node_features: Any = None
    hops: Annotated[int, Natural] = 2
    neighbours: Annotated[int, Count] = 5
    relearn: bool = False

    card = Card(
        paper=48, year=2023, reference=SURVEY, kind="estimator", handles=frozenset({"unseen classes"}), cost="seconds",
        apart="It needs a graph or vectors of the classes, which a table of rows does not hold.",
    )  # fmt: skip
    tune = {"hops": [1, 2, 3]}

    def known_classes(self) -> int | None:
        """Return the number of classes of the graph, where no vectors say it."""
        if self.class_vectors is not None or self.graph is None:
            return None
        return len(list(self.labels)) if self.labels is not None else label_space(self.graph).n_labels

    def look(self, X: Doubles, codes: Ints, V: Doubles) -> Any:
        """Return the numbers of the seen classes, their classifier's weights, and smoothed features of all classes."""
        seen = np.unique(codes)
        return seen, self._classifier_weights(X, codes, len(seen)), self._smoothed(V, seen)[: len(V)]

    def learn(self, found: Any, V: Doubles, strength: float) -> None:
        """Regress the weights on smoothed features."""
        seen, W, F = found
        among = F[seen] @ F[seen].T
        penalty = strength * max(float(np.trace(among)) / len(seen), TINY)
        centre = W.mean(axis=0)
        alpha = np.linalg.solve(among + penalty * np.eye(len(seen)), W - centre)
        self.weights_ = centre + F @ F[seen].T @ alpha
        if not self.relearn:
            self.weights_[seen] = W

    def _classifier_weights(self, X: Doubles, codes: Ints, n_seen: int) -> Doubles:
        """Return weights of the seen classes, (K, d + 1), the intercept last."""
        model = LogisticRegression(max_iter=200).fit(X, codes)
        W = np.c_[model.coef_, model.intercept_]
        return np.asarray(np.r_[-W, W] / 2 if n_seen == 2 else W)

    def _smoothed(self, V: Doubles, seen: Ints) -> Doubles:
        """Return smoothed features of all nodes, (M, p), centred on the seen classes."""
        A = self._adjacency(V, seen)
        F = self._features(V, A.shape[0])
        A = A + sparse.eye_array(A.shape[0])
        root = 1 / np.sqrt(np.asarray(A.sum(axis=1)).ravel())
        S = sparse.diags_array(root) @ A @ sparse.diags_array(root)
        for _ in range(self.hops):
            F = S @ F
        return np.asarray(F - F[seen].mean(axis=0))

    def _adjacency(self, V: Doubles, seen: Ints) -> Any:
        if self.graph is not None:
            space = label_space(self.graph)
            if not isinstance(space, Graph) or space.n_labels < len(V):
                raise InputError(f"graph must hold the {len(V)} classes as its first nodes.")
            return space.graph
        if self.class_vectors is None:
            return sparse.csr_array((len(V), len(V)))
        unit = normalize(V - V[seen].mean(axis=0))
        near = kneighbors_graph(unit, min(self.neighbours, len(V) - 1))
        return sparse.csr_array(near.maximum(near.T))

    def _features(self, V: Doubles, n_nodes: int) -> Doubles:
        if self.node_features is not None:
            F = np.asarray(self.node_features, dtype=np.float64)
            if F.ndim != 2 or len(F) != n_nodes or not np.isfinite(F).all():
                raise InputError(f"node_features must be a finite ({n_nodes}, p) array, one row a node. Got {F.shape}.")
            return F
        if self.class_vectors is None:
            return np.eye(n_nodes)
        return np.asarray(np.r_[V, np.zeros((n_nodes - len(V), V.shape[1]))])

    def scores(self, X: Doubles) -> Doubles:
        """Return the linear scores of the classes, (n, N)."""
        return np.asarray(X @ self.weights_[:, :-1].T + self.weights_[:, -1])
