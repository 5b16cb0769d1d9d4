"""Torch modules as data: known layers by their arguments, modules of labelwise by their parts, others as weights."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from labelwise.base import InputError
from labelwise.persistence.allowed import ours, path_of, resolve
from labelwise.persistence.layers import CONTAINERS, arguments_of, layer_name, make

if TYPE_CHECKING:
    from labelwise.persistence.reading import Reader
    from labelwise.persistence.writing import Writer

HUGGING_FACE = "labelwise.nets.huggingface.HuggingFace"
_MACHINERY = frozenset(vars(nn.Module()))
"""Attributes that every module has: parameters, buffers, children, hooks, mode."""


def write_module(writer: Writer, module: nn.Module, where: str) -> dict[str, Any]:
    """Return the node of a module."""
    if layer_name(module):
        node: dict[str, Any] = {"$layer": layer_name(module), "arguments": writer.node(arguments_of(module), where)}
        return {**node, **_weights(writer, module)}
    name = type(module).__name__
    if name in CONTAINERS and type(module) is getattr(nn, name):
        return {"$container": name, "children": _children(writer, module, where), "training": module.training}
    if path_of(type(module)) == HUGGING_FACE:
        told = module.described()  # type: ignore[operator]
        return {"$huggingface": writer.node(told, where), **_weights(writer, module)}
    if ours(type(module)):
        return _write_ours(writer, module, where)
    return {"$user": _key(writer, module, where), **_weights(writer, module)}


def read_module(reader: Reader, node: dict[str, Any]) -> nn.Module:
    """Return the module of a node, in evaluation or training mode as it was."""
    module: nn.Module
    if "$layer" in node:
        module = reader.keep(node, make(node["$layer"], reader.value(node["arguments"]), len(node["weights"])))
    elif "$container" in node:
        module = _read_container(reader, node)
    elif "$huggingface" in node:
        from labelwise.nets.huggingface import HuggingFace

        module = reader.keep(node, HuggingFace.rebuilt(reader.value(node["$huggingface"])))
    elif "$user" in node:
        module = reader.keep(node, _supplied(reader, node["$user"]))
    else:
        return _read_ours(reader, node)
    if "weights" in node:
        _fill(reader, module, node)
    module.training = bool(node["training"])
    return module


def _weights(writer: Writer, module: nn.Module) -> dict[str, Any]:
    return {
        "weights": [[name, writer.tensor(value)] for name, value in module.state_dict().items()],
        "frozen": [name for name, value in module.named_parameters() if not value.requires_grad],
        "training": module.training,
    }


def _fill(reader: Reader, module: nn.Module, node: dict[str, Any]) -> None:
    weights = {name: reader.tensor(told).detach() for name, told in node["weights"]}
    try:  # a layer without room of its own takes the tensors themselves
        module.load_state_dict(weights, assign="$layer" in node)
    except RuntimeError as error:
        told = " ".join(str(error).split())
        if "$user" not in node:
            raise InputError(f"the saved weights do not fit their layer: {told}") from error
        raise InputError(
            f"modules[{node['$user']!r}] does not fit the saved weights: give a network built with the same arguments. "
            f"torch says: {told}"
        ) from error
    for name, value in module.named_parameters():
        value.requires_grad_(name not in node["frozen"])
    module.train(bool(node["training"]))


def _children(writer: Writer, module: nn.Module, where: str) -> list[list[Any]]:
    return [[name, writer.node(child, f"{where}.{name}".lstrip("."))] for name, child in module._modules.items()]


def _read_container(reader: Reader, node: dict[str, Any]) -> nn.Module:
    if node["$container"] not in CONTAINERS:
        raise InputError(f"model.json names the container {node['$container']!r}, which is not on the list.")
    container: type[nn.Module] = getattr(nn, node["$container"])
    module: nn.Module = reader.keep(node, container())
    for name, child in node["children"]:
        module.add_module(name, reader.value(child))
    return module


def _write_ours(writer: Writer, module: nn.Module, where: str) -> dict[str, Any]:
    own = {name: value for name, value in vars(module).items() if name not in _MACHINERY}
    return {
        "$module": writer.named(type(module)),
        "state": writer.state(own, where),
        "parameters": [[name, writer.node(value, where)] for name, value in module._parameters.items()],
        "buffers": [[name, writer.node(value, where)] for name, value in module._buffers.items()],
        "temporary": sorted(module._non_persistent_buffers_set),
        "children": _children(writer, module, where),
        "training": module.training,
    }


def _read_ours(reader: Reader, node: dict[str, Any]) -> nn.Module:
    cls = resolve(node["$module"])
    if not issubclass(cls, nn.Module):
        raise InputError(f"model.json names {node['$module']!r} as a module, which it is not.")
    module: nn.Module = cls.__new__(cls)
    nn.Module.__init__(module)
    reader.keep(node, module)
    reader.fill(module, node["state"])
    for name, value in node["parameters"]:
        module.register_parameter(name, reader.value(value))
    for name, value in node["buffers"]:
        module.register_buffer(name, reader.value(value), persistent=name not in node["temporary"])
    for name, child in node["children"]:
        module.add_module(name, reader.value(child))
    module.training = bool(node["training"])
    return module


def _key(writer: Writer, module: nn.Module, where: str) -> str:
    """Return the name under which the user must supply such a network: where one was met first."""
    shapes = [[name, list(value.shape)] for name, value in module.state_dict().items()]
    told = {"class": path_of(type(module)), "shapes": shapes}
    for key, known in writer.needed.items():
        if known == told:
            return key
    key = where or "net"
    writer.needed[key] = told
    return key


def _supplied(reader: Reader, key: str) -> nn.Module:
    if key not in reader.modules:
        wanted = ", ".join(f"{name!r}: {told['class'].rpartition('.')[2]}(...)" for name, told in reader.needed.items())
        raise InputError(
            "modules: the model was trained with a network that is not part of labelwise. Give it, built with the same "
            f"arguments: load(path, modules={{{wanted}}})."
        )
    given = reader.modules[key]
    if not isinstance(given, nn.Module):
        raise InputError(f"modules[{key!r}] must be a torch.nn.Module. Got {type(given).__name__}.")
    return deepcopy(given)


_DTYPES = {str(value): value for value in vars(torch).values() if isinstance(value, torch.dtype)}


def torch_value(name: str) -> Any:
    """Return the dtype of that name; what is no dtype was a device, and every device is the CPU."""
    return _DTYPES.get(name, torch.device("cpu"))
