"""Any local Hugging Face text model as the network of any learner: tuned whole, its head alone, or by LoRA adapters."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn

from labelwise.base import Count, Fraction, InputError, require
from labelwise.nets.base import Network
from labelwise.parts.subwords import SubwordTokenizer

Tune = Literal["full", "head", "lora"]
Pooling = Literal["mean", "first", "last"]
WHY = "net=HuggingFace(...)"
EXTRA = "huggingface"
LONGEST = 512


class HuggingFace(Network):
    """A pre-trained text model and a linear output layer; learners given it as `net` take lists of texts.

    Nothing is downloaded unless `download` is set, and no code that lies beside a model is ever run.

    Parameters
    ----------
    model
        Folder of a saved model, or a ``transformers`` model built or loaded by you (it is copied when a learner is
        fitted). An encoder-decoder lends its encoder; a task head that it has is left off.
    tokenizer
        Folder of a tokenizer, or a fast tokenizer; None takes the one in the model's folder.
    max_length
        Longer texts are cut at so many tokens, >= 1.
    tune
        ``full`` moves all weights, ``head`` the output layer alone, ``lora`` the output layer and low-rank adapters.
    lora_rank, lora_alpha, lora_dropout
        Rank of the adapters, >= 1; their strength (None: twice the rank); their dropout in [0, 1].
    pooling
        How token vectors become one: their ``mean``, the ``first`` (models with a class token), the ``last`` (models that
        read from left to right).
    dropout
        Before the output layer, in [0, 1].
    download
        Let `model` and `tokenizer` name models of the hub, which are then downloaded.

    Notes
    -----
    Learning rates that suit: ``Train(lr=2e-5)`` for ``full``, ``5e-4`` for ``lora``, ``2e-3`` for ``head``.

    Raises
    ------
    InputError
        For a folder that is not there or holds no model, a tokenizer that is missing or slow, settings out of range.
    ImportError
        Without transformers, or peft for ``lora``; the message names the extra.
    """

    predict_rows = 64
    """Rows of a block when predicting."""

    def __init__(
        self, model: Any, tokenizer: Any = None, *, max_length: int = 128, tune: Tune = "full", lora_rank: int = 8,
        lora_alpha: float | None = None, lora_dropout: float = 0.0, pooling: Pooling = "mean", dropout: float = 0.1,
        download: bool = False,
    ) -> None:  # fmt: skip
        _check_choices(tune=tune, pooling=pooling, lora_rank=lora_rank, lora_dropout=lora_dropout, dropout=dropout)
        encoder, lent = _encoder(model, download)
        text = _tokenizer(model if tokenizer is None else tokenizer, download)
        most = getattr(encoder.config, "max_position_embeddings", None) or LONGEST
        lora = {"r": lora_rank, "lora_alpha": lora_alpha or 2 * lora_rank, "lora_dropout": lora_dropout}
        self._assemble(
            Encoder(encoder, pooling, lent), SubwordTokenizer(text, min(max_length, most)), tune, lora, dropout
        )

    def _assemble(
        self, encoder: Encoder, tokenizer: SubwordTokenizer, tune: Tune, lora: dict[str, Any], dropout: float
    ) -> None:
        super().__init__()
        self.tokenizer, self.tune, self.lora = tokenizer, tune, lora
        self.features: Encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head: Any = None

    def for_outputs(self, outputs: int, example: Tensor | None = None) -> Self:
        """Return a copy with a fresh head of `outputs` scores, and with adapters for ``tune="lora"``."""
        net = deepcopy(self)
        net.head = nn.Linear(_width(net.features.model), outputs)
        if net.tune != "full":
            net.features.requires_grad_(False)
        if net.tune == "lora":
            net.features.model = _with_adapters(net.features.model, net.lora)
        return net

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(b, outputs)`` of token codes ``(b, length)``."""
        if self.head is None:
            raise InputError("this network has no output layer yet: give it to a learner as net=, or call for_outputs.")
        scores: Tensor = self.head(self.dropout(self.features(x)))
        return scores

    def train(self, mode: bool = True) -> Self:
        """Set training mode; an encoder that does not move stays in evaluation mode."""
        super().train(mode)
        if self.tune == "head":
            self.features.eval()
        return self

    def merged(self) -> Self:
        """Return a copy with the adapters folded into the weights: the same scores, as quick as without adapters."""
        net = deepcopy(self)
        if hasattr(net.features.model, "merge_and_unload"):
            net.features.model = net.features.model.merge_and_unload()
            net.tune = "full"
        return net

    def save_adapters(self, folder: str | Path) -> Path:
        """Write the adapters in peft's format (safetensors and JSON), to be put on the same base model elsewhere."""
        if not hasattr(self.features.model, "peft_config"):
            raise InputError("there are no adapters: fit a learner with HuggingFace(..., tune='lora') first.")
        self.features.model.save_pretrained(str(folder))
        return Path(folder)

    def described(self) -> dict[str, Any]:
        """Return plain data from which `rebuilt` makes a network of the same shape."""
        model = self.features.model
        return {
            "config": plain_config(model.config.to_dict()), "adapters": hasattr(model, "peft_config"),
            "definition": self.tokenizer.definition, "length": self.tokenizer.length, "tune": self.tune,
            "lora": dict(self.lora), "pooling": self.features.pooling, "dropout": self.dropout.p,
            "outputs": None if self.head is None else self.head.out_features, "lent": self.features.lent,
        }  # fmt: skip

    @classmethod
    def rebuilt(cls, told: dict[str, Any]) -> HuggingFace:
        """Return a network with fresh weights from what `described` gave; only classes of transformers itself are made."""
        transformers = require("transformers", extra=EXTRA, why="this saved model")
        config = transformers.AutoConfig.for_model(**plain_config(told["config"]))
        with torch.random.fork_rng(devices=[]):
            encoder = transformers.AutoModel.from_config(config, trust_remote_code=False)
            encoder = Encoder(encoder.get_encoder() if told["lent"] else encoder, told["pooling"], told["lent"])
            net = cls.__new__(cls)
            tokenizer = SubwordTokenizer(told["definition"], told["length"])
            net._assemble(encoder, tokenizer, told["tune"], told["lora"], told["dropout"])
            if told["outputs"] is None:
                return net
            adapters, net.tune = net.tune, "lora" if told["adapters"] else "full"
            net = net.for_outputs(told["outputs"])
        net.tune = adapters
        return net

    def __repr__(self) -> str:
        config = self.features.model.config
        weights = sum(p.numel() for p in self.features.parameters())
        return f"HuggingFace({config.model_type}, {weights:,} weights, tune={self.tune!r})"


