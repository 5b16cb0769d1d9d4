from __future__ import annotations

import dataclasses
import inspect
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scipy.sparse.csgraph import shortest_path
from scipy.stats import binom, multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from labelwise.base import UNLABELED, InputError
from labelwise.data import synthetic
from labelwise.supervision import Kind, infer

seeds = st.integers(0, 2**32 - 1)


def near(share: float, expected: float, count: int) -> bool:
    """Whether a share of `count` draws is plausible for its probability: neither binomial tail below one in 10^9."""
    hits = round(share * count)
    below, above = binom.cdf(hits, count, expected), binom.sf(hits - 1, count, expected)
    return min(below, above) > 1e-9


def tabulate(rows: np.ndarray, columns: np.ndarray, size: int) -> np.ndarray:
    """Empirical P(column | row), by a plain loop over cells."""
    return np.array([[np.mean(columns[rows == i] == j) for j in range(size)] for i in range(size)])


def close_to(table: np.ndarray, expected: np.ndarray, counts: np.ndarray) -> bool:
    return all(
        near(table[i, j], min(max(expected[i, j], 0), 1), counts[i])
        for i in range(len(table))
        for j in range(len(table))
    )


# ---------------------------------------------------------------- every generator

EXAMPLES = {
    "blobs": lambda rs: synthetic.blobs(50, random_state=rs),
    "symmetric_noise": lambda rs: synthetic.symmetric_noise([0, 1, 2] * 20, 0.5, random_state=rs),
    "pair_noise": lambda rs: synthetic.pair_noise([0, 1, 2] * 20, 0.5, random_state=rs),
    "transition_noise": lambda rs: synthetic.transition_noise([0, 1] * 20, [[0.5, 0.5], [0.1, 0.9]], random_state=rs),
    "instance_noise": lambda rs: synthetic.instance_noise(np.eye(60), [0, 1, 2] * 20, 0.4, random_state=rs),
    "boundary_noise": lambda rs: synthetic.boundary_noise([0, 1] * 20, np.full((40, 2), 0.5), 0.4, random_state=rs),
    "open_set_noise": lambda rs: synthetic.open_set_noise(np.eye(20), [0, 1] * 10, 0.5, random_state=rs),
    "open_pool": lambda rs: synthetic.open_pool(10, 50, random_state=rs),
    "crowd": lambda rs: synthetic.crowd(50, 8, 3, spammers=0.3, activity=1.0, random_state=rs),
    "labelling_functions": lambda rs: synthetic.labelling_functions(
        [0, 1] * 30, [0.8, 0.7], 0.5, n_copies=1, random_state=rs
    ),
    "prior_shift": lambda rs: synthetic.prior_shift(40, random_state=rs),
    "covariate_shift": lambda rs: synthetic.covariate_shift(40, 40, random_state=rs),
    "proportion_bags": lambda rs: synthetic.proportion_bags(8, (2, 5), noise=0.1, random_state=rs),
    "set_bags": lambda rs: synthetic.set_bags(8, (2, 5), random_state=rs),
    "partial_multilabel": lambda rs: synthetic.partial_multilabel(40, flip_rate=0.1, random_state=rs),
    "long_tailed": lambda rs: synthetic.long_tailed(np.repeat(np.arange(3), 60), 20, pool_size=1.0, random_state=rs),
    "planted_duplicates": lambda rs: synthetic.planted_duplicates(60, 8, disagree_share=0.5, random_state=rs),
    "taxonomy": lambda rs: synthetic.taxonomy(50, random_state=rs),
    "random_tree": lambda rs: synthetic.random_tree(30, random_state=rs),
    "calibrated_probabilities": lambda rs: synthetic.calibrated_probabilities(50, 3, noise=0.2, random_state=rs),
    "mixture": lambda rs: synthetic.mixture(3, 2, random_state=rs),
    "dynamic_signal": lambda rs: synthetic.dynamic_signal(20, 3, 4, random_state=rs),
    "backdoor_pool": lambda rs: synthetic.backdoor_pool(
        np.zeros((40, 16)) + np.linspace(0, 1, 16), np.arange(40) % 2, 0, 0.2, shape=(4, 4), random_state=rs
    ),
    "extreme_multilabel": lambda rs: synthetic.extreme_multilabel(30, 20, n_groups=4, random_state=rs),
    "two_kind_bags": lambda rs: synthetic.two_kind_bags(6, (4, 6), random_state=rs),
    "charging_curves": lambda rs: synthetic.charging_curves(2, 5, 16, random_state=rs),
    "two_domain_reviews": lambda rs: synthetic.two_domain_reviews(20, random_state=rs),
    "shape_scenes": lambda rs: synthetic.shape_scenes(6, 16, 0.5, random_state=rs),
    "labelled_stream": lambda rs: synthetic.labelled_stream("i.i.d.", 40, 2, 3, n_source=30, random_state=rs),
    "topic_shift": lambda rs: synthetic.topic_shift(20, 3, 12, 4, random_state=rs),
    "stick_figures": lambda rs: synthetic.stick_figures(3, 16, random_state=rs),
}


