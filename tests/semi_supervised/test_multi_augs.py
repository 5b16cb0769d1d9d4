from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labelwise.base import InputError
from labelwise.data.synthetic import stick_figures
from labelwise.semi_supervised.heatmaps import (
    STRONG,
    cutout,
    decode,
    encode,
    joint_cut_occlude,
    joint_cutout,
    mixup,
    strong,
    turns,
    warp,
)
from labelwise.semi_supervised.multi_augs import HeatmapNet, MultiPathConsistency, augmentation_strength
from labelwise.training import Train

SEEDS = st.integers(0, 10**6)


class TestFigures:
    @given(size=st.integers(16, 40), seed=SEEDS)
    @settings(deadline=None, max_examples=20)
    def test_joints_lie_on_what_is_painted(self, size, seed):
        figures = stick_figures(8, size=size, clutter=0, noise=0.0, random_state=seed)
        column, row = figures.joints.round().astype(int).transpose(2, 0, 1)
        assert figures.images.dtype == np.float32 and figures.images.shape == (8, size, size, 1)
        assert figures.joints.min() >= 0 and figures.joints.max() <= size - 1
        assert (figures.images[np.arange(8)[:, None], row, column, 0] > 0.35).all()
        highest = figures.images[..., 0].reshape(8, -1).argmax(1)
        head = np.c_[highest % size, highest // size]
        assert np.abs(head - figures.joints[:, 0]).max() <= 1

    def test_seed_and_ranges(self):
        first, second = (stick_figures(300, size=16, random_state=3) for _ in range(2))
        np.testing.assert_array_equal(first.images, second.images)
        assert not np.array_equal(first.images[0], first.images[1])
        with pytest.raises(InputError, match="size must be a whole number"):
            stick_figures(3, size=8)


class TestHeatmaps:
    @given(seed=SEEDS, height=st.integers(10, 40), width=st.integers(10, 40), half=st.booleans())
    @settings(deadline=None)
    def test_decode_finds_what_encode_wrote(self, seed, height, width, half):
        rng = np.random.default_rng(seed)
        size = (height // 2, width // 2) if half else (height, width)
        joints = torch.as_tensor(rng.uniform(2, [width - 3, height - 3], size=(3, 4, 2)))
        found = decode(encode(joints, (height, width), size), (height, width))
        assert float((found - joints).abs().max()) < (1.3 if half else 0.6)

    def test_encode_is_a_gaussian_of_the_cell(self):
        maps = encode(torch.tensor([[[4.0, 2.0]]]), (8, 8), (8, 8), width=2.0)
        rows, columns = np.mgrid[:8, :8]
        np.testing.assert_allclose(maps[0, 0], np.exp(-((rows - 2) ** 2 + (columns - 4) ** 2) / 8), rtol=1e-6)
        assert encode(torch.tensor([[[np.nan, 2.0]]]), (8, 8), (8, 8)).isnan().all()

    def test_warp_moves_picture_and_heatmap_alike(self):
        torch.manual_seed(0)
        joints = torch.tensor([[[14.0, 11.0], [9.0, 17.0]]]).expand(6, -1, -1)
        maps, affine = encode(joints, (25, 25), (25, 25), 2.0), turns(6, 60.0)
        moved = decode(warp(maps, affine), (25, 25))
        picture = maps.sum(1, keepdim=True)
        for row, column in ((row, joint) for row in range(6) for joint in range(2)):
            x, y = moved[row, column].round().long().tolist()
            assert float(warp(picture, affine)[row, 0, y, x]) > 0.6
        torch.testing.assert_close(warp(maps, torch.eye(2, 3).expand(6, 2, 3)), maps, atol=1e-5, rtol=0)

    def test_warp_turns_by_the_angle_drawn(self):
        quarter = torch.tensor([[[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
        x = torch.rand(1, 2, 9, 9)
        torch.testing.assert_close(warp(x, quarter), torch.rot90(x, 1, (2, 3)))
        affine = turns(500, 30.0)
        angle, size = torch.atan2(affine[:, 1, 0], affine[:, 0, 0]), affine[:, :, 0].norm(dim=1)
        assert (
            0.4 < float(angle.abs().max()) <= np.deg2rad(30.001) and 0.79 < float(size.min()) < float(size.max()) < 1.26
        )


class TestAugmentations:
    @pytest.mark.parametrize("name", [*STRONG, "cut-occlude+cutout"])
    def test_pictures_stay_pictures_and_the_given_ones_unchanged(self, name):
        torch.manual_seed(0)
        x, joints = torch.rand(4, 2, 20, 24), 5 + 10 * torch.rand(4, 3, 2)
        before = x.clone()
        changed = strong(name)(x, joints)
        assert changed.shape == x.shape and torch.equal(x, before)
        assert not torch.equal(changed, x)
        assert float(changed.min()) >= 0 and float(changed.max()) <= 1

    def test_joint_cutout_hides_near_joints_only(self):
        torch.manual_seed(0)
        x, joints = torch.rand(50, 1, 40, 40), torch.full((50, 1, 2), 10.0)
        changed = (joint_cutout(x, joints, most=1) != x)[:, 0]
        assert float(changed[:, 10, 10].float().mean()) > 0.6
        assert not changed[:, 25:].any() and not changed[:, :, 25:].any()
        spread = (cutout(x, joints) != x)[:, 0]
        assert spread[:, 25:].any() and spread[:, :, 25:].any()

    def test_cut_occlude_pastes_what_lies_about_the_partners_joint(self):
        """Two pictures of one colour each but for a joint's cross: what is pasted is the other's cross."""
        torch.manual_seed(1)
        x, joints = torch.zeros(2, 1, 40, 40), torch.tensor([[[8.0, 8.0]], [[30.0, 30.0]]])
        x[0], x[1] = 0.25, 0.75
        x[1, 0, 30, 30] = 1.0
        pasted = [joint_cut_occlude(x, joints, most=1)[0, 0] for _ in range(40)]
        values = {round(float(value), 2) for picture in pasted for value in picture.unique()}
        assert values == {0.25, 0.75, 1.0}
        at = torch.stack([(picture == 1.0).nonzero()[0] for picture in pasted if (picture == 1.0).any()]).float()
        assert float((at - 8).abs().max()) < 8  # near its own joint, not where the partner has it

    def test_mixup_keeps_three_quarters(self):
        torch.manual_seed(0)
        x = torch.eye(8).reshape(8, 1, 1, 8)
        kept = mixup(x, torch.zeros(8, 1, 2))[torch.arange(8), 0, 0, torch.arange(8)]
        assert float(kept.min()) >= 0.75


def figures(n=60, labelled=20, size=16):
    made = stick_figures(n, size=size, clutter=0, random_state=0)
    y = made.joints.copy()
    y[labelled:] = np.nan
    return made, y


class TestLearner:
    def test_learns_and_ignores_rows_without_labels_in_the_first_part(self):
        made, y = figures(80, 40)
        model = MultiPathConsistency(train=Train(epochs=40, batch_size=20, lr=1e-2), random_state=0).fit(made.images, y)
        assert model.score(made.images, made.joints) > 0.6
        assert [("consistency" in row) for row in model.history_] == [False] * 12 + [True] * 28

    def test_the_targets_of_the_copies_carry_no_gradient(self):
        made, y = figures(24, 12)
        model = MultiPathConsistency(train=Train(epochs=1), random_state=0).fit(made.images, y)

        class Constant(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.level = torch.nn.Parameter(torch.tensor(0.3))
                self.graph = []

            def forward(self, x):
                self.graph.append(torch.is_grad_enabled())
                return self.level.expand(len(x), 4, 8, 8)

        model.net_ = Constant()
        maps, known, _ = model.read_targets(y)
        from labelwise.training import Batch, Data

        data = Data(torch.as_tensor(made.images).permute(0, 3, 1, 2), torch.as_tensor(maps), torch.as_tensor(known))
        batch = Batch(data.x[:6], data.y[:6], torch.arange(6), unlabelled=data.batch(torch.arange(24)))
        parts = model.loss(batch)
        assert model.net_.graph == [False, True, True, True]  # the plain picture, two paths, the labelled rows
        (gradient,) = torch.autograd.grad(parts["consistency"], model.net_.level)
        inside = warp(torch.ones(24, 4, 8, 8), turns(24, 60.0)).mean()
        assert float(gradient) > 0 and float(inside) < 1  # outside of the picture the target is zero

    def test_heatmaps_as_targets_are_the_same_as_keypoints(self):
        made, y = figures()
        maps = encode(torch.as_tensor(y), (16, 16), (8, 8)).numpy()
        points, grids = (
            MultiPathConsistency(train=Train(epochs=2), random_state=0).fit(made.images, given) for given in (y, maps)
        )
        np.testing.assert_allclose(points.heatmaps(made.images), grids.predict(made.images), atol=1e-3)
        assert points.score(made.images, made.joints) == pytest.approx(
            grids.score(made.images, encode(torch.as_tensor(made.joints), (16, 16), (8, 8)).numpy(), reach=0.1), abs=0.1
        )

    def test_a_joint_unknown_here_and_there(self):
        made, y = figures()
        y[:10, 2] = np.nan
        model = MultiPathConsistency(train=Train(epochs=2), random_state=0).fit(made.images, y)
        assert np.isfinite(model.predict(made.images)).all()
        assert np.isnan(model.found(made.images, y)[:10, 2]).all()

    def test_net_of_ones_own(self):
        made, y = figures()
        model = MultiPathConsistency(net=HeatmapNet(1, 4, (16, 16), width=4), train=Train(epochs=1), random_state=0)
        maps = encode(torch.as_tensor(y), (16, 16), (16, 16)).numpy()
        assert model.fit(made.images, maps).predict(made.images).shape == (60, 4, 16, 16)

    @pytest.mark.parametrize(
        ("settings", "change", "message"),
        [
            ({"paths": ("cutout+blur",)}, lambda X, y: (X, y), "no augmentation 'blur'"),
            ({}, lambda X, y: (X, y[:, 0]), r"Got shape \(60, 2\)"),
            ({}, lambda X, y: (X, np.full_like(y, np.nan)), "NaN in every row"),
            ({}, lambda X, y: (X, np.where(np.isnan(y), np.inf, y)), "infinity, first in row 20"),
            ({}, lambda X, y: (X.reshape(60, -1), y), "X holds vectors"),
            ({"net": "mlp"}, lambda X, y: (X, y), "gives no heatmaps"),
        ],
    )
    def test_what_does_not_fit(self, settings, change, message):
        made, y = figures()
        with pytest.raises(InputError, match=message):
            MultiPathConsistency(**settings).fit(*change(made.images, y))

    def test_strength_is_the_accuracy_lost(self):
        made, y = figures(80, 60)
        model = MultiPathConsistency(weight=0.0, train=Train(epochs=30, batch_size=20, lr=1e-2), random_state=0)
        model.fit(made.images, y)
        table = augmentation_strength(model, made.images, made.joints, random_state=0)
        plain = model.score(made.images, made.joints)
        assert set(table["augmentation"]) == set(STRONG)
        assert (table["lost"].diff().dropna() <= 0).all()
        np.testing.assert_allclose(table["lost"], plain - table["accuracy"], atol=1e-9)
        assert ((table["low"] <= table["lost"]) & (table["lost"] <= table["high"])).all()
        again = augmentation_strength(model, made.images, made.joints, random_state=0)
        assert table.equals(again)
