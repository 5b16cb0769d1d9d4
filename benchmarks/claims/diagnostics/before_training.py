"""Claims of the diagnostics that look at data and representations before, or while, a model is trained."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsRegressor

from benchmarks.claims import Claim
from labelwise.diagnostics import (
    ClassSeparability,
    Familiarity,
    InductiveBias,
    IntrinsicDimension,
    LabelSharpness,
    SeparabilityStopping,
    UniformityTolerance,
    fisher_ratio,
    name_vectors,
    scaling_law,
    squared_error,
)
from labelwise.learner import Classifier, Train
from labelwise.losses import HardContrastive, SimpleContrastive
from labelwise.nets import MLP
from labelwise.parts.attacks import fgsm

# ----------------------------------------------------------------- intrinsic dimension and label sharpness (63)

DIMENSIONS = range(2, 11)
"""Dimensions of the known surfaces."""


def surface(n: int, m: int, rng: np.random.Generator, d: int = 50) -> Any:
    """Return n points of a curved m-dimensional surface in d dimensions: half of the seeds' surfaces are spheres."""
    if rng.random() < 0.5:
        U = rng.normal(size=(n, m + 1))
        return U / np.linalg.norm(U, axis=1, keepdims=True) @ np.linalg.qr(rng.normal(size=(d, m + 1)))[0].T
    U = rng.normal(size=(n, m))
    return 0.3 * U @ rng.normal(size=(m, d)) + np.sin(U @ rng.normal(size=(m, d)) / 2)


def known_dimensions(seed: int) -> dict[str, float]:
    """Return the largest relative error over surfaces of dimension 2 to 10, of both estimators."""
    rng = np.random.default_rng(seed)
    found = {m: IntrinsicDimension(repeats=5, random_state=seed).measure(surface(3000, m, rng)) for m in DIMENSIONS}
    errors = [abs(one.dimension.value / m - 1) for m, one in found.items()]
    twos = [abs(one.two_nn.value / m - 1) for m, one in found.items()]
    return {"baseline": 0.15, "method": max(errors), "TwoNN": max(twos)}


def dimension_foretells_loss(seed: int) -> dict[str, float]:
    """Return Spearman's correlation of estimated dimension and test loss of a nearest-neighbour fit, same target law."""
    rng = np.random.default_rng(seed)
    dimensions, losses, errors = [], [], {"measured slope": [], "expected slope": []}
    for m in (1, 2, 3, 4, 6, 8):
        U = rng.uniform(-1, 1, size=(4000, m))
        X = np.hstack([U, np.zeros((4000, 20 - m))]) @ np.linalg.qr(rng.normal(size=(20, 20)))[0]
        y = np.sin(3 * U @ np.full(m, m**-0.5))
        sizes = [125, 250, 500, 1000, 2000]
        curve = [np.abs(KNeighborsRegressor(1).fit(X[:n], y[:n]).predict(X[3000:]) - y[3000:]).mean() for n in sizes]
        dimensions.append(IntrinsicDimension(repeats=2, random_state=seed).measure(X[:2000]).dimension.value)
        losses.append(curve[-1])
        law = scaling_law(sizes, curve, dimensions[-1])
        errors["measured slope"].append(law.slope.value)
        errors["expected slope"].append(law.expected)
    agreement = spearmanr(errors["measured slope"], errors["expected slope"]).statistic
    return {
        "baseline": 0.0, "method": float(spearmanr(dimensions, losses).statistic), "slopes": float(agreement),
    }  # fmt: skip


