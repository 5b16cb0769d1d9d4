"""Multiple-instance learning: bags with a class each, and pooling by attention, mean or maximum (Ilse et al. 2018)."""

from __future__ import annotations

from labelwise.base import Card
from labelwise.training import Train
from labelwise.weak.set_learner import APART, SetLearner


class MultipleInstance(SetLearner):
    """Classify bags of rows: each row through one network, pooled by learned attention, by mean or by maximum.

    ``h_i = f(x_i)``; ``z = sum_i a_i h_i`` with ``a = softmax_i(w . (tanh(V h_i) * sigmoid(U h_i)))`` over the rows of the
    bag; cross-entropy of ``head(z)``. The other poolings replace the weights. `attention` says which rows counted, and
    `predict_instances` what the model makes of single rows.

    Differs from the paper: several bags make a batch, rows are vectors of any kind, and classes may be more than two.

    Parameters
    ----------
    pooling
        As in the template: ``gated``, ``attention``, ``mean``, ``max``, ``max score``, ``deep sets``, ``set transformer``.

    References
    ----------
    Ilse, Tomczak, Welling, Attention-based Deep Multiple Instance Learning, ICML 2018.

    Examples
    --------
    >>> from labelwise.data.synthetic import set_bags
    >>> drawn = set_bags(60, (5, 10), random_state=0)
    >>> model = MultipleInstance(train=Train(epochs=30, batch_size=64), random_state=0)
    >>> model = model.fit(drawn.X, drawn.y, bags=drawn.bags)
    >>> model.predict(drawn.X, bags=drawn.bags).shape, model.predict_instances(drawn.X).shape
    ((60,), (453,))
    >>> bool(model.score(drawn.X, drawn.y, bags=drawn.bags) > 0.9)
    True
    """

    card = Card(
        year=2018, kind="learner", handles=frozenset({"missing labels"}), supervision=frozenset({"sets"}), apart=APART,
        reference="Ilse, Tomczak, Welling, Attention-based Deep Multiple Instance Learning, ICML 2018.",
    )  # fmt: skip
    tune = {
        "pooling": ["gated", "mean", "max", "max score"],
        "train": [Train(lr=lr, epochs=epochs) for lr in (1e-3, 3e-3) for epochs in (20, 60)],
    }
