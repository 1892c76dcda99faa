"""Sets of layers that are changed together, labelled alike for every network."""

from collections.abc import Sequence
from typing import Final

_PARTS: Final = 4

ALL: Final = "all"
LAYER_SETS: Final = (
    *(f"{end} {k}/{_PARTS}" for end in ("first", "last") for k in range(1, _PARTS)),
    ALL,
)
"""Labels of the sets, in the order of the dimension ``layer_set``."""


def members(layer_set: str, layers: Sequence[str]) -> tuple[str, ...]:
    """The layers of a set: of L layers the first or last ⌈k L / 4⌉, or all.

    Args:
        layer_set: One of `LAYER_SETS`.
        layers: The measured layers, in forward order.

    Examples:
        >>> members("first 2/4", ["a", "b", "c", "d", "e"]), members("last 1/4", ["a", "b"])
        (('a', 'b', 'c'), ('b',))
    """
    if layer_set == ALL:
        return tuple(layers)
    end, share = layer_set.split()
    count = -(-int(share[0]) * len(layers) // _PARTS)
    return tuple(layers[:count] if end == "first" else layers[len(layers) - count :])