def arrays(result: object) -> dict[str, np.ndarray]:
    values = {item.name: getattr(result, item.name) for item in dataclasses.fields(result)}  # type: ignore[arg-type]
    values = {name: value.toarray() if sparse.issparse(value) else value for name, value in values.items()}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def test_every_generator_with_a_random_state_is_exercised_here():
    functions = [name for name in synthetic.__all__ if inspect.isfunction(getattr(synthetic, name))]
    random = {name for name in functions if "random_state" in inspect.signature(getattr(synthetic, name)).parameters}
    assert random == set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_seed_decides_the_draw_and_global_state_is_left_alone(name):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    one, same, other = (arrays(EXAMPLES[name](seed)) for seed in (3, 3, 4))
    for key, value in one.items():
        np.testing.assert_array_equal(value, same[key])
    assert any(value.shape != other[key].shape or (value != other[key]).any() for key, value in one.items())
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_generator_is_used_up_further_and_results_are_frozen(name):
    rng = np.random.default_rng(0)
    one, other = EXAMPLES[name](rng), EXAMPLES[name](rng)
    assert any((a != b).any() if a.shape == b.shape else True for a, b in zip(*map(_values, (one, other)), strict=True))
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(one, dataclasses.fields(one)[0].name, None)


def _values(result: object) -> list[np.ndarray]:
    return list(arrays(result).values())


BAD = [
    (synthetic.blobs, {"n_rows": 0}, "n_rows"),
    (synthetic.blobs, {"n_classes": 1}, "n_classes"),
    (synthetic.blobs, {"prior": [0.5, 0.6, 0.1]}, "prior"),
    (synthetic.blobs, {"random_state": "seed"}, "random_state"),
    (synthetic.symmetric_noise, {"y": [0, 1], "rate": 1.5}, "rate"),
    (synthetic.symmetric_noise, {"y": [0.5, 1], "rate": 0.5}, "y"),
    (synthetic.symmetric_noise, {"y": [0, -2], "rate": 0.5}, "y"),
    (synthetic.symmetric_noise, {"y": [0, 5], "rate": 0.5, "n_classes": 3}, "n_classes"),
    (synthetic.pair_noise, {"y": [0, 1], "rate": 0.5, "mistaken_for": [1, 2]}, "mistaken_for"),
    (synthetic.transition_noise, {"y": [0, 1], "transition": [[1, 0], [0.5, 0.6]]}, "transition: row 1"),
    (synthetic.transition_noise, {"y": [0, 1], "transition": [1, 0]}, "transition"),
    (synthetic.instance_noise, {"X": np.eye(3), "y": [0, 1], "rate": 0.1}, "X"),
    (synthetic.boundary_noise, {"y": [0, 1], "posterior": np.eye(2), "rate": 0.1}, "rate"),
    (synthetic.boundary_noise, {"y": [0, 1, 1], "posterior": np.eye(2), "rate": 0.1}, "posterior"),
    (synthetic.open_set_noise, {"X": np.eye(2), "y": [0, 1], "rate": 0.5, "outside": np.eye(3)}, "outside"),
    (synthetic.open_set_noise, {"X": np.eye(2), "y": [0], "rate": 0.5}, "X"),
    (synthetic.open_pool, {"n_labelled": 2}, "n_labelled"),
    (synthetic.open_pool, {"n_unknown": 0}, "unknown_share"),
    (synthetic.crowd, {"answers_per_task": 51}, "answers_per_task"),
    (synthetic.crowd, {"accuracy": (0.9, 0.1)}, "accuracy"),
    (synthetic.crowd, {"n_tasks": 2, "truth": [0]}, "truth"),
    (synthetic.labelling_functions, {"y": [0, 1], "accuracy": [1.2], "coverage": 0.5}, "accuracy"),
    (synthetic.labelling_functions, {"y": [0, -1, 1], "accuracy": [0.2], "coverage": 0.5}, "y"),
    (synthetic.labelling_functions, {"y": [0, 1], "accuracy": [0.9], "coverage": 0.9, "one_class": True}, "coverage"),
    (synthetic.prior_shift, {"n_rows": (5, 5, 5)}, "n_rows"),
    (synthetic.prior_shift, {"priors": [[0.5, 0.5]]}, "priors"),
    (synthetic.covariate_shift, {"scale": 0}, "scale"),
    (synthetic.proportion_bags, {"bag_size": (5, 2)}, "bag_size"),
    (synthetic.proportion_bags, {"bag_size": 0}, "bag_size"),
    (synthetic.partial_multilabel, {"rank": 17}, "rank"),
    (synthetic.partial_multilabel, {"positive_rate": 0}, "positive_rate"),
    (synthetic.planted_duplicates, {"n_rows": 20, "n_duplicates": 15}, "n_duplicates"),
    (synthetic.label_tree, {"depth": 0}, "depth"),
    (synthetic.taxonomy, {"tree": synthetic.label_tree(3, 1)}, "tree"),
    (synthetic.calibrated_probabilities, {"out": np.empty((3, 3))}, "out"),
    (synthetic.long_tail, {"n_classes": 3, "ratio": 0.5}, "ratio"),
]


