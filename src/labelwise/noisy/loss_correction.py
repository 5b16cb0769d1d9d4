"""Loss correction with a noise matrix estimated on the training rows (Patrini et al. 2017)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from labelwise.base import Card, InputError, Range
from labelwise.learner import MINI_BATCHES, ClassLearner
from labelwise.losses import BackwardCorrection, ForwardCorrection
from labelwise.parts import confident_joint as cj
from labelwise.parts.noise_matrix import NoiseMatrix
from labelwise.parts.out_of_fold import out_of_fold_proba, plain_classifier
from labelwise.training import Batch, Data, Train


class LossCorrection(ClassLearner):
    """Estimate the noise matrix out of fold, then train the network through it.

    The matrix is that of the confident joint of given labels and out-of-fold probabilities; `forward` then minimises
    ``-log (T p)_y``, `backward` the cross-entropy weighted by the inverse of ``T``. The network predicts true classes.

    Differs from the paper: the matrix is counted on all confident rows, not read off the most certain row of each class.

    Parameters
    ----------
    correction
        ``forward``, or ``backward``, which needs a matrix that can be inverted safely.
    matrix
        A noise matrix you know: `labelwise.parts.noise_matrix.NoiseMatrix`, or ``(K, K)`` with P(given i | true j) in
        ``[i, j]`` over sorted classes; None estimates it.
    estimator
        The scikit-learn classifier whose out-of-fold probabilities are counted; None takes logistic regression. It sees
        the network's inputs, flattened.
    folds
        Folds of the estimate, >= 2.

    Attributes
    ----------
    noise_matrix_ : float array of shape (K, K)
        P(given i | true j) in ``[i, j]``: columns sum to 1.

    Notes
    -----
    Where classes overlap the confident joint takes some hard rows for errors, and the matrix has too much noise.

    References
    ----------
    Patrini, Rozza, Menon, Nock and Qu, Making Deep Neural Networks Robust to Label Noise: a Loss Correction Approach,
    CVPR 2017; the estimate is that of Northcutt, Jiang and Chuang, JAIR 70 (2021).

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.integers(0, 2, 400)
    >>> X = rng.normal(4 * truth[:, None], 1, (400, 2))
    >>> y = np.where((truth == 1) & (rng.random(400) < 0.3), 0, truth)  # 30 % of class 1 are labelled 0
    >>> model = LossCorrection(train=Train(epochs=10), random_state=0).fit(X, y)
    >>> bool(abs(model.noise_matrix_[0, 1] - 0.3) < 0.1), model.score(X, truth) > 0.99
    (True, True)
    """

    correction: Literal["forward", "backward"] = "forward"
    matrix: Any = None
    estimator: Any = None
    folds: Annotated[int, Range(low=2, whole=True)] = 5

    card = Card(
        year=2017, kind="learner", handles=frozenset({"noise"}), cost="light", race=True,
        reference="Patrini et al., Making Deep Neural Networks Robust to Label Noise: a Loss Correction Approach, 2017.",
        expected_failed_checks={"check_sample_weight_equivalence_on_dense_data": MINI_BATCHES},
    )  # fmt: skip
    tune = {
        "correction": ["forward", "backward"],
        "train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (15, 40)],
    }

    def start(self, data: Data) -> None:
        """Estimate the matrix, and build the corrected loss."""
        noise = self._estimated(data) if self.matrix is None else self._known()
        self.noise_matrix_: NDArray[np.float64] = noise.matrix
        self.criterion_ = (ForwardCorrection if self.correction == "forward" else BackwardCorrection)(noise)

    def loss(self, batch: Batch) -> Tensor:
        """Return the corrected loss of the batch."""
        value: Tensor = self.criterion_(self.net_(batch.x), batch.y, batch.index, batch.weight)
        return value

    def _known(self) -> NoiseMatrix:
        given = self.matrix if isinstance(self.matrix, NoiseMatrix) else NoiseMatrix(np.asarray(self.matrix))
        if given.n_classes != self.n_outputs_:
            raise InputError(
                f"LossCorrection.matrix has {given.n_classes} classes but y has {self.n_outputs_}. Give one row and column "
                "per class, in sorted order."
            )
        return given

    def _estimated(self, data: Data) -> NoiseMatrix:
        rows = data.labelled.nonzero().squeeze(1)
        X = data.x[rows].flatten(1).double().cpu().numpy()
        codes = data.y[rows].cpu().numpy()
        model = plain_classifier() if self.estimator is None else self.estimator
        rng = np.random.default_rng(self.seed_)
        reading = cj.read(codes, out_of_fold_proba(model, X, codes, self.n_outputs_, folds=self.folds, rng=rng))
        counts = cj.count_joint(reading, cj.confident_classes(reading, cj.thresholds(reading)))
        return NoiseMatrix.from_counts(cj.calibrate(counts, reading.counts))