class Encoder(nn.Module):
    """Token codes ``(b, length)``, 0 is padding, to one vector a text ``(b, width)``.

    `model` is the transformers model; `lent` says that it is the encoder of an encoder-decoder.
    """

    predict_rows = 64

    def __init__(self, model: Any, pooling: Pooling, lent: bool = False) -> None:
        super().__init__()
        self.model: Any = model
        self.pooling, self.lent = pooling, lent

    def forward(self, codes: Tensor) -> Tensor:
        """Return the pooled last hidden states."""
        real = codes > 0
        real = torch.cat([real[:, :1] | ~real.any(1, keepdim=True), real[:, 1:]], 1)  # an empty text has one step
        if not torch.compiler.is_compiling():  # columns that hold nothing but padding cost time
            width = int(real.any(0).nonzero().max()) + 1
            codes, real = codes[:, :width], real[:, :width]
        padding = self.model.config.pad_token_id or 0
        tokens = torch.where(codes > 0, codes - 1, padding).long()
        hidden: Tensor = self.model(input_ids=tokens, attention_mask=real.long()).last_hidden_state
        return self._pooled(hidden, real)

    def _pooled(self, hidden: Tensor, real: Tensor) -> Tensor:
        if self.pooling == "first":
            return hidden[:, 0]
        if self.pooling == "last":
            steps = torch.arange(real.shape[1], device=real.device)
            last = (real * steps).argmax(1)
            return hidden[torch.arange(len(hidden), device=hidden.device), last]
        weight = real.to(hidden.dtype)[..., None]
        return (hidden * weight).sum(1) / weight.sum(1)


