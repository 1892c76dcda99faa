"""What is made of a dataset once, however often it is asked for."""

from collections.abc import Callable, Hashable
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from compressibility.store.reading import LayerData

_T = TypeVar("_T")
_HELD: Final[WeakKeyDictionary[LayerData, dict[Hashable, Any]]] = WeakKeyDictionary()
"""By each reading of a dataset that is still in use."""


def once(data: LayerData, key: Hashable, made: Callable[[], _T]) -> _T:
    """What was made of a reading under a key, made now if it has not been.

    Args:
        data: The reading; a dataset that is changed is to be read anew.
        key: Names what is made, apart from all else that is.
        made: Makes it.
    """
    held = _HELD.setdefault(data, {})
    if key not in held:
        held[key] = made()
    found: _T = held[key]
    return found