@pytest.mark.parametrize(("function", "arguments", "named"), BAD, ids=lambda value: getattr(value, "__name__", ""))
def test_bad_arguments_are_named(function, arguments, named):
    with pytest.raises(InputError, match=f"^{named}"):
        function(**arguments)


# ---------------------------------------------------------------- mixtures


@given(st.integers(2, 6), st.integers(1, 8), st.floats(0.5, 10), seeds)
def test_the_nearest_means_are_as_far_apart_as_asked(n_classes, n_features, separation, seed):
    means = synthetic.mixture(n_classes, n_features, separation=separation, scale=2.0, random_state=seed).means
    distances = [np.linalg.norm(a - b) for i, a in enumerate(means) for b in means[:i]]
    assert min(distances) == pytest.approx(2 * separation, rel=1e-4)
    if n_features >= n_classes:
        assert max(distances) == pytest.approx(2 * separation, rel=1e-4)


def test_classes_have_their_shares_and_their_spread():
    prior = synthetic.long_tail(4, 10)
    assert prior[0] / prior[-1] == pytest.approx(10)
    sample = synthetic.blobs(20_000, 4, 3, scale=1.5, prior=prior, random_state=0)
    for k in range(4):
        members = sample.X[sample.y == k]
        assert near(len(members) / 20_000, prior[k], 20_000)
        np.testing.assert_allclose(members.mean(0), sample.mixture.means[k], atol=6 * 1.5 / np.sqrt(len(members)))
        np.testing.assert_allclose(members.std(0), 1.5, rtol=6 / np.sqrt(2 * len(members)))


def test_the_posterior_is_bayes_rule_and_the_best_there_is():
    sample = synthetic.blobs(20_000, 3, 2, separation=1.5, prior=[0.6, 0.3, 0.1], random_state=1)
    x, mixture = sample.X[0], sample.mixture
    density = mixture.prior * np.exp(-((x - mixture.means) ** 2).sum(1) / 2)
    np.testing.assert_allclose(sample.posterior[0], density / density.sum())
    best = (sample.posterior.argmax(1) == sample.y).mean()
    fitted = LinearDiscriminantAnalysis().fit(sample.X, sample.y).score(sample.X, sample.y)
    assert abs(best - fitted) < 0.01
    assert near(best, sample.posterior.max(1).mean(), 20_000)


def test_the_posterior_under_another_prior_ignores_absent_classes():
    sample = synthetic.blobs(50, 3, 2, random_state=1)
    assert (sample.mixture.posterior(sample.X, [0.5, 0.5, 0])[:, 2] == 0).all()


# ---------------------------------------------------------------- label noise


@given(st.integers(2, 5), st.floats(0, 1), seeds)
def test_transition_noise_follows_its_matrix(n_classes, rate, seed):
    y = np.arange(3000) % n_classes
    for noisy in (
        synthetic.symmetric_noise(y, rate, random_state=seed),
        synthetic.pair_noise(y, rate, random_state=seed),
    ):
        counts = np.bincount(y)
        assert close_to(tabulate(y, noisy.y, n_classes), noisy.transition, counts)
        np.testing.assert_allclose(np.diag(noisy.transition), 1 - rate)
        np.testing.assert_array_equal(noisy.is_corrupted, noisy.y != y)
        np.testing.assert_array_equal(noisy.truth, y)


def test_a_given_matrix_is_followed_and_unlabelled_rows_stay():
    rng = np.random.default_rng(0)
    matrix = rng.dirichlet(np.ones(4), 4)
    y = rng.integers(-1, 4, 40_000)
    noisy = synthetic.transition_noise(y, matrix, random_state=1)
    assert close_to(tabulate(y, noisy.y, 4), matrix, np.bincount(y[y >= 0]))
    assert (noisy.y[y == UNLABELED] == UNLABELED).all()
    assert not noisy.is_corrupted[y == UNLABELED].any()


