"""Four earlier ways of self-training between queries, as compared in paper 26: UST, AcTune, VERIPS, NeST."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import rel_entr
from scipy.stats import entropy as scipy_entropy
from sklearn.cluster import KMeans

from labelwise.active.pool import passes_of
from labelwise.active.self_training import SelfTraining, View, refitted, stratified_bootstrap
from labelwise.active.uncertainty import bald, entropy, margin
from labelwise.base import Card, Count, Fraction, InputError, NonNegative, Positive, Range
from labelwise.parts.out_of_fold import predict_all
from labelwise.parts.pseudo_labels import Selected, balanced_draw, selected

Floats = NDArray[np.floating[Any]]
Ints = NDArray[np.integer[Any]]


def _card(year: int, reference: str) -> Card:
    return Card(
        year=year, kind="estimator", handles=frozenset({"few labels"}), cost="light", race=True, reference=reference,
        apart="It is a predecessor that HAST is compared with, and HAST races in its place.",
    )  # fmt: skip


class UST(SelfTraining):
    """Uncertainty-aware self-training: a class-balanced draw of rows on which several opinions agree.

    Rows are drawn with chance proportional to 1 - BALD, `per_class` for each predicted class, and weigh ``log(1 / v)``, v
    the variance of their label's probability, at least 4. The opinions are dropout passes of a network, members of an
    ensemble, or, for any other classifier, refits on bootstraps of the labels.

    Differs from the paper: weights are divided by their largest possible value and a label weighs 1, while the authors' code
    weighs labels by their variance too.

    Parameters
    ----------
    passes
        Opinions, >= 2.
    per_class
        Rows drawn for each class.

    References
    ----------
    Mukherjee, Awadallah: Uncertainty-aware self-training for few-shot text classification. NeurIPS 2020; here as in the
    comparison of paper 26.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, truth = load_iris(return_X_y=True)
    >>> model = UST(random_state=0).fit(X, np.where(np.arange(150) % 10 == 0, truth, -1))
    >>> bool(model.score(X, truth) > 0.85)
    True
    """

    passes: Annotated[int, Range(low=2, whole=True)] = 10
    per_class: Annotated[int, Count] = 30

    card = _card(2020, "Mukherjee, Awadallah: Uncertainty-aware self-training. NeurIPS 2020.")

    def choose(self, view: View) -> Selected:
        """Draw rows of every class, the agreed ones more often."""
        told = self._opinions(view)
        mean = told.mean(axis=0)
        # In bits, as the authors count; rows of full disagreement have no chance.
        chance = np.maximum(1 - bald(told) / np.log(2), 0)
        drawn = balanced_draw(mean, self.per_class, chance, view.rng)
        variance = told[:, drawn.rows, drawn.labels].var(axis=0)
        weight = np.maximum(np.log(1 / (variance + 1e-8)), 4.0) / np.log(1e8)
        return Selected(drawn.rows, drawn.labels, weight)

    def _opinions(self, view: View) -> Floats:
        try:
            return passes_of(view.model, view.pool, self.passes, int(view.rng.integers(2**31)))
        except InputError:
            models = [
                refitted(self._model, view, stratified_bootstrap(view.codes, view.rng)) for _ in range(self.passes)
            ]
            return np.stack([predict_all(model, view.pool, view.n_classes) for model in models])


class AcTune(SelfTraining):
    """Pseudo-labels from the surest rows of the surest regions of the pool.

    Regions are k-means clusters of the embeddings, weighted by uncertainty (entropy over log K); a region's score is its
    mean uncertainty plus `beta` times the entropy of its predicted classes. The `regions` lowest give `per_region` rows
    each, the least uncertain ones. Predictions are averaged with the round before's at momentum 0.8 rising to 0.9. All
    pseudo-labels together weigh `weight` times as much as all labels.

    Parameters
    ----------
    clusters
        Regions made.
    regions
        Regions used.
    per_region
        Rows of a region; what a small one lacks, the next gives.
    beta
        Weight of the class entropy.
    threshold
        Least probability of a pseudo-label, in [0, 1].
    weight
        Of all pseudo-labels beside all labels.

    References
    ----------
    Yu, Kong, Zhang, Zhang, Zhang: AcTune: uncertainty-based active self-training for active fine-tuning of pretrained
    language models. NAACL 2022; here as in the comparison of paper 26.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, truth = load_iris(return_X_y=True)
    >>> model = AcTune(per_region=8, random_state=0).fit(X, np.where(np.arange(150) % 10 == 0, truth, -1))
    >>> given = model.pseudo_labels_
    >>> len(given) <= 40, bool((given.labels == truth[given.rows]).mean() > 0.8)
    (True, True)
    """

    clusters: Annotated[int, Count] = 10
    regions: Annotated[int, Count] = 5
    per_region: Annotated[int, Count] = 5
    beta: Annotated[float, NonNegative] = 0.5
    threshold: Annotated[float, Fraction] = 0.6
    weight: Annotated[float, Positive] = 1.0

    card = _card(2022, "Yu et al.: AcTune. NAACL 2022.")

    def choose(self, view: View) -> Selected:
        """Return the least uncertain rows of the least uncertain regions."""
        doubt = entropy(view.proba) / np.log(view.n_classes)
        proba = self._steady(view)
        sure = np.flatnonzero(proba.max(axis=1) > self.threshold)
        label = proba.argmax(axis=1)
        if len(sure) > self.clusters:
            sure = sure[self._regional(view.embeddings[sure], label[sure], doubt[sure], view)]
        if not len(sure):
            return selected([], [])
        share = self.weight * len(view.codes) / len(sure)
        return selected(sure, label[sure], np.full(len(sure), share))

    def _steady(self, view: View) -> Floats:
        """Return predictions averaged with those of the round before on the same rows."""
        before = self._remembered
        progress = (view.number - 1) / view.rounds
        momentum = 0.8 * (1 - progress) + 0.9 * progress
        proba = view.proba if before is None else momentum * view.proba + (1 - momentum) * before(view.pool)
        model, k = view.model, view.n_classes
        self._remembered = lambda X: predict_all(model, X, k)
        return proba

    def _regional(self, Z: Floats, label: Ints, doubt: Floats, view: View) -> Ints:
        means = KMeans(self.clusters, n_init=1, random_state=int(view.rng.integers(2**31)))
        region = means.fit_predict(Z, sample_weight=np.maximum(doubt, 1e-6))
        score = [
            doubt[region == r].mean() + self.beta * scipy_entropy(np.bincount(label[region == r]))
            for r in np.unique(region)
        ]
        chosen, owed = list[Ints](), 0
        for r in np.unique(region)[np.argsort(score, kind="stable")[: self.regions]]:
            rows = np.flatnonzero(region == r)
            rows = rows[np.argsort(doubt[rows], kind="stable")[: self.per_region + owed]]
            owed += self.per_region - len(rows)
            chosen.append(rows)
        return np.concatenate(chosen)


class VERIPS(SelfTraining):
    """Verified pseudo-labels: sure predictions that a second model, fitted on the labels alone, repeats.

    Differs from the paper: the second model is fitted on a bootstrap of the labels, because a deterministic classifier
    refitted on the same labels would confirm everything.

    Parameters
    ----------
    doubt
        ``entropy``: over log K at most `slack`; ``margin``: at least 1 - `slack`.
    slack
        In [0, 1].

    References
    ----------
    Schröder, Heyer 2024 (paper 26), after verified pseudo-label selection for deep active learning, 2023.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, truth = load_iris(return_X_y=True)
    >>> model = VERIPS(slack=0.6, random_state=0).fit(X, np.where(np.arange(150) % 10 == 0, truth, -1))
    >>> bool(model.score(X, truth) > 0.8)
    True
    """

    doubt: Literal["entropy", "margin"] = "margin"
    slack: Annotated[float, Fraction] = 0.1

    card = _card(2023, "Verified pseudo-label selection for deep active learning, 2023.")

    def choose(self, view: View) -> Selected:
        """Return sure rows that the second model predicts alike."""
        doubt = margin(view.proba) if self.doubt == "margin" else entropy(view.proba) / np.log(view.n_classes)
        label = view.proba.argmax(axis=1)
        second = refitted(self._model, view, stratified_bootstrap(view.codes, view.rng))
        same = predict_all(second, view.pool, view.n_classes).argmax(axis=1) == label
        rows = np.flatnonzero((doubt <= self.slack) & same)
        return selected(rows, label[rows])


class NeST(SelfTraining):
    """Pseudo-labels of rows whose prediction resembles those of their labelled neighbours, which resemble each other.

    A row's divergence is the mean KL of its prediction to those of its `k` nearest labelled rows, plus `beta` times the mean
    KL between these. It is averaged with the round before's, and the lowest ``times * labels`` rows above `threshold` are
    taken.

    Differs from the paper: takes the lowest instead of drawing in proportion. (The code of the comparison in paper 26
    turns the order round and takes the highest.)

    Parameters
    ----------
    k
        Labelled neighbours.
    beta
        Weight of the divergence between the neighbours.
    times
        Pseudo-labels for each label, at most.
    threshold
        Least probability of a pseudo-label, in [0, 1].

    References
    ----------
    Xu, Yu, Cui, Kan, Zhu, Ho, Zhang, Yang: Neighborhood-regularized self-training for learning with few labels. AAAI 2023;
    here as in the comparison of paper 26.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> X, truth = load_iris(return_X_y=True)
    >>> model = NeST(threshold=0.6, random_state=0).fit(X, np.where(np.arange(150) % 10 == 0, truth, -1))
    >>> given = model.pseudo_labels_
    >>> len(given), bool((given.labels == truth[given.rows]).mean() > 0.8)
    (84, True)
    """

    rounds: Annotated[int, Count] = 3
    k: Annotated[int, Count] = 7
    beta: Annotated[float, NonNegative] = 0.1
    times: Annotated[int, Count] = 10
    threshold: Annotated[float, Fraction] = 0.9

    card = _card(2023, "Xu et al.: Neighborhood-regularized self-training. AAAI 2023.")

    def choose(self, view: View) -> Selected:
        """Return the rows of least divergence."""
        score = self._divergence(view.model, view, view.pool)
        if self._remembered is not None:
            score = (score + self._remembered(view.pool)) / 2
        model = view.model
        self._remembered = lambda X: self._divergence(model, view, X)
        sure = np.flatnonzero(view.proba.max(axis=1) > self.threshold)
        rows = sure[np.argsort(score[sure], kind="stable")[: self.times * len(view.codes)]]
        return selected(rows, view.proba[rows].argmax(axis=1))

    def _divergence(self, model: Any, view: View, pool: Any) -> Floats:
        """Return the divergence of every row ``(n,)`` under a model."""
        import faiss

        k = min(self.k, len(view.codes))
        given = np.maximum(predict_all(model, view.X, view.n_classes), 1e-12)
        proba = predict_all(model, pool, view.n_classes)
        places, labelled = (np.ascontiguousarray(view.places(X), dtype=np.float32) for X in (pool, view.X))
        near = faiss.knn(places, labelled, k)[1]
        between = _pairwise_kl(given)
        own = np.mean([rel_entr(proba, given[near[:, j]]).sum(axis=1) for j in range(k)], axis=0)
        pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
        mutual = np.mean([between[near[:, i], near[:, j]] for i, j in pairs], axis=0) if pairs else 0.0
        return np.asarray(own + self.beta * mutual)


def _pairwise_kl(p: Floats) -> Floats:
    """Return KL(p_i, p_j) of all pairs of rows."""
    return np.asarray((p * np.log(p)).sum(axis=1)[:, None] - p @ np.log(p).T)
