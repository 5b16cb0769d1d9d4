from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_iris

from labelwise.base import InputError
from labelwise.nets.conv import ConvNet
from labelwise.semi_supervised.multi_view_co_training import (
    Orientation,
    UncertaintyCoTraining,
    asymmetric,
    dropout_variance,
    fuse,
)
from labelwise.training import Train

SHAPES = st.sampled_from([(), (4,), (2, 3), (2, 3, 4)])  # rows, series, masks, volumes


def drawn(seed, views, units, classes=3, rows=2):
    generator = torch.Generator().manual_seed(seed)
    p = torch.rand(views, rows, classes, *units, generator=generator, dtype=torch.float64)
    variance = torch.rand(views, rows, 1, *units, generator=generator, dtype=torch.float64)
    return p / p.sum(2, keepdim=True), variance


class TestFuse:
    @settings(deadline=None, max_examples=40)
    @given(seed=st.integers(0, 10**6), views=st.integers(2, 4), units=SHAPES)
    def test_equals_the_formula_unit_by_unit(self, seed, views, units):
        p, variance = drawn(seed, views, units)
        targets = fuse(p, variance)
        flat, v, t = p.flatten(3) if units else p[..., None], variance.reshape(views, 2, 1, -1), targets
        t = t.reshape(flat.shape)
        for i in range(views):
            for row in range(2):
                for unit in range(flat.shape[-1]):
                    c = {j: 1 / (float(v[j, row, 0, unit]) + 1e-6) for j in range(views) if j != i}
                    expected = sum(c[j] * flat[j, row, :, unit] for j in c) / sum(c.values())
                    torch.testing.assert_close(t[i, row, :, unit], expected)

    @settings(deadline=None, max_examples=40)
    @given(seed=st.integers(0, 10**6), views=st.integers(2, 4), units=SHAPES)
    def test_gives_probabilities_that_ignore_the_view_itself(self, seed, views, units):
        p, variance = drawn(seed, views, units)
        targets = fuse(p, variance)
        torch.testing.assert_close(targets.sum(2), torch.ones_like(targets.sum(2)))
        changed = p.clone()
        changed[0] = torch.rand_like(changed[0])
        torch.testing.assert_close(fuse(changed, variance)[0], targets[0])

    def test_a_view_without_variance_decides_and_one_can_be_left_out_exactly(self):
        p, _ = drawn(0, 3, (2, 3, 4))
        variance = (
            torch.tensor([0.0, 0.25, 0.25], dtype=torch.float64).reshape(3, 1, 1, 1, 1, 1).expand(3, 2, 1, 2, 3, 4)
        )
        targets = fuse(p, variance)
        torch.testing.assert_close(targets[1], p[0], atol=1e-4, rtol=0)
        torch.testing.assert_close(targets[0], (p[1] + p[2]) / 2)

    def test_carries_no_gradient_and_needs_two_views(self):
        p, variance = drawn(0, 3, ())
        assert not fuse(p.requires_grad_(), variance).requires_grad
        with pytest.raises(ValueError, match="at least two views"):
            fuse(p[:1], variance[:1])

    @given(seed=st.integers(0, 10**6), units=SHAPES)
    def test_variance_is_that_of_the_passes(self, seed, units):
        p, _ = drawn(seed, 5, units)
        expected = ((p**2).mean(0) - p.mean(0) ** 2).mean(1, keepdim=True)  # as the paper writes it
        torch.testing.assert_close(dropout_variance(p), expected)


