"""Modules that wrap a network and compute nothing: compiled and data-parallel ones."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import nn

PREFIXES: Final = ("module.", "_orig_mod.")
"""What data-parallel and compiled networks put in front of the names of their tensors."""


def unwrapped(model: nn.Module) -> nn.Module:
    """The network in its wrappers; layers are named as in it.

    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3))
    >>> unwrapped(nn.DataParallel(network)) is network
    True
    """
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif _compiled(model):
            model = model.get_submodule("_orig_mod")
        else:
            return model


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run what ``torch.compile`` compiled as it was written.

    A compiled network calls no hook that was registered after its first run.
    """
    if "torch._dynamo" not in sys.modules:  # then nothing was compiled, and importing it takes long
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


def _compiled(model: nn.Module) -> bool:
    dynamo = sys.modules.get("torch._dynamo")
    return dynamo is not None and isinstance(model, dynamo.OptimizedModule)
