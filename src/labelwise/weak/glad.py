"""GLAD: workers differ in ability, rows in difficulty."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import numpy as np
from scipy.special import expit, log_expit

from labelwise.base import Card, Count, NonNegative, Positive
from labelwise.weak.answers import Answers, Floats, Ints
from labelwise.weak.label_model import LabelModel, normalise, pin, shares

MEAN = 1.0
"""Mean of the normal priors of ability and of log easiness, as in the paper."""


class Skills(NamedTuple):
    """Ability of every worker, (m,), and log easiness of every row, (n,)."""

    ability: Floats
    ease: Floats

    def logit(self, answers: Answers) -> Floats:
        """Return the log odds that each answer is right, (n_answers,)."""
        return np.asarray(self.ability[answers.worker] * np.exp(self.ease[answers.task]))


class GLAD(LabelModel):
    """Infer true classes together with the ability of every annotator and the difficulty of every row.

    An answer is right with probability ``sigmoid(ability_j * exp(ease_i))``; errors fall evenly on the other classes.
    E-step: class probabilities given the answers. M-step: a few damped Newton steps on abilities and easiness under normal
    priors with mean 1, all at once on one entry an answer. Two or three answers tell little about how hard a row is:
    expect no more than from `OneCoin` there.

    Parameters
    ----------
    prior
        ``even``: all classes are equally frequent, as in the paper. ``learned``: class shares are estimated, which can end
        with one class for all rows.
    spread
        Standard deviation of the normal priors of ability and of log easiness.
    steps
        Newton steps in an M-step.
    max_iter
        Most iterations.
    tol
        Stop when the penalised log-likelihood of an answer grows by less.

    Attributes
    ----------
    ability_ : float array of shape (m,)
        0 is guessing; below 0, wrong on purpose.
    easiness_ : float array of shape (n,)
        Positive; of the rows of `fit`. 1 / easiness is the difficulty.
    prior_ : float array of shape (K,)
    classes_, proba_, worker_quality_, converged_, n_iter_, log_likelihood_
        As in `DawidSkene`.

    Notes
    -----
    Differs from the paper: the M-step is damped Newton instead of conjugate gradients, and class shares may be learned.
    The easiness of rows that were not in `fit` is inferred from their answers with the abilities held.

    References
    ----------
    J. Whitehill, P. Ruvolo, T. Wu, J. Bergsma, J. Movellan: Whose Vote Should Count More: Optimal Integration of Labels from
    Labelers of Unknown Expertise. NIPS 2009.

    Examples
    --------
    >>> votes = [[0, 0, 1], [1, 1, 0], [0, 0, 0], [1, 1, 1], [0, 0, 1], [1, 1, -1]]
    >>> model = GLAD().fit(votes)
    >>> model.predict(votes)
    array([0, 1, 0, 1, 0, 1])
    >>> bool(model.ability_[0] > model.ability_[2])
    True
    """

    prior: Literal["even", "learned"] = "even"
    spread: Annotated[float, Positive] = 1.0
    steps: Annotated[int, Count] = 3
    max_iter: Annotated[int, Count] = 100
    tol: Annotated[float, NonNegative] = 1e-5

    card = Card(
        year=2009,
        reference="Whitehill, Ruvolo, Wu, Bergsma, Movellan: Whose Vote Should Count More (NIPS 2009)",
        kind="estimator",
        handles=frozenset({"votes", "noise"}),
        supervision=frozenset({"votes"}),
        cost="seconds",
        apart="It turns votes into labels; a run does that before the race, for every method alike.",
    )
    tune = {"spread": [0.5, 1.0, 2.0], "prior": ["even", "learned"]}

    def _fit(self, answers: Answers, known: Ints) -> None:
        n, m, k = answers.shape
        start = Skills(np.full(m, MEAN), np.full(n, MEAN))
        self.prior_ = np.full(k, 1 / k)
        skills, _ = self._alternate(answers, start, known, fixed=False)
        self.ability_, self.easiness_ = skills.ability, np.exp(skills.ease)

    def _posterior(self, answers: Answers) -> Floats:
        start = Skills(self.ability_, np.full(len(answers.tasks), MEAN))
        return self._alternate(answers, start, None, fixed=True)[1]

    def _alternate(self, answers: Answers, skills: Skills, known: Ints | None, *, fixed: bool) -> tuple[Skills, Floats]:
        """E- and M-steps until the penalised likelihood settles; with `fixed`, abilities and class shares stay."""
        proba, last = shares(answers), -np.inf
        for n_iter in range(1, self.max_iter + 1):
            proba = proba if known is None else pin(proba, known)
            skills = self._climb(answers, skills, proba, fixed)
            if not fixed and self.prior == "learned":
                heard = answers.ballots.sum(1) > 0
                self.prior_ = np.clip(proba[heard].mean(0), 1e-10, None)
            proba, evidence = self._expect(answers, skills)
            value = (evidence.sum() + self._log_prior(skills)) / max(len(answers.task), 1)
            settled, last = value - last < self.tol, value
            if not fixed:
                self.n_iter_, self.converged_, self.log_likelihood_ = n_iter, settled, float(value)
            if settled:
                break
        return skills, proba

    def _climb(self, answers: Answers, skills: Skills, proba: Floats, fixed: bool) -> Skills:
        """The M-step: Newton steps on one group of parameters, then on the other."""
        right = proba[answers.task, answers.label]
        ability, ease = skills
        for _ in range(self.steps):
            if not fixed:
                slope = np.exp(ease[answers.task])
                ability = self._newton(ability, answers.worker, right, slope, Skills(ability, ease).logit(answers))
            logit = Skills(ability, ease).logit(answers)
            ease = self._newton(ease, answers.task, right, logit, logit)
        return Skills(ability, ease)

    def _newton(self, value: Floats, group: Ints, right: Floats, slope: Floats, logit: Floats) -> Floats:
        """One step for parameters `value`, one a `group`; `slope` is the derivative of the logit."""
        sure, precision = expit(logit), self.spread**-2
        gradient = np.bincount(group, (right - sure) * slope, minlength=len(value)) - precision * (value - MEAN)
        curvature = np.bincount(group, sure * (1 - sure) * slope**2, minlength=len(value)) + precision
        return np.asarray(value + np.clip(gradient / curvature, -0.5, 0.5))

    def _expect(self, answers: Answers, skills: Skills) -> tuple[Floats, Floats]:
        """Class probabilities (n, K), and the log probability of each row's answers, (n,)."""
        n, _, k = answers.shape
        logit, others = skills.logit(answers), np.log(max(k - 1, 1))
        wrong = np.bincount(answers.task, log_expit(-logit) - others, minlength=n)
        cell = answers.task.astype(np.int64) * k + answers.label
        gain = np.bincount(cell, logit + others, minlength=n * k).reshape(n, k)
        return normalise(np.log(self.prior_) + wrong[:, None] + gain)

    def _log_prior(self, skills: Skills) -> float:
        return -0.5 * float(sum(np.square(part - MEAN).sum() for part in skills)) / self.spread**2
