"""The examples in docstrings, executed."""

import doctest
import importlib
from pathlib import Path

import pytest

import compressibility

ROOT = Path(compressibility.__file__).parent
MODULES = [
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts)
    for path in sorted(ROOT.rglob("*.py"))
    if ">>> " in path.read_text()
]


def test_the_modules_with_examples_are_found() -> None:
    assert {"compressibility.tensors.modes", "compressibility.tensors.chains"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_every_example_gives_what_it_says(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert found.failed == 0
    assert found.attempted > 0
