from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from labelwise.base import InputError
from labelwise.semi_supervised.sparse_gan import (
    Critic,
    Generator,
    ImageTranslation,
    fixed,
    gradient_penalty,
    mixed,
    prototype_loss,
    supervised_loss,
    voted,
)
from labelwise.training import Batch, Train

SEEDS = st.integers(0, 10**6)


def digits(n=60, labelled=30):
    X, y = load_digits(n_class=3, return_X_y=True)
    pictures = (X[:n] / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    return pictures, np.where(np.arange(n) < labelled, y[:n], -1), y[:n]


def labelled_batch(seed=0, rows=9, classes=3):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(rows, 1, 8, 8, generator=generator)
    y = torch.randint(classes, (rows,), generator=generator)
    return Batch(x, y, torch.arange(rows))


class TestParts:
    @given(seed=SEEDS)
    @settings(deadline=None, max_examples=30)
    def test_prototypes_row_by_row(self, seed):
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(7, 4, generator=generator, dtype=torch.float64)
        y = torch.randint(3, (7,), generator=generator)  # the last class is never there
        p = (logits / 0.1).softmax(1)
        means = {int(c): p[y == c].mean(0) for c in y.unique()}
        expected = []
        for row in range(7):
            scores = {c: -float(((p[row] - mean) ** 2).sum()) for c, mean in means.items()}
            total = np.log(sum(np.exp(value) for value in scores.values()))
            expected.append(total - scores[int(y[row])])
        np.testing.assert_allclose(prototype_loss(logits, y), expected, rtol=1e-6)

    @given(seed=SEEDS)
    @settings(deadline=None, max_examples=30)
    def test_votes_are_probabilities_between_those_of_the_models(self, seed):
        logits = [torch.randn(5, 4, generator=torch.Generator().manual_seed(seed + k)) * 3 for k in range(2)]
        vote = voted(logits)
        each = torch.stack([(scores / 0.5).softmax(1) for scores in logits])
        torch.testing.assert_close(vote.sum(1), torch.ones(5))
        assert bool(((vote >= each.amin(0) - 1e-6) & (vote <= each.amax(0) + 1e-6)).all())
        entropy = -(each * each.log()).sum(2) / np.log(4)
        expected = ((1 - entropy)[..., None] * each).sum(0) / (1 - entropy).sum(0)[:, None]
        torch.testing.assert_close(vote, expected, atol=1e-4, rtol=1e-4)

    def test_penalty_of_a_linear_critic_is_known(self):
        class Plane(torch.nn.Module):
            def forward(self, x):
                return 3 * x.flatten(1)[:, 0] + 4 * x.flatten(1)[:, 1], None

        penalty = gradient_penalty(Plane(), torch.rand(6, 1, 4, 4), torch.rand(6, 1, 4, 4))
        assert float(penalty) == pytest.approx((5 - 1) ** 2)

    def test_fixed_weights_take_no_gradient_but_pass_it_on(self):
        critic, x = Critic(1, 3), torch.rand(2, 1, 8, 8, requires_grad=True)
        with fixed(critic):
            out = critic(x)[0].sum()
        out.backward()
        assert x.grad is not None and float(x.grad.abs().sum()) > 0
        assert all(weight.grad is None and weight.requires_grad for weight in critic.parameters())

    def test_mixup_keeps_soft_labels_with_their_pictures(self):
        torch.manual_seed(0)
        y = torch.arange(4)
        batch = Batch(torch.nn.functional.one_hot(y).float().reshape(4, 1, 2, 2), y, y)
        mix = mixed(batch, 4)
        torch.testing.assert_close(mix.x.flatten(1), mix.y)


class TestTheThreeFaults:
    def test_the_mutual_term_moves_the_model(self):
        """With everything else equal, other peers give another gradient."""
        torch.manual_seed(0)
        batch, logits = labelled_batch(), torch.randn(9, 3, requires_grad=True)
        mix = mixed(batch, 3)
        gradients = []
        for peers in (torch.full((9, 3), 1 / 3), torch.eye(3)[batch.y]):
            value = supervised_loss(logits, logits.detach(), peers, batch, mix)
            gradients.append(torch.autograd.grad(value, logits)[0])
        assert float((gradients[0] - gradients[1]).abs().max()) > 1e-4

    def test_votes_are_remembered_by_row_over_all_of_training(self):
        pictures, few, _ = digits()
        model = ImageTranslation(every=2, train=Train(epochs=4, batch_size=10), random_state=0).fit(pictures, few)
        weight = model.votes_.rows.sum(1)
        torch.testing.assert_close(weight, torch.full((60,), 1 - 0.99**2))  # two visits of every row, in two epochs

    def test_the_past_has_its_say(self):
        pictures, few, _ = digits()
        model = ImageTranslation(every=2, train=Train(epochs=2, batch_size=10), random_state=0).fit(pictures, few)
        x = torch.as_tensor(pictures).permute(0, 3, 1, 2)
        for label in range(3):
            model.quantile = 0.0
            model.votes_.rows = 0.1 * torch.nn.functional.one_hot(torch.full((60,), label), 3).float()
            with torch.no_grad():
                vote = voted([model.net_.eval()(x), model.critic_(x)[1]])
            expected = (0.7 * vote + 0.3 * torch.eye(3)[label]).argmax(1)
            assert torch.equal(model.sure(Batch(x, few, torch.arange(60)))[1], expected)

    @pytest.mark.parametrize(("quantile", "kept"), [(0.0, 60), (0.75, 15), (0.9, 6)])
    def test_rows_in_doubt_are_left_out(self, quantile, kept):
        pictures, few, _ = digits()
        model = ImageTranslation(quantile=quantile, train=Train(epochs=1), random_state=0).fit(pictures, few)
        model.net_.eval()
        x = torch.as_tensor(pictures).permute(0, 3, 1, 2)
        rows, labels = model.sure(Batch(x, few, torch.arange(60)), learn=True)
        assert len(rows) == len(labels) == kept


class TestLearner:
    def test_learns(self):
        pictures, few, y = digits(120, 30)
        model = ImageTranslation(every=2, train=Train(epochs=12, batch_size=15, lr=5e-3), random_state=0)
        assert model.fit(pictures, few).score(pictures, y) > 0.8
        assert [("critic pool" in row) for row in model.history_] == [False, True] * 6

    def test_without_translation_the_pool_does_not_matter(self):
        pictures, few, _ = digits()
        other = pictures.copy()
        other[30:] = 1 - other[30:]
        models = [
            ImageTranslation(translation=0.0, train=Train(epochs=2, batch_size=10), random_state=0).fit(X, few)
            for X in (pictures, other)
        ]
        np.testing.assert_array_equal(*(model.predict_proba(pictures) for model in models))

    def test_translation_has_the_shape_of_the_pictures(self):
        pictures, few, _ = digits()
        wide = np.repeat((255 * pictures[:, :, :7]).astype(np.uint8), 3, axis=3)
        model = ImageTranslation(every=1, train=Train(epochs=1), random_state=0).fit(wide, few)
        moved = model.translate(wide[:4], 2)
        assert moved.shape == (4, 8, 7, 3) and np.isfinite(moved).all()
        assert not np.array_equal(moved, model.translate(wide[:4], 1))
        with pytest.raises(InputError, match="label must be one of"):
            model.translate(wide[:4], 9)

    def test_generator_keeps_odd_sizes(self):
        assert Generator(1, 3)(torch.rand(2, 1, 9, 11), torch.tensor([0, 2])).shape == (2, 1, 9, 11)

    def test_only_pictures(self):
        with pytest.raises(InputError, match="X holds vectors"):
            ImageTranslation().fit(np.random.default_rng(0).normal(size=(20, 4)), np.arange(20) % 2)