def test_pair_noise_takes_classes_for_the_named_ones():
    noisy = synthetic.pair_noise([0, 1, 2] * 500, 1.0, mistaken_for=[2, 1, 0], random_state=0)
    np.testing.assert_array_equal(noisy.y, [2, 1, 0] * 500)
    assert noisy.is_corrupted.mean() == pytest.approx(2 / 3)


def test_instance_noise_has_its_rate_and_depends_on_the_row():
    sample = synthetic.blobs(30_000, 4, 6, random_state=0)
    noisy = synthetic.instance_noise(sample.X, sample.y, 0.3, random_state=1)
    assert abs(noisy.is_corrupted.mean() - 0.3) < 0.015
    assert close_to(tabulate(sample.y, noisy.y, 4), noisy.transition, np.bincount(sample.y))
    wrong = (sample.y == 0) & noisy.is_corrupted  # within one class, the row decides which mistake is made
    guess = LinearDiscriminantAnalysis().fit(sample.X[wrong], noisy.y[wrong]).score(sample.X[wrong], noisy.y[wrong])
    assert guess > np.bincount(noisy.y[wrong]).max() / wrong.sum() + 0.05


def test_boundary_noise_has_its_rate_and_hits_doubtful_rows():
    sample = synthetic.blobs(30_000, 3, 4, separation=2.0, random_state=0)
    noisy = synthetic.boundary_noise(sample.y, sample.posterior, 0.2, random_state=1)
    assert near(noisy.is_corrupted.mean(), 0.2, 30_000)
    assert close_to(tabulate(sample.y, noisy.y, 3), noisy.transition, np.bincount(sample.y))
    sure = sample.posterior.max(1) > 0.99
    assert noisy.is_corrupted[sure].mean() < 0.1 * noisy.is_corrupted[~sure].mean()


# ---------------------------------------------------------------- open sets


def test_open_set_noise_replaces_rows_and_keeps_labels():
    sample = synthetic.blobs(5000, 3, 5, random_state=0)
    noisy = synthetic.open_set_noise(sample.X, sample.y, 0.2, random_state=1)
    assert near(noisy.is_corrupted.mean(), 0.2, 5000)
    np.testing.assert_array_equal(noisy.y, sample.y)
    np.testing.assert_array_equal((noisy.X != sample.X).any(1), noisy.is_corrupted)
    centre = sample.X.mean(0)
    reach = np.linalg.norm(noisy.X - centre, axis=1)
    assert reach[noisy.is_corrupted].min() > np.quantile(reach[~noisy.is_corrupted], 0.99)


def test_open_set_noise_draws_from_rows_outside_when_given():
    outside = np.full((2, 3), 9.0) + np.array([[0], [1]])
    noisy = synthetic.open_set_noise(np.zeros((500, 3)), np.zeros(500, int), 0.5, outside=outside, random_state=0)
    assert set(np.unique(noisy.X[noisy.is_corrupted])) == {9.0, 10.0}


def test_an_open_pool_has_labels_of_known_classes_only():
    pool = synthetic.open_pool(40, 20_000, 3, 2, unknown_share=0.25, prior=[0.5, 0.3, 0.2], random_state=0)
    labelled = pool.y != UNLABELED
    assert labelled.sum() == 40 and labelled[:40].all()
    assert set(pool.y[labelled]) == {0, 1, 2}
    np.testing.assert_array_equal(pool.y[labelled], pool.truth[labelled])
    assert near(pool.is_unknown[~labelled].mean(), 0.25, 20_000)
    assert near((pool.truth[~labelled] == 0).mean(), 0.75 * 0.5, 20_000)
    assert set(np.unique(pool.truth[pool.is_unknown])) == {3, 4}
    assert not synthetic.open_pool(unknown_share=0, n_unknown=0, random_state=0).is_unknown.any()


# ---------------------------------------------------------------- votes


def test_workers_answer_by_their_confusion_matrices():
    drawn = synthetic.crowd(20_000, 6, 3, answers_per_task=3, prior=[0.5, 0.3, 0.2], spammers=0.2, random_state=0)
    np.testing.assert_allclose(drawn.confusion.sum(2), 1)
    for worker in range(6):
        mine = drawn.workers == worker
        right = drawn.truth[drawn.tasks[mine]]
        table = tabulate(right, drawn.answers[mine], 3)
        assert close_to(table, drawn.confusion[worker], np.bincount(right))
    assert near((drawn.truth == 0).mean(), 0.5, 20_000)
    honest = drawn.confusion[~drawn.is_spammer]
    diagonal = np.diagonal(honest, axis1=1, axis2=2)
    assert (diagonal >= 0.6).all() and (diagonal <= 0.95).all()