def representation_below_data(seed: int) -> dict[str, float]:
    """Compare the dimension of digits with that of the hidden layer of a network trained on them."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    rows = np.random.default_rng(seed).permutation(len(X))
    train, rest = rows[:900], rows[900:]
    model = Classifier(train=Train(epochs=40, progress=False), random_state=seed).fit(X[train], y[train])
    data, hidden = (IntrinsicDimension(random_state=seed).measure(Z) for Z in (X[rest], model.features(X[rest])))
    return {"baseline": data.dimension.value, "method": hidden.dimension.value}


def attacked(model: Any, X: Any, y: Any, radius: float) -> Any:
    """Return rows after one gradient step against their labels."""
    net, target = model.net_.cpu().eval(), torch.as_tensor(y)
    objective = lambda rows: torch.nn.functional.cross_entropy(net(rows), target, reduction="none")  # noqa: E731
    return fgsm(objective, torch.as_tensor(X), radius).numpy()


FREQUENCIES = (0.5, 1, 1.5, 2)


@cache
def sharp_tasks(seed: int) -> list[tuple[float, float, float]]:
    """Return sharpness, clean and FGSM accuracy of four tasks that share inputs and differ in boundary frequency."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, size=(2000, 4)).astype(np.float32)
    direction = rng.normal(size=4)
    along = X @ (direction / np.linalg.norm(direction))
    found = []
    for frequency in FREQUENCIES:
        y = (np.sin(2.5 * frequency * along) > 0).astype(int)
        sharpness = LabelSharpness(random_state=seed).measure(X, y).quantile.value
        train = Train(epochs=60, batch_size=64, lr=5e-3, progress=False)
        torch.manual_seed(
            seed
        )  # a network of one's own sees the inputs as they are, so that the attack knows its gradient
        model = Classifier(net=MLP(4, 2), train=train, random_state=seed).fit(X[:1000], y[:1000])
        moved = attacked(model, X[1000:], y[1000:], 0.05)
        found.append((sharpness, model.score(X[1000:], y[1000:]), model.score(moved, y[1000:])))
    return found


def sharper_is_more_fragile(seed: int) -> dict[str, float]:
    """Return minus Spearman's correlation of sharpness and accuracy under attack."""
    sharpness, clean, attacked = zip(*sharp_tasks(seed), strict=True)
    return {
        "baseline": 0.0, "method": -float(spearmanr(sharpness, attacked).statistic),
        "clean, least sharp": clean[0], "clean, sharpest": clean[-1],
        "attacked, least sharp": attacked[0], "attacked, sharpest": attacked[-1],
    }  # fmt: skip


def sharper_loses_more_to_the_attack(seed: int) -> dict[str, float]:
    """Compare the accuracy that the attack takes from the sharpest task and from the least sharp one."""
    lost = [clean - attacked for _, clean, attacked in sharp_tasks(seed)]
    return {"baseline": lost[0], "method": lost[-1]}


# ------------------------------------------------------------------------------ class separability without labels (192)


def distances_of_classes(seed: int, classes: int, d: int, least: float, normalise: Any = "unit") -> float:
    """Return Spearman of score and Fisher ratio over 25 Gaussian sets of 400 rows, classes `least` to 12 sigma apart."""
    rng = np.random.default_rng(seed)
    measure, scores, fisher = ClassSeparability(normalise=normalise), [], []
    for distance in np.linspace(least, 12, 25):
        means = rng.normal(size=(classes, d))
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        if classes == 2:
            means[1] = -means[0]
        y = rng.integers(0, classes, 400)
        Z = rng.normal(size=(400, d)) + distance / 2 * means[y]
        scores.append(measure.score(Z))
        fisher.append(fisher_ratio(Z, y))
    return float(spearmanr(scores, fisher).statistic)


def follows_fisher(seed: int) -> dict[str, float]:
    """Return Spearman of the score with the Fisher ratio for two opposite classes, mean over dimensions."""
    found = {d: distances_of_classes(seed, 2, d, 0) for d in (2, 10, 50)}
    plain = {f"not scaled, d {d}": distances_of_classes(seed, 2, d, 0, "none") for d in (2, 10, 50)}
    far = distances_of_classes(seed, 2, 10, 5, "none")
    return {"baseline": 0.82, "method": float(np.mean(list(found.values()))), **plain, "not scaled, from 5 sigma": far}


