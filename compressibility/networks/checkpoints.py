"""Trained networks kept as float16 safetensors."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn

from compressibility.errors import UserError
from compressibility.files import write_whole
from compressibility.networks.wrappers import PREFIXES, unwrapped


class CheckpointError(UserError):
    """A checkpoint that cannot be used; the message says what to do."""


def save(network: nn.Module, path: Path, training: str) -> None:
    """Write parameters and buffers as float16, aside and then renamed.

    ``training`` is the JSON of what the network came from, kept beside the weights. Floating
    values must be exact in float16 (``rounded_to_float16``).

    Raises:
        WriteError: The file cannot be written; nothing half-written is left.
    """
    tensors = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in unwrapped(network).state_dict().items()
    }
    write_whole(path, serialize(tensors, metadata={"training": training}))


def load(network: nn.Module, path: Path, training: str) -> nn.Module:
    """Put the weights in ``path`` into ``network``, in float32 and evaluation mode; return it.

    Weights saved from a data-parallel or compiled network are those of the network in it.

    Raises:
        CheckpointError: The file is damaged, or its network was trained otherwise.
    """
    try:
        with safe_open(path, framework="pt") as file:
            kept = (file.metadata() or {}).get("training", "null")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path} is not a checkpoint ({reason}); move it away to train anew"
        ) from error
    if not _same_json(kept, training):
        raise CheckpointError(
            f"{path} holds a network trained on other images or with other settings; "
            f"move {path.parent} away to train anew"
        )
    tensors = _without_wrappers(tensors)
    if misfit := _misfit(tensors, unwrapped(network).state_dict()):
        raise CheckpointError(
            f"{path} is not a checkpoint of this network: {misfit}; move it away to train anew"
        )
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(
                f"{path}: {name} holds NaN or infinity; move it away to train anew"
            )
    unwrapped(network).load_state_dict(
        {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        }
    )
    return network.eval()


def _same_json(kept: str, asked: str) -> bool:
    try:
        return bool(json.loads(kept) == json.loads(asked))
    except json.JSONDecodeError:
        return False


def _without_wrappers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the prefixes that wrappers put in front of all their names."""
    while tensors and any(all(name.startswith(each) for name in tensors) for each in PREFIXES):
        tensors = {name.partition(".")[2]: tensor for name, tensor in tensors.items()}
    return tensors


def _misfit(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    """The first tensor that keeps a checkpoint from being a network's; None if all fit."""
    if (prefix := _common_prefix(tensors, own)) is not None:
        return f"its names begin with {prefix!r}: save the state_dict of what is inside"
    if absent := sorted(own.keys() - tensors.keys()):
        return f"it lacks {absent[0]}{_more(absent)}"
    if foreign := sorted(tensors.keys() - own.keys()):
        return f"it holds {foreign[0]}{_more(foreign)}, which the network has not"
    if unlike := [name for name in own if tensors[name].shape != own[name].shape]:
        name = unlike[0]
        held, needed = tuple(tensors[name].shape), tuple(own[name].shape)
        return f"{name} has shape {held}, not {needed}{_more(unlike)}"
    return None


def _common_prefix(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    """What a checkpoint has in front of all of a network's names; None if there is nothing."""
    name = next(iter(own), "")
    prefixes = [each.removesuffix(name) for each in tensors if each.endswith(f".{name}")]
    return next((p for p in prefixes if all(p + each in tensors for each in own)), None)


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""
