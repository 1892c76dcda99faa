"""Whose fault it is: what a user can mend, and what the numbers themselves refuse.

Everything else that is raised is a defect of this package.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(ValueError):
    """What a user can mend; one line says what is wrong, where, and what to do."""


class NumericalError(ArithmeticError):
    """A computation that diverged, overflowed or did not converge; the line says which."""


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
