"""Trained networks kept as safetensors."""

import json
from collections.abc import Mapping, Sequence
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


def save(
    network: nn.Module, path: Path, training: str, *, dtype: torch.dtype | None = torch.float16
) -> None:
    """Write parameters and buffers, aside and then renamed.

    Args:
        network: Floating values must be exact in ``dtype`` (``rounded_to_float16``).
        path: Of the file.
        training: JSON of what the network came from, kept beside the weights.
        dtype: In which floating values are kept; each in its own if None.

    Raises:
        WriteError: The file cannot be written; nothing half-written is left.
    """
    tensors = {
        name: (tensor.to(dtype) if tensor.is_floating_point() else tensor).clone(
            memory_format=torch.contiguous_format
        )
        for name, tensor in unwrapped(network).state_dict().items()
    }
    write_whole(path, serialize(tensors, metadata={"training": training}))


def load(network: nn.Module, path: Path, training: str, then: str = "to train anew") -> nn.Module:
    """Put the weights in ``path`` into ``network``, as they are there, to be evaluated; return it.

    Weights saved from a data-parallel or compiled network are those of the network in it.

    Args:
        network: In float32, or in whatever it was when its weights were saved.
        path: Of the file.
        training: JSON of what the network came from.
        then: What a checkpoint that cannot be used is moved away for.

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
            f"{path} is not a checkpoint ({reason}); move it away {then}"
        ) from error
    if not _same_json(kept, training):
        raise CheckpointError(
            f"{path} holds a network trained on other images or with other settings; "
            f"move {path.parent} away {then}"
        )
    tensors = without_wrappers(tensors)
    if odd := misfit(tensors, unwrapped(network).state_dict()):
        raise CheckpointError(
            f"{path} is not a checkpoint of this network: {odd}; move it away {then}"
        )
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: {name} holds NaN or infinity; move it away {then}")
    unwrapped(network).load_state_dict(tensors)
    return network.eval()


def _same_json(kept: str, asked: str) -> bool:
    try:
        return bool(json.loads(kept) == json.loads(asked))
    except json.JSONDecodeError:
        return False


def without_wrappers(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without the prefixes that wrappers put in front of all their names."""
    while tensors and any(all(name.startswith(each) for name in tensors) for each in PREFIXES):
        tensors = {name.partition(".")[2]: tensor for name, tensor in tensors.items()}
    return tensors


def misfit(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    """What keeps tensors from being a network's, with the first three names; None if all fit."""
    if (prefix := _common_prefix(tensors, own)) is not None:
        return f"its names begin with {prefix!r}: save the state_dict of what is inside"
    if absent := sorted(own.keys() - tensors.keys()):
        return f"it lacks {_some(absent)}"
    if foreign := sorted(tensors.keys() - own.keys()):
        return f"it holds {_some(foreign)}, which the network has not"
    if unlike := [name for name in own if tensors[name].shape != own[name].shape]:
        return _some(
            [
                f"{name} has shape {tuple(tensors[name].shape)}, not {tuple(own[name].shape)}"
                for name in unlike
            ]
        )
    return None


def _common_prefix(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str | None:
    """What a checkpoint has in front of all of a network's names; None if there is nothing."""
    name = next(iter(own), "")
    prefixes = [each.removesuffix(name) for each in tensors if each.endswith(f".{name}")]
    return next((p for p in prefixes if all(p + each in tensors for each in own)), None)


def _some(told: Sequence[str]) -> str:
    """The first three, and how many more."""
    return ", ".join(told[:3]) + (f" and {len(told) - 3} more" if len(told) > 3 else "")
