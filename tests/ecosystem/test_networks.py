"""Networks of other people: any torch module, any local Hugging Face text model, whole or by adapters."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from sklearn.base import clone
from tests.ecosystem import tiny_models
from tests.ecosystem.estimators import TRAIN, rows
from torch import nn

import labelwise
from labelwise.base import InputError
from labelwise.learner import Classifier, MultiLabelClassifier, Regressor, Train
from labelwise.losses import ELR
from labelwise.nets import HuggingFace, Joined
from labelwise.noisy import CoTeaching
from labelwise.semi_supervised import FixMatch

X, Y = rows()
RNG = np.random.default_rng(0)
LABELS = np.arange(60) % 2
TEXTS = [f"the {['film', 'plot'][i % 3 > 0]} was {['bad', 'good'][k]}" for i, k in enumerate(LABELS)]
QUICK = Train(epochs=4, batch_size=20, lr=5e-3, progress=False)


class Single(nn.Module):
    """A module that works in single precision only, as many do."""

    def __init__(self, outputs=3):
        super().__init__()
        self.layer = nn.Linear(4, outputs)

    def forward(self, x):
        return (
            self.layer(x) + torch.zeros(1, 1) @ torch.ones(1, self.layer.out_features) + x[:, :1].mm(torch.zeros(1, 1))
        )


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(
    "learner",
    [Classifier(), Classifier(criterion=ELR()), CoTeaching(), FixMatch()],
    ids=["plain", "ELR", "co-teaching", "FixMatch"],
)
@pytest.mark.parametrize(
    "net",
    [
        nn.Linear(4, 3),
        nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 3)),
        Single(),
        Joined(nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU())),
        Joined(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), nn.Linear(8, 3)),
    ],
    ids=["linear", "lazy", "single precision", "features", "features and head"],
)
def test_any_module_trains(learner, net):
    model = clone(learner).set_params(net=net, train=TRAIN, random_state=0).fit(X, Y)
    assert model.predict_proba(X).shape == (90, 3)
    assert model.predict_proba(X).dtype == np.float64
    if isinstance(net, Joined):
        assert model.features(X).shape == (90, 8)


def test_the_given_module_stays_as_it_was():
    net = nn.Linear(4, 3)
    before = net.weight.detach().clone()
    Classifier(net=net, train=TRAIN, random_state=0).fit(X, Y)
    assert torch.equal(net.weight, before)


def test_a_module_of_the_wrong_shape_is_refused_before_training():
    with pytest.raises(InputError, match=r"Linear must map 2 rows to 3 scores each.*Got \(2, 5\)"):
        Classifier(net=nn.Linear(4, 5), train=TRAIN).fit(X, Y)
    with pytest.raises(InputError, match=r"vectors of shape \(b, width\)"):
        Classifier(net=Joined(nn.Unflatten(1, (2, 2))), train=TRAIN).fit(X, Y)


def test_one_module_fits_any_target():
    net = Joined(nn.Linear(4, 8))
    assert Regressor(net=net, train=TRAIN, random_state=0).fit(X, X[:, :2]).predict(X).shape == (90, 2)
    many = MultiLabelClassifier(net=net, train=TRAIN, random_state=0).fit(X, (X > 0).astype(np.int8))
    assert many.predict(X).shape == (90, 4)


def hugging_face(model=tiny_models.bert, **settings):
    return HuggingFace(model(), tiny_models.tokenizer(model is tiny_models.bert), max_length=12, **settings)


@pytest.mark.parametrize("tune", ["full", "head", "lora"])
def test_only_what_is_tuned_moves(tune):
    net = hugging_face(tune=tune, lora_rank=2)
    start = {name: value.clone() for name, value in net.features.model.state_dict().items()}
    model = Classifier(net=net, train=QUICK, random_state=0).fit(TEXTS, LABELS)
    moving = {name for name, value in model.net_.named_parameters() if value.requires_grad}
    names = {"head.weight", "head.bias"}
    if tune == "head":
        assert moving == names
    if tune == "lora":
        assert moving > names
        assert all("lora_" in name for name in moving - names)
    after = model.net_.merged().features.model.state_dict()
    assert list(after) == list(start)
    changed = {name for name, value in start.items() if not torch.equal(value, after[name])}
    assert (changed == set()) == (tune == "head")
    if tune == "lora":
        assert all("weight" in name and "mbedding" not in name and "Norm" not in name for name in changed)


@pytest.mark.parametrize("tune", ["full", "lora"])
def test_texts_are_learned(tune):
    train = Train(epochs=15, batch_size=20, lr=1e-2, progress=False)
    model = Classifier(net=hugging_face(tune=tune), train=train, random_state=0).fit(TEXTS, LABELS)
    assert model.score(TEXTS, LABELS) > 0.9


@pytest.mark.parametrize("model", [tiny_models.bert, tiny_models.gpt, tiny_models.t5])
@pytest.mark.parametrize("tune", ["full", "lora"])
def test_saved_and_loaded_without_running_anything(tmp_path, model, tune):
    pooling = "last" if model is tiny_models.gpt else "mean"
    fitted = Classifier(net=hugging_face(model, tune=tune, pooling=pooling), train=QUICK, random_state=0)
    fitted.fit(TEXTS, LABELS)
    labelwise.save(fitted, tmp_path / "model")
    again = labelwise.load(tmp_path / "model")
    assert np.allclose(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS), atol=1e-6)
    assert np.allclose(again.net_.merged()(_codes(again)).detach(), again.net_(_codes(again)).detach(), atol=1e-5)
    refitted = again.fit(TEXTS, LABELS)  # the network it was given came along
    assert np.allclose(refitted.predict_proba(TEXTS), fitted.predict_proba(TEXTS), atol=1e-5)


def _codes(model):
    model.net_.eval()
    return torch.as_tensor(model.inputs_.transform(TEXTS[:8]))


def test_what_did_not_move_is_stored_once(tmp_path):
    fitted = Classifier(net=hugging_face(tune="lora", lora_rank=1), train=QUICK, random_state=0).fit(TEXTS, LABELS)
    labelwise.save(fitted, tmp_path / "model")
    held = (tmp_path / "model" / "tensors.safetensors").stat().st_size
    assert held < 1.8 * sum(p.numel() * 4 for p in fitted.net.parameters())


def test_a_saved_configuration_names_no_code(tmp_path):
    model = tiny_models.bert()
    model.config.auto_map = {"AutoModel": "evil.Model"}
    net = HuggingFace(model, tiny_models.tokenizer())
    labelwise.save(Classifier(net=net, train=QUICK, random_state=0).fit(TEXTS, LABELS), tmp_path / "model")
    text = (tmp_path / "model" / "model.json").read_text()
    assert "auto_map" not in text
    assert "attn_implementation" not in text
    document = json.loads(text)
    assert document["modules"] == {}


def test_model_and_tokenizer_from_a_folder(tmp_path):
    model, tokenizer = tiny_models.bert(), tiny_models.tokenizer()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    codes = torch.tensor([[3, 5, 7, 4]])
    from_folder = HuggingFace(str(tmp_path)).eval().features(codes)
    from_memory = HuggingFace(model, tokenizer).eval().features(codes)
    assert torch.allclose(from_folder, from_memory, atol=1e-6)


def test_padding_changes_nothing():
    encoder = hugging_face().eval().features
    short, long = torch.tensor([[3, 5, 4]]), torch.tensor([[3, 5, 4, 0, 0], [3, 6, 7, 8, 4]])
    assert torch.allclose(encoder(short)[0], encoder(long)[0], atol=1e-6)
    assert torch.isfinite(encoder(torch.zeros(2, 3, dtype=torch.int32))).all()


@pytest.mark.parametrize("pooling", ["mean", "first", "last"])
def test_pooling_against_transformers_itself(pooling):
    model = tiny_models.bert().eval()
    net = HuggingFace(model, tiny_models.tokenizer(), pooling=pooling).eval()
    ids = tiny_models.tokenizer()(TEXTS[0], return_tensors="pt")["input_ids"]
    hidden = model(input_ids=ids).last_hidden_state[0]
    expected = {"mean": hidden.mean(0), "first": hidden[0], "last": hidden[-1]}[pooling]
    codes = torch.as_tensor(net.tokenizer(TEXTS[:1]))
    assert torch.allclose(net.features(codes)[0], expected, atol=1e-5)


@pytest.mark.parametrize(
    "learner", [CoTeaching(), FixMatch(), Classifier(criterion=ELR())], ids=lambda v: type(v).__name__
)
def test_methods_train_it(learner):
    partly = np.where(np.arange(60) < 20, LABELS, -1) if isinstance(learner, FixMatch) else LABELS
    net = hugging_face(tune="lora", lora_rank=2)
    model = learner.set_params(net=net, train=Train(epochs=1, batch_size=20, progress=False), random_state=0)
    assert model.fit(TEXTS, partly).predict_proba(TEXTS).shape == (60, 2)


def test_adapters_alone_are_saved_for_peft(tmp_path):
    model = Classifier(net=hugging_face(tune="lora", lora_rank=2), train=QUICK, random_state=0).fit(TEXTS, LABELS)
    model.net_.save_adapters(tmp_path / "adapters")
    assert {p.name for p in (tmp_path / "adapters").iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
    with pytest.raises(InputError, match="no adapters"):
        hugging_face().save_adapters(tmp_path / "none")


def test_what_is_wrong_is_said(tmp_path):
    with pytest.raises(InputError, match=r"there is no folder.*download=True"):
        HuggingFace("bert-base-uncased")
    with pytest.raises(InputError, match="cannot be loaded"):
        HuggingFace(str(tmp_path))
    with pytest.raises(InputError, match=r"folder or a transformers model. Got Linear"):
        HuggingFace(nn.Linear(2, 2), tiny_models.tokenizer())
    with pytest.raises(InputError, match=r"fast tokenizer. Got BertModel"):
        HuggingFace(tiny_models.bert())
    with pytest.raises(InputError, match="tune must be one of"):
        hugging_face(tune="adapter")
    with pytest.raises(InputError, match="lora_rank must be a whole number"):
        hugging_face(lora_rank=0)
    with pytest.raises(InputError, match="X holds vectors, but this net reads texts"):
        Classifier(net=hugging_face(), train=QUICK).fit(X, Y)
    with pytest.raises(InputError, match="no output layer yet"):
        hugging_face()(torch.ones(1, 2, dtype=torch.long))
