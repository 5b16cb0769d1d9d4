"""A tree of classes of which only some are ever observed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from labelwise.base import Count, Fraction, InputError, NonNegative, Positive, Range
from labelwise.data.synthetic.drawing import BoolArray, FloatArray, IntArray, RandomState, check, generator


@dataclass(frozen=True, eq=False)
class LabelTree:
    """A rooted tree; nodes are numbered level by level, the root is 0.

    Attributes
    ----------
    parent
        Parent of each node ``(N,)``, -1 for the root.
    level
        Number of edges from the root ``(N,)``.
    """

    parent: IntArray
    level: IntArray

    def __len__(self) -> int:
        return len(self.parent)

    @property
    def leaves(self) -> IntArray:
        """Nodes without children."""
        return np.setdiff1d(np.arange(len(self)), self.parent)

    @property
    def graph(self) -> sparse.csr_array[np.float64]:
        """Undirected edges of length 1 as a sparse matrix ``(N, N)``."""
        child = np.arange(1, len(self))
        ends = np.r_[child, self.parent[1:]], np.r_[self.parent[1:], child]
        return sparse.csr_array((np.ones(2 * len(child)), ends), shape=(len(self), len(self)))

    def ancestors(self) -> IntArray:
        """Return every node's path from the root, padded with -1: ``(N, depth + 1)``."""
        paths = np.full((len(self), int(self.level.max()) + 1), -1)
        node = np.arange(len(self))
        for _ in range(paths.shape[1]):
            alive = node >= 0
            paths[alive, self.level[node[alive]]] = node[alive]
            node = np.where(alive, self.parent[node], -1)
        return paths

    def distances(self, rows: ArrayLike, columns: ArrayLike | None = None) -> NDArray[np.int32]:
        """Return the number of edges between nodes `rows` and `columns` (default: all)."""
        start = np.atleast_1d(np.asarray(rows))
        end = np.arange(len(self)) if columns is None else np.atleast_1d(np.asarray(columns))
        paths = self.ancestors()
        shared = np.zeros((len(start), len(end)), np.int32)
        for step in paths.T:
            shared += (step[start, None] == step[end]) & (step[start, None] >= 0)
        depth = self.level.astype(np.int32)
        return np.asarray(depth[start, None] + depth[end] - 2 * (shared - 1), dtype=np.int32)


@dataclass(frozen=True, eq=False)
class Taxonomy:
    """Rows of classes that are nodes of a tree, with labels of some classes only.

    Attributes
    ----------
    X
        Features ``(n, d)``.
    y
        Right node of each row ``(n,)``.
    tree
        The classes.
    classes
        Nodes that rows belong to ``(C,)``: the leaves, or all nodes.
    observed
        Nodes that a training set may show, sorted ``(O,)``.
    centres
        Mean of each node's rows ``(N, d)``: that of its parent and a random step.
    """

    X: FloatArray
    y: IntArray
    tree: LabelTree
    classes: IntArray
    observed: IntArray
    centres: FloatArray

    @property
    def is_observed(self) -> BoolArray:
        """Rows of an observed class, bool ``(n,)``: those to train on."""
        return np.isin(self.y, self.observed)


def label_tree(depth: int = 4, branching: int = 3) -> LabelTree:
    """Return the tree in which every node above `depth` has `branching` children.

    >>> tree = label_tree(2, 2)
    >>> tree.parent.tolist()
    [-1, 0, 0, 1, 1, 2, 2]
    >>> tree.distances([3]).tolist()
    [[2, 1, 3, 0, 2, 4, 4]]
    """
    check("depth", depth, Count)
    check("branching", branching, Count)
    sizes = branching ** np.arange(depth + 1)
    n_nodes = int(sizes.sum())
    parent = np.r_[-1, (np.arange(1, n_nodes) - 1) // branching]
    return LabelTree(parent, np.repeat(np.arange(depth + 1), sizes))


def random_tree(n_nodes: int = 100, *, random_state: RandomState = None) -> LabelTree:
    """Return a tree grown by giving each new node a parent drawn from those before it."""
    check("n_nodes", n_nodes, Range(low=2, whole=True))
    rng = generator(random_state)
    parent = np.r_[-1, (rng.random(n_nodes - 1) * np.arange(1, n_nodes)).astype(np.int64)]
    level = np.zeros(n_nodes, np.int64)
    for node in range(1, n_nodes):
        level[node] = level[parent[node]] + 1
    order = np.argsort(level, kind="stable")
    number = np.argsort(order)
    return LabelTree(np.r_[-1, number[parent[order[1:]]]], level[order])


def taxonomy(
    n_rows: int = 2000,
    tree: LabelTree | None = None,
    n_features: int = 16,
    *,
    observed_share: float = 0.3,
    leaves_only: bool = True,
    step: float = 3.0,
    decay: float = 0.7,
    random_state: RandomState = None,
) -> Taxonomy:
    """Draw rows around the nodes of a tree whose geometry the features share.

    Parameters
    ----------
    n_rows
        Rows, spread evenly over the classes.
    tree
        The classes; by default `label_tree()` of depth 4 and 81 leaves.
    n_features
        Columns of `X`.
    observed_share
        Share of the classes that are observed, at least two.
    leaves_only
        Whether only leaves are classes, or every node.
    step
        Length of the step from the root to its children, in standard deviations of a class.
    decay
        By which the steps shrink from level to level, so that near classes in the tree are near in the features.
    random_state
        Seed or generator.

    Examples
    --------
    >>> drawn = taxonomy(500, label_tree(3, 2), observed_share=0.5, random_state=0)
    >>> len(drawn.classes), len(drawn.observed)
    (8, 4)
    """
    check("n_rows", n_rows, Count)
    check("n_features", n_features, Count)
    check("observed_share", observed_share, Fraction)
    check("step", step, Positive)
    check("decay", decay, NonNegative)
    rng = generator(random_state)
    grown = label_tree() if tree is None else tree
    classes = grown.leaves if leaves_only else np.arange(len(grown))
    if len(classes) < 2:
        raise InputError(
            f"tree has {len(classes)} class; at least 2 are needed. Use leaves_only=False or another tree."
        )
    count = min(max(round(observed_share * len(classes)), 2), len(classes))
    observed = np.sort(rng.choice(classes, count, replace=False))
    centres = _centres(grown, n_features, step, decay, rng)
    y = rng.permutation(classes[np.arange(n_rows) % len(classes)])
    X = centres[y] + rng.standard_normal((n_rows, n_features))
    return Taxonomy(X, y, grown, classes, observed, centres)


def _centres(tree: LabelTree, n_features: int, step: float, decay: float, rng: np.random.Generator) -> FloatArray:
    moves = rng.standard_normal((len(tree), n_features))
    moves *= (step * decay ** (tree.level - 1.0) / np.sqrt((moves**2).sum(1)))[:, None]
    centres = np.zeros((len(tree), n_features))
    for level in range(1, int(tree.level.max()) + 1):
        nodes = np.flatnonzero(tree.level == level)
        centres[nodes] = centres[tree.parent[nodes]] + moves[nodes]
    return centres