def blind_to_overlap(seed: int) -> dict[str, float]:
    """Compare Spearman with the Fisher ratio where five classes overlap with that where they are apart."""
    near, far = (distances_of_classes(seed, 5, 10, least, "none") for least in (0, 5))
    return {"baseline": near, "method": far}


def stops_near_the_best(seed: int) -> dict[str, float]:
    """Fine-tune on 50 labels of digits and compare the test accuracy of the epoch kept with the best of 40 epochs."""
    X, y = load_digits(return_X_y=True)
    inputs, labels = torch.as_tensor((X / 16).astype(np.float32)), torch.as_tensor(y)
    rng = np.random.default_rng(seed)
    few = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:5] for c in range(10)])
    pool, test = np.split(rng.permutation(np.setdiff1d(np.arange(len(X)), few)), [800])
    body, head = _pretrained(inputs[pool], seed), torch.nn.Linear(64, 10)
    optimizer = torch.optim.Adam([*body.parameters(), *head.parameters()], lr=2e-3)
    stopping, accuracies, stopped = SeparabilityStopping(), [], 40
    for epoch in range(40):
        for rows in torch.as_tensor(few)[torch.randperm(50)].split(10):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(head(body(inputs[rows])), labels[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            accuracies.append(float((head(body(inputs[test])).argmax(1) == labels[test]).float().mean()))
            if stopped == 40 and stopping.update(body(inputs[pool]).numpy()):
                stopped = epoch
    kept = accuracies[stopping.best_epoch_]
    return {
        "baseline": max(accuracies),
        "method": kept,
        "when stopped": accuracies[min(stopped, 39)],
        "epochs": stopped,
    }


def _pretrained(pool: Any, seed: int) -> torch.nn.Module:
    """Return the encoder of a denoising autoencoder of the unlabelled pool."""
    torch.manual_seed(seed)
    body = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 64), torch.nn.ReLU())
    decoder = torch.nn.Linear(64, 64)
    optimizer = torch.optim.Adam([*body.parameters(), *decoder.parameters()], lr=2e-3)
    for _ in range(30):
        for rows in torch.randperm(len(pool)).split(64):
            optimizer.zero_grad()
            found = decoder(body(pool[rows] + 0.2 * torch.randn_like(pool[rows])))
            torch.nn.functional.mse_loss(found, pool[rows]).backward()
            optimizer.step()
    return body


# ------------------------------------------------------------------------------------ contrastive temperatures (52)

GRID = (0.03, 0.1, 0.2, 0.5, 1.0)
"""Temperatures."""


class Contrasted(NamedTuple):
    """One contrastive run on digits: what the diagnostic says of the embeddings, and the probe's accuracy on test rows."""

    uniformity: float
    tolerance: float
    entropy: float
    accuracy: float


