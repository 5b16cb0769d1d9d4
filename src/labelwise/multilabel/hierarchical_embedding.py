"""Embeddings of terms whose cosines follow their distances in a tree of concepts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csgraph
from sklearn.base import ClassifierMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from labelwise.base import UNLABELED, Card, Count, InputError
from labelwise.learner import MINI_BATCHES, Learner
from labelwise.losses.multi_similarity import HierarchicalMultiSimilarity
from labelwise.parts.label_space import Graph, LabelSpace, label_space
from labelwise.supervision import encode_classes
from labelwise.training import Batch, Data, shuffled

Doubles = NDArray[np.float64]


class HierarchicalEmbedding(TransformerMixin, ClassifierMixin, Learner):  # type: ignore[misc]
    """Embeds terms so that synonyms coincide and cosines fall with the distance of their concepts in a tree.

    A row of X is a term (its text's features, bag of tokens, or an indicator for a free vector), y its concept: a node of
    `tree`. Terms of one concept are synonyms. The loss is `labelwise.losses.HierarchicalMultiSimilarity` over the pairs of a
    batch; batches are drawn from one tree at a time where there are several. `transform` gives the embeddings, `predict` the
    concept whose terms' mean direction is nearest (linking a new term to a known concept).

    Differs from the paper: features and a small network in place of a language model; the level-wise loss is our reading.

    Parameters
    ----------
    tree
        The concepts: parents of N nodes, -1 for a root; edges; a sparse graph; or (N, N) distances, as in
        `labelwise.multilabel.Loki`. None: concepts are unrelated, only synonyms are drawn together.
    labels
        (N,) what the nodes are called in y. Default: 0 to N - 1, or the classes of y if there are N.
    width
        Numbers in an embedding, >= 1.
    criterion
        The loss, with the levels and their boundaries.
    net
        ``linear`` by default: every feature has a vector and a term is their sum. Otherwise as in every learner.

    Attributes
    ----------
    classes_ : (K,) concepts with a term.
    concepts_ : (K, width) their directions.

    References
    ----------
    Jeon et al.: Hierarchical pretraining for biomedical term embeddings (HiPrBERT). 2023 (paper 51).

    Examples
    --------
    >>> from labelwise.learner import Train
    >>> parents = [-1, 0, 0, 1, 1, 2, 2]
    >>> concept = np.repeat(np.arange(7), 2)  # two synonyms each, with a free vector
    >>> model = HierarchicalEmbedding(tree=parents, width=8, train=Train(epochs=200, lr=0.05), random_state=0)
    >>> z = model.fit(np.eye(14), concept).transform(np.eye(14))
    >>> bool((z[6] @ z[8]) > (z[6] @ z[10]))  # siblings are nearer than cousins
    True
    """

    net: nn.Module | str = "linear"
    tree: Any = None
    labels: Any = None
    width: Annotated[int, Count] = 32
    criterion: HierarchicalMultiSimilarity = HierarchicalMultiSimilarity()

    card = Card(
        paper=51, year=2023, reference="Hierarchical pretraining for biomedical term embeddings (HiPrBERT), 2023.",
        kind="learner", handles=frozenset({"representation"}), needs=frozenset({"distances"}),
        apart="It needs a tree over the classes, which a table of rows does not hold.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"width": [16, 32, 64]}

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None
    ) -> Self:
        """Learn embeddings of the terms X from their concepts y (n,); -1, None: of no known concept, left out."""
        super().fit(X, y, sample_weight, domains)
        codes = encode_classes(y)[1]
        z, sums = self.transform(X), np.zeros((len(self.classes_), self.width))
        np.add.at(sums, codes[codes != UNLABELED], z[codes != UNLABELED])
        self.concepts_ = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        return self

    def read_targets(self, y: ArrayLike) -> tuple[NDArray[Any], NDArray[np.bool_], int]:
        """Encode concepts, and look up their distances."""
        self.classes_, codes = encode_classes(y)
        steps, self.tree_of_ = self._steps()
        self.steps_ = torch.as_tensor(steps)
        return codes, codes != UNLABELED, self.width

    def _steps(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Distances among the concepts with a term, (K, K), and the number of the tree that each is in."""
        n = len(self.classes_)
        if self.tree is None:
            return np.where(np.eye(n) > 0, 0, np.inf).astype(np.float32), np.zeros(n, dtype=np.int64)
        space = label_space(self.tree)
        names = self._names(space)
        number = {name: i for i, name in enumerate(names.tolist())}
        lost = [name for name in self.classes_.tolist() if name not in number]
        if lost:
            raise InputError(f"y holds {lost[0]!r}, which is not a node of the tree: set labels= to the names in y.")
        node = np.array([number[name] for name in self.classes_.tolist()])
        return space.distances(node)[:, node], _trees(space)[node]

    def _names(self, space: LabelSpace) -> NDArray[Any]:
        if self.labels is None:
            return self.classes_ if len(self.classes_) == space.n_labels else np.arange(space.n_labels)
        names = np.asarray(self.labels)
        if names.shape != (space.n_labels,) or len(set(names.tolist())) != space.n_labels:
            raise InputError(f"labels must be {space.n_labels} different names. Got shape {names.shape}.")
        return names

    def batches(self, data: Data, generator: torch.Generator) -> Iterator[Batch]:
        """Yield the labelled rows once, each batch from one tree, in random order."""
        rows = data.labelled.nonzero().squeeze(1)
        tree = torch.as_tensor(self.tree_of_, device=rows.device)[data.y[rows]]
        drawn = [
            batch
            for one in np.unique(tree.cpu().numpy()).tolist()
            for batch in shuffled(rows[tree == one], self.train_.batch_size, generator, data.shard)
        ]
        for place in torch.randperm(len(drawn), generator=generator).tolist():
            yield data.batch(drawn[place])

    def steps(self, data: Data) -> int:
        """Return the number of batches in an epoch."""
        counts = np.bincount(self.tree_of_[data.y[data.labelled].cpu().numpy()])
        return int(np.ceil(counts / self.train_.batch_size).sum())

    def loss(self, batch: Batch) -> Tensor:
        """Return the level-wise loss of the batch's pairs."""
        z = F.normalize(self.net_(batch.x), dim=1)
        value = self.criterion.pointwise(z @ z.T, self.steps_[batch.y][:, batch.y])
        if batch.weight is None:
            return value.mean()
        return (batch.weight * value).sum() / batch.weight.sum().clamp_min(1e-12)

    def quality(self, scores: Tensor, y: Tensor) -> float:
        """Return minus the loss of held-out terms among one another."""
        z = F.normalize(scores, dim=1)
        return -float(self.criterion.pointwise(z @ z.T, self.steps_.to(y.device)[y][:, y]).mean())

    def transform(self, X: Any) -> Doubles:
        """Return the embeddings of terms, (n, width), of length 1."""
        z = self.outputs(X)
        return np.asarray(z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12))

    def decision_function(self, X: Any) -> Doubles:
        """Return cosines to the concepts of ``classes_``, (n, K); for two concepts their difference (n,)."""
        scores = self._cosines(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the nearest concept of each term, (n,)."""
        best = self._cosines(X).argmax(axis=1)
        return np.asarray(self.classes_[best])

    def _cosines(self, X: Any) -> Doubles:
        check_is_fitted(self)
        return np.asarray(self.transform(X) @ self.concepts_.T)


def _trees(space: LabelSpace) -> NDArray[np.int64]:
    """Number of the tree that each label is in; several trees meet in one node more than there are labels."""
    if not isinstance(space, Graph) or space.graph.shape[0] != space.n_labels + 1:
        return np.zeros(space.n_labels, dtype=np.int64)
    without = space.graph[: space.n_labels, : space.n_labels]
    return np.asarray(csgraph.connected_components(without, directed=False)[1], dtype=np.int64)