def test_spammers_ignore_the_task():
    drawn = synthetic.crowd(10, 30, 4, answers_per_task=2, spammers=0.5, random_state=1)
    assert 0 < drawn.is_spammer.sum() < 30
    spam = drawn.confusion[drawn.is_spammer]
    np.testing.assert_array_equal(spam, np.broadcast_to(spam[:, :1], spam.shape))


@given(st.integers(1, 30), st.integers(1, 8), st.data())
def test_no_worker_answers_a_task_twice(n_tasks, n_workers, data):
    count = data.draw(st.integers(1, n_workers))
    drawn = synthetic.crowd(n_tasks, n_workers, 2, answers_per_task=count, activity=1.0, random_state=data.draw(seeds))
    assert len(drawn.answers) == n_tasks * count
    assert len(set(zip(drawn.tasks, drawn.workers, strict=True))) == n_tasks * count
    votes = drawn.votes()
    assert ((votes != UNLABELED).sum(1) == count).all()
    np.testing.assert_array_equal(votes[drawn.tasks, drawn.workers], drawn.answers)


@pytest.mark.parametrize("activity", [0.0, 1.0, 2.0])
def test_workers_answer_in_proportion_to_their_activity(activity):
    drawn = synthetic.crowd(20_000, 6, 2, answers_per_task=1, activity=activity, random_state=0)
    shares = np.sort(np.bincount(drawn.workers, minlength=6))[::-1] / 20_000
    zipf = np.arange(1.0, 7) ** -activity
    if activity == 0:  # sorting equal shares would bias them
        assert np.ptp(shares) < 0.02
    else:
        assert all(near(share, weight, 20_000) for share, weight in zip(shares, zipf / zipf.sum(), strict=True))


def test_stated_truth_is_kept():
    truth = np.arange(100) % 3
    np.testing.assert_array_equal(synthetic.crowd(100, 10, 3, truth=truth, random_state=0).truth, truth)


@pytest.mark.slow
def test_half_a_million_answers_take_seconds():
    drawn = synthetic.crowd(100_000, 500, 10, answers_per_task=5, random_state=0)
    assert len(drawn.answers) == 500_000
    assert near((drawn.answers == drawn.truth[drawn.tasks]).mean(), drawn.accuracy.mean(), 5_000)


def test_labelling_functions_have_their_accuracy_and_coverage():
    y = np.random.default_rng(0).integers(0, 3, 20_000)
    accuracy, coverage = [0.9, 0.7, 0.5], [0.8, 0.4, 0.1]
    drawn = synthetic.labelling_functions(y, accuracy, coverage, random_state=1)
    for j in range(3):
        cast = drawn.votes[:, j] != UNLABELED
        assert near(cast.mean(), coverage[j], 20_000)
        assert near((drawn.votes[cast, j] == y[cast]).mean(), accuracy[j], cast.sum())
        wrong = cast & (drawn.votes[:, j] != y)
        shift = (drawn.votes[wrong, j] - y[wrong]) % 3
        assert near((shift == 1).mean(), 0.5, wrong.sum())
    assert (drawn.copied_from == -1).all()


def test_functions_are_independent_given_the_class_and_copies_are_not():
    y = np.zeros(20_000, int)
    drawn = synthetic.labelling_functions(y, [0.7, 0.7], 1.0, n_copies=1, copy_rate=0.8, n_classes=2, random_state=2)
    right = drawn.votes == 0
    agreement = (right[:, 0] == right[:, 1]).mean()
    assert near(agreement, 0.7**2 + 0.3**2, 20_000)
    copied = drawn.copied_from[2]
    assert near((right[:, copied] == right[:, 2]).mean(), 0.8 + 0.2 * (0.7**2 + 0.3**2), 20_000)
    assert near(right[:, 2].mean(), 0.7, 20_000)
    assert drawn.accuracy.tolist() == [0.7] * 3


def test_one_class_functions_vote_for_one_class_with_their_accuracy():
    y = np.random.default_rng(0).choice(3, 30_000, p=[0.5, 0.3, 0.2])
    drawn = synthetic.labelling_functions(y, [0.9, 0.8, 0.6, 0.7], 0.2, one_class=True, random_state=1)
    assert drawn.polarity.tolist() == [0, 1, 2, 0]
    for j, only in enumerate(drawn.polarity):
        cast = drawn.votes[:, j] != UNLABELED
        assert (drawn.votes[cast, j] == only).all()
        assert near(cast.mean(), 0.2, 30_000)
        assert near((y[cast] == only).mean(), drawn.accuracy[j], cast.sum())


# ---------------------------------------------------------------- shifts