class TestOrientation:
    @given(axes=st.integers(2, 3), data=st.data())
    def test_back_undoes_the_view(self, axes, data):
        order = data.draw(st.sampled_from(list(permutations(range(axes)))))
        flipped = data.draw(st.sets(st.integers(0, axes - 1)))
        x = torch.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, *(4, 5, 6)[:axes], -1)[..., 0]
        view = Orientation(order, sorted(flipped))
        assert torch.equal(view.back(view(x)), x)
        assert torch.equal(view(view.back(view(x))), view(x))

    def test_quarter_turns(self):
        x = torch.rand(2, 3, 4, 5)
        assert torch.equal(Orientation((1, 0), (0,))(x), torch.rot90(x, 1, (2, 3)))
        assert torch.equal(Orientation((1, 0), (1,))(x), torch.rot90(x, -1, (2, 3)))

    def test_masks_of_volumes_are_fused_in_the_common_frame(self):
        """Networks that say exactly what they see, each on its view, teach each other what was there."""
        truth = torch.nn.functional.one_hot(torch.randint(0, 3, (2, 3, 4, 5)), 3).permute(0, 4, 1, 2, 3).double()
        views = [Orientation(order) for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0))]
        said = torch.stack([view.back(view(truth)) for view in views])
        torch.testing.assert_close(fuse(said, torch.zeros(3, 2, 1, 3, 4, 5))[0], truth)

    def test_narrow_kernels_see_one_direction(self):
        net = asymmetric(ConvNet(1, 2)).features[0]
        x = torch.zeros(1, 1, 5, 5)
        x[0, 0, 2, 2] = 1
        touched = net(x).abs().sum((0, 1)) > 0
        assert touched.nonzero()[:, 1].unique().tolist() == [2] and int(touched.sum()) == 3


class TestLearner:
    def test_views_of_vectors_cover_all_columns(self):
        X, y = load_iris(return_X_y=True)
        model = UncertaintyCoTraining(n_views=3, share=1 / 3, train=Train(epochs=1), random_state=0).fit(X, y)
        seen = [net.features[0].columns.tolist() for net in model.members()]
        assert sorted({column for view in seen for column in view}) == [0, 1, 2, 3]
        assert [len(view) for view in seen] == [2, 2, 2]

    def test_a_view_sees_no_other_columns(self):
        X, y = load_iris(return_X_y=True)
        model = UncertaintyCoTraining(columns=[[0, 1], [2]], train=Train(epochs=2), random_state=0).fit(X, y)
        x = torch.as_tensor(model.inputs_.transform(X[:5]))
        other = x.clone()
        other[:, 2:] += 1
        first, second = (net.eval() for net in model.members())
        assert torch.equal(first(x), first(other))
        assert not torch.equal(second(x), second(other))

    def test_prediction_is_the_mean_of_the_views(self):
        X, y = load_iris(return_X_y=True)
        model = UncertaintyCoTraining(train=Train(epochs=2), random_state=0).fit(X, y)
        x = torch.as_tensor(model.inputs_.transform(X)).double()
        with torch.no_grad():
            each = [net.double().eval()(x).softmax(1) for net in model.members()]
        np.testing.assert_allclose(model.predict_proba(X), torch.stack(each).mean(0).numpy(), rtol=1e-9)

    def test_the_first_stage_uses_labels_alone(self):
        X, y = load_iris(return_X_y=True)
        few = np.where(np.arange(150) % 10 == 0, y, -1)
        model = UncertaintyCoTraining(train=Train(epochs=4), labels_first=0.5, random_state=0).fit(X, few)
        assert [("co-training" in row) for row in model.history_] == [False, False, True, True]
        assert [row["phase"] for row in model.history_] == [0, 0, 1, 1]

    def test_pictures(self):
        X, y = load_digits(return_X_y=True)
        X = (X / 16).astype(np.float32).reshape(-1, 8, 8, 1)[:200]
        few = np.where(np.arange(200) < 100, y[:200], -1)
        model = UncertaintyCoTraining(
            n_views=2, ratio=1, train=Train(epochs=10, batch_size=32, lr=5e-3), random_state=0
        ).fit(X, few)
        assert model.score(X, y[:200]) > 0.5
        model = UncertaintyCoTraining(n_views=2, net=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)),
                                      train=Train(epochs=2), random_state=0).fit(X, few)  # fmt: skip
        first, second = (net.head[1].weight for net in model.members())
        assert not torch.equal(first, second)

    @pytest.mark.parametrize(
        ("columns", "message"),
        [([[0]], "at least two views. Got 1"), ([[0], [4]], r"view 1 has \[4\]. .* 0 to 3"), ([[0], []], "view 1 has")],
    )
    def test_views_that_are_none(self, columns, message):
        X, y = load_iris(return_X_y=True)
        with pytest.raises(InputError, match=message):
            UncertaintyCoTraining(columns=columns).fit(X, y)

    def test_texts_are_refused(self):
        with pytest.raises(InputError, match="X holds tokens"):
            UncertaintyCoTraining().fit(["a b", "c d", "a"], [0, 1, 0])
