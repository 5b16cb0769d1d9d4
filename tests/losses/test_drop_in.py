"""Every classification loss of the catalogue in other people's loops: plain PyTorch, and scikit-learn's tools."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from labelwise import catalogue
from labelwise.catalogue import Entry
from labelwise.learner import Classifier, Train
from labelwise.losses import Loss

LOSSES = [entry for entry in catalogue.methods(kind="loss") if "classes" in entry.supervision]
X, Y = load_iris(return_X_y=True)
X = (X - X.mean(0)) / X.std(0)
SHORT = Train(epochs=8, batch_size=16, lr=1e-2, progress=False)
drop_in = pytest.mark.parametrize("entry", LOSSES, ids=lambda entry: entry.name)


def weights_of(loss: Loss) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in loss.state_dict().items()}


@drop_in
def test_in_a_plain_loop_of_pytorch(entry: Entry) -> None:
    """A foreign model, optimiser and loader; the loss sits among the model's modules and moves with them."""
    torch.manual_seed(0)
    x, y = torch.tensor(X, dtype=torch.float32), torch.tensor(Y)
    model = nn.ModuleDict({"net": nn.Linear(4, 3), "loss": entry.cls()})
    model["loss"].bind(n_rows=len(x), n_classes=3)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y, torch.arange(len(x))), 32, shuffle=True)
    for _ in range(15):
        for rows, labels, index in loader:
            optimizer.zero_grad()
            value = model["loss"](model["net"](rows), labels, index)
            assert value.ndim == 0
            value.backward()
            optimizer.step()
    accuracy = (model["net"](x).argmax(1) == y).float().mean()
    assert accuracy > 0.6
    again = entry.cls().bind(n_rows=len(x), n_classes=3)
    again.load_state_dict(model["loss"].state_dict())
    assert weights_of(again).keys() == weights_of(model["loss"]).keys()


@drop_in
def test_in_a_pipeline_and_a_search_of_scikit_learn(entry: Entry) -> None:
    """`clone` copies the loss and leaves the user's own as it was; a search tries losses like any other value."""
    own = entry.cls()
    before = weights_of(own)
    pipeline = make_pipeline(StandardScaler(), Classifier(criterion=own, train=SHORT, net="linear", random_state=0))
    twin = clone(pipeline)
    assert type(twin[-1].criterion) is entry.cls
    assert twin[-1].criterion is not own
    search = GridSearchCV(pipeline, {"classifier__criterion": [own, entry.cls()]}, cv=2, error_score="raise").fit(X, Y)
    first, second = search.cv_results_["mean_test_score"]
    assert first == second  # the same loss twice, with the same seed
    assert np.isfinite(search.predict_proba(X)).all()
    assert search.score(X, Y) > 0.5
    after = weights_of(own)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_search_chooses_between_losses() -> None:
    losses = [entry.cls() for entry in LOSSES[:3]]
    search = GridSearchCV(Classifier(train=SHORT, net="linear", random_state=0), {"criterion": losses}, cv=2).fit(X, Y)
    assert type(search.best_params_["criterion"]) in {entry.cls for entry in LOSSES[:3]}
    assert type(search.best_estimator_.criterion_) is type(search.best_params_["criterion"])