@cache
def contrasted(seed: int, loss: torch.nn.Module | tuple[str, float]) -> Contrasted:
    """Train an encoder on two views of 900 digits; measure and probe the embeddings that the loss sees."""
    module = HardContrastive(loss[1], 1.0) if isinstance(loss, tuple) else loss
    X, y = load_digits(return_X_y=True)
    rows = np.random.default_rng(seed).permutation(len(X))
    train, test = rows[:900], rows[900:]
    inputs = torch.as_tensor((X / 16).astype(np.float32))
    torch.manual_seed(seed)
    net = torch.nn.Sequential(
        torch.nn.Linear(64, 128), torch.nn.BatchNorm1d(128), torch.nn.ReLU(),
        torch.nn.Linear(128, 128), torch.nn.BatchNorm1d(128), torch.nn.ReLU(), torch.nn.Linear(128, 32),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    for _ in range(40):
        for batch in torch.as_tensor(train)[torch.randperm(900)].split(300):
            optimizer.zero_grad()
            module(*[net(_view(inputs[batch])) for _ in range(2)]).backward()
            optimizer.step()
    net.eval()
    with torch.no_grad():
        Z = torch.nn.functional.normalize(net(inputs), dim=1).numpy()
    found = UniformityTolerance(random_state=seed).measure(Z[test], y[test])
    probe = LogisticRegression(C=10.0, max_iter=300).fit(Z[train], y[train])
    near = found.tolerance.value if found.tolerance else np.nan
    return Contrasted(found.uniformity.value, near, found.entropy.value, float(probe.score(Z[test], y[test])))


def _view(x: torch.Tensor) -> torch.Tensor:
    """Return pictures moved by up to one pixel, with noise and a few pixels blanked."""
    picture = torch.nn.functional.pad(x.reshape(-1, 1, 8, 8), (1, 1, 1, 1))
    down, right = (int(k) for k in torch.randint(0, 3, (2,)))
    moved = picture[:, :, down : down + 8, right : right + 8].reshape(len(x), 64)
    return (moved + 0.1 * torch.randn_like(x)) * (torch.rand_like(x) > 0.1)


def trade_off(seed: int) -> dict[str, float]:
    """Return the weaker of two trends over temperatures: uniformity falls, tolerance rises."""
    runs = [contrasted(seed, ("plain", t)) for t in GRID]
    falls = -float(spearmanr(GRID, [run.uniformity for run in runs]).statistic)
    rises = float(spearmanr(GRID, [run.tolerance for run in runs]).statistic)
    return {"baseline": 0.0, "method": min(falls, rises), "uniformity falls": falls, "tolerance rises": rises}


def inverted_u(seed: int) -> dict[str, float]:
    """Compare the probe at a middle temperature, 0.2, with the better one of both ends."""
    found = {t: contrasted(seed, ("plain", t)).accuracy for t in GRID}
    ends = {"0.03": found[0.03], "1.0": found[1.0]}
    return {"baseline": max(ends.values()), "method": found[0.2], **ends, "best": max(found.values())}


HARD, HARD_SIMPLE, SIMPLE = HardContrastive(1.0, 0.1), SimpleContrastive(0.1), SimpleContrastive(1.0)
"""Made once, so that `contrasted` knows them again."""


def hard_at_large_temperature(seed: int) -> dict[str, float]:
    """Compare the contrastive loss with and without easy negatives at temperature 1."""
    plain, only_hard = contrasted(seed, ("plain", 1.0)), contrasted(seed, HARD)
    return {
        "baseline": plain.accuracy, "method": only_hard.accuracy,
        "uniformity, all": plain.uniformity, "uniformity, hard": only_hard.uniformity,
    }  # fmt: skip


def hard_simple(seed: int) -> dict[str, float]:
    """Compare the loss without hardness on all negatives and on the hardest tenth."""
    ordinary = contrasted(seed, ("plain", 0.2)).accuracy
    simple, hardest = contrasted(seed, SIMPLE).accuracy, contrasted(seed, HARD_SIMPLE).accuracy
    return {"baseline": simple, "method": hardest, "contrastive, temperature 0.2": ordinary}


WITHOUT = "With an encoder without batch normalisation, whose embeddings start in a narrow cone: opposite, "
VIEWS = (
    "digits, encoder of three layers (batch normalisation) on two views (moved, noisy, pixels blanked) of 900 rows, "
    "linear probe"
)

# ----------------------------------------------------------------------------------------------- inductive bias (17)


def bits_by_dimension(seed: int) -> dict[str, float]:
    """Return Spearman of intrinsic dimension and bits for one error, the weaker of Gaussian and sphere inputs."""
    rng = np.random.default_rng(seed)
    dimensions, found = range(1, 9), {}
    for shape in ("Gaussian", "sphere"):
        results = []
        for m in dimensions:
            X = rng.normal(size=(260, m + (shape == "sphere")))
            if shape == "sphere":
                X *= m**0.5 / np.linalg.norm(X, axis=1, keepdims=True)
            direction = rng.normal(size=X.shape[1])
            y = np.sin(2 * X @ direction / np.linalg.norm(direction))
            measure = InductiveBias(scale=1.0, draws=2000, repeats=5, random_state=seed).measure
            results.append(measure(X[:60], y[:60], X[60:], y[60:], error=0.02))
        for name, values in (("", [one.bits.value for one in results]), (", direct", [one.direct for one in results])):
            found[f"{shape}{name}"] = float(spearmanr(dimensions, values).statistic)
        found[f"{shape}, bits at 2"], found[f"{shape}, bits at 8"] = results[1].bits.value, results[7].bits.value
    return {"baseline": 0.0, "method": min(found["Gaussian"], found["sphere"]), **found}


def bits_of_networks(seed: int) -> dict[str, float]:
    """Compare the bits that a dense and a convolutional network bring on 300 digits, in one space of kernel functions."""
    X, y = load_digits(return_X_y=True)
    rows = np.random.default_rng(seed).permutation(len(X))
    train, test = rows[:300], rows[300:1100]
    flat, pictures = (X / 16).astype(np.float32), (X / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    found = {}
    for name, inputs in (("dense", flat), ("convolutional", pictures)):
        model = Classifier(train=Train(epochs=40, lr=3e-3, progress=False), random_state=seed).fit(
            inputs[train], y[train]
        )
        error = squared_error(model, inputs[test], y[test])
        measure = InductiveBias(draws=500, samples=300, repeats=5, random_state=seed).measure
        found[name] = measure(flat[train], y[train], flat[test], y[test], error).bits.value
        found[f"{name}, error"] = error
    return {"baseline": found["dense"], "method": found["convolutional"], **found}


# -------------------------------------------------------------------------------------------------- familiarity (205)

SYLLABLES = (
    "ka",
    "ro",
    "mi",
    "tel",
    "von",
    "sar",
    "dul",
    "pex",
    "gim",
    "hob",
    "zan",
    "quil",
    "fer",
    "lod",
    "nuk",
    "wis",
)
"""Of which words are made."""
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Of words of the evaluation labels that occur in training labels."""


def zero_shot(seed: int) -> dict[str, float]:
    """Return Pearson of familiarity and zero-shot F1 over evaluation labels that share 0 to 100 % of their words."""
    rng = np.random.default_rng(seed)
    words = rng.permutation(sorted({"".join(rng.choice(SYLLABLES, 3)) for _ in range(80)}))[:60]
    known, new = words[:30], words[30:]
    meaning = dict(zip(words, rng.normal(size=(60, 20)), strict=True))
    train = [" ".join(rng.choice(known, 2, replace=False)) for _ in range(40)]
    familiarity, scores = [], []
    for share in SHARES:
        evaluation = sorted(
            {" ".join(rng.choice(known if rng.random() < share else new) for _ in "ab") for _ in range(12)}
        )
        familiarity.append(Familiarity(k=200).measure(dict.fromkeys(train, 20), evaluation).familiarity.value)
        scores.append(_zero_shot_f1(train, evaluation, meaning, rng))
    found = dict(zip([f"F1, {share:.0%} shared" for share in SHARES], scores, strict=True))
    return {"baseline": 0.8, "method": float(np.corrcoef(familiarity, scores)[0, 1]), **found}


def _zero_shot_f1(train: Any, evaluation: Any, meaning: Any, rng: np.random.Generator) -> float:
    """Learn a map from rows to the vectors of training names; name evaluation rows by the nearest name. Macro F1."""
    vectors = name_vectors([*train, *evaluation])
    means = [np.sum([meaning[word] for word in name.split()], axis=0) for name in (*train, *evaluation)]
    rows = lambda some: np.concatenate([means[c] + 0.5 * rng.normal(size=(20, 20)) for c in some])  # noqa: E731
    seen, new = range(len(train)), range(len(train), len(means))
    model = Ridge(alpha=1.0).fit(rows(seen), np.repeat(vectors[list(seen)], 20, axis=0))
    found = (model.predict(rows(new)) @ vectors[list(new)].T).argmax(1)
    return float(f1_score(np.repeat(np.arange(len(evaluation)), 20), found, average="macro"))


SHARP = (
    "2000 uniform rows in 4 dimensions, labels by the sign of a sine of frequency 0.5, 1, 1.5, 2; network of 256 units"
)

CLAIMS = [
    Claim(
        method="labelwise.diagnostics.IntrinsicDimension", paper=63, name="known", run=known_dimensions,
        data="3000 points of spheres and curved sheets of dimension 2 to 10 in 50 dimensions", higher_is_better=False,
        metric="largest relative error over the nine dimensions", baseline="the 15 % expected",
        statement="The estimate is within 15 % of a known dimension from 2 to 10.",
        tried="Uniform cubes: at dimension 10 the edges make it 16 % (5000 rows) to 21 % (1000 rows) too low.",
    ),
    Claim(
        method="labelwise.diagnostics.IntrinsicDimension", paper=63, name="loss", run=dimension_foretells_loss,
        data="sheets of dimension 1 to 8 in 20 dimensions, one smooth target, nearest-neighbour fits of 125 to 2000 rows",
        metric="Spearman of estimated dimension and test loss", baseline="no relation (0)",
        statement="At equal numbers of rows the test loss grows with the intrinsic dimension of the data.",
    ),
    Claim(
        method="labelwise.diagnostics.IntrinsicDimension", paper=63, name="hidden", run=representation_below_data,
        data="digits, hidden layer of a network trained on 900 rows, the other rows measured", higher_is_better=False,
        metric="intrinsic dimension of the hidden layer", baseline="intrinsic dimension of the same rows' pixels",
        statement="A trained representation has at most the intrinsic dimension of its data.",
    ),
    Claim(
        method="labelwise.diagnostics.LabelSharpness", paper=63, name="attack", run=sharper_is_more_fragile, data=SHARP,
        metric="minus Spearman of sharpness (99.9 % quantile) and accuracy under FGSM of 0.05", baseline="no relation (0)",
        statement="Of tasks with the same inputs, the sharper the labels, the lower the accuracy under attack.",
    ),
    Claim(
        method="labelwise.diagnostics.LabelSharpness", paper=63, name="lost", run=sharper_loses_more_to_the_attack,
        data=SHARP, metric="accuracy lost to FGSM of 0.05, sharpest task", baseline="least sharp task",
        statement="The attack takes more accuracy from the sharper task, not only ends lower.",
        tried="First with frequencies 1, 2, 4, 8: the sharpest task was not learnt (0.48), so nothing could be lost: not "
        "shown, -0.015 [-0.033, +0.003].",
    ),
    Claim(
        method="labelwise.diagnostics.ClassSeparability", paper=192, name="Fisher", run=follows_fisher,
        data="two Gaussian classes, opposite about the origin, 0 to 12 sigma apart, 400 rows in 2, 10, 50 dimensions",
        metric="Spearman of the label-free score and the Fisher ratio, mean over dimensions",
        baseline="0.82, the mean that was found before (0.92, 0.81, 0.74)",
        statement="The label-free score follows supervised separability of two classes.",
        tried="On rows that are not scaled to unit length the mean was 0.59 [0.52, 0.66], above 0.8 only beyond 5 sigma.",
    ),
    Claim(
        method="labelwise.diagnostics.ClassSeparability", paper=192, name="overlap", run=blind_to_overlap,
        data="five Gaussian classes in random directions, 400 rows in 10 dimensions, not scaled",
        metric="Spearman with the Fisher ratio, classes 5 to 12 sigma apart", baseline="the same, 0 to 12 sigma apart",
        statement="The score is blind to overlapping classes: it follows separability better once classes are apart.",
    ),
    Claim(
        method="labelwise.diagnostics.ClassSeparability", paper=192, name="stopping", run=stops_near_the_best, margin=-0.01,
        data="digits, autoencoder of 800 unlabelled rows fine-tuned with 50 labels; the same 800 rows give the score",
        metric="test accuracy of the epoch kept", baseline="best test accuracy of 40 epochs",
        statement="Stopping by separability keeps an epoch within 1 point of the best.",
        tried="Without pretraining, on the scores instead of the hidden layer, one step an epoch: opposite, -0.52. On other "
        "seeds also the gap score with C known, steps of 0.005, and rows scaled like layers: the score flattens before "
        "the accuracy does, and a gain of less than 1 % an epoch counts as none.",
    ),
    Claim(
        method="labelwise.diagnostics.UniformityTolerance", paper=52, name="trade", data=VIEWS, run=trade_off,
        metric="weaker Spearman of temperature with minus uniformity and with tolerance", baseline="no relation (0)",
        statement="With the temperature of the contrastive loss uniformity falls and tolerance rises.",
        tried=WITHOUT + "-0.68 [-0.89, -0.46]: within 40 epochs small temperatures had not spread them yet.",
    ),
    Claim(
        method="labelwise.diagnostics.UniformityTolerance", paper=52, name="middle", data=VIEWS, run=inverted_u,
        metric="test accuracy of a linear probe, temperature 0.2", baseline="the better one of temperatures 0.03 and 1",
        statement="Representations are best in the middle: accuracy over temperatures is an inverted U.",
        tried="With an encoder without batch normalisation: not shown, +0.014 [-0.004, +0.031].",
    ),
    Claim(
        method="labelwise.losses.HardContrastive", paper=52, data=VIEWS, run=hard_at_large_temperature,
        metric="test accuracy of a linear probe, temperature 1", baseline="all negatives, temperature 1",
        statement="At a large temperature the hardest tenth of the negatives gives better representations than all.",
        tried=WITHOUT + "-0.58 [-0.75, -0.40]: pushed from its hardest negatives only, the encoder collapsed to a point.",
    ),
    Claim(
        method="labelwise.losses.SimpleContrastive", paper=52, data=VIEWS, run=hard_simple,
        metric="test accuracy of a linear probe", baseline="the same loss on all negatives",
        statement="The loss at infinite temperature is poor on all negatives and good on the hardest tenth.",
        tried=WITHOUT + "-0.47 [-0.70, -0.24], by collapse.",
    ),
    Claim(
        method="labelwise.diagnostics.InductiveBias", paper=17, name="dimension", run=bits_by_dimension,
        data="60 training rows, Gaussian or on spheres of dimension 1 to 8; a sine of one direction, error 0.02",
        metric="Spearman of dimension and bits, the weaker of both kinds of input", baseline="no relation (0)",
        statement="At equal numbers of rows a task of more intrinsic dimensions takes more inductive bias.",
    ),
    Claim(
        method="labelwise.diagnostics.InductiveBias", paper=17, name="networks", run=bits_of_networks,
        data="300 digits, 800 test rows, Gaussian kernel", metric="bits at the error of the convolutional network",
        baseline="bits at the error of the dense network",
        statement="Networks encode much information beyond the data, convolutional ones more than dense ones.",
    ),
    Claim(
        method="labelwise.diagnostics.Familiarity", paper=205, run=zero_shot,
        data="made-up label names of two words, 0 to 100 % of them known from training; ridge map to name vectors",
        metric="Pearson of familiarity and zero-shot macro F1 over six sets of labels", baseline="0.8",
        statement="Familiarity foretells zero-shot F1: much of it is overlap of label names.",
    ),
]  # fmt: skip