def plain_config(config: Any) -> Any:
    """Return a model's configuration without anything that could name code or kernels to fetch."""
    if isinstance(config, dict):
        dropped = ("auto_map", "quantization_config", "transformers_version", "_name_or_path", "dtype", "torch_dtype")
        named = ("implementation", "backbone", "pretrained")  # kernels to fetch, weights to fetch
        kept = {k: v for k, v in config.items() if k not in dropped and not any(part in str(k) for part in named)}
        return {k: plain_config(v) for k, v in kept.items()}
    return [plain_config(item) for item in config] if isinstance(config, (list, tuple)) else config


def _check_choices(tune: str, pooling: str, **numbers: Any) -> None:
    for name, value, options in (("tune", tune, get_args(Tune)), ("pooling", pooling, get_args(Pooling))):
        if value not in options:
            raise InputError(f"{name} must be one of {', '.join(map(repr, options))}. Got {value!r}.")
    for name, value in numbers.items():
        accepted = Count if name == "lora_rank" else Fraction
        if value not in accepted:
            raise InputError(f"{name} must be {accepted}. Got {value!r}.")


def _encoder(model: Any, download: bool) -> tuple[Any, bool]:
    """Return the model without task head or decoder, and whether it had a decoder."""
    transformers = require("transformers", extra=EXTRA, why=WHY)
    if isinstance(model, (str, Path)):
        model = loaded(transformers.AutoModel, "model", model, download)
    if not isinstance(model, transformers.PreTrainedModel):
        raise InputError(f"model must be a folder or a transformers model. Got {type(model).__name__}.")
    base = model.base_model
    lent = bool(getattr(base.config, "is_encoder_decoder", False))
    base = base.get_encoder() if lent else base
    if getattr(base.config, "hidden_size", getattr(base.config, "d_model", None)) is None:
        raise InputError(f"model: {type(base).__name__} is no text model: its configuration has no hidden_size.")
    return base, lent


def loaded(auto: Any, name: str, source: str | Path, download: bool) -> Any:
    """Return what a class of transformers loads from a folder (or the hub, if told to); no code beside it is run."""
    folder = Path(source).expanduser()
    if not folder.is_dir() and not download:
        raise InputError(
            f"{name}: there is no folder {str(source)!r}. Give the folder of a saved model, or pass download=True to "
            "take it from the hub."
        )
    where = str(folder) if folder.is_dir() else str(source)
    try:
        return auto.from_pretrained(where, local_files_only=not download, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        told = " ".join(str(error).split())[:300]
        raise InputError(f"{name}: {str(source)!r} cannot be loaded. transformers says: {told}") from error


def _tokenizer(source: Any, download: bool) -> str:
    """Return the JSON definition of a fast tokenizer."""
    transformers = require("transformers", extra=EXTRA, why=WHY)
    if isinstance(source, (str, Path)):
        source = loaded(transformers.AutoTokenizer, "tokenizer", source, download)
    backend = getattr(source, "backend_tokenizer", source)
    if not hasattr(backend, "to_str"):
        found = type(source).__name__
        raise InputError(f"tokenizer: give the folder of a tokenizer or a fast tokenizer. Got {found}.")
    return str(backend.to_str())


def _width(model: Any) -> int:
    config = model.config
    return int(getattr(config, "hidden_size", None) or config.d_model)


def _with_adapters(model: Any, lora: dict[str, Any]) -> Any:
    peft = require("peft", extra=EXTRA, why="HuggingFace(tune='lora')")
    return peft.get_peft_model(model, peft.LoraConfig(target_modules="all-linear", **lora))
