"""One linear classifier per label on sparse features: the reference of extreme classification."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from labelwise.base import Card, Count, NonNegative, Positive
from labelwise.multilabel.extreme import ExtremeClassifier
from labelwise.parts.dual_coordinates import one_vs_rest_weights
from labelwise.parts.multilabel_measures import is_sparse, top_labels
from labelwise.parts.sparse_labels import SparseLabels
from labelwise.parts.top_products import TopLabels

NUMBERS = 4_000_000
"""Numbers of a dense block of weights or scores."""


class OneVsRestLinear(ExtremeClassifier):
    """One linear support vector machine per label; weights near zero are dropped, so that the model stays sparse.

    Every label's squared hinge loss is minimised by dual coordinate descent on the one sparse matrix of rows. A label that
    a row of sparse labels does not store counts as a no; an unknown entry (-1) of dense labels is left out of its label's
    problem. Time grows with rows times labels: a reference up to some ten thousand labels.

    Parameters
    ----------
    C
        Cost of an error against the size of the weights, > 0.
    prune
        Weights below this in size become 0, >= 0.
    tol
        Largest violation of the optimality conditions at the end, > 0.
    max_iter
        Most passes over the rows a label, >= 1.

    References
    ----------
    Babbar, Schölkopf: DiSMEC: distributed sparse machines for extreme multi-label classification. WSDM 2017.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy import sparse
    >>> X = sparse.csr_array(np.eye(6).repeat(5, axis=0))
    >>> y = sparse.csr_array(np.eye(6, dtype=int).repeat(5, axis=0))
    >>> model = OneVsRestLinear(random_state=0).fit(X, y)
    >>> model.predict_top(X[::5], k=1).labels[:, 0]
    array([0, 1, 2, 3, 4, 5])
    """

    C: Annotated[float, Positive] = 1.0
    prune: Annotated[float, NonNegative] = 0.01
    tol: Annotated[float, Positive] = 0.1
    max_iter: Annotated[int, Count] = 50

    card = Card(
        year=2017, reference="Babbar, Schölkopf: DiSMEC. WSDM 2017.", kind="estimator", handles=frozenset({"clean labels"}),
        supervision=frozenset({"multilabel"}), task="multi-label", cost="light",
        apart="It is made for thousands of labels, each of them rare.",
    )  # fmt: skip
    tune = {"C": [0.1, 0.3, 1.0, 3.0, 10.0]}

    def learn(self, x: Any, labels: SparseLabels, rows: NDArray[Any], held: NDArray[Any]) -> None:
        """Solve every label's problem and keep the larger weights."""
        kept = labels.taken(rows)
        matrix = sparse.csr_array(x[rows])
        skipped = None if kept.unknown is None else sparse.csc_array(kept.unknown)
        size = max(1, NUMBERS // (matrix.shape[1] + 1))
        blocks = one_vs_rest_weights(
            matrix, sparse.csc_array(kept.positive), skipped, self.C, self.tol, self.max_iter, self.seed_ % 2**20, size
        )
        weights, intercepts, self.n_iter_ = [], [], 0
        for block, passes in blocks:
            intercepts.append(block[:, -1])
            weights.append(sparse.csr_array(np.where(np.abs(block[:, :-1]) < self.prune, 0, block[:, :-1])))
            self.n_iter_ = max(self.n_iter_, passes)
        joined = sparse.vstack(weights, format="csr", dtype=np.float32)
        self.weights_ = (joined.data, joined.indices, joined.indptr)  # arrays can be saved
        self.intercepts_ = np.concatenate(intercepts)
        self.n_weights_in_ = matrix.shape[1]

    @property
    def coef_(self) -> Any:
        """The weights, CSR float32 ``(L, p)``."""
        return sparse.csr_array(self.weights_, shape=(len(self.intercepts_), self.n_weights_in_))

    def best(self, x: Any, k: int) -> TopLabels:
        """Return the k labels of highest score."""
        size, weights = max(1, NUMBERS // len(self.intercepts_)), self.coef_.astype(np.float64)
        full = weights.nnz > 0.2 * weights.shape[0] * weights.shape[1]
        transposed = weights.T.toarray() if full else weights.T.tocsr()
        parts = [self._block(x[i : i + size] @ transposed, k) for i in range(0, max(1, x.shape[0]), size)]
        return TopLabels(np.concatenate([p.labels for p in parts]), np.concatenate([p.scores for p in parts]))

    def _block(self, products: Any, k: int) -> TopLabels:
        scores = (products.toarray() if is_sparse(products) else products) + self.intercepts_
        labels = top_labels(scores, k)
        return TopLabels(labels, np.take_along_axis(scores, labels, 1))
