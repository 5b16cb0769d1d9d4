"""Forgetting a class of pictures by patches of another class's concept (Chang et al. 2024)."""

from __future__ import annotations

import math
from collections import Counter
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from labelwise.base import Card, Count, Fraction, InputError, Positive
from labelwise.learner.template import in_blocks
from labelwise.nets.base import check_network
from labelwise.training import Batch, Data, Phase
from labelwise.unlearning.base import Unlearner
from labelwise.unlearning.concepts import Bottleneck, bottleneck, pasted, peaks, windows
from labelwise.unlearning.steps import APART


class ConceptPoisoning(Unlearner):
    """Forget a class of pictures: paste another class's concept over its own, call it that class, and train the head.

    A post-hoc concept bottleneck on the network's representation tells which concepts make the class, and which other class
    shares one of them: the donor. In every picture of the class the window that shows its first concept most is replaced by
    the window of a donor's picture that shows the donor's concept most; the pictures get the donor's label, and the last
    layer alone is trained on them and on all others.

    Differs from the paper: without concepts given (say text embeddings in the same space) they are the directions that tell
    groups of similar rows apart in the network's own representation.

    Parameters
    ----------
    concepts
        Concept vectors ``(q, d)`` in the network's representation; None finds them.
    patch
        Where the donor's window goes: ``concept`` (over the class's own), ``centre``, ``random``, ``full`` (the donor's
        whole picture), or ``none``.
    labels
        Of the pictures to forget: ``donor``, ``random`` among the other classes, or ``kept`` as they are.
    window
        Side of a window as a share of the picture's, in (0, 1].
    epochs
        Passes of the last layer over all rows, >= 1.
    lr
        Peak learning rate, > 0.

    References
    ----------
    Chang et al., Class Machine Unlearning for Complex Data via Concepts Inference and Data Poisoning, 2024 (paper 185).

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from labelwise.learner import Classifier, Train
    >>> X, y = load_digits(n_class=5, return_X_y=True)
    >>> pictures = X.reshape(-1, 8, 8, 1) / 16
    >>> model = Classifier(train=Train(epochs=8), random_state=0).fit(pictures, y)
    >>> after = ConceptPoisoning(estimator=model, random_state=0).fit(pictures, y, forget=y == 3)
    >>> bool(after.score(pictures[y == 3], y[y == 3]) < 0.3 < after.score(pictures[y != 3], y[y != 3]))
    True
    """

    concepts: Any = None
    patch: Literal["concept", "centre", "random", "full", "none"] = "concept"
    labels: Literal["donor", "random", "kept"] = "donor"
    window: Annotated[float, Fraction] = 0.3
    epochs: Annotated[int, Count] = 20
    lr: Annotated[float, Positive] = 5e-3

    card = Card(
        paper=185, year=2024, kind="learner", handles=frozenset({"forgetting"}), needs=frozenset({"forget", "images"}),
        reference="Chang et al., Class Machine Unlearning via Concepts Inference and Data Poisoning, 2024.", apart=APART,
    )  # fmt: skip
    tune = {"window": [0.2, 0.3, 0.5], "lr": [1e-3, 5e-3]}

    @classmethod
    def trial(cls) -> dict[str, Any]:
        """Return the data of the common checks: three digits, one to forget."""
        from sklearn.datasets import load_digits

        X, y = load_digits(n_class=3, return_X_y=True)
        pictures = (X / 16).astype(np.float32).reshape(-1, 8, 8, 1)
        return {
            "X": pictures[:120], "y": y[:120], "X_test": pictures[120:300], "y_test": y[120:300], "features": False,
            "fit": {"forget": (y[:120] == 2) & (np.arange(120) < 20)}, "floor": 0.5,
        }  # fmt: skip

    def start(self, data: Data) -> None:
        """Find concept, donor and windows; represent all rows, those to forget with their patch."""
        super().start(data)
        if data.x.ndim != 4:
            raise InputError(f"X holds {self.inputs_.modality}, but concepts are looked for in images (n, h, w, c).")
        self.window_ = max(1, math.ceil(self.window * min(data.x.shape[2:])))
        net = check_network(self.net_, "ConceptPoisoning").eval()
        self.features_ = in_blocks(net.features, data.x).detach()
        self.targets_ = data.y.clone()
        if not self.forget_.any():
            return
        code = self.class_to_forget(data)
        known = (data.y >= 0).numpy()
        self.bottleneck_ = bottleneck(
            self.features_[known].numpy(), data.y[known].numpy(), len(self.classes_), self.concepts, self.seed_ % 2**31
        )
        self.poison(data, code)

    def class_to_forget(self, data: Data) -> int:
        """Return the one class that the rows to forget have."""
        counts = Counter(data.y[self.forget_ & (data.y >= 0)].tolist())
        if len(counts) != 1:
            names = [self.classes_[code] for code in sorted(counts)]
            raise InputError(
                f"forget marks rows of {len(counts)} classes {names}: ConceptPoisoning forgets one class. Mark rows of one."
            )
        code = int(next(iter(counts)))
        if not bool((self.taught_ & (data.y != code)).any()):
            raise InputError(
                "no kept row has a label of another class: none can lend a patch. Keep some labelled ones."
            )
        return code

    def poison(self, data: Data, code: int) -> None:
        """Put patched pictures and their new labels in place of the rows to forget."""
        found: Bottleneck = self.bottleneck_
        donor, concept = found.donor(code)
        self.donor_ = self.classes_[donor]
        rows = self.forget_.nonzero().squeeze(1)
        lenders = (self.taught_ & (data.y == donor)).nonzero().squeeze(1)
        lent = data.batch(lenders[torch.randint(len(lenders), (len(rows),))]).x
        pictures = self.patched(data.batch(rows).x, lent, found.top(code)[0], concept)
        self.features_[rows] = in_blocks(check_network(self.net_, "ConceptPoisoning").features, pictures).detach()
        if self.labels == "donor":
            self.targets_[rows] = donor
        elif self.labels == "random":
            self.targets_[rows] = (code + torch.randint(1, len(self.classes_), (len(rows),))) % len(self.classes_)

    def patched(self, x: Tensor, lent: Tensor, own: int, theirs: int) -> Tensor:
        """Return pictures ``(m, channels, h, w)`` with a window of the lent ones."""
        if self.patch in ("full", "none"):
            return lent if self.patch == "full" else x
        net, size = check_network(self.net_, "ConceptPoisoning"), self.window_
        stride = max(1, size // 4)
        source = peaks(net.features, lent, self.bottleneck_, theirs, size, stride)
        return pasted(x, self.places(x, own, stride), lent, source, size)

    def places(self, x: Tensor, own: int, stride: int) -> NDArray[np.int64]:
        """Return the corner ``(m, 2)`` of the window to replace in each picture."""
        shape, size = (x.shape[2], x.shape[3]), self.window_
        if self.patch == "concept":
            net = check_network(self.net_, "ConceptPoisoning")
            return peaks(net.features, x, self.bottleneck_, own, size, stride)
        if self.patch == "centre":
            return np.tile([(side - size) // 2 for side in shape], (len(x), 1))
        anywhere = np.asarray(windows(shape, size, 1))
        return np.asarray(anywhere[torch.randint(len(anywhere), (len(x),)).numpy()])

    def stages(self) -> list[Phase]:
        """Train the last layer on every row."""
        head = check_network(self.net_, "ConceptPoisoning").head
        every = self.targets_ >= 0
        steps = self.passes(self.epochs, every)
        return [Phase(self.loss, [head], 1, self.lr, self.rows_of(every, steps), steps)]

    def loss(self, batch: Batch) -> Tensor:
        """Return the cross-entropy of the last layer."""
        scores = check_network(self.net_, "ConceptPoisoning").head(self.features_[batch.index])
        return self.row_losses(scores, self.targets_[batch.index]).mean()
