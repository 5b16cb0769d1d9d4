"""Values of items, some of them never seen in training, by link prediction over a hypergraph of items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from typing import Annotated, Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.special import expit
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from labelwise.base import Card, Count, Fraction, InputError, Positive
from labelwise.learner import MINI_BATCHES, MultiLabelClassifier
from labelwise.nets.bipartite import LinkNet
from labelwise.parts.hypergraph import incidence, mixed_over_hyperedges
from labelwise.parts.label_vectors import label_vectors
from labelwise.parts.moments import centre_and_scale
from labelwise.training import Batch, Data

Doubles = NDArray[np.float64]


class HyperPAVE(MultiLabelClassifier):
    """Predicts which values an item has, unseen ones too, from both their features, links, and groups of items.

    Features of an item are averaged over the groups (hyperedges) it is in: ``h = Dv^-1 H De^-1 H^T x``, mixed over kinds
    of groups, and ``P (x + g h)`` is its projection, ``P v`` that of a value. Two GraphSAGE layers add what messages along
    the known item-value links tell, and the score of a pair is the inner product of both embeddings. The loss is binary
    cross-entropy of the links of a batch's items and of as many known absences drawn as `negatives` says. An unknown entry
    (-1) is neither. A value whose column is -1 throughout, or has no yes, is unseen: it is scored by its features.

    Differs from the paper: no categories, no generated descriptions, all linked neighbours instead of 20 drawn. Items keep
    their own features beside the averages, and share the projection with values of as many features; the layers' messages
    are added to it (without these, embeddings fitted to seen values said little of others). A small rate,
    ``Train(lr=5e-5, weight_decay=1e-6)`` as the authors', keeps what features say of unseen values. The items
    of a batch and a share of the values carry no messages in that step, in place of 30 % of the links: so every step
    imitates items without links and values never seen, which is what is asked later. Scores are moved by the logarithm of
    the share of absences drawn, so that probabilities are those of all pairs.

    Parameters
    ----------
    value_vectors
        Features of the L values: (L, p) numbers, or L texts for `encoder`; best made as those of the items. None: one
        indicator a value, and no unseen values.
    encoder
        Makes vectors of texts: a function of a list of texts, or an object with ``encode`` or ``transform``.
    mix
        Share of each kind of hyperedge; None: equal.
    width
        Numbers in an embedding, >= 1.
    negatives
        Known absences drawn for each link, > 0.
    hidden
        Share of the values without messages in a step, in [0, 1].

    Attributes
    ----------
    transduction_ : (n, L) probabilities of the rows of ``fit``, with their hyperedges and links.
    seen_ : (L,) whether a value had a link.

    References
    ----------
    Gong, Chen, Eldardiry: Multi-label zero-shot product attribute-value extraction (HyperPAVE). WWW 2024 (paper 254).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values = rng.normal(size=(6, 8))
    >>> y = (rng.random((200, 6)) < 0.3).astype(np.int8)
    >>> X = y @ values + 0.3 * rng.normal(size=(200, 8))  # items are described by their values
    >>> known = y.copy(); known[:, 5] = -1  # of the last value nothing is known
    >>> from labelwise.learner import Train
    >>> model = HyperPAVE(value_vectors=values, width=16, train=Train(epochs=40, batch_size=64), random_state=0)
    >>> model.fit(X, known, hyperedges=[[0, 1, 2], [3, 4]]).predict_proba(X).shape
    (200, 6)
    """

    value_vectors: Any = None
    encoder: Any = None
    mix: Sequence[float] | None = None
    width: Annotated[int, Count] = 64
    negatives: Annotated[float, Positive] = 2.0
    hidden: Annotated[float, Fraction] = 0.3

    card = Card(
        paper=254, year=2024, reference="Gong et al.: Multi-label zero-shot product attribute-value extraction. WWW 2024.",
        kind="learner", handles=frozenset({"unseen classes", "missing labels"}), task="multi-label",
        supervision=frozenset({"multilabel"}), apart="It needs features of the values, and groups of rows.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {"hidden": [0.0, 0.3, 0.6], "width": [32, 64, 128]}

    def fit(
        self, X: Any, y: ArrayLike, sample_weight: ArrayLike | None = None, domains: ArrayLike | None = None,
        hyperedges: Any = None,
    ) -> Self:  # fmt: skip
        """Learn from items X (n, d) and which values they have.

        Parameters
        ----------
        X
            Features of all items, also of those whose values are to be found.
        y
            (n, L): 1 has the value, 0 has not, -1 unknown (a whole row of -1: an item to be judged). A sparse matrix holds
            1 for a link, and no link means 0.
        sample_weight
            (n,) weights of items, not negative.
        domains
            Not used.
        hyperedges
            Groups of items: a list of lists of row numbers or an (n, e) matrix of 0 and 1, as in
            `labelwise.parts.hypergraph.incidence`; for several kinds a tuple of those.
        """
        self._hyperedges = hyperedges
        try:
            super().fit(X, _dense(y), sample_weight, domains)
        finally:
            del self._hyperedges
        self.transduction_ = self._probabilities(self._scores(self.raw_, self.items_))
        return self

    def build(self, data: Data) -> None:
        """Average the items over hyperedges, read the values' features, and make the network."""
        if self.inputs_.modality != "vectors" or not isinstance(self.net, str):
            raise InputError(f"X: HyperPAVE takes features (n, d) and no network. Got {self.inputs_.modality}.")
        self.raw_ = data.x
        self.items_ = self._over(data.x, self._hyperedges)
        self.values_ = torch.as_tensor(self._value_features(data.x.shape[1]), dtype=data.x.dtype)
        self.links_ = (data.y == 1).nonzero().T.contiguous()
        self.seen_ = np.asarray((data.y == 1).any(0).cpu())
        self.net_ = LinkNet(data.x.shape[1], self.values_.shape[1], self.width)

    def _over(self, x: Tensor, hyperedges: Any) -> Tensor:
        kinds = hyperedges if isinstance(hyperedges, tuple) else () if hyperedges is None else (hyperedges,)
        mixed = mixed_over_hyperedges(
            x.double().cpu().numpy(), [incidence(kind, len(x)) for kind in kinds], self.mix if kinds else None
        )
        return torch.as_tensor(mixed, dtype=x.dtype, device=x.device)

    def _value_features(self, item_width: int) -> Doubles:
        if self.value_vectors is None:
            return np.eye(self.n_outputs_)
        V = label_vectors(self.value_vectors, self.encoder, "value_vectors")[0]
        if len(V) != self.n_outputs_:
            raise InputError(
                f"value_vectors must have a row for each of the {self.n_outputs_} columns of y. Got {len(V)}."
            )
        if V.shape[1] == item_width:
            return np.asarray(self.inputs_.transform(V), dtype=np.float64)
        centre, scale = centre_and_scale(V)
        return np.asarray((V - centre) / scale)

    def start(self, data: Data) -> None:
        """Count how many absences are known for each link."""
        super().start(data)
        y = data.y[data.labelled]
        yes, no = int((y == 1).sum()), int((y == 0).sum())
        self.drawn_ = torch.tensor(min(1.0, self.negatives * yes / no) if yes and no else 1.0)

    def loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of the batch's links and of drawn absences, from a graph without the batch's links."""
        net: Any = self.net_
        shown = torch.ones(len(self.items_), dtype=torch.bool, device=batch.x.device)
        shown[batch.index] = False
        kept = torch.rand(len(self.values_), device=batch.x.device) >= self.hidden
        links = self.links_[:, shown[self.links_[0]] & kept[self.links_[1]]]
        z, v = net.embed(self.raw_, self.items_, self.values_, links)
        scores = net.score(z[batch.index], v)
        used = (batch.y == 1) | ((batch.y == 0) & (torch.rand_like(scores) < self.drawn_))
        weight = used.to(scores.dtype) if batch.weight is None else used * batch.weight[:, None]
        value = F.binary_cross_entropy_with_logits(
            scores, (batch.y == 1).to(scores.dtype), weight=weight, reduction="sum"
        )
        return value / weight.sum().clamp_min(1e-12)

    def validation_score(self, data: Data) -> float:
        """Return minus the cross-entropy of held-out items, as new items without hyperedges."""
        return self.quality(torch.as_tensor(self._new_scores(data.x, None)), data.y)

    @torch.no_grad()
    def _scores(self, items: Tensor, over: Tensor) -> Doubles:
        """Scores of all pairs (n, L), on the graph with all links; in double precision, as all networks predict."""
        net = deepcopy(self.net_).double().eval()
        values, links = self.values_.to(items.device).double(), self.links_.to(items.device)
        scores = net(items.double(), over.double(), values, links)
        return np.asarray(scores.cpu().numpy() + math.log(float(self.drawn_)))

    def outputs(self, X: Any, hyperedges: Any = None) -> Doubles:
        """Return the scores of new items X (m, d), shape (m, L).

        `hyperedges` number the n items of ``fit`` first and the m new ones after them; None: the new ones are in none.
        """
        check_is_fitted(self)
        return self._new_scores(torch.as_tensor(self.inputs_.transform(X)), hyperedges)

    def _new_scores(self, new: Tensor, hyperedges: Any) -> Doubles:
        raw = torch.cat([self.raw_, new])
        over = torch.cat([self.items_, new]) if hyperedges is None else self._over(raw, hyperedges)
        return self._scores(raw, over)[len(self.raw_) :]

    def predict_proba(self, X: Any, hyperedges: Any = None) -> Doubles:
        """Return the probability of each value, (m, L); `hyperedges` as in `outputs`."""
        return self._probabilities(self.outputs(X, hyperedges))

    def predict(self, X: Any, hyperedges: Any = None) -> NDArray[Any]:
        """Return 1 where a value is more probable than not, (m, L), or the class (m,); `hyperedges` as in `outputs`."""
        scores = self.outputs(X, hyperedges)
        return np.asarray(self.classes_[scores.argmax(1)]) if self.single_ else (scores > 0).astype(np.int64)

    def _probabilities(self, scores: Doubles) -> Doubles:
        p = expit(scores)
        return np.asarray(p / p.sum(1, keepdims=True) if self.single_ else p)


def _dense(y: Any) -> Any:
    """A sparse matrix of links as an array; what is not stored is an absence."""
    if not sparse.issparse(y):
        return y
    given: Any = y
    matrix: Any = sparse.csr_array(given)
    bad = (matrix.data != 1) & (matrix.data != 0)
    if bad.any():
        row = int(np.searchsorted(matrix.indptr, int(bad.argmax()), side="right")) - 1
        raise InputError(
            f"a sparse y must hold 1 for a link and nothing else. Got {matrix.data[bad][0]:g} in row {row}."
        )
    return matrix.toarray().astype(np.int8)
