"""Decision trees read from a file walk memory by stored numbers: check that none points outside its tree."""

from __future__ import annotations

from typing import Any

import numpy as np

from labelwise.base import InputError

GRADIENT_BOOSTING = "sklearn.ensemble._gb."
"""Its trees are walked without a look at their own number of features, so it is the ensemble's that counts."""
MOST = int(np.iinfo(np.int64).max)
TREE, PREDICTOR = "sklearn.tree._tree.Tree", "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"


def check_trees(value: Any) -> None:
    """Raise `InputError` if a tree anywhere inside a scikit-learn object points outside itself or its features."""
    _walk(value, MOST, MOST, set())


def _walk(value: Any, n_features: int, most: int, seen: set[int]) -> None:
    """Walk `value`, whose trees may look at `n_features` features, and in no object inside of it at more than `most`."""
    if id(value) in seen:
        return
    seen.add(id(value))
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if name == TREE:
        inside = value.children_left >= 0
        children = np.c_[value.children_left, value.children_right][inside]
        _check(children, value.feature[inside], np.flatnonzero(inside), value.node_count, n_features)
    elif name == PREDICTOR:
        nodes = value.nodes
        inside = nodes["is_leaf"] == 0
        split = nodes[inside]
        children = np.c_[split["left"], split["right"]].astype(np.int64)
        _check(children, split["feature_idx"], np.flatnonzero(inside), len(nodes), n_features)
        bits = split["bitset_idx"][split["is_categorical"] != 0]
        _require((bits < len(value.raw_left_cat_bitsets)).all())
    elif isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.dtype.kind == "O"):
        for item in value:
            _walk(item, n_features, most, seen)
    elif isinstance(value, dict):
        for item in value.values():
            _walk(item, n_features, most, seen)
    elif name.startswith("sklearn.") and hasattr(value, "__dict__"):
        own = min(most, int(vars(value).get("n_features_in_", n_features)))
        most = own if name.startswith(GRADIENT_BOOSTING) else most
        for item in vars(value).values():
            _walk(item, own, most, seen)


def _check(children: Any, features: Any, parents: Any, n_nodes: int, n_features: int) -> None:
    _require((children > parents[:, None]).all() and (children < n_nodes).all())  # forwards only, so walks end
    _require((features >= 0).all() and (features < n_features).all())


def _require(holds: Any) -> None:
    if not holds:
        raise InputError("a decision tree in it points outside of itself. The file is corrupt or was tampered with.")
