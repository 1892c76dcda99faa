"""Weights that somebody else has saved: read without running any code, put into a network."""

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from compressibility.errors import ForeignError, UserError, foreign
from compressibility.networks.checkpoints import misfit, without_wrappers
from compressibility.networks.kernels import require_initialised
from compressibility.networks.wrappers import unwrapped

UNDER: Final = ("state_dict", "model", "model_state_dict")
"""Where checkpoints of trainings keep the state dict, beside optimizers and epochs."""

_OF_TORCH: Final = (b"PK", b"\x80")
"""How files of ``torch.save`` begin: zip archives, and before PyTorch 1.6 pickles."""


class WeightsError(UserError):
    """Weights that cannot be read or do not fit; the message says what to do."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a file of safetensors or of ``torch.save``; the suffix does not count.

    Of a dictionary that holds it under one of the keys `UNDER` it is taken from there. Prefixes
    that data-parallel and compiled networks put in front of all names are taken off.

    Raises:
        WeightsError: The file cannot be read, wants to execute code, or holds no state dict.
    """
    try:
        with path.open("rb") as file:
            of_torch = file.read(2).startswith(_OF_TORCH)
        tensors = _of_torch(path) if of_torch else _of_safetensors(path)
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path}: {error.strerror or error}") from error
    return without_wrappers(tensors)


def given(network: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> nn.Module:
    """Put weights into a network, each in the dtype that it has there; return it to be evaluated.

    Args:
        network: As it is built, on the CPU.
        tensors: As `read_weights` gives them.
        path: Where they come from.

    Raises:
        WeightsError: They are not all of the network's, of their shapes, and finite.
        UserError: The network does not know its own weights' shapes yet.
    """
    inner = unwrapped(network)
    require_initialised(inner)
    if reason := misfit(tensors, inner.state_dict()):
        raise WeightsError(f"the weights {path} do not fit the network: {reason}")
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise WeightsError(f"the weights {path}: {name} holds NaN or infinity")
    inner.load_state_dict(dict(tensors))
    return network.eval()


def _of_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise WeightsError(
            f"the weights {path} are neither safetensors nor of torch.save ({error}): save the "
            "network's state_dict() by one of them"
        ) from error


def _of_torch(path: Path) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file, foreign(OSError, pickle.UnpicklingError):
            held = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        wanted = re.search(r"GLOBAL (\S+)", str(error))
        told = (
            f"want to execute code ({wanted[1]}), and are not loaded" if wanted else "are damaged"
        )
        raise WeightsError(
            f"the weights {path} {told}: save the network's state_dict() alone, with torch.save or "
            "as safetensors"
        ) from error
    except ForeignError as error:
        raise WeightsError(f"the weights {path} are damaged: {error}") from error
    return _state_dict(held, path)


def _state_dict(held: Any, path: Path) -> dict[str, Tensor]:
    if isinstance(held, dict):
        held = next((held[key] for key in UNDER if isinstance(held.get(key), dict)), held)
    if not isinstance(held, dict) or not held:
        raise WeightsError(
            f"the weights {path} are a {type(held).__name__} and no state dict: save the network's "
            "state_dict()"
        )
    if strange := [name for name, value in held.items() if not isinstance(value, Tensor)]:
        raise WeightsError(
            f"the weights {path} hold {', '.join(map(repr, strange[:3]))}, which "
            f"{'is' if len(strange) == 1 else 'are'} no tensor: save the network's state_dict() "
            f"alone, or under the key {UNDER[0]!r}"
        )
    return {str(name): value for name, value in held.items()}
