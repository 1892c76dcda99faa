"""The examples in docstrings, executed."""

import doctest
import importlib
import pkgutil

import pytest

from compressibility import tensors

MODULES = [module.name for module in pkgutil.iter_modules(tensors.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_every_example_gives_what_it_says(name: str) -> None:
    module = importlib.import_module(f"{tensors.__name__}.{name}")
    assert doctest.testmod(module).failed == 0
