"""Claims of pre-training on a teacher's predictions: pseudo-labels first, true labels last."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from benchmarks.claims import Claim
from benchmarks.claims.semi.consistency import few_labels
from benchmarks.claims.semi.pictures import SmallConv
from labelwise.learner import Classifier, Train
from labelwise.semi_supervised import PseudoLabelPretraining
from labelwise.training import Batch, Phase

LABELS = 5


class Jointly(PseudoLabelPretraining):
    """Classic self-training: the student sees pseudo-labels and true labels in one loss."""

    def phases(self) -> list[Phase]:
        """Pre-train and train the teacher as always, then the student on both losses at once."""
        last = self.everywhere(self.both, [self.net_], self.train_.epochs + 10)
        return [*super().phases()[:-2], last]

    def both(self, batch: Batch) -> Tensor:
        """Return the sum of the two losses."""
        return self.imitate(batch) + self.loss(batch)


@cache
def fitted(kind: str, seed: int) -> dict[str, float]:
    """Fit one variant with the setting of all; accuracy of the student, and of its teacher, on test pictures."""
    X, y, X_test, y_test = few_labels(seed, LABELS)
    told: dict[str, Any] = {"net": SmallConv(16), "random_state": seed}
    if kind == "plain":
        model = Classifier(train=Train(epochs=80, batch_size=25, lr=3e-3), **told).fit(X, y)
        return {"student": float(model.score(X_test, y_test))}
    made = Jointly if kind == "jointly" else PseudoLabelPretraining
    model = made(
        target="labels" if kind == "one-hot" else "logits", pretrain_epochs=25, finetune_epochs=60, ratio=4,
        train=Train(epochs=40, batch_size=25, lr=3e-3), **told,
    ).fit(X, y)  # fmt: skip
    scores = model._forward(torch.as_tensor(model.inputs_.transform(X_test)), model.teacher_)
    teacher = float((scores.argmax(1).numpy() == y_test).mean())
    return {"student": float(model.score(X_test, y_test)), "teacher": teacher}


def whole_schedule(seed: int) -> dict[str, float]:
    full = fitted("logits", seed)
    return {"baseline": fitted("plain", seed)["student"], "method": full["student"], "its teacher": full["teacher"]}


def student_against_teacher(seed: int) -> dict[str, float]:
    full = fitted("logits", seed)
    return {"baseline": full["teacher"], "method": full["student"]}


def gold_last(seed: int) -> dict[str, float]:
    return {"baseline": fitted("jointly", seed)["student"], "method": fitted("logits", seed)["student"]}


def logits_against_labels(seed: int) -> dict[str, float]:
    return {"baseline": fitted("one-hot", seed)["student"], "method": fitted("logits", seed)["student"]}


METHOD = "labelwise.semi_supervised.PseudoLabelPretraining"
DATA = f"digits as 8x8 pictures, {LABELS} labels a class, a pool of 600"
METRIC = "accuracy on test pictures"

CLAIMS = [
    Claim(
        method=METHOD, paper=159, data=DATA, metric=METRIC, baseline="the same network trained on the labels alone",
        statement="The whole schedule, in-domain pre-training to fine-tuning on true labels, beats fine-tuning alone.",
        run=whole_schedule,
    ),
    Claim(
        method=METHOD, paper=159, name="student", data=DATA, metric=METRIC,
        baseline="its teacher: in-domain pre-training and fine-tuning",
        statement="A fresh student taught the teacher's scores, then the labels, beats its teacher.",
        run=student_against_teacher,
    ),
    Claim(
        method=METHOD, paper=159, name="order", data=DATA, metric=METRIC,
        baseline="the same student on pseudo-labels and labels in one loss, as many steps",
        statement="Pseudo-labels first and true labels last beat joint self-training.", run=gold_last,
    ),
    Claim(
        method=METHOD, paper=159, name="scores", data=DATA, metric=METRIC, baseline="the teacher's most probable class",
        statement="The teacher's scores are a better target than its most probable class.", run=logits_against_labels,
    ),
]  # fmt: skip
