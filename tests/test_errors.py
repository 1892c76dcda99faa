"""Oracle: Python's own rules of exceptions. What code of others raises is told in one line."""

import ast
from pathlib import Path

import pytest

from compressibility.errors import ForeignError, UserError, foreign

ROOT = Path(__file__).parents[1]
PACKAGES = ("compressibility", "analyses")


class _OddError(Exception):
    """Says nothing."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("first\nsecond"), "first"),
        (_OddError(), "_OddError"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_whatever_it_raises_is_told_by_its_first_line(error, told):
    with pytest.raises(ForeignError) as caught, foreign():
        raise error
    assert str(caught.value) == told
    assert caught.value.__cause__ is error


def test_own_errors_and_those_told_already_come_out_as_they_are():
    for error in (UserError("mine"), ForeignError("told")):
        with pytest.raises(type(error)) as caught, foreign(UserError):
            raise error
        assert caught.value is error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_who_stops_the_program_stops_it(error):
    with pytest.raises(error), foreign():
        raise error


def catches_everything(handler: ast.ExceptHandler) -> bool:
    """Also what it does not know, without raising it again at its end."""
    kind = ast.unparse(handler.type) if handler.type is not None else "BaseException"
    again = handler.body[-1]
    return kind in ("Exception", "BaseException") and not (
        isinstance(again, ast.Raise) and again.exc is None
    )


def test_nothing_else_catches_everything():
    """By the syntax trees."""
    found = [
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and catches_everything(node)
    ]
    assert found == ["compressibility/errors.py"]
