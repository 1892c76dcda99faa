"""The examples in docstrings, executed."""

import doctest
import importlib
import pkgutil

import pytest

from compressibility import networks, tensors

MODULES = [
    module.name
    for package in (tensors, networks)
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_every_example_gives_what_it_says(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
