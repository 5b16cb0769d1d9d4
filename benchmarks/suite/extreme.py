"""Many labels a row beside napkinXC, on sparse words with a thousand labels; one thread, the same cost of errors."""

from __future__ import annotations

import tempfile
from functools import partial
from typing import Any

from benchmarks.suite.compare import at_least
from benchmarks.suite.timing import Entry, Pair


def compared(name: str, small: bool) -> Pair:
    """Fit, and give the five best labels of the test rows."""
    import napkinxc.models  # noqa: F401 - its import is not measured

    from benchmarks import extreme_labels as bench
    from labelwise.data.synthetic import extreme_multilabel
    from labelwise.parts.multilabel_measures import precision_at_k

    n, labels = (600, 30) if small else (8_000, 1_000)
    drawn = extreme_multilabel(n + n // 4, labels, n_groups=max(3, labels // 20), n_words=5_000, random_state=0)
    X, y, X_test, y_test = drawn.X[:n], drawn.y[:n], drawn.X[n:], drawn.y[n:]

    def run(method: str, how: dict[str, Any]) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            return bench.best(bench.fitted(method, how, X, y, 0, folder), X_test)

    def agree(ours: Any, theirs: Any) -> str:
        found = [float(precision_at_k(top[:, :1], y_test)) for top in (ours, theirs)]
        return at_least("P@1", *found, slack=0.1 if small else 0.01)

    size = f"{n:,} rows, {labels:,} labels, 5,000 words"
    return Pair(size, partial(run, "OneVsRestLinear", {"C": 1.0}), partial(run, name, {"liblinear_c": 1.0}), agree)


TREE = "a tree of labels looks at a few labels of a row, one linear classifier a label at all of them"
ENTRIES = [
    Entry("extreme labels: `OneVsRestLinear`", ("napkinxc", "`BR`"), partial(compared, "napkinXC BR")),
    Entry("extreme labels: `OneVsRestLinear`", ("napkinxc", "`PLT`"), partial(compared, "napkinXC PLT"), TREE),
]