def test_domains_differ_in_their_priors_only():
    drawn = synthetic.prior_shift((8000, 4000, 4000), 3, 4, n_domains=3, concentration=0.5, random_state=0)
    assert np.bincount(drawn.domains).tolist() == [8000, 4000, 4000]
    np.testing.assert_allclose(drawn.priors[0], 1 / 3)
    for domain, prior in enumerate(drawn.priors):
        y = drawn.y[drawn.domains == domain]
        assert all(near((y == k).mean(), prior[k], len(y)) for k in range(3))
        for k in np.unique(y):
            members = drawn.X[(drawn.domains == domain) & (drawn.y == k)]
            np.testing.assert_allclose(members.mean(0), drawn.mixture.means[k], atol=6 / np.sqrt(len(members)))
        confident = drawn.mixture.posterior(drawn.X[drawn.domains == domain], prior)
        assert near((confident.argmax(1) == y).mean(), confident.max(1).mean(), len(y))


def test_small_concentrations_shift_more():
    far, close = (
        np.abs(synthetic.prior_shift(1, 4, n_domains=200, concentration=c, random_state=0).priors[1:] - 0.25).mean()
        for c in (0.1, 10.0)
    )
    assert far > 3 * close


def test_the_density_ratio_carries_source_means_to_the_target():
    drawn = synthetic.covariate_shift(200_000, 200_000, 3, 2, drift=0.7, scale=0.8, random_state=0)
    source, target = drawn.domains == 0, drawn.domains == 1
    weight = drawn.density_ratio[source]
    assert weight.mean() == pytest.approx(1, abs=0.02)
    np.testing.assert_allclose(weight @ drawn.X[source] / source.sum(), drawn.X[target].mean(0), atol=0.02)
    for part in (source, target):  # the same function labels both
        for k in range(3):
            assert drawn.posterior[part, k].mean() == pytest.approx((drawn.y[part] == k).mean(), abs=0.006)
    assert np.linalg.norm(drawn.X[target].mean(0)) == pytest.approx(0.7, abs=0.02)
    np.testing.assert_allclose(drawn.X[target].std(0), 0.8, rtol=0.02)


def test_the_density_ratio_is_that_of_the_two_normal_densities():
    drawn = synthetic.covariate_shift(50, 5000, 2, 3, drift=1.2, scale=1.5, random_state=3)
    source = drawn.X[:50]
    mean = drawn.X[50:].mean(0)  # only an estimate, hence the tolerance
    expected = multivariate_normal(mean, 1.5**2 * np.eye(3)).logpdf(source) - multivariate_normal(
        np.zeros(3), np.eye(3)
    ).logpdf(source)
    np.testing.assert_allclose(np.log(drawn.density_ratio[:50]), expected, atol=0.25)


# ---------------------------------------------------------------- bags


@given(st.integers(1, 20), st.integers(1, 6), st.integers(2, 4), seeds)
def test_proportions_are_those_of_the_rows(n_bags, size, n_classes, seed):
    drawn = synthetic.proportion_bags(n_bags, (size, size + 3), n_classes, random_state=seed)
    for bag in range(n_bags):
        members = drawn.truth[drawn.bags == bag]
        assert size <= len(members) <= size + 3
        np.testing.assert_allclose(drawn.y[bag], np.bincount(members, minlength=n_classes) / len(members))
    assert infer(drawn.y, bags=drawn.bags).kind is Kind.BAGS


def test_bags_follow_their_own_priors():
    drawn = synthetic.proportion_bags(5, 20_000, 3, concentration=0.7, random_state=0)
    for shares, prior in zip(drawn.y, drawn.priors, strict=True):
        assert all(near(share, p, 20_000) for share, p in zip(shares, prior, strict=True))


def test_noise_moves_the_stated_proportions_by_its_weight():
    drawn = synthetic.proportion_bags(200, 10, 3, noise=0.2, random_state=0)
    exact = np.array([np.bincount(drawn.truth[drawn.bags == b], minlength=3) / 10 for b in range(200)])
    assert 0 < np.abs(drawn.y - exact).sum(1).max() <= 0.4 + 1e-12
    np.testing.assert_allclose(drawn.y.sum(1), 1)


@given(st.integers(1, 20), st.integers(1, 5), st.floats(0, 1), seeds)
def test_a_bag_is_positive_if_any_row_is(n_bags, size, witness_rate, seed):
    drawn = synthetic.set_bags(n_bags, (size, size + 2), witness_rate=witness_rate, random_state=seed)
    assert drawn.y.tolist() == [int(drawn.is_positive[drawn.bags == bag].any()) for bag in range(n_bags)]


