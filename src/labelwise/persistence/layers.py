"""The list of torch layers that a network may be rebuilt from, each by its constructor's arguments."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from labelwise.base import InputError

_POOL = "kernel_size stride padding"
_CONV = "in_channels out_channels kernel_size stride padding dilation groups padding_mode"
_NORM = "num_features eps momentum affine track_running_stats"
ARGUMENTS: dict[str, tuple[str, ...]] = {
    name: tuple(arguments.split())
    for names, arguments in {
        "Linear": "in_features out_features",
        "Conv1d Conv2d Conv3d": _CONV,
        "ConvTranspose1d ConvTranspose2d ConvTranspose3d": f"{_CONV} output_padding",
        "BatchNorm1d BatchNorm2d BatchNorm3d InstanceNorm1d InstanceNorm2d InstanceNorm3d": _NORM,
        "LayerNorm RMSNorm": "normalized_shape eps elementwise_affine",
        "GroupNorm": "num_groups num_channels eps affine",
        "LSTMCell GRUCell": "input_size hidden_size bias",
        "Embedding": "num_embeddings embedding_dim padding_idx max_norm norm_type scale_grad_by_freq sparse",
        "Dropout Dropout1d Dropout2d Dropout3d AlphaDropout": "p inplace",
        "ReLU ReLU6 SELU SiLU Mish Hardswish Hardsigmoid": "inplace",
        "LeakyReLU": "negative_slope inplace",
        "ELU CELU": "alpha inplace",
        "GELU": "approximate",
        "Softplus": "beta threshold",
        "Softmax LogSoftmax": "dim",
        "PReLU": "num_parameters",
        "Identity Tanh Sigmoid LogSigmoid Softsign Tanhshrink": "",
        "Flatten": "start_dim end_dim",
        "Unflatten": "dim unflattened_size",
        "MaxPool1d MaxPool2d MaxPool3d": f"{_POOL} dilation ceil_mode",
        "AvgPool1d AvgPool2d AvgPool3d": f"{_POOL} ceil_mode count_include_pad",
        "AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d": "output_size",
        "AdaptiveMaxPool1d AdaptiveMaxPool2d AdaptiveMaxPool3d": "output_size",
        "Upsample": "size scale_factor mode align_corners",
        "PixelShuffle": "upscale_factor",
        "ZeroPad2d ReflectionPad2d ReplicationPad2d": "padding",
        "CosineSimilarity": "dim eps",
    }.items()
    for name in names.split()
}
"""Layer name to the attributes that its constructor takes under the same names (``bias`` is told from the weights)."""

CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")
_TRANSFORMER = (
    "d_model", "nhead", "activation", "dim_feedforward", "dropout", "norm_first", "layer_norm_eps", "batch_first",
)  # fmt: skip
_ACTIVATIONS = {"relu": nn.functional.relu, "gelu": nn.functional.gelu}


def layer_name(module: nn.Module) -> str | None:
    """Return the name of a layer on the list, None for any other module (also for subclasses)."""
    name = type(module).__name__
    known = name in ARGUMENTS or name in ("TransformerEncoderLayer", "TransformerEncoder")
    if not known or type(module) is not getattr(nn, name, None):
        return None
    return None if name.startswith("Transformer") and _transformer(module) is None else name


def arguments_of(module: nn.Module) -> dict[str, Any]:
    """Return the constructor's arguments that make a layer of the same shape."""
    if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerEncoder)):
        return _transformer(module) or {}
    given = {name: getattr(module, name) for name in ARGUMENTS[type(module).__name__] if hasattr(module, name)}
    if "bias" in module._parameters and not isinstance(module, (nn.modules.batchnorm._NormBase, nn.GroupNorm)):
        given["bias"] = module._parameters["bias"] is not None
    return {name: list(value) if isinstance(value, torch.Size) else value for name, value in given.items()}


def make(name: str, arguments: dict[str, Any], most: int) -> nn.Module:
    """Return a layer on the list without room for its weights, which `load_state_dict` with ``assign`` brings.

    So a size that the arguments claim costs nothing, and no random numbers are drawn. `most` is how many weights the file
    has for it: a stack has no more layers than that.
    """
    with torch.device("meta"):
        if name != "TransformerEncoder":
            return _make(name, arguments)
        layer = _make("TransformerEncoderLayer", arguments.pop("layer"))
        norm = arguments.pop("norm")
        norm = None if norm is None else _make("LayerNorm", norm)
        if not 0 < arguments["num_layers"] <= most:
            raise InputError(
                f"model.json asks for {arguments['num_layers']} layers of a transformer and has {most} weights."
            )
        return nn.TransformerEncoder(layer, norm=norm, **arguments)  # type: ignore[arg-type]


def _make(name: str, arguments: dict[str, Any]) -> nn.Module:
    if name not in ARGUMENTS and name != "TransformerEncoderLayer":
        raise InputError(f"model.json names the layer torch.nn.{name}, which is not on the list. It is not loaded.")
    known = {*ARGUMENTS.get(name, _TRANSFORMER), "bias"}
    if not set(arguments) <= known:
        raise InputError(f"model.json gives torch.nn.{name} unknown arguments {sorted(set(arguments) - known)}.")
    if not all(_is_plain(value) for value in arguments.values()):
        raise InputError(f"model.json gives torch.nn.{name} an argument that is no plain value. It is not loaded.")
    layer_class: type[nn.Module] = getattr(nn, name)
    if name == "Embedding":  # drawing its weights, which are replaced, would import torch's compiler
        arguments = {**arguments, "_weight": torch.empty(arguments["num_embeddings"], arguments["embedding_dim"])}
    return layer_class(**arguments)


def _is_plain(value: Any) -> bool:
    """Whether an argument is a number, a word or a short list of such: nothing that could be called."""
    if isinstance(value, (list, tuple)):
        return len(value) < 10 and all(isinstance(item, (int, float, type(None))) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _transformer(module: nn.Module) -> dict[str, Any] | None:
    """Return a transformer's arguments; None when its activation or norm is not a usual one."""
    if isinstance(module, nn.TransformerEncoder):
        layer, norm = _transformer(module.layers[0]), module.norm
        if layer is None or not (norm is None or type(norm) is nn.LayerNorm):
            return None
        return {
            "layer": layer, "num_layers": module.num_layers, "enable_nested_tensor": module.enable_nested_tensor,
            "mask_check": module.mask_check, "norm": None if norm is None else arguments_of(norm),
        }  # fmt: skip
    assert isinstance(module, nn.TransformerEncoderLayer)
    activation = next((name for name, function in _ACTIVATIONS.items() if module.activation is function), None)
    if activation is None:
        return None
    attention = module.self_attn
    return {
        "d_model": attention.embed_dim, "nhead": attention.num_heads, "activation": activation,
        "dim_feedforward": module.linear1.out_features, "dropout": module.dropout.p, "norm_first": module.norm_first,
        "layer_norm_eps": module.norm1.eps, "batch_first": attention.batch_first,
        "bias": module.linear1.bias is not None,
    }  # fmt: skip
