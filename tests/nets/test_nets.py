from __future__ import annotations

import pytest
import torch

from labelwise.base import InputError
from labelwise.nets import MLP, ConvNet, Linear, Network, SeriesTransformer, TextTransformer, build

CASES = [
    (Linear(5, 3), torch.randn(4, 5)),
    (MLP(5, 3, hidden=(8, 6), dropout=0.1), torch.randn(4, 5)),
    (ConvNet(2, 3), torch.randn(4, 2, 9, 7)),
    (ConvNet(1, 3), torch.randn(4, 1, 4, 4)),
    (SeriesTransformer(2, 11, 3), torch.randn(4, 2, 11)),
    (TextTransformer(50, 3, length=7), torch.randint(0, 50, (4, 7))),
]


@pytest.mark.parametrize(("net", "x"), CASES, ids=[type(net).__name__ for net, _ in CASES])
def test_scores_features_and_gradients(net: Network, x: torch.Tensor) -> None:
    net.eval()
    scores = net(x)
    assert scores.shape == (4, 3)
    assert net.features(x).shape == (4, net.width)
    torch.testing.assert_close(net.head(net.features(x)), scores)
    torch.testing.assert_close(net(x[:1]), scores[:1], atol=1e-5, rtol=1e-4)
    scores.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in net.parameters() if p.requires_grad)


@pytest.mark.parametrize(("net", "x"), CASES, ids=[type(net).__name__ for net, _ in CASES])
def test_a_network_is_rebuilt_from_its_config(net: Network, x: torch.Tensor) -> None:
    twin = type(net)(**net.config)
    twin.load_state_dict(net.state_dict())
    torch.testing.assert_close(twin.eval()(x), net.eval()(x))


def test_padding_does_not_change_a_text() -> None:
    net = TextTransformer(50, 2, length=8).eval()
    tokens = torch.tensor([[3, 4, 5, 0, 0, 0, 0, 0]])
    torch.testing.assert_close(net(tokens), net(tokens[:, :3]), atol=1e-5, rtol=1e-4)
    assert torch.isfinite(net(torch.zeros(1, 8, dtype=torch.long))).all()


def test_build_by_modality_and_refusal() -> None:
    assert isinstance(build("auto", "images", (3, 8, 8), 2), ConvNet)
    assert isinstance(build("linear", "vectors", (4,), 2), Linear)
    with pytest.raises(InputError, match=r"net='conv' does not take vectors. Use one of \['auto', 'linear', 'mlp'\]"):
        build("conv", "vectors", (4,), 2)


def test_a_longer_series_than_built_for_is_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        SeriesTransformer(1, 8, 2)(torch.randn(1, 1, 80))