def test_positive_bags_have_the_share_of_witnesses_asked_for():
    drawn = synthetic.set_bags(2000, 20, positive_share=0.3, witness_rate=0.2, random_state=0)
    assert near(drawn.y.mean(), 0.3, 2000)
    inside = drawn.y[drawn.bags] == 1
    # one row is sure and the other nineteen are drawn
    assert near(drawn.is_positive[inside].mean(), (1 + 19 * 0.2) / 20, inside.sum())
    rows = drawn.X[drawn.is_positive].mean(0) - drawn.X[~drawn.is_positive].mean(0)
    assert np.linalg.norm(rows) == pytest.approx(4.0, abs=0.1)


# ---------------------------------------------------------------- several labels


def test_labels_have_their_rate_and_are_calibrated():
    drawn = synthetic.partial_multilabel(20_000, 6, positive_rate=0.15, sharpness=2.0, random_state=0)
    np.testing.assert_allclose(drawn.truth.mean(0), 0.15, atol=0.015)
    bins = np.digitize(drawn.probability, np.linspace(0, 1, 11)[1:-1])
    for b in range(10):
        claimed, found = drawn.probability[bins == b].mean(), drawn.truth[bins == b].mean()
        assert near(found, claimed, (bins == b).sum())


def test_entries_are_hidden_and_flipped_at_their_rates():
    drawn = synthetic.partial_multilabel(
        10_000, 5, observed_positive=0.6, observed_negative=0.1, flip_rate=0.2, random_state=0
    )
    stated = drawn.y != UNLABELED
    assert near(stated[drawn.truth == 1].mean(), 0.6, (drawn.truth == 1).sum())
    assert near(stated[drawn.truth == 0].mean(), 0.1, (drawn.truth == 0).sum())
    assert near(drawn.is_corrupted[stated].mean(), 0.2, stated.sum())
    np.testing.assert_array_equal(drawn.is_corrupted, stated & (drawn.y != drawn.truth))
    assert infer(drawn.y).kind is Kind.MULTILABEL


def test_a_low_rank_makes_labels_correlate():
    def correlation(rank):
        drawn = synthetic.partial_multilabel(4000, 8, 16, rank=rank, sharpness=6.0, random_state=0)
        return np.abs(np.corrcoef(drawn.truth.T)[np.triu_indices(8, 1)]).mean()

    assert correlation(1) > 2 * correlation(16)


# ---------------------------------------------------------------- duplicates


@given(st.integers(0, 15), st.floats(0, 1), st.floats(0, 1), seeds)
def test_planted_pairs_are_where_they_are_said_to_be(n_duplicates, leak_share, disagree_share, seed):
    drawn = synthetic.planted_duplicates(
        100, n_duplicates, 3, 6, leak_share=leak_share, disagree_share=disagree_share, random_state=seed
    )
    assert drawn.pairs.shape == (n_duplicates, 2)
    assert len(np.unique(drawn.pairs)) == 2 * n_duplicates
    crosses = drawn.is_test[drawn.pairs].sum(1) == 1
    np.testing.assert_array_equal(crosses, drawn.leaks)
    np.testing.assert_array_equal(drawn.y[drawn.pairs[:, 0]] != drawn.y[drawn.pairs[:, 1]], drawn.disagrees)
    assert drawn.leaks.sum() == round(leak_share * n_duplicates)
    assert drawn.disagrees.sum() == round(disagree_share * n_duplicates)
    assert drawn.is_test.sum() == 25


def test_copies_are_as_near_as_asked_and_no_other_rows_are():
    drawn = synthetic.planted_duplicates(1000, 200, 2, 40, jitter=0.05, random_state=0)
    gap = np.linalg.norm(drawn.X[drawn.pairs[:, 0]] - drawn.X[drawn.pairs[:, 1]], axis=1)
    assert gap.mean() == pytest.approx(0.05 * np.sqrt(2 * 40), rel=0.05)
    rest = np.setdiff1d(np.arange(1000), drawn.pairs[:, 1])
    squares = (drawn.X[rest] ** 2).sum(1)
    distances = squares[:, None] + squares - 2 * drawn.X[rest] @ drawn.X[rest].T
    assert distances[np.triu_indices(len(rest), 1)].min() > 4 * gap.max() ** 2


# ---------------------------------------------------------------- trees


@pytest.mark.parametrize("tree", [synthetic.label_tree(3, 3), synthetic.random_tree(60, random_state=0)])
def test_tree_distances_are_shortest_paths(tree):
    expected = shortest_path(tree.graph, unweighted=True)
    np.testing.assert_array_equal(tree.distances(np.arange(len(tree))), expected)
    np.testing.assert_array_equal(tree.distances([3, 5], [0, 2]), expected[np.ix_([3, 5], [0, 2])])
    np.testing.assert_array_equal(tree.level, expected[0])
    assert (np.diff(tree.level) >= 0).all()


