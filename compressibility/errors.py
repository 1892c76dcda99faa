"""Whose fault it is: what a user can mend, and what the numbers themselves refuse.

Everything else that is raised is a defect of this package.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches


class UserError(ValueError):
    """What a user can mend; one line says what is wrong, where, and what to do."""


class NumericalError(ArithmeticError):
    """A computation that diverged, overflowed or did not converge; the line says which."""


class ForeignError(Exception):
    """What code of others raised, in a line; the error itself is its cause."""


@contextmanager
def foreign(*own: type[Exception]) -> Iterator[None]:
    """Run code of others while the context lasts: a network's, its hooks', what it holds.

    Nobody knows what that raises, so this is the one place that catches everything. Code of this
    package that runs among it should be little, and tell of itself by errors of its own.

    Args:
        own: Errors that come out as they are.

    Raises:
        ForeignError: Any other error was raised.

    Examples:
        >>> with foreign():
        ...     raise KeyError("no such layer")
        Traceback (most recent call last):
        compressibility.errors.ForeignError: 'no such layer'
    """
    try:
        yield
    except Exception as error:  # what code of others raises is not known
        if isinstance(error, (ForeignError, *own)):
            raise
        raise ForeignError(first_line(error)) from error


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: the nearest known one, or all of them.

    Of more than twenty, the first ten.
    """
    names = list(known)
    if near := get_close_matches(name, names, n=1, cutoff=0.5):
        return f"did you mean {near[0]}?"
    shown = [*names[:10], f"… ({len(names)} in all)"] if len(names) > 20 else names
    return f"choose from {', '.join(shown) or 'nothing'}"


def first_line(error: Exception) -> str:
    r"""What an error says, in a line.

    >>> first_line(ValueError("no such layer\nin the network"))
    'no such layer'
    """
    return (str(error).strip() or type(error).__name__).split("\n")[0]
