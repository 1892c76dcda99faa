"""Networks that were trained elsewhere, built by a function of whoever trained them."""

import os
import pkgutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import reduce
from importlib import import_module
from types import ModuleType

import torch
from torch import nn

from compressibility.errors import ForeignError, UserError, foreign, nearest
from compressibility.networks.image_sets import Preprocessing


class BuilderError(UserError):
    """A function that builds no network; the message says why and what to do."""


@dataclass(frozen=True)
class Imported:
    """Networks of one architecture that were trained elsewhere.

    Attributes:
        builder: ``module:function`` of a function without arguments that returns the network, such
            as ``torchvision.models:resnet18``; the current directory is importable.
        weights_sha256: Of each network with its weights, in the order of the seeds, as
            `compressibility.networks.kernels.weights_hash` tells it.
        preprocessing: How images are brought to them.
    """

    builder: str
    weights_sha256: tuple[str, ...]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    def build(self, in_channels: int, n_classes: int) -> nn.Module:
        """The network as the function returns it, whatever the images' channels and classes.

        Raises:
            BuilderError: The function cannot be imported or called, or returns no network.
        """
        return built_by(self.builder)


def built_by(builder: str) -> nn.Module:
    """The network that a function without arguments returns, on the CPU.

    The global generator of random numbers is left as it was.

    Args:
        builder: ``module:function``.

    Raises:
        BuilderError: It cannot be imported or called, or returns no network.
    """
    function = _imported(builder)
    if not callable(function):
        raise BuilderError(f"{builder} is of type {type(function).__name__}: name a function")
    try:
        with foreign(), torch.random.fork_rng(devices=[]):
            network = function()
    except ForeignError as error:
        raise BuilderError(
            f"{builder} cannot be called without arguments: {error}; to give it some, write a "
            "function in a file my_model.py and name that: my_model:build"
        ) from error
    if not isinstance(network, nn.Module):
        raise BuilderError(
            f"{builder} returns what is of type {type(network).__name__}: it has to return a "
            "torch.nn.Module"
        )
    return network.cpu()


def _imported(builder: str) -> object:
    name, colon, path = builder.partition(":")
    parts = (*name.split("."), *path.split("."))
    if not colon or name.endswith(".py") or not all(part.isidentifier() for part in parts):
        stem = name.removesuffix(".py").replace("/", ".").strip(".")
        such = f"{stem}:{path or 'build'}" if name.endswith(".py") else "my_model:build"
        raise BuilderError(
            f"{builder!r} names no function: give module:function, such as {such} or "
            "torchvision.models:resnet18"
        )
    module = _module(name)
    try:
        return reduce(getattr, path.split("."), module)
    except AttributeError as error:
        public = [each for each in vars(module) if callable(vars(module)[each])]
        raise BuilderError(f"module {name} has no {path}: {nearest(path, public)}") from error


def _module(name: str) -> ModuleType:
    here = os.getcwd()
    if not {here, ""} & set(sys.path):
        sys.path.insert(0, here)
    try:
        with foreign(ModuleNotFoundError):
            return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise BuilderError(f"importing {name} failed: {error}; install it") from error
        raise BuilderError(f"no module {error.name}: {_advice(error.name, here)}") from error
    except ForeignError as error:
        kind = type(error.__cause__).__name__
        raise BuilderError(f"importing {name} failed: {error} ({kind}); mend it") from error
    except SystemExit as error:
        raise BuilderError(
            f"importing {name} ends the program: put what it runs as a script under "
            'if __name__ == "__main__"'
        ) from error


def _advice(name: str, here: str) -> str:
    """What to do about a module that is not there."""
    package, _, _ = name.rpartition(".")
    places: Iterable[str] | None = None
    if package:
        places = getattr(sys.modules.get(package), "__path__", ())
    known = [module.name for module in pkgutil.iter_modules(places)]
    if near := get_close_matches(name.rpartition(".")[2], known, n=1, cutoff=0.7):
        return f"did you mean {f'{package}.' if package else ''}{near[0]}?"
    return f"install it, or stand in the folder in which it lies (here: {here})"