def test_the_tree_has_the_shape_asked_for():
    tree = synthetic.label_tree(4, 3)
    assert len(tree) == 121
    assert (tree.level[tree.leaves] == 4).all() and len(tree.leaves) == 81
    assert (np.bincount(tree.parent[1:])[: 121 - 81] == 3).all()


def test_only_observed_classes_may_be_trained_on_and_others_occur():
    drawn = synthetic.taxonomy(3000, observed_share=0.4, random_state=0)
    assert len(drawn.observed) == round(0.4 * 81)
    assert set(drawn.y[drawn.is_observed]) == set(drawn.observed)
    assert set(drawn.y) == set(drawn.classes) == set(drawn.tree.leaves)
    assert np.ptp(np.bincount(drawn.y)[drawn.classes]) <= 1
    inner = synthetic.taxonomy(300, synthetic.label_tree(2, 2), leaves_only=False, random_state=0)
    assert set(inner.y) == set(range(7))


def test_features_share_the_geometry_of_the_tree():
    drawn = synthetic.taxonomy(10, synthetic.label_tree(4, 3), 32, decay=0.8, random_state=0)
    leaves = drawn.tree.leaves
    by_tree = drawn.tree.distances(leaves, leaves).ravel()
    gaps = np.linalg.norm(drawn.centres[leaves][:, None] - drawn.centres[leaves], axis=2).ravel()
    means = [gaps[by_tree == d].mean() for d in (0, 2, 4, 6, 8)]
    assert means == sorted(means)
    steps = np.linalg.norm(drawn.centres[1:] - drawn.centres[drawn.tree.parent[1:]], axis=1)
    np.testing.assert_allclose(steps, 3 * 0.8 ** (drawn.tree.level[1:] - 1))


# ---------------------------------------------------------------- probabilities


@pytest.mark.parametrize("sharpness", [0.5, 3.0])
def test_probabilities_are_calibrated(sharpness):
    drawn = synthetic.calibrated_probabilities(40_000, 5, sharpness=sharpness, random_state=0)
    np.testing.assert_allclose(drawn.proba.sum(1), 1, atol=1e-5)
    hit = np.eye(5)[drawn.truth]
    bins = np.digitize(drawn.proba, np.linspace(0, 1, 11)[1:-1])
    for b in np.unique(bins):
        assert near(hit[bins == b].mean(), drawn.proba[bins == b].mean(), (bins == b).sum())


def test_overconfidence_claims_too_much():
    sure, right = (
        (drawn.proba.max(1).mean(), (drawn.proba.argmax(1) == drawn.truth).mean())
        for drawn in (
            synthetic.calibrated_probabilities(20_000, 5, overconfidence=c, random_state=0) for c in (2.0, 1.0)
        )
    )
    assert sure[0] > sure[1] + 0.05
    assert near(right[1], right[0], 20_000)
    assert sure[1] == right[1]  # the same labels and ranking, only the claim differs


def test_given_labels_carry_the_noise_asked_for():
    matrix = np.array([[0.8, 0.2, 0], [0, 1, 0], [0.1, 0.1, 0.8]])
    drawn = synthetic.calibrated_probabilities(30_000, 3, noise=matrix, random_state=0)
    assert close_to(tabulate(drawn.truth, drawn.y, 3), matrix, np.bincount(drawn.truth))
    np.testing.assert_array_equal(drawn.is_corrupted, drawn.y != drawn.truth)
    assert near(
        synthetic.calibrated_probabilities(20_000, 3, noise=0.1, random_state=0).is_corrupted.mean(), 0.1, 20_000
    )


def test_at_sharpness_zero_every_row_is_the_prior():
    drawn = synthetic.calibrated_probabilities(20_000, 3, sharpness=0.0, prior=[0.7, 0.2, 0.1], random_state=0)
    np.testing.assert_allclose(drawn.proba, np.tile([0.7, 0.2, 0.1], (20_000, 1)), rtol=1e-5)
    assert near((drawn.truth == 0).mean(), 0.7, 20_000)


def test_a_given_array_is_filled_and_temporaries_stay_small(tmp_path):
    out = np.lib.format.open_memmap(tmp_path / "p.npy", mode="w+", dtype=np.float32, shape=(200_000, 50))
    tracemalloc.start()
    drawn = synthetic.calibrated_probabilities(200_000, 50, out=out, random_state=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert drawn.proba is out
    assert peak < 40e6  # the matrix itself has 40 MB
    np.testing.assert_array_equal(np.load(tmp_path / "p.npy", mmap_mode="r")[-1], out[-1])
    assert abs(out[-1].sum() - 1) < 1e-5
